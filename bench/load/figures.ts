import { build, initWebAssembly, type Histogram } from 'hdr-histogram-js'

/** How long things took, in milliseconds. */
export interface Latency {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** Everything that is counted while a load test runs. Counts are messages, not requests. */
export class Figures {
  sent = 0
  acked = 0
  failed = 0
  /** Messages by the code of the refusal, or CONNECTION_LOST, or TIMEOUT. */
  readonly errors = new Map<string, number>()
  readonly #latency: Histogram
  readonly #lateness: Histogram

  private constructor(latency: Histogram, lateness: Histogram) {
    this.#latency = latency
    this.#lateness = lateness
  }

  /** Makes empty figures. Call `close` when they are no longer needed. */
  static async create(): Promise<Figures> {
    await initWebAssembly()
    return new Figures(makeHistogram(), makeHistogram())
  }

  recordSent(messages: number, lateMs: number): void {
    this.sent += messages
    record(this.#lateness, lateMs)
  }

  recordAcked(messages: number, latencyMs: number): void {
    this.acked += messages
    record(this.#latency, latencyMs)
  }

  recordFailed(messages: number, code: string): void {
    this.failed += messages
    this.errors.set(code, (this.errors.get(code) ?? 0) + messages)
  }

  /** From the moment a request was due to its answer; undefined while there was none. */
  getLatency(): Latency | undefined {
    return summarize(this.#latency)
  }

  /** How much later than due requests were sent: what this program and its machine, not the broker, are to blame for. */
  getLateness(): Latency | undefined {
    return summarize(this.#lateness)
  }

  close(): void {
    this.#latency.destroy()
    this.#lateness.destroy()
  }
}

/** The longest time that is told apart: a quarter of an hour, in microseconds. Longer ones count as that. */
const MICROSECONDS_MAX = 900_000_000

function makeHistogram(): Histogram {
  return build({
    bitBucketSize: 64,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: MICROSECONDS_MAX,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: true,
  })
}

function record(histogram: Histogram, milliseconds: number): void {
  histogram.recordValue(Math.min(MICROSECONDS_MAX, Math.max(0, Math.round(milliseconds * 1000))))
}

function summarize(histogram: Histogram): Latency | undefined {
  if (histogram.totalCount === 0) return undefined
  const at = (percentile: number) => histogram.getValueAtPercentile(percentile) / 1000
  return { p50: at(50), p95: at(95), p99: at(99), max: histogram.maxValue / 1000 }
}
