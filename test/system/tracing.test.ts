// Spans from end to end: a producer in whatever language, the broker as a process, a consumer, and a collector that all of
// them send their spans to. The headers are what OpenTelemetry's instrumentation of each client writes.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as openTelemetry from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { Message, OpenTelemetryApi } from '../../client/client.ts'
import { CafeLogClient } from '../../client/client.ts'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import type { Codec, RecordHeader } from '../../src/record/record-batch.ts'
import { parseTraceParent } from '../../src/tracing/trace-context.ts'
import { buildBatch, compressBatch } from '../support/batches.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { REDRIVE } from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import type { CollectedSpan } from '../support/trace-collector.ts'
import { TraceCollector } from '../support/trace-collector.ts'

const TOPICS = `topics:
  - name: orders
  - name: redriven
  - name: node
  - name: java
  - name: python
  - name: go
  - name: checked
    schema: { file: schemas/number.json, mode: dlq }
`
const SENT_SPAN = 'b7ad6b7169203331'

let collector: TraceCollector
let home: BrokerHome
let broker: BrokerProcess
let client: CafeLogClient
let program: BasicTracerProvider
let lastTrace = 0
beforeAll(async () => {
  collector = await TraceCollector.start()
  home = new BrokerHome()
  mkdirSync(join(home.configDirectory, 'schemas'))
  writeFileSync(join(home.configDirectory, 'topics.yml'), TOPICS)
  writeFileSync(join(home.configDirectory, 'schemas', 'number.json'), '{"type":"number"}')
  broker = await home.start({ environment: tracingTo(collector.endpoint) })
  program = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'shop' }),
    spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter({ url: `${collector.endpoint}/v1/traces` }))],
  })
  client = new CafeLogClient({ broker: `127.0.0.1:${broker.port}`, openTelemetry: apiOf(program) })
})
afterAll(async () => {
  await client.close()
  await program.shutdown()
  await home.remove()
  await collector.stop()
})
beforeEach(() => {
  collector.manner = 'take'
})

function tracingTo(endpoint: string): Record<string, string> {
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '20',
    OTEL_SERVICE_NAME: 'broker-of-the-shop',
  }
}

/** What a program hands to the client, with a propagator for W3C's headers. */
function apiOf(provider: BasicTracerProvider): OpenTelemetryApi {
  const { trace, ROOT_CONTEXT, SpanKind, SpanStatusCode } = openTelemetry
  const contextOf = (context: unknown) => context as openTelemetry.Context
  return {
    trace: {
      getTracer: (name) => ({
        startSpan: (spanName, options, context) =>
          provider.getTracer(name).startSpan(spanName, options, contextOf(context)),
      }),
      setSpan: (context, span) => trace.setSpan(contextOf(context), span as unknown as openTelemetry.Span),
    },
    context: { active: () => ROOT_CONTEXT, with: (_context, work) => work() },
    propagation: {
      inject(context, carrier) {
        const { traceId, spanId } = trace.getSpanContext(contextOf(context)) as openTelemetry.SpanContext
        carrier['traceparent'] = `00-${traceId}-${spanId}-01`
      },
      extract(context, carrier) {
        const parent = parseTraceParent(Buffer.from(carrier['traceparent'] ?? ''))
        if (parent === undefined) return context
        return trace.setSpanContext(contextOf(context), { ...parent, traceFlags: 1, isRemote: true })
      },
    },
    SpanKind,
    SpanStatusCode,
  }
}

const newTrace = () => (++lastTrace).toString(16).padStart(32, 'c')
const header = (key: string, value: string) => ({ key, value: Buffer.from(value) })
const textOf = ({ headers }: Message, key: string) => headers.find((each) => each.key === key)?.value?.toString()

/** Sends a record as a Kafka client does, and returns its trace. */
async function produceByKafka(
  topic: string,
  headersOf: (parent: string) => readonly RecordHeader[],
  codec: Codec = 'none',
): Promise<string> {
  const traceId = newTrace()
  const headers = headersOf(`00-${traceId}-${SENT_SPAN}-01`)
  const records = compressBatch(buildBatch([{ value: '{}', timestamp: Date.now(), headers }]), codec)
  const kafka = await KafkaClient.connect(broker.kafkaPort)
  const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }]
  const answer = await kafka.ask(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 1000, topicData })
  kafka.close()
  expect(answer.responses[0].partitionResponses[0].errorCode).toBe(0)
  return traceId
}

/** Reads a topic from its beginning in a group, until a message of this trace has been processed; then commits. */
async function consumeTrace(topic: string, traceId: string): Promise<Message> {
  const consumer = client.consumer({ group: `readers-${traceId}`, topics: [topic], autoOffsetReset: 'earliest' })
  let found: Message | undefined
  await consumer.run({
    async eachMessage(message) {
      if (textOf(message, 'traceparent')?.includes(traceId) !== true) return
      found = message
      void consumer.close()
    },
  })
  await consumer.close()
  if (found === undefined) throw new Error('there was no such message')
  return found
}

/** The spans of a trace, once all these names are among them. */
async function traced(traceId: string, ...names: readonly string[]): Promise<Record<string, CollectedSpan>> {
  await vi.waitFor(() => expect([...collector.ofTrace(traceId).keys()]).toEqual(expect.arrayContaining([...names])), {
    timeout: 20_000,
  })
  return Object.fromEntries(collector.ofTrace(traceId))
}

/** A message goes from a producer through the broker to a consumer, and so does its trace. */
async function expectOneTrace(topic: string, traceId: string, sentSpan: string): Promise<void> {
  await consumeTrace(topic, traceId)
  const names = [`produce ${topic}`, `fetch ${topic}`, `process ${topic}`]
  const spans = await traced(traceId, ...names)
  for (const name of names) expect(spans[name].parentSpanId).toBe(sentSpan)
  const [produce, fetch, process] = names.map((name) => spans[name])
  expect([produce.service, fetch.service, process.service]).toEqual([
    'broker-of-the-shop',
    'broker-of-the-shop',
    'shop',
  ])
  expect(produce.attributes).toMatchObject({ 'messaging.operation.type': 'send', 'messaging.batch.message_count': 1 })
  expect(produce.attributes['messaging.cafelog.offset']).toBe(process.attributes['messaging.cafelog.offset'])
  expect(produce.endNs >= produce.startNs).toBe(true)
  const isOfGroup = ({ attributes }: CollectedSpan) =>
    attributes['messaging.consumer.group.name'] === `readers-${traceId}`
  await vi.waitFor(() => expect(collector.spans.find(isOfGroup)).toMatchObject({ name: `commit ${topic}`, kind: 2 }))
}

test('Node.js: from the client for it, through the JSON door', async () => {
  await using producer = client.producer()
  const { offset } = await producer.send({ topic: 'node', value: '{}' })
  const isSent = ({ name, attributes }: CollectedSpan) =>
    name === 'send node' && attributes['messaging.cafelog.offset'] === offset
  await vi.waitFor(() => expect(collector.spans.some(isSent)).toBe(true))
  const sent = collector.spans.find(isSent)
  await expectOneTrace('node', String(sent?.traceId), String(sent?.spanId))
})

test('Java: packed with lz4, with an agent that writes tracestate and baggage too', async () => {
  const headersOf = (parent: string) => [
    header('traceparent', parent),
    header('tracestate', 'vendor=opaque'),
    header('baggage', 'customer=7'),
  ]
  await expectOneTrace('java', await produceByKafka('java', headersOf, 'lz4'), SENT_SPAN)
})

test('Python: one header among those of the program', async () => {
  const headersOf = (parent: string) => [header('content-type', 'application/json'), header('traceparent', parent)]
  await expectOneTrace('python', await produceByKafka('python', headersOf), SENT_SPAN)
})

test('Go: packed with zstd', async () => {
  const headersOf = (parent: string) => [header('traceparent', parent)]
  await expectOneTrace('go', await produceByKafka('go', headersOf, 'zstd'), SENT_SPAN)
})

test('a delayed message is delivered in its trace, and is read as the child of its delivery', async () => {
  const headersOf = (parent: string) => [
    header('traceparent', parent),
    header('tracestate', 'vendor=opaque'),
    header('cafelog-delay-ms', '30'),
  ]
  const traceId = await produceByKafka('orders', headersOf)
  const message = await consumeTrace('orders', traceId)
  const spans = await traced(traceId, 'produce orders', 'deliver orders', 'process orders')
  expect(spans['produce orders'].parentSpanId).toBe(SENT_SPAN)
  expect(spans['deliver orders']).toMatchObject({ parentSpanId: SENT_SPAN, kind: 4, statusCode: 0 })
  expect(spans['process orders'].parentSpanId).toBe(spans['deliver orders'].spanId)
  expect(textOf(message, 'traceparent')).toBe(`00-${traceId}-${spans['deliver orders'].spanId}-01`)
  expect(textOf(message, 'tracestate')).toBe('vendor=opaque')
})

test('a dead letter goes on in the trace of its message, and so does its redrive', async () => {
  const traceId = await produceByKafka('checked', (parent) => [header('traceparent', parent)])
  const message = await consumeTrace('checked.dlq', traceId)
  const spans = await traced(traceId, 'dead_letter checked.dlq', 'process checked.dlq')
  expect(spans['dead_letter checked.dlq'].parentSpanId).toBe(SENT_SPAN)
  expect(spans['process checked.dlq'].parentSpanId).toBe(spans['dead_letter checked.dlq'].spanId)
  expect(textOf(message, 'cafelog-dlq-reason')).toBe('type')

  const raw = await broker.connect()
  const { json } = await raw.ask(REDRIVE, { topic: 'checked', to: 'redriven' })
  raw.close()
  expect(json).toMatchObject({ ok: true })
  await consumeTrace('redriven', traceId)
  const more = await traced(traceId, 'redrive redriven', 'process redriven')
  expect(more['redrive redriven'].parentSpanId).toBe(spans['dead_letter checked.dlq'].spanId)
  expect(more['process redriven'].parentSpanId).toBe(more['redrive redriven'].spanId)
})

test('whatever is in the headers, records are stored as they are and the broker goes on', async () => {
  const own = newTrace()
  for (const hostile of ['', 'x'.repeat(100_000), `00-${own}-${'0'.repeat(16)}-01`, `00-${own}-${SENT_SPAN}-01\n`]) {
    await produceByKafka('orders', () => [
      header('traceparent', hostile),
      header('tracestate', 'a=1,'.repeat(20_000)),
      { key: 'traceparent', value: null },
    ])
  }
  const traceId = await produceByKafka('orders', (parent) => [
    header('traceparent', parent),
    header('tracestate', 'a=1,'.repeat(20_000)),
  ])
  const message = await consumeTrace('orders', traceId)
  expect(textOf(message, 'traceparent')).toBe(`00-${traceId}-${SENT_SPAN}-01`)
  expect(textOf(message, 'tracestate')).toHaveLength(80_000)
  await traced(traceId, 'produce orders', 'process orders')
  expect(collector.ofTrace(own)).toEqual(new Map())
})

test.each(['hang', 'refuse'] as const)('a collector that does nothing but %s slows nobody down', async (manner) => {
  collector.manner = manner
  const other = new BrokerHome()
  try {
    const traced = await other.start({
      environment: {
        ...tracingTo(collector.endpoint),
        OTEL_BSP_MAX_QUEUE_SIZE: '10',
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5',
      },
    })
    const before = collector.requestCount
    const user = new CafeLogClient({ broker: `127.0.0.1:${traced.port}` })
    await user.admin().createTopic({ topic: 't', partitions: 1 })
    const producer = user.producer()
    for (let count = 0; count < 200; count++) await producer.send({ topic: 't', value: 'v' })
    await vi.waitFor(() => expect(collector.requestCount).toBeGreaterThan(before))
    await user.close()
    expect(await traced.stop()).toBe(0)
    expect(traced.log.filter(({ event }) => event === 'tracing').length).toBeLessThanOrEqual(2)
    expect(traced.log.at(-1)).toMatchObject({ event: 'stopped', msg: 'stopped in order' })
  } finally {
    await other.remove()
  }
})

test('Protocol Buffers are what is sent unless JSON is asked for; keys go to the collector and not into the log', async () => {
  const { OTEL_EXPORTER_OTLP_PROTOCOL: _json, ...environment } = tracingTo(collector.endpoint)
  const other = new BrokerHome()
  try {
    const secret = {
      ...environment,
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hush',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    }
    const traced = await other.start({ environment: { ...secret, CAFELOG_LOG_LEVEL: 'trace' } })
    const user = new CafeLogClient({ broker: `127.0.0.1:${traced.port}` })
    await user.admin().createTopic({ topic: 'packed', partitions: 1 })
    await user.producer().send({ topic: 'packed', value: 'v' })
    await user.close()
    // What is left when it stops is sent too.
    expect(await traced.stop()).toBe(0)
    expect(collector.bodies.some((body) => body.includes('produce packed'))).toBe(true)
    expect(collector.headers.some((headers) => headers['api-key'] === 'hush')).toBe(true)
    expect(JSON.stringify(traced.log)).not.toContain('hush')
  } finally {
    await other.remove()
  }
})

test('it is off unless it is asked for, and says so when it cannot be had', async () => {
  const other = new BrokerHome()
  try {
    const before = collector.requestCount
    const off = await other.start({ environment: { ...tracingTo(collector.endpoint), OTEL_SDK_DISABLED: 'true' } })
    const user = new CafeLogClient({ broker: `127.0.0.1:${off.port}` })
    await user.admin().createTopic({ topic: 't', partitions: 1 })
    await user.producer().send({ topic: 't', value: 'v' })
    await user.close()
    expect(await off.stop()).toBe(0)
    expect(off.log.filter(({ event }) => event === 'tracing')).toEqual([])
    expect(collector.requestCount).toBe(before)
    const grpc = await other.start({
      environment: { ...tracingTo(collector.endpoint), OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    })
    expect(grpc.log.find(({ event }) => event === 'tracing')).toMatchObject({
      level: 'warn',
      msg: 'Cannot trace with OTEL_EXPORTER_OTLP_PROTOCOL="grpc": it must be http/protobuf or http/json; tracing is off',
    })
    await grpc.stop()
  } finally {
    await other.remove()
  }
})
