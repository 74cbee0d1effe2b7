import { BrokerError } from '../base/broker-error.ts'
import { UnsafeIntegerError } from '../base/bytes.ts'
import {
  decodeMarkerBatch,
  findBatchFault,
  getProducerId,
  isControlBatch,
  type TransactionMarker,
} from '../record/record-batch.ts'
import type { AbortedTransaction } from './aborted-transactions.ts'
import type { LogContext } from './log-context.ts'
import type { DescribedProducer } from './log-engine.ts'
import type { SegmentPartitionLog } from './partition-log.ts'
import { type KeptBatch, type ProducerEntry, ProducerStates } from './producer-state.ts'
import { type BatchPlace, readFully, type Segment, SegmentCorrupt } from './segment.ts'
import { SnapshotFiles } from './snapshot-files.ts'

/** With less to walk than this share of what lies between two snapshots, a stop in order takes none. */
const WALKED_SHARE = 1 / 64

/**
 * The producers of one partition: their state, and how it is had again after a start.
 *
 * Most partitions never hear of a producer, and none of them is read for this at the start: the checkpoint says up to
 * where there was nothing to remember (`emptyAt`). When somebody first wants to know, the headers of the log are walked from
 * there on, or from the newest snapshot.
 */
export class PartitionProducers {
  readonly #context: LogContext
  readonly #log: SegmentPartitionLog
  readonly #snapshots: SnapshotFiles
  #isLoaded = false
  /** Undefined while there is nothing to remember. */
  #states: ProducerStates | undefined
  #emptyAt: number
  /** How much of the log lies behind the last snapshot. */
  #sinceSnapshotBytes = 0
  #loadError: BrokerError | undefined
  /** Counters for the metrics, since the start. */
  duplicates = 0
  outOfOrder = 0

  /** `emptyAt`: below this offset the log held nothing that has to be remembered. */
  constructor(context: LogContext, log: SegmentPartitionLog, emptyAt: number) {
    this.#context = context
    this.#log = log
    this.#snapshots = new SnapshotFiles(context, log.directory)
    this.#emptyAt = emptyAt
  }

  /** How many there are, as far as they are loaded. */
  get count(): number {
    return this.#states?.count ?? 0
  }

  /** Where the earliest transaction begins that holds consumers back, as far as that is loaded. */
  get firstUnstableOffset(): number | undefined {
    return this.#states?.firstUnstableOffset
  }

  /** The offset to keep in the checkpoint: nothing below it has to be remembered. */
  emptyAt(durableOffset: number): number {
    if (this.#isLoaded && this.#states === undefined) this.#emptyAt = durableOffset
    return Math.min(this.#emptyAt, durableOffset)
  }

  /**
   * Below which offset no transaction is open or has ended unseen. When the log cannot be read just now, nobody knows, and
   * then nothing is stable.
   */
  lastStableOffset(): number {
    const { highWatermark, logStartOffset } = this.#log
    if (!this.tryLoad()) return logStartOffset
    const first = this.#states?.firstUnstableOffset
    return first === undefined ? highWatermark : Math.min(highWatermark, Math.max(first, logStartOffset))
  }

  /**
   * See `ProducerStates.check`. Call `tryLoad` before.
   *
   * @throws BrokerError also KAFKA_STORAGE_ERROR
   */
  check(batch: Buffer): KeptBatch | undefined {
    const states = this.#loaded()
    try {
      const kept = states?.check(batch)
      if (kept !== undefined) this.duplicates++
      return kept
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'OUT_OF_ORDER_SEQUENCE_NUMBER') this.outOfOrder++
      throw error
    }
  }

  /**
   * See `ProducerStates.checkMarker`. Call `tryLoad` before.
   *
   * @throws BrokerError also KAFKA_STORAGE_ERROR
   */
  checkMarker(marker: TransactionMarker): void {
    this.#loaded()?.checkMarker(marker)
  }

  /** A batch of a producer was given its offset; it was checked before. */
  append(batch: Buffer, baseOffset: number): void {
    this.#statesFrom(baseOffset).append(batch, 0, baseOffset, this.#context.clock.now())
  }

  /** A marker was given its offset; it was checked before. */
  appendMarker(marker: TransactionMarker, offset: number): void {
    this.#statesFrom(offset).appendMarker(marker, offset, this.#context.clock.now())
  }

  /** The log is written up to here, by so many bytes more. */
  noteWritten(offset: number, bytes: number): void {
    if (this.#states === undefined) return
    this.#states.settle(offset)
    this.#sinceSnapshotBytes += bytes
    if (this.#sinceSnapshotBytes >= this.#context.producerSnapshotBytes) this.#takeSnapshot()
  }

  /** The log is durable up to here. */
  noteDurable(offset: number): void {
    this.#snapshots.writeUpTo(offset)
  }

  /**
   * Whether what lies below `offset` may go from the disk. Not before a snapshot remembers what is needed of it: one is
   * taken if there is none yet, and the caller asks again. On a full disk room counts for more.
   */
  canForget(offset: number): boolean {
    if (!this.tryLoad()) return false
    if (this.#states === undefined || this.#snapshots.newestOffset >= offset) return true
    if (this.#snapshots.comingOffset < offset) this.#takeSnapshot()
    return this.#snapshots.hadNoRoom
  }

  /** Whether what lies below `offset` is remembered, once what `canForget` has begun is settled. */
  isRemembered(offset: number): boolean {
    const { newestOffset, hadNoRoom } = this.#snapshots
    return this.#isLoaded && (this.#states === undefined || newestOffset >= offset || hadNoRoom)
  }

  /** The last offset of each producer's last batch. */
  lastOffsets(): Map<number, number> {
    this.tryLoad()
    const offsets = new Map<number, number>()
    for (const { producerId, batches } of this.#loaded()?.list() ?? []) {
      const last = batches.at(-1)
      if (last !== undefined) offsets.set(producerId, last.lastOffset)
    }
    return offsets
  }

  /** Resolves when a snapshot that is on its way is written, or could not be. */
  snapshotSettled(): Promise<void> {
    return this.#snapshots.settled()
  }

  /** Takes a snapshot at the end of a log that is all durable, if a start would otherwise have much to walk. */
  async saveAtStop(): Promise<void> {
    const walkedBytesMax = this.#context.producerSnapshotBytes * WALKED_SHARE
    if (this.#states !== undefined && this.#sinceSnapshotBytes > walkedBytesMax) this.#takeSnapshot()
    await this.#snapshots.settled()
  }

  /** The log goes out of service: no snapshot is begun any more. */
  retire(): void {
    this.#snapshots.drop()
  }

  /** The log ends here: what was appended behind is not in it. */
  rollBack(offset: number): void {
    if (this.#states === undefined) return
    this.#states.rollBack(offset)
    this.#dropEmpty()
  }

  noteHighWatermark(): void {
    this.#states?.noteHighWatermark(this.#log.highWatermark)
  }

  /** Forgets what is no longer needed: producers that were silent for long, and what lies below the log start. */
  expire(since: number): void {
    if (this.#states === undefined) return
    this.#states.expire(since)
    this.#states.aborted.trim(this.#log.firstFileOffset)
    this.#dropEmpty()
  }

  /** @throws BrokerError KAFKA_STORAGE_ERROR */
  abortedTransactions(fromOffset: number, toOffset: number): readonly AbortedTransaction[] {
    this.tryLoad()
    return this.#loaded()?.aborted.find(fromOffset, toOffset) ?? []
  }

  /** @throws BrokerError KAFKA_STORAGE_ERROR */
  hasOpenTransaction(producerId: number): boolean {
    this.tryLoad()
    return (this.#loaded()?.get(producerId)?.transactionStart ?? -1) >= 0
  }

  /** @throws BrokerError KAFKA_STORAGE_ERROR */
  describe(): readonly DescribedProducer[] {
    this.tryLoad()
    return this.#loaded()?.list().map(describeEntry) ?? []
  }

  /**
   * Of each producer the offset of its last record, -1 when there is none under its epoch, and that epoch: what compaction
   * must leave for the state to be had again.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  lastBatches(): ReadonlyMap<number, { readonly lastOffset: number; readonly epoch: number }> {
    this.tryLoad()
    const entries = this.#loaded()?.list() ?? []
    return new Map(
      entries.map(({ producerId, epoch, batches }) => {
        return [producerId, { lastOffset: batches.at(-1)?.lastOffset ?? -1, epoch }]
      }),
    )
  }

  /** Reads the state from the log if that was not done yet; false when the disk refuses just now. */
  tryLoad(): boolean {
    if (!this.#isLoaded) this.#load()
    return this.#isLoaded
  }

  #loaded(): ProducerStates | undefined {
    if (!this.#isLoaded && this.#loadError !== undefined) throw this.#loadError
    return this.#states
  }

  #takeSnapshot(): void {
    const { logEndOffset: offset, durableOffset } = this.#log
    if (this.#states === undefined || this.#log.failure !== undefined) return
    this.#sinceSnapshotBytes = 0
    this.#snapshots.take({
      offset,
      leaderEpoch: this.#log.epochAt(offset - 1),
      producers: this.#states.entriesBefore(offset),
      aborted: this.#states.aborted.numbersBefore(offset),
    })
    this.#snapshots.writeUpTo(durableOffset)
  }

  #statesFrom(offset: number): ProducerStates {
    if (this.#states === undefined) {
      this.#states = new ProducerStates()
      this.#emptyAt = offset
    }
    return this.#states
  }

  #dropEmpty(): void {
    if (this.#states?.isEmpty === true) this.#states = undefined
  }

  // ------------------------------------------------------------------------------------------------- loading

  #load(): void {
    const { topic, partition, highWatermark } = this.#log
    try {
      const states = new ProducerStates()
      this.#sinceSnapshotBytes = 0
      this.#walk(states, this.#restore(states))
      states.noteHighWatermark(highWatermark)
      states.aborted.trim(this.#log.firstFileOffset)
      this.#states = states.isEmpty ? undefined : states
      this.#isLoaded = true
      this.#loadError = undefined
    } catch (error) {
      const fault = (error as Error).message
      const message = `Cannot read the producers of topic "${topic}", partition ${partition}: ${fault}`
      if (message !== this.#loadError?.message) this.#context.logger.warn({ topic, partition, error }, message)
      this.#loadError = new BrokerError('KAFKA_STORAGE_ERROR', message, { cause: error })
    }
  }

  /** Takes what the newest snapshot has; returns the offset from which the log is to be walked. */
  #restore(states: ProducerStates): number {
    const { logEndOffset } = this.#log
    if (this.#emptyAt >= logEndOffset) return logEndOffset
    const snapshot = this.#snapshots.read(({ offset, leaderEpoch }) => {
      const found = this.#log.epochAt(offset - 1)
      return offset <= logEndOffset && (found === -1 || found === leaderEpoch)
    })
    if (snapshot === undefined || snapshot.offset <= this.#emptyAt) return this.#emptyAt
    states.restore(snapshot.producers, snapshot.aborted)
    return snapshot.offset
  }

  /** Brings `states` from an offset to the end of the log, by the headers of its batches. */
  #walk(states: ProducerStates, fromOffset: number): void {
    const now = this.#context.clock.now()
    for (const segment of this.#log.segments) {
      if (segment.nextOffset <= fromOffset || segment.sizeBytes === 0) continue
      try {
        this.#walkSegment(states, segment, fromOffset, now)
      } catch (error) {
        if (!(error instanceof SegmentCorrupt)) throw error
        // What comes behind the damage in this segment cannot be found.
        this.#reportDamage(error)
      }
    }
  }

  #walkSegment(states: ProducerStates, segment: Segment, fromOffset: number, now: number): void {
    // What compaction has left may have nothing from there on.
    const isInside = fromOffset > segment.baseOffset && segment.cleanings === 0
    const start = isInside ? segment.findBatch(fromOffset) : { position: 0, baseOffset: segment.baseOffset }
    segment.walk(start.position, start.baseOffset, (place, buffer, at) => {
      if (place.baseOffset < fromOffset) return true
      this.#sinceSnapshotBytes += place.bytes
      try {
        if (getProducerId(buffer, at) < 0) return true
        if (isControlBatch(buffer, at)) {
          const marker = readMarker(segment, place)
          if (marker !== undefined) states.appendMarker(marker, place.baseOffset, now)
        } else states.append(buffer, at, place.baseOffset, now)
        states.settle(place.nextOffset)
      } catch (error) {
        if (!(error instanceof UnsafeIntegerError) && !(error instanceof SegmentCorrupt)) throw error
        this.#reportDamage(error)
      }
      return true
    })
  }

  /** Whoever reads there is told. A producer or a marker that cannot be read is as if it were not there. */
  #reportDamage(error: Error): void {
    const { topic, partition } = this.#log
    this.#context.logger.error({ topic, partition, error }, 'a record batch is damaged: its producer is not known')
  }
}

function readMarker(segment: Segment, place: BatchPlace): TransactionMarker | undefined {
  const batch = Buffer.allocUnsafe(place.bytes)
  const count = readFully(segment.file(), batch, place.bytes, place.position)
  const fault = findBatchFault(batch, 0, count)
  if (fault !== undefined) throw new SegmentCorrupt(`${segment.logPath} at byte ${place.position}: ${fault}`)
  return decodeMarkerBatch(batch, 0)
}

function describeEntry(entry: ProducerEntry): DescribedProducer {
  return {
    producerId: entry.producerId,
    producerEpoch: entry.epoch,
    lastSequence: entry.batches.at(-1)?.lastSequence ?? -1,
    lastTimestamp: entry.lastTimestamp,
    coordinatorEpoch: entry.coordinatorEpoch,
    currentTransactionStartOffset: entry.transactionStart,
  }
}
