import type { DeliverySink } from './delivery.ts'
import type { ProducerHeader, ProducerHeaders, ProducerMessage } from './producer-options.ts'

/** The part of a span that is used here. */
export interface TracingSpan {
  setAttribute(name: string, value: string | number): unknown
  recordException(error: Error): void
  setStatus(status: { code: number; message?: string }): unknown
  end(): void
}

/**
 * The part of `@opentelemetry/api` that is used here. Hand it in as it is: `import * as openTelemetry from '@opentelemetry/api'`.
 * It is no dependency: whoever traces has it, with an SDK and a propagator that their program sets up.
 */
export interface OpenTelemetryApi {
  readonly trace: {
    getTracer(name: string): {
      startSpan(
        name: string,
        options: { kind?: number; attributes?: Record<string, string | number> },
        context?: unknown,
      ): TracingSpan
    }
    setSpan(context: unknown, span: TracingSpan): unknown
  }
  readonly context: { active(): unknown; with<Result>(context: unknown, work: () => Result): Result }
  readonly propagation: {
    inject(context: unknown, carrier: Record<string, string>): void
    extract(context: unknown, carrier: Record<string, string>): unknown
  }
  readonly SpanKind: { readonly PRODUCER: number; readonly CONSUMER: number }
  readonly SpanStatusCode: { readonly ERROR: number }
}

/** A message that was read, as far as tracing looks at it. */
interface ReadMessage {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
}

const TRACER = 'cafelog'
const PARTITION = 'messaging.destination.partition.id'
const OFFSET = 'messaging.cafelog.offset'

/**
 * Spans of OpenTelemetry for messages, named as its conventions for messaging have it: one from `send` until the message is
 * delivered, one for each time that it is processed. The second has the first as its parent, because the context goes along in the
 * headers of the message, for W3C's propagator in `traceparent`.
 */
export class Tracing {
  readonly #api: OpenTelemetryApi
  readonly #tracer: ReturnType<OpenTelemetryApi['trace']['getTracer']>

  constructor(api: OpenTelemetryApi) {
    this.#api = api
    this.#tracer = api.trace.getTracer(TRACER)
  }

  /** Begins the span of a message, which ends with its delivery. */
  send(
    message: ProducerMessage,
    sink: DeliverySink,
  ): { readonly message: ProducerMessage; readonly sink: DeliverySink } {
    const { context, propagation, trace, SpanKind } = this.#api
    const { topic } = message
    const options = { kind: SpanKind.PRODUCER, attributes: attributesOf('send', topic) }
    const span = this.#tracer.startSpan(`send ${topic}`, options, context.active())
    const carrier: Record<string, string> = {}
    propagation.inject(trace.setSpan(context.active(), span), carrier)
    const headers = replaceHeaders(message.headers, carrier)
    return { message: { ...message, headers }, sink: new TracedDelivery(span, sink, this.#api) }
  }

  /** Processes a message under a span of its own, which fails when `work` throws or what it returns is rejected. */
  async process<Result>(message: ReadMessage, work: () => Result | Promise<Result>): Promise<Result> {
    const { context, propagation, trace, SpanKind } = this.#api
    const { topic, partition, offset } = message
    const carrier: Record<string, string> = {}
    for (const { key, value } of message.headers) {
      if (value !== null) carrier[key] = Buffer.from(value.buffer, value.byteOffset, value.length).toString()
    }
    const parent = propagation.extract(context.active(), carrier)
    const attributes = { ...attributesOf('process', topic), [PARTITION]: String(partition), [OFFSET]: offset }
    const span = this.#tracer.startSpan(`process ${topic}`, { kind: SpanKind.CONSUMER, attributes }, parent)
    try {
      return await context.with(trace.setSpan(parent, span), work)
    } catch (error) {
      noteFailure(this.#api, span, error)
      throw error
    } finally {
      span.end()
    }
  }
}

/** Ends a span with the delivery of its message. */
class TracedDelivery implements DeliverySink {
  readonly #span: TracingSpan
  readonly #sink: DeliverySink
  readonly #api: OpenTelemetryApi

  constructor(span: TracingSpan, sink: DeliverySink, api: OpenTelemetryApi) {
    this.#span = span
    this.#sink = sink
    this.#api = api
  }

  delivered(topic: string, partition: number, offset: number): void {
    this.#span.setAttribute(PARTITION, String(partition))
    this.#span.setAttribute(OFFSET, offset)
    this.#span.end()
    this.#sink.delivered(topic, partition, offset)
  }

  failed(error: Error): void {
    noteFailure(this.#api, this.#span, error)
    this.#span.end()
    this.#sink.failed(error)
  }
}

function attributesOf(operation: 'send' | 'process', topic: string): Record<string, string> {
  return {
    'messaging.system': 'cafelog',
    'messaging.operation.type': operation,
    'messaging.operation.name': operation,
    'messaging.destination.name': topic,
  }
}

function noteFailure({ SpanStatusCode }: OpenTelemetryApi, span: TracingSpan, error: unknown): void {
  const failure = error instanceof Error ? error : new Error(String(error))
  span.recordException(failure)
  span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message })
}

/** The headers with those of `carrier`, which take the place of others of the same name: a message that is sent on has old ones. */
function replaceHeaders(headers: ProducerHeaders = [], carrier: Readonly<Record<string, string>>): ProducerHeader[] {
  const list: readonly ProducerHeader[] = Array.isArray(headers)
    ? (headers as readonly ProducerHeader[])
    : Object.entries(headers).map(([key, value]) => ({ key, value }))
  const added = Object.entries(carrier).map(([key, value]) => ({ key, value }))
  return [...list.filter(({ key }) => !Object.hasOwn(carrier, key)), ...added]
}
