import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { Timer } from '../base/clock.ts'
import type { File } from '../base/file-system.ts'
import type { TopicName } from '../base/topic-name.ts'
import {
  encodeMarkerBatch,
  getBatchBytes,
  getLastOffsetDelta,
  getProducerId,
  getRecordCount,
  setBaseOffset,
  setLeaderEpoch,
  type TransactionMarker,
} from '../record/record-batch.ts'
import type { AbortedTransaction } from './aborted-transactions.ts'
import type { LogContext } from './log-context.ts'
import type { PartitionImage } from './log-image.ts'
import type {
  Acks,
  AppendWaiter,
  DescribedProducer,
  Isolation,
  LogConfig,
  PartitionLog,
  ReadBatches,
} from './log-engine.ts'
import { type FoundRecord, LogReader, type ReadableLog } from './log-reader.ts'
import type { OpenFile } from './open-files.ts'
import type { EpochStart, PartitionFacts } from './partition-facts.ts'
import { PartitionProducers } from './partition-producers.ts'
import type { KeptBatch } from './producer-state.ts'
import { countExpired, isTooOld, retentionLimits, type RetentionReason, rollAfterMs } from './retention.ts'
import { cleanedFileName, Segment, type SegmentFacts } from './segment.ts'
import { canBeOffered, placeSwap, removeSwallowed, type SegmentSwap, segmentsToSave } from './segment-swap.ts'
import { FULL_CODES } from './snapshot-files.ts'
import { Waiters } from './waiters.ts'
import { writeBatches } from './write-batches.ts'

/** A relative offset in the index has four bytes. */
const SEGMENT_OFFSETS_MAX = 0x7fffffff
/** Errors that mean "no descriptor just now". */
const DESCRIPTOR_CODES = new Set(['EMFILE', 'ENFILE'])
const SYNC_AGAIN_MS = 50

/**
 * The log of one partition in segment files.
 *
 * A batch passes three marks: appended (it has an offset and waits for the end of the turn), written (in the page
 * cache), durable (synced). Under the flush policy `always` the high watermark is the durable mark, otherwise the
 * written one. One sync is in flight at a time and covers everything written before it began: that is the group commit.
 * After a failed write or sync nothing is written any more until a restart has recovered the log, because nobody knows
 * which bytes the disk took.
 */
export class SegmentPartitionLog implements PartitionLog, ReadableLog {
  readonly topic: TopicName
  readonly partition: number
  readonly directory: string
  logStartOffset: number
  highWatermark: number
  /** Below this offset no two records have the same key; set by the cleaner. */
  cleanedOffset: number
  failure: Error | undefined
  /** Counters for the metrics, since the start. */
  appendedRecords = 0
  deliveredRecords = 0
  appendedBytes = 0
  readonly deletedBytes: Record<RetentionReason, number> = { time: 0, size: 0, manual: 0 }

  readonly producers: PartitionProducers

  readonly #context: LogContext
  readonly #segments: Segment[]
  readonly #reader: LogReader
  #config: LogConfig
  #epochs: EpochStart[]
  #nextOffset: number
  #writtenOffset: number
  #durableOffset: number
  /** The log starts in the last two checkpoints that were made durable, the older first. */
  #savedLogStarts: [number, number] = [0, 0]

  #deleteReason: RetentionReason = 'manual'
  #swap: SegmentSwap | undefined

  #pending: Buffer[] = []
  #pendingCounts: number[] = []
  readonly #waitingForWrite = new Waiters()
  readonly #waitingForSync = new Waiters()

  #isSyncing = false
  #syncTimer: Timer | undefined
  /** Up to here the flush interval is over: segment by segment, without waiting again. */
  #syncDueOffset = 0
  #afterSync: (() => void)[] = []
  #flushes: { resolve: () => void; reject: (error: Error) => void }[] = []

  constructor(
    context: LogContext,
    place: { topic: TopicName; partition: number; directory: string },
    config: LogConfig,
    facts: PartitionFacts,
  ) {
    this.#context = context
    this.topic = place.topic
    this.partition = place.partition
    this.directory = place.directory
    this.#config = config
    this.#segments = facts.segments.map((segment) => this.#watch(new Segment(place.directory, context.files, segment)))
    this.#epochs = [...facts.epochs]
    this.logStartOffset = facts.logStartOffset
    this.cleanedOffset = facts.cleanedOffset
    this.#nextOffset = facts.durableOffset
    this.#writtenOffset = facts.durableOffset
    this.#durableOffset = facts.durableOffset
    this.highWatermark = facts.durableOffset
    this.#reader = new LogReader(context, this)
    this.producers = new PartitionProducers(context, this, facts.producersEmptyAt)
    const last = this.#segments.at(-1)
    assert(last === undefined || last.nextOffset === facts.durableOffset, 'a log opens where its last segment ends')
    assert(this.logStartOffset <= this.#durableOffset, 'the log start is not behind the log end')
  }

  get logEndOffset(): number {
    return this.#writtenOffset
  }
  /** Up to here everything is on stable storage. */
  get durableOffset(): number {
    return this.#durableOffset
  }
  /**
   * Where the oldest file begins. A log start can go back to there: before it is saved by a crash, and later by the loss of the
   * checkpoint.
   */
  get firstFileOffset(): number {
    return this.#segments[0]?.baseOffset ?? 0
  }
  get lastStableOffset(): number {
    return this.producers.lastStableOffset()
  }
  get leaderEpoch(): number {
    return this.#context.leaderEpoch
  }
  get sizeBytes(): number {
    let sum = 0
    for (const segment of this.#segments) sum += segment.sizeBytes
    return sum
  }
  get segmentCount(): number {
    return this.#segments.length
  }
  get segments(): readonly Segment[] {
    return this.#segments
  }
  get config(): LogConfig {
    return this.#config
  }
  /** Bytes that are written and not yet on stable storage. */
  get unsyncedBytes(): number {
    let sum = 0
    for (let i = this.#segments.length - 1; i >= 0 && !this.#segments[i].isDurable; i--) {
      sum += this.#segments[i].sizeBytes - this.#segments[i].syncedBytes
    }
    return sum
  }

  /** What a process that died at this moment would leave behind. */
  image(): PartitionImage {
    const segments = segmentsToSave(this.#segments, this.#swap).map((segment) => {
      const { baseOffset, sizeBytes, cleanings, logPath } = segment
      const isWaiting = this.#swap?.stage === 'offered' && segment === this.#swap.segment
      const path = isWaiting ? join(this.directory, cleanedFileName(baseOffset, cleanings)) : logPath
      return { path, baseOffset, sizeBytes }
    })
    const { topic, partition, directory, logEndOffset } = this
    return { topic, partition, directory, logEndOffset, segments, facts: this.facts() }
  }

  /** The state to keep in the checkpoint, up to the recovery point. */
  facts(): PartitionFacts {
    const segments: SegmentFacts[] = []
    let durableBytes = 0
    for (const segment of segmentsToSave(this.#segments, this.#swap)) {
      if (segment.baseOffset > this.#durableOffset || !segment.isNameSynced) break
      const isLast = segment.nextOffset >= this.#durableOffset
      durableBytes = segment.syncedBytes
      segments.push(isLast ? this.#durableFacts(segment) : segment.facts)
    }
    return {
      // The log start may be ahead of what is durable; a log that begins behind its end cannot be opened.
      logStartOffset: Math.min(this.logStartOffset, this.#durableOffset),
      durableOffset: this.#durableOffset,
      durableBytes,
      epochs: this.#epochs.filter(([, startOffset]) => startOffset <= this.#durableOffset),
      cleanedOffset: this.cleanedOffset,
      segments,
      producersEmptyAt: this.producers.emptyAt(this.#durableOffset),
    }
  }

  #durableFacts(segment: Segment): SegmentFacts {
    const { syncedBytes, syncedMaxTimestamp } = segment
    const nextOffset = this.#durableOffset
    return { ...segment.facts, nextOffset, sizeBytes: syncedBytes, maxTimestamp: syncedMaxTimestamp }
  }

  configure(config: LogConfig): void {
    this.#config = config
    this.#syncTimer?.cancel()
    this.#syncTimer = undefined
    if (this.failure !== undefined) return
    if (config.flushPolicy.kind !== 'always' && this.#raiseHighWatermark(this.#writtenOffset)) {
      this.#context.highWatermarkMoved(this)
    }
    // Those who were promised a sync get one, whatever the policy is now.
    if (this.#waitingForSync.isEmpty) this.#syncSoon()
    else this.#sync(true)
  }

  append(batch: Buffer, recordCount: number, acks: Acks, waiter: AppendWaiter | undefined): number {
    // First: looking for the producers may close a file of this very log, with a sync that fails.
    this.producers.tryLoad()
    if (this.failure !== undefined) throw this.failure
    if (batch.length > this.#config.batchBytesMax) {
      throw new BrokerError(
        'MESSAGE_TOO_LARGE',
        `Cannot append a batch of ${batch.length} bytes to topic "${this.topic}": at most ${this.#config.batchBytesMax} (max.message.bytes)`,
      )
    }
    assert(getBatchBytes(batch, 0) === batch.length, 'an appended buffer is exactly one batch')
    assert(
      recordCount > 0 && getLastOffsetDelta(batch, 0) === recordCount - 1,
      'a batch has as many offsets as records',
    )
    const isOfProducer = getProducerId(batch, 0) >= 0
    if (isOfProducer) {
      const original = this.producers.check(batch)
      if (original !== undefined) return this.#answerDuplicate(original, acks, waiter)
    }
    const baseOffset = this.#take(batch, recordCount, acks, waiter)
    if (isOfProducer) this.producers.append(batch, baseOffset)
    return baseOffset
  }

  endTransaction(marker: TransactionMarker, waiter: AppendWaiter | undefined): number {
    this.producers.tryLoad()
    if (this.failure !== undefined) throw this.failure
    this.producers.checkMarker(marker)
    const offset = this.#take(encodeMarkerBatch(marker), 1, 'all', waiter)
    this.producers.appendMarker(marker, offset)
    return offset
  }

  hasOpenTransaction(producerId: number): boolean {
    return this.producers.hasOpenTransaction(producerId)
  }

  abortedTransactions(fromOffset: number, toOffset: number): readonly AbortedTransaction[] {
    return this.producers.abortedTransactions(fromOffset, toOffset)
  }

  describeProducers(): readonly DescribedProducer[] {
    return this.producers.describe()
  }

  /** Gives a batch its offset and keeps it for the end of the turn. */
  #take(batch: Buffer, recordCount: number, acks: Acks, waiter: AppendWaiter | undefined): number {
    if (this.#context.isDiskFull) throw this.#refusal('the disk is full; it goes on by itself when there is room')
    const baseOffset = this.#nextOffset
    const epoch = this.#context.leaderEpoch
    setBaseOffset(batch, 0, baseOffset)
    setLeaderEpoch(batch, 0, epoch)
    if (this.#epochs.length === 0 || this.#epochs[this.#epochs.length - 1][0] !== epoch) {
      this.#epochs.push([epoch, baseOffset])
    }
    this.#nextOffset += recordCount
    if (this.#pending.push(batch) === 1) this.#context.scheduleWrite(this)
    this.#pendingCounts.push(recordCount)
    if (waiter !== undefined) {
      if (this.#isForSync(acks)) this.#waitingForSync.push(this.#nextOffset, waiter)
      else this.#waitingForWrite.push(this.#nextOffset, waiter)
    }
    return baseOffset
  }

  #isForSync(acks: Acks): boolean {
    return acks === 'all' && this.#config.flushPolicy.kind === 'always'
  }

  /** The batch is there already, or on its way: whoever sent it again waits for the first one. */
  #answerDuplicate({ baseOffset, lastOffset }: KeptBatch, acks: Acks, waiter: AppendWaiter | undefined): number {
    if (waiter === undefined) return baseOffset
    const isForSync = this.#isForSync(acks)
    if (lastOffset < (isForSync ? this.#durableOffset : this.#writtenOffset)) {
      queueMicrotask(() => waiter.appended(this.failure === undefined ? undefined : this.#unknown(this.failure)))
    } else {
      const waiting = isForSync ? this.#waitingForSync : this.#waitingForWrite
      waiting.insert(lastOffset + 1, waiter)
    }
    return baseOffset
  }

  /** Writes what was appended in this turn, all of it or none that is not said to be refused. */
  writePending(): void {
    if (this.#pending.length === 0) return
    const batches = this.#pending
    const counts = this.#pendingCounts
    this.#pending = []
    this.#pendingCounts = []
    const now = this.#context.clock.now()
    let from = 0
    try {
      while (from < batches.length) {
        const segment = this.#segmentFor(batches[from], now)
        let to = from
        let bytes = 0
        do bytes += batches[to++].length
        while (to < batches.length && segment.sizeBytes + bytes + batches[to].length <= this.#config.segmentBytes)
        const group = to - from === batches.length ? batches : batches.slice(from, to)
        const { count, error } = writeBatches(this.#fileToWrite(segment), group, bytes, segment.sizeBytes)
        for (let i = from; i < from + count; i++) {
          segment.noteAppended(batches[i], counts[i], now, this.#config.indexIntervalBytes)
          this.appendedRecords += getRecordCount(batches[i], 0)
          this.appendedBytes += batches[i].length
        }
        this.#writtenOffset = segment.nextOffset
        this.producers.noteWritten(this.#writtenOffset, bytes)
        if (error !== undefined) {
          segment.cuts++
          throw error
        }
        from = to
      }
    } catch (error) {
      this.#refuseUnwritten(error as NodeJS.ErrnoException)
    }
    if (this.failure !== undefined) return
    this.#afterWrite()
  }

  read(
    fromOffset: number,
    bytesMax: number,
    done: (error: Error | undefined, batches: ReadBatches) => void,
    isolation: Isolation = 'read_uncommitted',
  ): void {
    this.#reader.read(fromOffset, bytesMax, done, isolation)
  }

  findOffsetByTime(timestamp: number): FoundRecord | undefined {
    return this.#reader.findOffsetByTime(timestamp)
  }

  findFirstRecord(fromOffset: number): FoundRecord | undefined {
    return this.#reader.findFirstRecord(fromOffset)
  }

  findOffsetOfMaxTimestamp(): FoundRecord | undefined {
    return this.#reader.findOffsetOfMaxTimestamp()
  }

  /** The leader epoch under which the record at an offset was appended, -1 when that is not known any more. */
  epochAt(offset: number): number {
    return this.#epochs.findLast(([, startOffset]) => startOffset <= offset)?.[0] ?? -1
  }

  epochEndOffset(epoch: number): { epoch: number; endOffset: number } | undefined {
    const current = this.#context.leaderEpoch
    if (epoch > current) return undefined
    if (epoch === current) return { epoch, endOffset: this.highWatermark }
    const next = this.#epochs.findIndex(([started]) => started > epoch)
    if (next === 0) return undefined
    const [found] = this.#epochs.at(next === -1 ? -1 : next - 1) ?? []
    if (found === undefined) return undefined
    return { epoch: found, endOffset: next === -1 ? this.highWatermark : this.#epochs[next][1] }
  }

  async deleteRecordsBefore(offset: number): Promise<void> {
    if (offset < this.logStartOffset || offset > this.highWatermark) throw this.#reader.outOfRange(offset)
    if (!this.#canForget(offset)) {
      await this.producers.snapshotSettled()
      if (this.failure !== undefined) throw this.failure
      if (!this.producers.isRemembered(offset)) throw this.#refusal('what is needed of its producers cannot be saved')
    }
    // Retention may have come further meanwhile.
    if (offset > this.logStartOffset) this.#moveLogStart(offset, 'manual')
    // A log must not end before its start after a power cut: what lies between becomes durable first.
    if (offset > this.#durableOffset) await this.flush()
    await this.#context.saveLogStart(this)
  }

  /** Moves the log start by the topic's retention; true when it moved, or when there are segments to remove. */
  applyRetention(now: number): boolean {
    if (this.failure !== undefined) return false
    const active = this.#segments.at(-1)
    if (active === undefined) return false
    const limits = retentionLimits(this.#config)
    const isQuiet = this.#pending.length === 0 && this.highWatermark === this.#nextOffset
    if (isQuiet && isTooOld(active, limits.retentionMs, now)) {
      try {
        this.#roll()
        this.#sync(true)
      } catch (error) {
        this.#context.logger.warn({ topic: this.topic, partition: this.partition, error }, 'cannot roll for retention')
      }
    }
    const { count, reason } = countExpired(this.#segments, limits, now)
    const target = this.#segments[count].baseOffset
    const isAhead = target > this.logStartOffset && target <= this.highWatermark
    if (isAhead && this.#canForget(target)) this.#moveLogStart(target, reason)
    return this.#doomed(this.logStartOffset).length > 0
  }

  /** Whether segments are still there that have outlived the limits: what follows them may not be durable yet. */
  hasExpired(now: number): boolean {
    return this.failure === undefined && countExpired(this.#segments, retentionLimits(this.#config), now).count > 0
  }

  /** A checkpoint is durable that has this log start. */
  noteSaved(logStartOffset: number): void {
    this.#savedLogStarts = [this.#savedLogStarts[1], logStartOffset]
  }

  /** Removes the segments below the log start that both files of the checkpoint have, oldest first. */
  removeDoomed(): void {
    if (this.failure !== undefined || this.#segments.at(-1)?.isNameSynced === false) return
    if (this.#context.isHeld) return
    // A start may go by what is to be put in the place of some of them; the next pass removes that.
    if (this.#swap?.stage === 'offered') return
    const doomed = this.#doomed(this.#savedLogStarts[0])
    if (doomed.length === 0) return
    this.#segments.splice(0, doomed.length)
    this.#reader.forget()
    const { topic, partition, logStartOffset } = this
    try {
      for (const segment of doomed) {
        segment.remove((path) => this.#context.fileSystem.remove(path))
        this.deletedBytes[this.#deleteReason] += segment.sizeBytes
      }
    } catch (error) {
      // What is left lies below the log start: nobody sees it, and the next start removes it.
      this.#context.logger.warn({ topic, partition, error }, 'cannot remove an expired segment')
    }
    this.#context.fileSystem.syncDirectory(this.directory, () => {})
    this.#context.logger.info({ topic, partition, segments: doomed.length, logStartOffset }, 'removed expired segments')
  }

  // ----------------------------------------------------------------------------------------------- compaction

  /** What the cleaner has not finished yet; nothing else may be cleaned before. */
  get swap(): SegmentSwap | undefined {
    return this.#swap
  }

  /** Has the checkpoint say from now on that a cleaned segment is there; false if the log has changed meanwhile. */
  offerSwap(swap: SegmentSwap): boolean {
    assert(this.#swap === undefined, 'one segment is cleaned at a time')
    if (this.failure !== undefined || !canBeOffered(this.#segments, swap)) return false
    this.#watch(swap.segment)
    this.#swap = swap
    return true
  }

  /** Puts the cleaned segment in its place; both files of the checkpoint have it. Throws the system's error. */
  placeSwap(): void {
    assert(this.#swap !== undefined && this.failure === undefined, 'there is something to put in place')
    placeSwap(
      { directory: this.directory, fileSystem: this.#context.fileSystem, files: this.#context.files },
      this.#segments,
      this.#swap,
    )
    this.#reader.forget()
  }

  /** Removes what the cleaned segment has swallowed; its name is durable. Throws the system's error. */
  removeSwallowed(): void {
    assert(this.#swap?.stage === 'placed' && this.failure === undefined, 'there is something to remove')
    removeSwallowed(this.#context.fileSystem, this.#swap)
  }

  /** The cleaned segment is in its place for good. */
  endSwap(): void {
    this.#swap = undefined
    this.#context.noteRolled(this)
  }

  /** Begins a new segment if the last one is due: of a log that nobody writes to, the cleaner could not have it otherwise. */
  rollIfDue(now: number): void {
    const active = this.#segments.at(-1)
    if (active === undefined || active.sizeBytes === 0 || this.failure !== undefined) return
    const isQuiet = this.#pending.length === 0 && this.highWatermark === this.#nextOffset && active.isDurable
    if (!isQuiet || now - active.firstAppendMs < rollAfterMs(this.#config)) return
    this.#roll()
    this.#sync(true)
  }

  /** Makes everything durable, whatever the policy. Rejects with the failure of the log, if it has one. */
  flush(): Promise<void> {
    this.writePending()
    this.#syncTimer?.cancel()
    this.#syncTimer = undefined
    if (this.failure !== undefined) return Promise.reject(this.failure)
    if (this.#firstToSync(true) === undefined) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#flushes.push({ resolve, reject })
      this.#syncSoon()
    })
  }

  /** Writes the index files, so that the next start need not rebuild them. */
  writeIndexes(): void {
    for (const segment of this.#segments) segment.writeIndex()
  }

  /** Takes the log out of service for good: the topic was deleted. Resolves when nothing of it is in flight. */
  async retire(reason: BrokerError): Promise<void> {
    this.#stop(reason, reason)
    this.failure = reason
    while (this.#isSyncing) await new Promise<void>((resolve) => this.#afterSync.push(resolve))
    await this.producers.snapshotSettled()
    for (const segment of this.#segments) {
      this.#context.files.close(segment.logPath)
      this.#context.files.close(segment.indexPath)
    }
  }

  /** Takes the log out of service until the next start; everything that waits is told so. */
  failWith(error: Error): void {
    this.#fail(error)
  }

  // ------------------------------------------------------------------------------------------------- writing

  #segmentFor(batch: Buffer, now: number): Segment {
    const active = this.#segments.at(-1)
    if (active === undefined) return this.#roll()
    if (active.sizeBytes === 0) return active
    const isFull = active.sizeBytes + batch.length > this.#config.segmentBytes
    const isOld = now - active.firstAppendMs >= rollAfterMs(this.#config)
    const isWide = this.#nextOffset - active.baseOffset > SEGMENT_OFFSETS_MAX
    return isFull || isOld || isWide ? this.#roll() : active
  }

  #watch(segment: Segment): Segment {
    segment.onSyncFailure = (error) => this.#fail(this.#refusal('a sync failed', error))
    return segment
  }

  #roll(): Segment {
    const segment = this.#watch(Segment.create(this.directory, this.#context.files, this.#writtenOffset))
    this.#segments.at(-1)?.releaseIndex()
    this.#segments.push(segment)
    segment.writeIndex()
    this.#context.noteRolled(this)
    return segment
  }

  #fileToWrite(segment: Segment): File {
    const file = segment.file()
    // Opening it may have closed another one of this log, with a sync that failed.
    if (this.failure !== undefined) throw this.failure
    if (segment.isSizeChecked) return file
    // A log that was cut or grown behind our back must not be written to: there would be a hole, or foreign bytes.
    const size = file.size()
    if (size !== segment.sizeBytes) {
      throw new Error(`${segment.logPath} has ${size} bytes: it should have ${segment.sizeBytes}`)
    }
    segment.isSizeChecked = true
    return file
  }

  #refuseUnwritten(error: NodeJS.ErrnoException): void {
    const code = error.code ?? ''
    const isFull = FULL_CODES.has(code)
    if (!isFull && !DESCRIPTOR_CODES.has(code)) return this.#fail(this.#refusal('a write failed', error))
    if (isFull) this.#context.noteDiskFull(error)
    this.#nextOffset = this.#writtenOffset
    this.producers.rollBack(this.#writtenOffset)
    while ((this.#epochs.at(-1)?.[1] ?? -1) >= this.#writtenOffset) this.#epochs.pop()
    const refusal = this.#refusal(isFull ? 'the disk is full' : 'too many open files', error)
    this.#waitingForWrite.failAfter(this.#writtenOffset, refusal)
    this.#waitingForSync.failAfter(this.#writtenOffset, refusal)
  }

  #afterWrite(): void {
    const hasRisen = this.#config.flushPolicy.kind !== 'always' && this.#raiseHighWatermark(this.#writtenOffset)
    this.#waitingForWrite.release(this.#writtenOffset)
    this.#syncSoon()
    // Last: a thousand consumers may be waiting for this, and neither the producer nor the disk should wait for them.
    if (hasRisen) this.#context.highWatermarkMoved(this)
  }

  /** True if it was lower before: whoever waits for it is then to be told. */
  #raiseHighWatermark(offset: number): boolean {
    if (offset <= this.highWatermark) return false
    this.highWatermark = offset
    this.producers.noteHighWatermark()
    return true
  }

  // ------------------------------------------------------------------------------------------------- syncing

  /** Starts what the policy asks for: a sync now, one in a while, or one of the sealed segments only. */
  #syncSoon(): void {
    if (this.#isSyncing || this.failure !== undefined) return
    const policy = this.#config.flushPolicy
    const isDue = this.#durableOffset < this.#syncDueOffset || this.#flushes.length > 0
    if (policy.kind === 'interval' && !isDue) {
      if (this.#syncTimer !== undefined || this.#firstToSync(true) === undefined) return
      this.#syncTimer = this.#context.clock.setTimer(policy.intervalMs, () => {
        this.#syncTimer = undefined
        this.#syncDueOffset = this.#writtenOffset
        this.#sync(true)
      })
      return
    }
    this.#sync(policy.kind === 'always' || isDue)
  }

  #firstToSync(withActive: boolean): Segment | undefined {
    let found: Segment | undefined
    const last = this.#segments.length - 1
    for (let i = last; i >= 0 && !this.#segments[i].isDurable; i--) {
      if (i < last || withActive || !this.#segments[i].isNameSynced) found = this.#segments[i]
    }
    return found
  }

  #sync(withActive: boolean): void {
    if (this.#isSyncing || this.failure !== undefined || this.#firstToSync(withActive) === undefined) return
    this.#isSyncing = true
    this.#context.syncTurns.take(() => this.#syncNow(withActive))
  }

  #syncNow(withActive: boolean): void {
    // It may have waited for its turn, and more was written or all is over: what there is to sync shows now.
    const segment = this.failure === undefined ? this.#firstToSync(withActive) : undefined
    if (segment === undefined) return this.#syncOver()
    const { sizeBytes, nextOffset, maxTimestamp, cuts } = segment
    let open: OpenFile
    try {
      open = this.#context.files.pin(segment.logPath, segment)
    } catch (error) {
      this.#syncOver()
      if (isWithoutDescriptor(error as Error)) return this.#syncLater(withActive)
      return this.#fail(this.#refusal('a sync failed', error as Error))
    }
    const startedAt = this.#context.clock.monotonic()
    const finish = (error: Error | null): void => {
      this.#context.observeSync((this.#context.clock.monotonic() - startedAt) / 1000)
      // After a failure the recovery point stays where it is: bytes and offset of it belong together.
      if (error === null && this.failure === undefined) {
        segment.syncedBytes = sizeBytes
        segment.syncedMaxTimestamp = maxTimestamp
        segment.syncedCuts = cuts
        segment.isNameSynced = true
        this.#durableOffset = nextOffset
      }
      this.#context.files.unpin(open)
      this.#syncOver()
      if (this.failure !== undefined) return
      // Only opening the directory can end like that.
      if (isWithoutDescriptor(error)) this.#syncLater(withActive)
      else if (error !== null) this.#fail(this.#refusal('a sync failed', error))
      else this.#durableUpTo(nextOffset)
    }
    open.file.sync((error) => {
      if (error !== null || segment.isNameSynced) finish(error)
      else this.#context.fileSystem.syncDirectory(this.directory, finish)
    })
  }

  #syncOver(): void {
    this.#isSyncing = false
    this.#context.syncTurns.giveBack()
    for (const resolve of this.#afterSync.splice(0)) resolve()
  }

  /** No descriptor is free just now: nothing has failed, it only takes longer. */
  #syncLater(withActive: boolean): void {
    this.#syncTimer ??= this.#context.clock.setTimer(SYNC_AGAIN_MS, () => {
      this.#syncTimer = undefined
      this.#sync(withActive)
    })
  }

  #durableUpTo(offset: number): void {
    this.#durableOffset = offset
    this.producers.noteDurable(offset)
    const hasRisen = this.#config.flushPolicy.kind === 'always' && this.#raiseHighWatermark(offset)
    this.#waitingForSync.release(offset)
    if (this.failure === undefined && this.#flushes.length > 0 && this.#firstToSync(true) === undefined) {
      for (const flush of this.#flushes.splice(0)) flush.resolve()
    }
    this.#syncSoon()
    // Last, as in #afterWrite.
    if (hasRisen) this.#context.highWatermarkMoved(this)
  }

  #fail(error: Error): void {
    if (this.failure !== undefined) return
    this.#context.logger.error(
      { topic: this.topic, partition: this.partition, error },
      'partition is closed for writes until the next start',
    )
    this.#stop(error, this.#unknown(error))
  }

  /** Those whose records are not even written get `error`, the others `unknown`. */
  #stop(error: Error, unknown: Error): void {
    this.failure ??= error
    this.#syncTimer?.cancel()
    this.#pending = []
    this.#pendingCounts = []
    this.#nextOffset = this.#writtenOffset
    this.producers.rollBack(this.#writtenOffset)
    this.producers.retire()
    this.#waitingForWrite.failAfter(this.#writtenOffset, error)
    this.#waitingForSync.failAfter(this.#writtenOffset, error)
    this.#waitingForWrite.failAfter(-1, unknown)
    this.#waitingForSync.failAfter(-1, unknown)
    for (const flush of this.#flushes.splice(0)) flush.reject(error)
  }

  #unknown(cause: Error): BrokerError {
    return this.#refusal('whether the records are stored is not known until the next start', cause)
  }

  #refusal(why: string, cause?: Error): BrokerError {
    const detail = cause === undefined ? '' : ` (${cause.message})`
    const message = `Cannot append to topic "${this.topic}", partition ${this.partition}: ${why}${detail}`
    return new BrokerError('KAFKA_STORAGE_ERROR', message, cause === undefined ? undefined : { cause })
  }

  // ----------------------------------------------------------------------------------------------- retention

  /** Whether everything below an offset may go; if not yet, what that waits for is on its way. */
  #canForget(offset: number): boolean {
    if (this.producers.canForget(offset)) return true
    this.#syncDueOffset = this.#writtenOffset
    this.#sync(true)
    return false
  }

  #moveLogStart(offset: number, reason: RetentionReason): void {
    this.logStartOffset = offset
    this.#deleteReason = reason
    let first = 0
    while (first + 1 < this.#epochs.length && this.#epochs[first + 1][1] <= offset) first++
    if (first > 0) this.#epochs = this.#epochs.slice(first)
  }

  /** The segments that lie wholly below a log start; the last one never does. */
  #doomed(logStartOffset: number): Segment[] {
    const doomed: Segment[] = []
    for (let i = 0; i < this.#segments.length - 1 && this.#segments[i].nextOffset <= logStartOffset; i++) {
      doomed.push(this.#segments[i])
    }
    return doomed.every((segment) => segment.isDurable) ? doomed : []
  }
}

function isWithoutDescriptor(error: NodeJS.ErrnoException | null): boolean {
  return error !== null && DESCRIPTOR_CODES.has(error.code ?? '')
}
