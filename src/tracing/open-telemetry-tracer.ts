import type { Context, HrTime, Link, Span, SpanContext, Tracer as OpenTelemetry } from '@opentelemetry/api'
import { createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } from '@opentelemetry/api'
import type { Clock } from '../base/clock.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import type { RecordContexts } from './batch-contexts.ts'
import type { TraceContext } from './trace-context.ts'
import type {
  ForwardingReason,
  TracedCommit,
  TracedForwarding,
  TracedPartition,
  TracedReading,
  TracedWork,
  Tracer,
} from './tracer.ts'

/** Records of one batch that get a span each; more than a queue of spans would hold are of no use. */
const FORWARDED_SPANS_MAX = 1_000
const ERROR_CHARACTERS_MAX = 256

type Attributes = Record<string, string | number>

/** What kind of operation it is, by OpenTelemetry's conventions for messaging. */
const OPERATION_TYPES = {
  produce: 'send',
  fetch: 'receive',
  commit: 'settle',
  deliver: 'send',
  dead_letter: 'send',
  redrive: 'send',
} as const
type OperationName = keyof typeof OPERATION_TYPES

/**
 * Spans of OpenTelemetry, named and described by its conventions for messaging.
 *
 * Where all records of a batch come from one span, the broker's span is a child of it. Where they come from several, it has a
 * trace of its own with a link to each, as a span has one parent at most; if none of these is recorded, it is not either.
 */
export class OpenTelemetryTracer implements Tracer {
  readonly #tracer: OpenTelemetry
  readonly #contexts: RecordContexts
  readonly #clock: Clock

  constructor(parts: { readonly clock: Clock; readonly tracer: OpenTelemetry; readonly contexts: RecordContexts }) {
    this.#clock = parts.clock
    this.#tracer = parts.tracer
    this.#contexts = parts.contexts
  }

  produce(partition: TracedPartition, batch: Buffer): TracedWork {
    const { contexts, recordCount } = this.#contexts.ofBatches(batch)
    const attributes = attributesOf('produce', partition.topic, [partition.partition], recordCount)
    const name = `produce ${partition.topic}`
    return new Work(this.#start({ name, kind: SpanKind.SERVER, attributes, contexts }), this.#clock)
  }

  fetched(startedAtMs: number, readings: readonly TracedReading[]): void {
    const topics = new Map<string, TracedReading[]>()
    for (const reading of readings) {
      if (reading.bytes.length === 0 && reading.error === undefined) continue
      const ofTopic = topics.get(reading.topic)
      if (ofTopic === undefined) topics.set(reading.topic, [reading])
      else ofTopic.push(reading)
    }
    for (const [topic, ofTopic] of topics) this.#fetchedTopic(startedAtMs, topic, ofTopic)
  }

  commit({ group, offsets }: TracedCommit): TracedWork {
    const topics = new Set(offsets.map(({ topic }) => topic))
    const [topic] = topics.size === 1 ? topics : []
    const partitions = topic === undefined ? [] : offsets.map(({ partition }) => partition)
    const attributes = {
      ...attributesOf('commit', topic, partitions, 0),
      'messaging.consumer.group.name': group,
    }
    const name = topic === undefined ? 'commit' : `commit ${topic}`
    return new Work(this.#start({ name, kind: SpanKind.SERVER, attributes, contexts: [] }), this.#clock)
  }

  forward(reason: ForwardingReason, partition: TracedPartition): TracedForwarding {
    return new Forwarding(this.#clock, this.#contexts, (contexts) =>
      this.#start({
        name: `${reason} ${partition.topic}`,
        kind: SpanKind.PRODUCER,
        attributes: attributesOf(reason, partition.topic, [partition.partition], 0),
        contexts,
      }),
    )
  }

  #fetchedTopic(startedAtMs: number, topic: string, readings: readonly TracedReading[]): void {
    const found = readings.map(({ bytes, fromOffset }) => this.#contexts.ofBatches(bytes, fromOffset))
    const recordCount = found.reduce((sum, each) => sum + each.recordCount, 0)
    const attributes = attributesOf(
      'fetch',
      topic,
      readings.map(({ partition }) => partition),
      recordCount,
    )
    if (readings.length === 1) attributes['messaging.cafelog.offset'] = readings[0].fromOffset
    const agoMs = this.#clock.monotonic() - startedAtMs
    const contexts = distinct(found.flatMap((each) => each.contexts))
    const span = this.#start({ name: `fetch ${topic}`, kind: SpanKind.SERVER, attributes, contexts, agoMs })
    new Work(span, this.#clock, agoMs).end(readings.find(({ error }) => error !== undefined)?.error)
  }

  #start(wish: {
    readonly name: string
    readonly kind: SpanKind
    readonly attributes: Attributes
    readonly contexts: readonly TraceContext[]
    readonly agoMs?: number
  }): Span {
    const { name, kind, attributes, contexts, agoMs = 0 } = wish
    const options = { kind, attributes, startTime: toHrTime(this.#clock.now() - agoMs) }
    const isOne = contexts.length === 1 || (contexts.length > 1 && !contexts.some(({ isSampled }) => isSampled))
    if (isOne) return this.#tracer.startSpan(name, options, toParent(contexts[0]))
    return this.#tracer.startSpan(name, { ...options, links: contexts.map(toLink) }, ROOT_CONTEXT)
  }
}

/** A span that has begun. Its length is measured on the clock that does not jump. */
class Work implements TracedWork {
  readonly #span: Span
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #startedMonotonic: number
  #isOver = false

  /** `agoMs` is how long ago the span has begun. */
  constructor(span: Span, clock: Clock, agoMs = 0) {
    this.#span = span
    this.#clock = clock
    this.#startedAtMs = clock.now() - agoMs
    this.#startedMonotonic = clock.monotonic() - agoMs
  }

  end(error?: unknown, baseOffset?: number): void {
    if (this.#isOver) return
    this.#isOver = true
    if (baseOffset !== undefined && baseOffset >= 0) this.#span.setAttribute('messaging.cafelog.offset', baseOffset)
    if (error !== undefined) noteError(this.#span, error)
    this.#span.end(toHrTime(this.#startedAtMs + this.#clock.monotonic() - this.#startedMonotonic))
  }
}

/** Records that the broker writes: a span for each that has a context, one for all others. */
class Forwarding implements TracedForwarding {
  readonly #clock: Clock
  readonly #records: RecordContexts
  readonly #begin: (contexts: readonly TraceContext[]) => Span
  readonly #works: { readonly work: Work; readonly index: number }[] = []
  #others: { readonly work: Work; readonly index: number } | undefined
  #count = 0

  constructor(clock: Clock, records: RecordContexts, begin: (contexts: readonly TraceContext[]) => Span) {
    this.#clock = clock
    this.#records = records
    this.#begin = begin
  }

  add(headers: readonly RecordHeader[]): readonly RecordHeader[] {
    const index = this.#count++
    const context = this.#records.ofHeaders(headers)
    if (context === undefined || this.#works.length >= FORWARDED_SPANS_MAX) {
      this.#others ??= { work: new Work(this.#begin([]), this.#clock), index }
      return headers
    }
    const span = this.#begin([context])
    this.#works.push({ work: new Work(span, this.#clock), index })
    return span.isRecording() ? this.#records.replace(headers, span.spanContext()) : headers
  }

  end(error?: unknown, baseOffset?: number): void {
    const all = this.#others === undefined ? this.#works : [...this.#works, this.#others]
    for (const { work, index } of all) work.end(error, baseOffset === undefined ? undefined : baseOffset + index)
  }
}

function attributesOf(
  operation: OperationName,
  topic: string | undefined,
  partitions: readonly number[],
  recordCount: number,
): Attributes {
  const attributes: Attributes = {
    'messaging.system': 'cafelog',
    'messaging.operation.name': operation,
    'messaging.operation.type': OPERATION_TYPES[operation],
  }
  if (topic !== undefined) attributes['messaging.destination.name'] = topic
  if (partitions.length === 1) attributes['messaging.destination.partition.id'] = String(partitions[0])
  if (recordCount > 0) attributes['messaging.batch.message_count'] = recordCount
  return attributes
}

function noteError(span: Span, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  span.setAttribute('error.type', typeOf(error))
  span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, ERROR_CHARACTERS_MAX) })
}

function distinct(contexts: readonly TraceContext[]): readonly TraceContext[] {
  return [...new Map(contexts.map((context) => [`${context.traceId}-${context.spanId}`, context])).values()]
}

/** The code of a refusal or of the system, which say more than the name of a class. */
function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function toParent(context: TraceContext): Context {
  return trace.setSpanContext(ROOT_CONTEXT, toSpanContext(context))
}

function toLink(context: TraceContext): Link {
  return { context: toSpanContext(context) }
}

function toSpanContext({ traceId, spanId, isSampled, state }: TraceContext): SpanContext {
  return {
    traceId,
    spanId,
    traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(state !== undefined && { traceState: createTraceState(state) }),
  }
}

/** In seconds and nanoseconds: a plain number might be taken for time since the start of the process. */
function toHrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
