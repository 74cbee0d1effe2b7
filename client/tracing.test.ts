import { expect, test } from 'vitest'
import { startCafeLog } from '../src/start-cafelog.ts'
import type { OpenTelemetryApi, TracingSpan } from './client.ts'
import { CafeLogClient } from './client.ts'
import type { DeliverySink } from './delivery.ts'
import { Tracing } from './tracing.ts'

/** What a span has gone through. */
class FakeSpan implements TracingSpan {
  readonly story: string[]

  constructor(story: string) {
    this.story = [story]
  }

  setAttribute(name: string, value: string | number) {
    this.story.push(`${name}=${value}`)
  }
  recordException({ message }: Error) {
    this.story.push(`threw ${message}`)
  }
  setStatus({ code }: { code: number }) {
    this.story.push(`status ${code}`)
  }
  end() {
    this.story.push('end')
  }
}

/** OpenTelemetry as far as it matters here: a context is the name of the span that is active. */
function fakeApi() {
  const spans: FakeSpan[] = []
  let active: unknown = 'root'
  const api: OpenTelemetryApi = {
    trace: {
      getTracer: () => ({
        startSpan(name, { kind, attributes }, context) {
          const span = new FakeSpan(`${name} kind ${kind} in ${String(context)}`)
          span.story.push(String(attributes?.['messaging.operation.type']))
          spans.push(span)
          return span
        },
      }),
      setSpan: (_context, span) => `span ${spans.indexOf(span as FakeSpan)}`,
    },
    context: {
      active: () => active,
      with(context, work) {
        const before = active
        active = context
        try {
          return work()
        } finally {
          active = before
        }
      },
    },
    propagation: {
      inject(context, carrier) {
        carrier['traceparent'] = String(context)
      },
      extract: (_context, carrier) => carrier['traceparent'] ?? 'none',
    },
    SpanKind: { PRODUCER: 3, CONSUMER: 4 },
    SpanStatusCode: { ERROR: 2 },
  }
  return { api, stories: () => spans.map(({ story }) => story), active: () => active }
}

test('a span goes from the send to the delivery, and its context along in the headers', async () => {
  const { api, stories } = fakeApi()
  await using broker = await startCafeLog({ topics: ['orders'] })
  await using client = new CafeLogClient({ broker: broker.addresses.json, openTelemetry: api })
  await using producer = client.producer()
  await producer.send({ topic: 'orders', value: 'a', headers: { own: '1', traceparent: 'old' } })
  await producer.send({ topic: 'nothing', value: 'a' }).catch(() => {})
  await producer.send({ topic: 'orders', value: 'a', partition: 7 }).catch(() => {})
  expect(stories()).toEqual([
    ['send orders kind 3 in root', 'send', 'messaging.destination.partition.id=0', 'messaging.cafelog.offset=0', 'end'],
    ['send nothing kind 3 in root', 'send', expect.stringContaining('threw'), 'status 2', 'end'],
    ['send orders kind 3 in root', 'send', expect.stringContaining('threw'), 'status 2', 'end'],
  ])
})

test('what is processed has its sender as parent, wherever the headers come from', async () => {
  const { api, stories, active } = fakeApi()
  const tracing = new Tracing(api)
  const sink: DeliverySink = { delivered() {}, failed() {} }
  const { message } = tracing.send({ topic: 't', value: '', headers: [{ key: 'traceparent', value: 'old' }] }, sink)
  expect(message.headers).toEqual([{ key: 'traceparent', value: 'span 0' }])
  const headers = [{ key: 'traceparent', value: Buffer.from('span 0') }]
  const read = { topic: 't', partition: 2, offset: 5, headers }
  expect(await tracing.process(read, () => active())).toBe('span 1')
  const failing = tracing.process({ ...read, headers: [] }, () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  expect(stories().slice(1)).toEqual([
    ['process t kind 4 in span 0', 'process', 'end'],
    ['process t kind 4 in none', 'process', 'threw no', 'status 2', 'end'],
  ])
})

test('a handler of a consumer runs under a span whose parent is the one of the send', async () => {
  const { api, stories, active } = fakeApi()
  await using broker = await startCafeLog({ topics: ['orders'] })
  await using client = new CafeLogClient({ broker: broker.addresses.json, openTelemetry: api })
  await using producer = client.producer()
  await producer.send({ topic: 'orders', value: 'a' })
  const consumer = client.consumer({ partitions: [{ topic: 'orders', partition: 0, offset: 0 }] })
  const controller = new AbortController()
  await consumer.run({
    signal: controller.signal,
    eachMessage: () => {
      expect(active()).toBe('span 1')
      controller.abort()
    },
  })
  expect(stories()[1]).toEqual(['process orders kind 4 in span 0', 'process', 'end'])
})
