import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { Sampler } from '@opentelemetry/sdk-trace-base'
import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace-base'
import { expect, test } from 'vitest'
import { buildBatch } from '../../test/support/batches.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import { RECORD_CONTEXTS } from './batch-contexts.ts'
import { OpenTelemetryTracer } from './open-telemetry-tracer.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const ORDERS = { topic: 'orders', partition: 3 }
const header = (key: string, text: string) => ({ key, value: Buffer.from(text) })
const parentOf = (span: string, flags = '01') => header('traceparent', `00-${TRACE}-${span.repeat(16)}-${flags}`)
const batchOf = (...headers: readonly ReturnType<typeof header>[]) =>
  buildBatch(headers.map((each) => ({ value: 'v', timestamp: 1, headers: [each] })))

/** A tracer, the time that it sees, and what it has told. */
function setUp(sampler: Sampler = new ParentBasedSampler({ root: new AlwaysOnSampler() })) {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ sampler, spanProcessors: [new SimpleSpanProcessor(exporter)] })
  // Long before this process has begun: OpenTelemetry must not take it for the time since then.
  const time = { ms: 1_000 }
  const clock: Clock = { now: () => time.ms, monotonic: () => time.ms + 0.25, setTimer: () => ({ cancel() {} }) }
  const tracer = new OpenTelemetryTracer({ clock, tracer: provider.getTracer('test'), contexts: RECORD_CONTEXTS })
  const spans = () =>
    exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      kind: span.kind,
      parent: span.parentSpanContext?.spanId,
      isInTrace: span.spanContext().traceId === TRACE,
      links: span.links.map(({ context }) => context.spanId[0]),
      start: span.startTime,
      end: span.endTime,
      status: span.status,
      attributes: span.attributes,
    }))
  return { tracer, spans, time }
}

test('a batch from one span is a child of it', () => {
  const { tracer, spans, time } = setUp()
  const work = tracer.produce(ORDERS, batchOf(parentOf('a'), parentOf('a')))
  time.ms += 2_500
  work.end(undefined, 17)
  work.end(new Error('too late'))
  expect(spans()).toEqual([
    {
      name: 'produce orders',
      kind: 1,
      parent: 'a'.repeat(16),
      isInTrace: true,
      links: [],
      start: [1, 0],
      end: [3, 500_000_000],
      status: { code: 0 },
      attributes: {
        'messaging.system': 'cafelog',
        'messaging.operation.name': 'produce',
        'messaging.operation.type': 'send',
        'messaging.destination.name': 'orders',
        'messaging.destination.partition.id': '3',
        'messaging.batch.message_count': 2,
        'messaging.cafelog.offset': 17,
      },
    },
  ])
})

test('a batch from several spans has a trace of its own, with links', () => {
  const { tracer, spans } = setUp()
  tracer
    .produce(ORDERS, batchOf(parentOf('a'), parentOf('b', '00')))
    .end(new BrokerError('KAFKA_STORAGE_ERROR', 'x'.repeat(999)))
  expect(spans()).toMatchObject([
    { parent: undefined, isInTrace: false, links: ['a', 'b'], status: { code: 2, message: 'x'.repeat(256) } },
  ])
  expect(spans()[0].attributes['error.type']).toBe('KAFKA_STORAGE_ERROR')
})

test('who is not recorded by its producer is not by the broker', () => {
  const { tracer, spans } = setUp()
  tracer.produce(ORDERS, batchOf(parentOf('a', '00'))).end()
  tracer.produce(ORDERS, batchOf(parentOf('a', '00'), parentOf('b', '00'))).end()
  const headers = [parentOf('a', '00')]
  expect(tracer.forward('deliver', ORDERS).add(headers)).toBe(headers)
  expect(spans()).toEqual([])
  const off = setUp(new AlwaysOffSampler())
  off.tracer.produce(ORDERS, batchOf(parentOf('a'))).end()
  expect(off.spans()).toEqual([])
})

test('a fetch has a span for each topic of which it gives something, from when it began to read', () => {
  const { tracer, spans, time } = setUp()
  time.ms += 500
  const nothing = { fromOffset: 0, bytes: Buffer.alloc(0), error: undefined }
  tracer.fetched(1_400.25, [
    { ...nothing, ...ORDERS, bytes: batchOf(parentOf('a'), parentOf('b')), fromOffset: 1 },
    { ...nothing, topic: 'orders', partition: 4, bytes: batchOf(parentOf('b'), parentOf('c')) },
    { ...nothing, topic: 'bills', partition: 0 },
    { ...nothing, topic: 'ships', partition: 0, error: new BrokerError('OFFSET_OUT_OF_RANGE', 'no') },
  ])
  const [orders, ships, ...more] = spans()
  expect(orders).toMatchObject({ name: 'fetch orders', isInTrace: false, links: ['b', 'c'], start: [1, 400_000_000] })
  expect(orders).toMatchObject({ end: [1, 500_000_000], attributes: { 'messaging.batch.message_count': 3 } })
  expect(ships).toMatchObject({ name: 'fetch ships', status: { code: 2, message: 'no' } })
  expect(more).toEqual([])
})

test('a commit says whose and of what', () => {
  const { tracer, spans } = setUp()
  tracer.commit({ group: 'billing', offsets: [ORDERS] }).end()
  tracer.commit({ group: 'billing', offsets: [ORDERS, { topic: 'bills', partition: 0 }] }).end()
  expect(spans().map(({ name }) => name)).toEqual(['commit orders', 'commit'])
  expect(spans()[0].attributes).toMatchObject({
    'messaging.consumer.group.name': 'billing',
    'messaging.operation.type': 'settle',
    'messaging.destination.partition.id': '3',
  })
})

test('records that the broker writes get a span each, and its context', () => {
  const { tracer, spans } = setUp()
  const forwarding = tracer.forward('dead_letter', ORDERS)
  const plain = [header('own', '1')]
  const [first, second] = [
    [header('own', '1'), parentOf('a')],
    [parentOf('b'), header('tracestate', 'x=y')],
  ].map((each) => forwarding.add(each))
  expect(forwarding.add(plain)).toBe(plain)
  expect(forwarding.add(plain)).toBe(plain)
  forwarding.end(undefined, 10)
  const told = spans()
  expect(
    told.map(({ name, kind, parent, attributes }) => [name, kind, parent, attributes['messaging.cafelog.offset']]),
  ).toEqual([
    ['dead_letter orders', 3, 'a'.repeat(16), 10],
    ['dead_letter orders', 3, 'b'.repeat(16), 11],
    ['dead_letter orders', 3, undefined, 12],
  ])
  expect(first[0]).toEqual(header('own', '1'))
  expect(second[1]).toEqual(header('tracestate', 'x=y'))
  expect(String(first[1].value)).toMatch(new RegExp(`^00-${TRACE}-(?!a{16})[0-9a-f]{16}-01$`))
})
