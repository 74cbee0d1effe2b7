import type { Counter, Histogram } from '../../metrics/instruments.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { ErrorName } from './error-codes.ts'

/** The value of the `protocol` label. */
export const PROTOCOL_NAME = 'kafka'

const SERVER_ERRORS: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'UNKNOWN_SERVER_ERROR',
  'KAFKA_STORAGE_ERROR',
  // What the group APIs call that.
  'COORDINATOR_NOT_AVAILABLE',
])
/** APIs that have an `endpoint` of their own; the others share one, as administration. */
const ENDPOINTS = new Set(['produce', 'fetch', 'metadata', 'list_offsets'])

/** The series of one API, looked up once. */
export class ApiMeter {
  readonly bytesIn: Counter
  readonly bytesOut: Counter
  readonly #metrics: Metrics
  readonly #ok: Counter
  readonly #clientErrors: Counter
  readonly #serverErrors: Counter
  readonly #seconds: Histogram

  constructor(metrics: Metrics, operation: string) {
    const endpoint = ENDPOINTS.has(operation) ? operation : 'admin'
    this.#metrics = metrics
    this.bytesIn = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'in')
    this.bytesOut = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'out')
    this.#ok = metrics.requests.child(PROTOCOL_NAME, operation, 'ok')
    this.#clientErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'client_error')
    this.#serverErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'server_error')
    this.#seconds = metrics.requestDurationSeconds.child(PROTOCOL_NAME, operation)
  }

  /** Counts a request that was answered with these errors, one for each part of it that was refused. */
  count(errors: readonly ErrorName[], milliseconds: number): void {
    this.#seconds.observe(milliseconds / 1000)
    for (const name of errors) this.#metrics.errors.child(name).add(1)
    if (errors.length === 0) this.#ok.add(1)
    else if (errors.some((name) => SERVER_ERRORS.has(name))) this.#serverErrors.add(1)
    else this.#clientErrors.add(1)
  }
}

/** Everything that the Kafka door counts. */
export class Meters {
  readonly publishLatencyMs: Histogram
  readonly #offsetCommitsOk: Counter
  readonly #offsetCommitsFailed: Counter
  readonly #metrics: Metrics
  readonly #ofApi = new Map<string, ApiMeter>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
    this.publishLatencyMs = metrics.publishLatencyMs.child(PROTOCOL_NAME)
    this.#offsetCommitsOk = metrics.offsetCommits.child('ok')
    this.#offsetCommitsFailed = metrics.offsetCommits.child('error')
  }

  /** Counts so many committed offsets, of which so many were refused. */
  countCommits(all: number, refused: number): void {
    this.#offsetCommitsOk.add(all - refused)
    this.#offsetCommitsFailed.add(refused)
  }

  /** The meter of an API, by its name as Kafka writes it; `ListOffsets` is the operation `list_offsets`. */
  ofApi(name: string): ApiMeter {
    const known = this.#ofApi.get(name)
    if (known !== undefined) return known
    const operation = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase()
    const meter = new ApiMeter(this.#metrics, operation)
    this.#ofApi.set(name, meter)
    return meter
  }
}
