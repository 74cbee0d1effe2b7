import type { Counter, Histogram } from '../../metrics/instruments.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import { isServerError } from './errors.ts'
import type { OperationName, WireErrorCode } from './wire.ts'
import { FRAME_TYPES, WIRE_ERRORS } from './wire.ts'

/** The value of the `protocol` label. */
export const PROTOCOL_NAME = 'json'

/** Operations that have an `endpoint` of their own; the others share one, as administration. */
const ENDPOINT_TYPE_MAX = FRAME_TYPES.HEARTBEAT
/** Those that do the same as one of the first. */
const SHARED_ENDPOINTS: Partial<Record<OperationName, string>> = {
  PRODUCE_BATCHES: 'produce',
  FETCH_BATCHES: 'fetch',
}

/** The series of one operation, looked up once. */
export class OperationMeter {
  readonly bytesIn: Counter
  readonly bytesOut: Counter
  readonly #ok: Counter
  readonly #clientErrors: Counter
  readonly #serverErrors: Counter
  readonly #seconds: Histogram
  readonly #errors: ReadonlyMap<WireErrorCode, Counter>

  constructor(metrics: Metrics, operation: string, endpoint: string, errors: ReadonlyMap<WireErrorCode, Counter>) {
    this.bytesIn = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'in')
    this.bytesOut = metrics.bytes.child(PROTOCOL_NAME, endpoint, 'out')
    this.#ok = metrics.requests.child(PROTOCOL_NAME, operation, 'ok')
    this.#clientErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'client_error')
    this.#serverErrors = metrics.requests.child(PROTOCOL_NAME, operation, 'server_error')
    this.#seconds = metrics.requestDurationSeconds.child(PROTOCOL_NAME, operation)
    this.#errors = errors
  }

  countOk(milliseconds: number): void {
    this.#ok.add(1)
    this.#seconds.observe(milliseconds / 1000)
  }

  countError(code: WireErrorCode, milliseconds: number): void {
    this.#errors.get(code)?.add(1)
    if (isServerError(code)) this.#serverErrors.add(1)
    else this.#clientErrors.add(1)
    this.#seconds.observe(milliseconds / 1000)
  }

  /** Counts a request of which parts were refused, one code for each of them. */
  countRefused(codes: readonly WireErrorCode[], milliseconds: number): void {
    for (const code of codes) this.#errors.get(code)?.add(1)
    if (codes.some(isServerError)) this.#serverErrors.add(1)
    else this.#clientErrors.add(1)
    this.#seconds.observe(milliseconds / 1000)
  }
}

/** Everything that the JSON door counts. */
export class Meters {
  readonly publishLatencyMs: Histogram
  readonly offsetCommitsOk: Counter
  readonly offsetCommitsFailed: Counter
  readonly #ofType: readonly (OperationMeter | undefined)[]
  readonly #other: OperationMeter

  constructor(metrics: Metrics) {
    this.publishLatencyMs = metrics.publishLatencyMs.child(PROTOCOL_NAME)
    this.offsetCommitsOk = metrics.offsetCommits.child('ok')
    this.offsetCommitsFailed = metrics.offsetCommits.child('error')
    const codes = Object.keys(WIRE_ERRORS) as WireErrorCode[]
    const errors = new Map(codes.map((code) => [code, metrics.errors.child(code)] as const))
    const ofType: (OperationMeter | undefined)[] = []
    for (const [name, type] of Object.entries(FRAME_TYPES) as [OperationName, number][]) {
      const operation = name.toLowerCase()
      const endpoint = SHARED_ENDPOINTS[name] ?? (type <= ENDPOINT_TYPE_MAX ? operation : 'admin')
      ofType[type] = new OperationMeter(metrics, operation, endpoint, errors)
    }
    this.#ofType = ofType
    this.#other = new OperationMeter(metrics, 'other', 'other', errors)
  }

  /** The meter of a frame type; unknown types share one. */
  ofType(type: number): OperationMeter {
    return this.#ofType[type] ?? this.#other
  }
}
