// What tracing costs a broker that appends batches: with tracing off against the same without the places where tracing could
// be, and with tracing on, 1 % of traces and all of them. Everything up to the collector is in it; that one takes no time.
import { SpanKind } from '@opentelemetry/api'
import { BasicTracerProvider, BatchSpanProcessor, ParentBasedSampler } from '@opentelemetry/sdk-trace-base'
import { AlwaysOnSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-base'
import { systemClock } from '../../src/base/clock.ts'
import type { Broker } from '../../src/broker/broker.ts'
import type { AppendWaiter, PartitionLog } from '../../src/log/log-engine.ts'
import { RecordBatchBuilder } from '../../src/record/record-batch.ts'
import { RECORD_CONTEXTS } from '../../src/tracing/batch-contexts.ts'
import { OpenTelemetryTracer } from '../../src/tracing/open-telemetry-tracer.ts'
import { startTestBroker } from '../../test/support/start-broker.ts'
import { formatTable } from '../format.ts'
import { median } from '../statistics.ts'

const TOPIC = 'bench'
const RECORDS = 10
const BATCHES_PER_TURN = 20
const TURNS_PER_BLOCK = 5
/** So many that the noise of the machine, which is larger than what is looked for, does not show in the median. */
const BLOCKS = 4_000
const WARM_UP_BLOCKS = 400
/** Tracing that is on is looked at in every so many blocks: it takes longer, and shows at once. */
const ON_EVERY = 10

const builder = new RecordBatchBuilder()
const waiter: AppendWaiter = { appended() {} }

/** One batch, as a producer sends it; a context is in the headers of its records, for those who look. */
function makeBatch(): Buffer {
  builder.reset()
  builder.begin()
  const headers = [{ key: 'traceparent', value: Buffer.from(`00-${'4b'.repeat(16)}-${'00f0'.repeat(4)}-01`) }]
  for (let index = 0; index < RECORDS; index++) builder.add(null, Buffer.alloc(100, 'v'), 1_700_000_000_000, headers)
  return Buffer.from(builder.finish())
}

type Append = (broker: Broker, log: PartitionLog, batch: Buffer) => void
const produce: Append = (broker, log, batch) => void broker.produce(log, batch, RECORDS, 1, waiter)
/** What `produce` was before there was tracing. */
const produceAsBefore: Append = (broker, log, batch) => {
  const rejected = broker.gate.rejectedOf(batch)
  if (rejected !== undefined) broker.deadLetters.produce(log, batch, rejected, 1, waiter)
  else log.append(batch, RECORDS, 1, waiter)
}

/** A tracer of which the spans go nowhere. */
function makeTracer(ratio: number): OpenTelemetryTracer {
  const root = ratio === 1 ? new AlwaysOnSampler() : new TraceIdRatioBasedSampler(ratio)
  const exporter = {
    export: (_spans: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
    shutdown: () => Promise.resolve(),
  }
  const provider = new BasicTracerProvider({
    sampler: new ParentBasedSampler({ root, remoteParentSampled: root }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  })
  const tracer = provider.getTracer('bench')
  tracer.startSpan('first', { kind: SpanKind.SERVER }).end()
  return new OpenTelemetryTracer({ clock: systemClock, tracer, contexts: RECORD_CONTEXTS })
}

const settings = { 'flush.policy': 'os', 'retention.bytes': '67108864', 'segment.bytes': '16777216' }
const ways = [
  { name: 'without tracing in the code', append: produceAsBefore, tester: await startTestBroker({ settings }) },
  { name: 'off', append: produce, tester: undefined },
  { name: '1 % of traces', append: produce, tester: await startTestBroker({ settings, tracer: makeTracer(0.01) }) },
  { name: 'all traces', append: produce, tester: await startTestBroker({ settings, tracer: makeTracer(1) }) },
] as const
const [{ tester: plain }] = ways
/** Each has its offset written into it, so there is one for every append of a turn. */
const batches = Array.from({ length: BATCHES_PER_TURN }, makeBatch)
for (const { tester } of ways) await tester?.broker.topics.create({ name: TOPIC, partitionCount: 1 })

const times: number[][] = ways.map(() => [])
/** Of the time of the first way in the same block. */
const ratios: number[][] = ways.map(() => [])
for (let block = 0; block < WARM_UP_BLOCKS + BLOCKS; block++) {
  const count = block % ON_EVERY === 0 ? ways.length : 2
  const took: number[] = []
  // Each block begins with another one, so that none always follows the same.
  for (let turn = 0; turn < count; turn++) {
    const index = (block + Math.floor(block / ON_EVERY) + turn) % count
    const { append, tester = plain } = ways[index]
    took[index] = await timeBlock(append, tester.broker)
  }
  if (block < WARM_UP_BLOCKS) continue
  for (const [index, ms] of took.entries()) {
    times[index].push(ms)
    ratios[index].push(ms / took[0])
  }
}
for (const { tester } of ways) await tester?.stop()

const perBatch = (ms: number) => (ms * 1e6) / (BATCHES_PER_TURN * TURNS_PER_BLOCK)
const rows = ways.map(({ name }, index) => {
  const sorted = ratios[index].toSorted((one, other) => one - other)
  const quarter = (share: number) => `${((sorted[Math.floor(sorted.length * share)] - 1) * 100).toFixed(2)} %`
  return [name, perBatch(median(times[index])).toFixed(0), quarter(0.5), `${quarter(0.25)} to ${quarter(0.75)}`]
})
console.log(
  `\nAppending batches of ${RECORDS} × 100 B, ${BLOCKS} blocks of ${BATCHES_PER_TURN * TURNS_PER_BLOCK} batches in turns\n`,
)
console.log(formatTable(['tracing', 'ns/batch', 'more time (median)', 'quartiles'], rows))

/** Milliseconds for a block of batches: what is appended in a turn is written at its end. */
async function timeBlock(append: Append, broker: Broker): Promise<number> {
  const log = broker.getLog(TOPIC, 0)
  const startedAt = performance.now()
  for (let turn = 0; turn < TURNS_PER_BLOCK; turn++) {
    for (const batch of batches) append(broker, log, batch)
    await new Promise(setImmediate)
  }
  return performance.now() - startedAt
}
