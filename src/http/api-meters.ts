import type { Counter, Histogram } from '../metrics/instruments.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ApiErrorCode } from './api-errors.ts'
import type { ApiRoute } from './api-route.ts'

/** The value of the `protocol` label. */
const PROTOCOL_NAME = 'http'

/** The series of one route, looked up once. */
export class RouteMeter {
  readonly #bytesIn: Counter
  readonly #bytesOut: Counter
  readonly #ok: Counter
  readonly #clientErrors: Counter
  readonly #serverErrors: Counter
  readonly #seconds: Histogram
  readonly #publishLatencyMs: Histogram | undefined
  readonly #metrics: Metrics

  constructor(metrics: Metrics, { operation, endpoint }: Pick<ApiRoute, 'operation' | 'endpoint'>) {
    this.#bytesIn = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'in')
    this.#bytesOut = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'out')
    this.#ok = metrics.requests.child(PROTOCOL_NAME, operation, 'ok')
    this.#clientErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'client_error')
    this.#serverErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'server_error')
    this.#seconds = metrics.requestDurationSeconds.child(PROTOCOL_NAME, operation)
    this.#publishLatencyMs = endpoint === 'produce' ? metrics.publishLatencyMs.child(PROTOCOL_NAME) : undefined
    this.#metrics = metrics
  }

  /** Bodies alone: what headers take is nobody's business. */
  countBytes(received: number, sent: number): void {
    this.#bytesIn.add(received)
    this.#bytesOut.add(sent)
  }

  countOk(milliseconds: number): void {
    this.#ok.add(1)
    this.#seconds.observe(milliseconds / 1000)
    this.#publishLatencyMs?.observe(milliseconds)
  }

  countError(status: number, code: ApiErrorCode, milliseconds: number): void {
    this.#metrics.errors.child(code).add(1)
    if (status >= 500) this.#serverErrors.add(1)
    else this.#clientErrors.add(1)
    this.#seconds.observe(milliseconds / 1000)
  }
}
