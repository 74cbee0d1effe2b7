import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import {
  BatchThinner,
  emptyBatch,
  getBaseOffset,
  getBaseTimestamp,
  getLastOffsetDelta,
  getProducerEpoch,
  getProducerId,
  getRecordCount,
  hasDeleteHorizon,
  isControlBatch,
  RecordReader,
} from '../record/record-batch.ts'
import type { Thinned } from '../record/record-batch.ts'
import { BatchSource } from './batch-source.ts'
import { done } from './checkpoint.ts'
import { finishSwap } from './cleaner-swap.ts'
import { CleanedTransactions } from './cleaned-transactions.ts'
import { CleanedFile } from './cleaned-file.ts'
import type { CleanerPace } from './cleaner-pace.ts'
import type { CleaningPlan } from './cleaner-plan.ts'
import { isCompacted } from './log-engine.ts'
import { KeyOffsets } from './key-offsets.ts'
import type { LogContext } from './log-context.ts'
import type { PartitionProducers } from './partition-producers.ts'
import type { SegmentPartitionLog } from './partition-log.ts'
import { cleanedFileName, Segment } from './segment.ts'

/** A relative offset in the index has four bytes. */
const SEGMENT_OFFSETS_MAX = 0x7fffffff
/** A segment is joined to the one before it while that leaves so much of `segment.bytes` free. */
const JOIN_SHARE_MAX = 0.5

/** The cleaning was broken off: the broker stops, or the log has changed so that it must be begun anew. */
export class CleaningStopped extends Error {
  override readonly name = 'CleaningStopped'
}

/** What a cleaning has come to. */
export interface CleaningFigures {
  bytesBefore: number
  bytesAfter: number
  /** Records that a newer one of the same key has overtaken. */
  overtakenRecords: number
  /** Records without a key, from before the topic was compacted. */
  keylessRecords: number
  /** Tombstones, and markers of transactions, whose time was over. */
  expiredTombstones: number
  /** Batches that could not be read, or not be compressed again, and stayed as they are. */
  batchesLeftWhole: number
}

/** What a cleaning is given to work with. */
export interface CleaningParts {
  readonly context: LogContext
  readonly log: SegmentPartitionLog
  readonly plan: CleaningPlan
  readonly pace: CleanerPace
  /** For the table of keys. */
  readonly memoryBytes: number
  readonly isStopping: () => boolean
}

/**
 * One cleaning of a log, in two passes as Kafka's cleaner does it. The first one notes the newest offset of every key in the
 * dirty part, as far as memory allows. The second one writes all segments anew, the clean ones too, without the records that
 * a noted one has overtaken, and joins small segments to their neighbours. Each new segment takes its place before the next
 * one is begun, in the order of offsets: so a tombstone never goes while an older record of its key is still there.
 */
export class Cleaning {
  readonly figures: CleaningFigures = {
    bytesBefore: 0,
    bytesAfter: 0,
    overtakenRecords: 0,
    keylessRecords: 0,
    expiredTombstones: 0,
    batchesLeftWhole: 0,
  }
  readonly #parts: CleaningParts
  readonly #source: BatchSource
  readonly #keys: KeyOffsets
  readonly #reader: RecordReader
  readonly #thinner: BatchThinner
  readonly #now: number
  readonly #transactions: CleanedTransactions
  readonly #lastBatches: ReturnType<PartitionProducers['lastBatches']>
  /** The records below it are in the table. */
  #endOffset: number
  /** What is being written. */
  #file: CleanedFile | undefined
  /** The horizon of the batch that is being thinned; undefined when it has none. */
  #batchHorizon: number | undefined

  constructor(parts: CleaningParts) {
    this.#parts = parts
    const { context, log, plan } = parts
    const turns = { rest: () => this.#rest(), check: () => this.#check() }
    this.#source = new BatchSource(context.files, parts.pace, turns)
    this.#reader = new RecordReader(context.unpackedBytesMax)
    this.#thinner = new BatchThinner(context.unpackedBytesMax)
    this.#now = context.clock.now()
    this.#endOffset = plan.segments[plan.segments.length - 1].nextOffset
    this.#keys = new KeyOffsets(this.#endOffset - plan.dirtyOffset, parts.memoryBytes)
    this.#transactions = new CleanedTransactions(log.abortedTransactions(log.logStartOffset, this.#endOffset))
    this.#lastBatches = log.producers.lastBatches()
    assert(log.swap === undefined, 'what was begun is finished first')
  }

  /**
   * Runs until the log is clean, or as clean as memory allows.
   *
   * @throws CleaningStopped, SegmentCorrupt, the system's error; the log is whole then, and parts of it may be clean
   */
  async run(): Promise<void> {
    await this.#noteKeys()
    await this.#rewrite()
    this.#check()
    this.#parts.log.cleanedOffset = this.#endOffset
  }

  async #rest(): Promise<void> {
    await this.#parts.pace.rest()
    if (this.#file?.isSyncDue === true) await this.#file.sync()
    this.#check()
  }

  /** Throws when there is no point in going on. */
  #check(): void {
    const { log, plan, isStopping } = this.#parts
    if (isStopping() || log.failure !== undefined) throw new CleaningStopped('The broker stops, or the log is closed')
    if (!isCompacted(log.config)) throw new CleaningStopped('The topic is not compacted any more')
    // Retention removes from the front.
    if (plan.segments.some((segment) => segment.nextOffset <= log.logStartOffset)) {
      throw new CleaningStopped('Segments were removed meanwhile')
    }
  }

  // ------------------------------------------------------------------------------------------------ first pass

  async #noteKeys(): Promise<void> {
    const { log, plan } = this.#parts
    const { segments, dirtyOffset } = plan
    const transactions = new CleanedTransactions(log.abortedTransactions(dirtyOffset, this.#endOffset))
    for (const segment of segments) {
      if (segment.nextOffset <= dirtyOffset) continue
      let isFull = false
      await this.#source.visit(segment, (buffer, start) => {
        if (getBaseOffset(buffer, start) + getLastOffsetDelta(buffer, start) < dirtyOffset) return true
        isFull = !this.#noteBatch(buffer, start, dirtyOffset, transactions)
        return !isFull
      })
      if (isFull) return
    }
  }

  /** False when there is no more room, and the end was set to where that happened. */
  #noteBatch(buffer: Buffer, start: number, fromOffset: number, transactions: CleanedTransactions): boolean {
    if (isControlBatch(buffer, start)) {
      if (getRecordCount(buffer, start) > 0) transactions.meetMarker(buffer, start)
      return true
    }
    // What was rolled back overtakes nothing.
    if (transactions.meet(buffer, start)) return true
    const reader = this.#reader
    try {
      reader.open(buffer, start)
      while (reader.next()) {
        if (reader.offset < fromOffset || reader.keyStart < 0) continue
        if (this.#keys.room === 0) {
          this.#endOffset = reader.offset
          return false
        }
        this.#keys.set(reader.buffer, reader.keyStart, reader.keyEnd, reader.offset)
      }
    } catch (error) {
      // The checksum is right, so the producer has sent it like this; it stays, and so do older records of its keys.
      if (!(error instanceof BrokerError)) throw error
    } finally {
      reader.close()
    }
    return true
  }

  // ----------------------------------------------------------------------------------------------- second pass

  async #rewrite(): Promise<void> {
    const segments = this.#parts.plan.segments.filter(({ baseOffset }) => baseOffset < this.#endOffset)
    for (let from = 0; from < segments.length;) from += await this.#rewriteFrom(segments, from)
  }

  /** Makes one segment of as many as fit; returns how many that were. */
  async #rewriteFrom(segments: readonly Segment[], from: number): Promise<number> {
    const { context, log } = this.#parts
    const first = segments[from]
    const cleanings = first.cleanings + 1
    const path = join(log.directory, cleanedFileName(first.baseOffset, cleanings))
    const file = new CleanedFile(context.fileSystem, path, first.baseOffset, log.config.indexIntervalBytes)
    let isOffered = false
    this.#file = file
    try {
      let isChanged = (await this.#copy(first, file, Number.POSITIVE_INFINITY)) === 'changed'
      let count = 1
      while (from + count < segments.length && this.#mayJoin(file, segments[from + count])) {
        const mark = file.mark()
        const figures = { ...this.figures }
        const transactions = this.#transactions.mark()
        const outcome = await this.#copy(segments[from + count], file, log.config.segmentBytes)
        if (outcome === 'too large') {
          file.rewind(mark)
          this.#transactions.rewind(transactions)
          Object.assign(this.figures, figures)
          break
        }
        isChanged = true
        count++
      }
      const olds = segments.slice(from, from + count)
      for (const { sizeBytes } of olds) this.figures.bytesBefore += sizeBytes
      if (!isChanged) {
        this.figures.bytesAfter += first.sizeBytes
        return count
      }
      await file.finish()
      this.#check()
      assert(file.nextOffset === olds[olds.length - 1].nextOffset, 'a cleaned segment ends where the last old one does')
      const { baseOffset, nextOffset, maxTimestamp, sizeBytes } = file
      const firstAppendMs = Math.max(...olds.map((old) => old.firstAppendMs))
      const facts = { baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings }
      await done((finish) => context.fileSystem.syncDirectory(log.directory, finish))
      this.#check()
      const segment = Segment.cleaned(log.directory, context.files, facts, file.index)
      isOffered = log.offerSwap({ olds, segment, stage: 'offered' })
      if (!isOffered) throw new CleaningStopped('The segments are not what they were')
      this.figures.bytesAfter += sizeBytes
      await finishSwap(context, log)
      this.#check()
      return count
    } finally {
      this.#file = undefined
      file.close()
      // After a failure the files are the next start's, or already another topic's of the same name.
      if (!isOffered && log.failure === undefined) context.fileSystem.remove(path)
    }
  }

  #mayJoin(file: CleanedFile, next: Segment): boolean {
    const { segmentBytes } = this.#parts.log.config
    return file.sizeBytes <= segmentBytes * JOIN_SHARE_MAX && next.nextOffset - file.baseOffset <= SEGMENT_OFFSETS_MAX
  }

  /** Adds to a file what stays of a segment, unless that makes it larger than it may be. */
  async #copy(segment: Segment, file: CleanedFile, bytesMax: number): Promise<'changed' | 'unchanged' | 'too large'> {
    let outcome: 'changed' | 'unchanged' | 'too large' = 'unchanged'
    await this.#source.visit(segment, (buffer, start, end) => {
      if (this.#copyBatch(buffer, start, end, file)) outcome = 'changed'
      if (file.sizeBytes > bytesMax) outcome = 'too large'
      return outcome !== 'too large'
    })
    return outcome
  }

  /** Adds what stays of a batch; true when that is not all of it. */
  #copyBatch(buffer: Buffer, start: number, end: number, file: CleanedFile): boolean {
    const baseOffset = getBaseOffset(buffer, start)
    if (baseOffset >= this.#endOffset) {
      file.add(buffer, start, end)
      return false
    }
    if (isControlBatch(buffer, start)) return this.#copyMarker(buffer, start, end, file)
    const isRolledBack = this.#transactions.meet(buffer, start)
    if (isRolledBack || getRecordCount(buffer, start) === 0) return this.#leaveOut(buffer, start, file)
    const lastOffset = baseOffset + getLastOffsetDelta(buffer, start)
    // A tombstone of which nobody knows yet what it has overtaken is not met for the first time here, but in the next cleaning.
    const horizon = lastOffset < this.#endOffset ? this.#now + this.#parts.log.config.deleteRetentionMs : undefined
    this.#batchHorizon = hasDeleteHorizon(buffer, start) ? getBaseTimestamp(buffer, start) : undefined
    const thinned = this.#thin(buffer, start, horizon)
    switch (thinned.kind) {
      case 'whole':
        file.add(buffer, start, end)
        return false
      case 'thinned':
        file.add(thinned.batch, 0, thinned.batch.length)
        return true
      case 'nothing':
        return this.#leaveOut(buffer, start, file)
      case 'unwritable':
        this.figures.batchesLeftWhole++
        file.add(buffer, start, end)
        return false
    }
  }

  /** A marker goes some time after the last of its transaction has. */
  #copyMarker(buffer: Buffer, start: number, end: number, file: CleanedFile): boolean {
    if (getRecordCount(buffer, start) === 0) return this.#leaveOut(buffer, start, file)
    const isOfNothing = this.#transactions.meetMarker(buffer, start)
    if (isOfNothing && !hasDeleteHorizon(buffer, start)) {
      const copy = this.#thinner.withHorizon(buffer, start, this.#now + this.#parts.log.config.deleteRetentionMs)
      file.add(copy, 0, copy.length)
      return true
    }
    if (isOfNothing && getBaseTimestamp(buffer, start) <= this.#now && this.figures.batchesLeftWhole === 0) {
      this.figures.expiredTombstones++
      return this.#leaveOut(buffer, start, file)
    }
    file.add(buffer, start, end)
    return false
  }

  /** Leaves out all records of a batch; of a producer's last batch the header stays. False when that is all it was. */
  #leaveOut(buffer: Buffer, start: number, file: CleanedFile): boolean {
    if (!this.#isLastOfProducer(buffer, start)) {
      file.leaveOut(buffer, start)
      return true
    }
    const header = emptyBatch(buffer, start)
    file.add(header, 0, header.length)
    return getRecordCount(buffer, start) > 0
  }

  #isLastOfProducer(buffer: Buffer, start: number): boolean {
    const last = this.#lastBatches.get(getProducerId(buffer, start))
    if (last === undefined) return false
    if (last.lastOffset >= 0)
      return getBaseOffset(buffer, start) + getLastOffsetDelta(buffer, start) === last.lastOffset
    return isControlBatch(buffer, start) && getProducerEpoch(buffer, start) === last.epoch
  }

  #thin(buffer: Buffer, start: number, horizon: number | undefined): Thinned {
    const figures = { ...this.figures }
    try {
      const thinned = this.#thinner.thin(buffer, start, horizon, this.#stays)
      if (thinned.kind === 'unwritable') Object.assign(this.figures, figures)
      return thinned
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      Object.assign(this.figures, figures)
      return { kind: 'unwritable' }
    } finally {
      this.#thinner.close()
    }
  }

  readonly #stays = (record: RecordReader): boolean => {
    const { figures } = this
    if (record.offset >= this.#endOffset) return true
    if (record.keyStart < 0) {
      figures.keylessRecords++
      return false
    }
    if (this.#keys.get(record.buffer, record.keyStart, record.keyEnd) > record.offset) {
      figures.overtakenRecords++
      return false
    }
    if (record.valueStart >= 0) return true
    const isOver = this.#batchHorizon !== undefined && this.#batchHorizon <= this.#now
    // What a batch before it has kept, because it could not be written anew, must not come back to life.
    if (!isOver || figures.batchesLeftWhole > 0) return true
    figures.expiredTombstones++
    return false
  }
}
