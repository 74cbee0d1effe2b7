import type { Clock } from '../base/clock.ts'
import type { Isolation, PartitionLog, ReadBatches } from '../log/log-engine.ts'
import type { Tracer } from '../tracing/tracer.ts'
import { countRecords } from './count-records.ts'
import type { LogWatch } from './log-watches.ts'
import type { Turns } from './turns.ts'

/** What a fetch wants of one of its partitions. */
export interface PartitionWish {
  /** The offset to begin at; the first batch may begin before it. */
  readonly fetchOffset: number
  readonly partitionMaxBytes: number
}

/** What a fetch over many partitions wants. */
export interface MultiFetchWish {
  readonly partitions: readonly PartitionWish[]
  /** Bytes of batches in all, but for a larger batch at the beginning. */
  readonly bytesMax: number
  /** Wait until so many bytes are there. */
  readonly bytesMin: number
  /** How long to wait for them at the most, in milliseconds. */
  readonly waitMs: number
  readonly isolation: Isolation
  /** What a byte of a batch becomes in the answer. */
  readonly outputPerByte: number
  /**
   * The log of one of `partitions`, by its place among them. Asked again at each reading: topics come and go meanwhile.
   *
   * @throws whatever is to be said of that partition
   */
  getLog(index: number): PartitionLog
  /** The same without a reason when there is none. */
  findLog(index: number): PartitionLog | undefined
}

/** The answers of a connection that have not gone out, as `Channel` of the room of sockets has them. */
export interface Outgoing {
  grantOutput(wantedBytes: number): number
  reserveOutput(bytes: number): void
}

/** Who tells of news, and the time: the broker. */
export interface NewsSource {
  readonly clock: Clock
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
  watch(logs: readonly PartitionLog[], waitMs: number, wake: () => void): LogWatch
}

/** What reading a partition has come to. */
export interface PartitionReading {
  readonly log: PartitionLog | undefined
  /** What `getLog` or reading threw; undefined if all is well. */
  readonly error: unknown
  /** How far this client could read when it was read: what is beyond has not been looked for. */
  readonly readTo: number
  /** Undefined when there was nothing to read, or no room for it. To be released. */
  readonly batches: ReadBatches | undefined
}

/** Bytes of records when the answers of all connections take too much memory and this one must not wait. */
const SCARCE_BYTES = 64 * 1024
const NO_BYTES = Buffer.alloc(0)

/**
 * A fetch over many partitions: reads them in the order of the request, and waits for news of any of them if there is too
 * little to read. What an answer may take of the memory for answers is asked for before reading.
 */
export class MultiFetch {
  readonly #news: NewsSource
  readonly #outgoing: Outgoing
  readonly #turns: Turns
  readonly #wish: MultiFetchWish
  readonly #deadlineMs: number
  #mayWait: boolean
  #isAbandoned = false
  /** Whether the answer must be smaller than the client and the log would have it. */
  #isCut = false
  #watch: LogWatch | undefined
  #wake: () => void = () => {}

  constructor(parts: { news: NewsSource; outgoing: Outgoing; turns: Turns }, wish: MultiFetchWish) {
    this.#news = parts.news
    this.#outgoing = parts.outgoing
    this.#turns = parts.turns
    this.#wish = wish
    this.#mayWait = wish.waitMs > 0
    this.#deadlineMs = parts.news.clock.monotonic() + wish.waitMs
  }

  /** Whether its answer has room among those that have not gone out. Whoever must answer at once need not ask. */
  get hasRoom(): boolean {
    const wanted = this.#countAvailable()
    return wanted === 0 || this.#outgoing.grantOutput(wanted * this.#wish.outputPerByte) > 0
  }

  /** Resolves with a reading for each partition, in their order; the caller releases their batches. */
  async run(): Promise<readonly PartitionReading[]> {
    const { outputPerByte } = this.#wish
    for (;;) {
      const startedAtMs = this.#news.tracer === undefined ? 0 : this.#news.clock.monotonic()
      const bytesMax = this.#grant()
      this.#outgoing.reserveOutput(bytesMax * outputPerByte)
      const readings = await this.#readAll(bytesMax)
      this.#outgoing.reserveOutput(-bytesMax * outputPerByte)
      if (this.#isAbandoned || !this.#mayWait || this.#isEnough(readings)) {
        if (this.#news.tracer !== undefined) this.#trace(this.#news.tracer, startedAtMs, readings)
        this.#count(readings)
        return readings
      }
      for (const { batches } of readings) batches?.release()
      if (!(await this.#wait(readings))) this.#mayWait = false
    }
  }

  /** Answers now, with what there is. */
  stopWaiting(): void {
    this.#mayWait = false
    this.#watch?.cancel()
    this.#wake()
  }

  /** The client is gone. */
  abandon(): void {
    this.#isAbandoned = true
    this.stopWaiting()
  }

  #count(readings: readonly PartitionReading[]): void {
    for (const [index, { log, batches }] of readings.entries()) {
      if (log === undefined || batches === undefined) continue
      log.deliveredRecords += countRecords(batches.bytes, this.#wish.partitions[index].fetchOffset)
    }
  }

  #trace(tracer: Tracer, startedAtMs: number, readings: readonly PartitionReading[]): void {
    const traced = readings.flatMap(({ log, batches, error }, index) => {
      if (log === undefined) return []
      const { fetchOffset } = this.#wish.partitions[index]
      const bytes = batches?.bytes ?? NO_BYTES
      return [{ topic: log.topic, partition: log.partition, fromOffset: fetchOffset, bytes, error }]
    })
    tracer.fetched(startedAtMs, traced)
  }

  /** How many bytes of records the answer may have. */
  #grant(): number {
    const { outputPerByte } = this.#wish
    const wanted = this.#countAvailable()
    if (wanted === 0) {
      this.#isCut = false
      return 0
    }
    const granted = Math.floor(this.#outgoing.grantOutput(wanted * outputPerByte) / outputPerByte)
    const bytesMax = granted === 0 ? Math.min(wanted, SCARCE_BYTES) : granted
    this.#isCut = bytesMax < wanted
    return bytesMax
  }

  /** About how many bytes there are to read, as far as the client wants them. */
  #countAvailable(): number {
    const { partitions, bytesMax } = this.#wish
    let available = 0
    for (const [index, { fetchOffset, partitionMaxBytes }] of partitions.entries()) {
      const log = this.#wish.findLog(index)
      if (log !== undefined && this.#endOf(log) > fetchOffset) available += Math.min(partitionMaxBytes, log.sizeBytes)
    }
    return Math.max(0, Math.min(bytesMax, available))
  }

  /** The offset up to which this client may read. */
  #endOf(log: PartitionLog): number {
    return this.#wish.isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark
  }

  async #readAll(bytesMax: number): Promise<PartitionReading[]> {
    const readings: PartitionReading[] = []
    let bytesLeft = bytesMax
    let isFirst = true
    for (const [index, { fetchOffset, partitionMaxBytes }] of this.#wish.partitions.entries()) {
      if (this.#turns.isOver) await this.#turns.pass()
      const reading = this.#begin(index)
      readings.push(reading)
      const { log } = reading
      const isOutside = log !== undefined && (fetchOffset < log.logStartOffset || fetchOffset > log.highWatermark)
      if (log === undefined || (fetchOffset >= reading.readTo && !isOutside)) continue
      if (!isFirst && bytesLeft <= 0 && !isOutside) continue
      try {
        const batches = await read(log, fetchOffset, Math.min(partitionMaxBytes, bytesLeft), this.#wish.isolation)
        // Only the first one may be too large: so that nobody gets stuck, and no answer grows with each partition.
        if (!isFirst && batches.bytes.length > bytesLeft) {
          batches.release()
          bytesLeft = 0
          continue
        }
        readings[index] = { ...reading, batches }
        bytesLeft -= batches.bytes.length
        if (batches.bytes.length > 0) isFirst = false
      } catch (error) {
        readings[index] = { ...reading, error }
      }
    }
    return readings
  }

  #begin(index: number): PartitionReading {
    try {
      const log = this.#wish.getLog(index)
      return { log, error: undefined, readTo: this.#endOf(log), batches: undefined }
    } catch (error) {
      return { log: undefined, error, readTo: -1, batches: undefined }
    }
  }

  #isEnough(readings: readonly PartitionReading[]): boolean {
    if (readings.length === 0 || readings.some(({ error }) => error !== undefined)) return true
    const bytes = readings.reduce((sum, { batches }) => sum + (batches?.bytes.length ?? 0), 0)
    const { bytesMin, bytesMax } = this.#wish
    return bytes >= Math.min(bytesMin, bytesMax) || (this.#isCut && bytes > 0)
  }

  /** Waits for news of any of the partitions; false when there was none in time. */
  async #wait(readings: readonly PartitionReading[]): Promise<boolean> {
    const logs: PartitionLog[] = []
    for (const { log, readTo } of readings) {
      if (log === undefined) continue
      // What has come since then would wake nobody.
      if (this.#endOf(log) > readTo) return true
      logs.push(log)
    }
    const { clock } = this.#news
    const leftMs = this.#deadlineMs - clock.monotonic()
    if (leftMs <= 0) return false
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#watch = this.#news.watch(logs, leftMs, resolve)
    })
    return this.#mayWait && clock.monotonic() < this.#deadlineMs
  }
}

function read(log: PartitionLog, fromOffset: number, bytesMax: number, isolation: Isolation): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, batches: ReadBatches) => {
      if (error === undefined) return resolve(batches)
      batches.release()
      reject(error)
    }
    log.read(fromOffset, bytesMax, done, isolation)
  })
}
