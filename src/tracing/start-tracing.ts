import type { DiagLogFunction } from '@opentelemetry/api'
import { diag, DiagLogLevel } from '@opentelemetry/api'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { RecordContexts } from './batch-contexts.ts'
import { OpenTelemetryTracer } from './open-telemetry-tracer.ts'
import type { TracingProtocol } from './tracing-settings.ts'

/** What OpenTelemetry has to say is logged once in so long, whatever the collector does. */
const COMPLAINT_EVERY_MS = 60_000
const COMPLAINT_CHARACTERS_MAX = 500

/** Tracing that is on. */
export interface RunningTracing {
  readonly tracer: OpenTelemetryTracer
  /** Sends what has not been sent yet, unless that takes longer than `timeoutMs`. */
  close(timeoutMs: number): Promise<void>
}

/**
 * Begins to collect spans and to send them to a collector, as the variables of OpenTelemetry say. The broker never waits for
 * the collector: spans are sent from a queue with a limit, and dropped when it is full.
 */
export function startTracing(parts: {
  readonly clock: Clock
  readonly contexts: RecordContexts
  readonly logger: Logger
  readonly protocol: TracingProtocol
  readonly version: string
}): RunningTracing {
  const { clock, contexts, logger, protocol, version } = parts
  complainTo(logger, clock)
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'cafelog', 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] }))
  const exporter = protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter()
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(exporter)] })
  return {
    tracer: new OpenTelemetryTracer({ clock, tracer: provider.getTracer('cafelog', version), contexts }),
    async close(timeoutMs) {
      const tooLong = new Promise<void>((resolve) => {
        clock.setTimer(timeoutMs, resolve)
      })
      // A collector that is not there has been complained about.
      await Promise.race([provider.shutdown().catch(() => {}), tooLong])
    },
  }
}

/** Lets OpenTelemetry speak through the broker's log, a line a minute: it may say the same for every batch of spans. */
function complainTo(logger: Logger, clock: Clock): void {
  let quietUntilMs = Number.NEGATIVE_INFINITY
  let keptBack = 0
  const complain: DiagLogFunction = (message) => {
    const nowMs = clock.monotonic()
    if (nowMs < quietUntilMs) {
      keptBack++
      return
    }
    quietUntilMs = nowMs + COMPLAINT_EVERY_MS
    const facts = { event: 'tracing', detail: toSentence(message), keptBack }
    logger.warn(facts, 'traces do not all arrive: the collector is not there, or too slow')
    keptBack = 0
  }
  const silent = () => {}
  const listener = { error: complain, warn: complain, info: silent, debug: silent, verbose: silent }
  diag.setLogger(listener, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
}

/** Errors come as JSON with their whole stack; what they say is enough. */
function toSentence(text: string): string {
  let sentence = text
  try {
    const fields: unknown = JSON.parse(text)
    if (typeof fields === 'object' && fields !== null && 'message' in fields) sentence = String(fields.message)
  } catch {
    // It was a sentence.
  }
  return sentence.slice(0, COMPLAINT_CHARACTERS_MAX)
}
