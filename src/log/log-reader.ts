import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import {
  BATCH_HEADER_BYTES,
  decodeRecords,
  findBatchFault,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
} from '../record/record-batch.ts'
import type { LogContext } from './log-context.ts'
import type { Isolation, ReadBatches } from './log-engine.ts'
import { type BatchPlace, readFully, readFullyLater, type Segment, SegmentCorrupt } from './segment.ts'

/** As many groups as read one topic, as a rule. */
const FIRST_RECORDS_MAX = 8

/** Up to this size a read from the page cache is quicker than a round through the thread pool. */
const READ_NOW_BYTES_MAX = 128 * 1024

const NOTHING: ReadBatches = { bytes: Buffer.alloc(0), release() {} }

/** The log that is read, as it stands. */
export interface ReadableLog {
  readonly topic: string
  readonly partition: number
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly segments: readonly Segment[]
  /** Why nothing can be appended, if so. The log may then be longer than it looks: the next start finds out. */
  readonly failure: Error | undefined
}

/** A record that was looked for by its time. */
export interface FoundRecord {
  readonly offset: number
  readonly timestamp: number
}

/** Where a read begins. */
interface Place {
  readonly segment: Segment
  readonly position: number
  readonly baseOffset: number
}

interface ReadStart extends Place {
  readonly isolation: Isolation
  /** What lies from here on is not for this reader. */
  readonly endOffset: number
}

/** Reads one partition's log. Every batch's checksum is compared before it is given to anyone. */
export class LogReader {
  readonly #context: LogContext
  readonly #log: ReadableLog

  /** Where the last read began and ended: most reads begin there. */
  #hints: { offset: number; segment: Segment; position: number }[] = []
  /** The first records from offsets that were asked for, the last one last. */
  readonly #firstRecords = new Map<number, FoundRecord>()

  constructor(context: LogContext, log: ReadableLog) {
    this.#context = context
    this.#log = log
  }

  /** Segments were removed: what was remembered of them must go. */
  forget(): void {
    this.#hints = []
    this.#firstRecords.clear()
  }

  read(
    fromOffset: number,
    bytesMax: number,
    done: (error: Error | undefined, batches: ReadBatches) => void,
    isolation: Isolation,
  ): void {
    const { logStartOffset, logEndOffset, failure } = this.#log
    if (fromOffset > logEndOffset && failure !== undefined) return done(this.#unknownEnd(fromOffset, failure), NOTHING)
    if (fromOffset < logStartOffset || fromOffset > logEndOffset) return done(this.outOfRange(fromOffset), NOTHING)
    const endOffset = isolation === 'read_committed' ? this.#log.lastStableOffset : this.#log.highWatermark
    if (fromOffset >= endOffset) return done(undefined, NOTHING)
    try {
      const start = this.#placeOf(fromOffset)
      this.#readAt({ ...start, isolation, endOffset }, fromOffset, bytesMax, done)
    } catch (error) {
      done(this.#readError(error as Error), NOTHING)
    }
  }

  findOffsetByTime(timestamp: number): FoundRecord | undefined {
    return this.#reading(() => {
      for (const segment of this.#log.segments) {
        if (segment.nextOffset <= this.#log.logStartOffset || segment.maxTimestamp < timestamp) continue
        let place = segment.findBatchByTime(timestamp, this.#log.logStartOffset)
        while (place !== undefined && place.baseOffset < this.#log.highWatermark) {
          const found = this.#firstRecord(segment, place, timestamp)
          if (found !== undefined) return found.offset < this.#log.highWatermark ? found : undefined
          // The late record of this batch lies below the log start.
          place = segment.findBatchByTime(timestamp, place.nextOffset)
        }
      }
      return undefined
    })
  }

  findFirstRecord(fromOffset: number): FoundRecord | undefined {
    const { logStartOffset, highWatermark } = this.#log
    const from = Math.max(fromOffset, logStartOffset)
    if (from >= highWatermark) return undefined
    const known = this.#firstRecords.get(from)
    if (known !== undefined) return known
    const found = this.#reading(() => this.#findFrom(from))
    if (found === undefined) return undefined
    const [oldest] = this.#firstRecords.keys()
    if (this.#firstRecords.size >= FIRST_RECORDS_MAX) this.#firstRecords.delete(oldest)
    this.#firstRecords.set(from, found)
    return found
  }

  /** Where compaction has been at work, the next record may be in another batch or segment than the offset. */
  #findFrom(fromOffset: number): FoundRecord | undefined {
    const { highWatermark, segments } = this.#log
    const { segment: first, ...start } = this.#placeOf(fromOffset)
    let found: FoundRecord | undefined
    for (const segment of segments.slice(segments.indexOf(first))) {
      const from = segment === first ? start : { position: 0, baseOffset: segment.baseOffset }
      segment.walk(from.position, from.baseOffset, (place) => {
        if (place.baseOffset >= highWatermark) return false
        const records = this.#recordsOf(segment, place, 'for consumers')
        found = records.find(({ offset }) => offset >= fromOffset && offset < highWatermark)
        return found === undefined
      })
      if (found !== undefined) return found
    }
    return undefined
  }

  findOffsetOfMaxTimestamp(): FoundRecord | undefined {
    return this.#reading(() => {
      let max = -1
      for (const segment of this.#log.segments) {
        if (segment.nextOffset <= this.#log.logStartOffset || segment.maxTimestamp <= max) continue
        max = Math.max(max, this.#isVisible(segment) ? segment.maxTimestamp : this.#visibleMaxTimestamp(segment))
      }
      return max < 0 ? undefined : this.findOffsetByTime(max)
    })
  }

  /** Whether a consumer may read all of a segment, and its largest timestamp is known. */
  #isVisible(segment: Segment): boolean {
    const { logStartOffset, highWatermark } = this.#log
    const isInside = segment.baseOffset >= logStartOffset && segment.nextOffset <= highWatermark
    return isInside && segment.maxTimestamp < Number.MAX_SAFE_INTEGER
  }

  /** The largest timestamp of the records of a segment that a consumer may read, -1 when there are none. */
  #visibleMaxTimestamp(segment: Segment): number {
    const { logStartOffset, highWatermark } = this.#log
    let max = -1
    segment.walk(0, segment.baseOffset, (place) => {
      if (place.baseOffset >= highWatermark) return false
      if (place.nextOffset <= logStartOffset || place.maxTimestamp <= max) return true
      if (place.baseOffset >= logStartOffset) max = place.maxTimestamp
      else for (const record of this.#recordsOf(segment, place)) max = Math.max(max, record.timestamp)
      return true
    })
    return max
  }

  #segmentOf(offset: number): Segment {
    let low = 0
    let high = this.#log.segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#log.segments[middle].baseOffset <= offset) low = middle + 1
      else high = middle
    }
    const segment = this.#log.segments[low - 1]
    assert(segment !== undefined && offset < segment.nextOffset, 'an offset inside the log lies in a segment')
    return segment
  }

  #placeOf(offset: number): Place {
    for (const hint of this.#hints) {
      if (hint.offset === offset && hint.position < hint.segment.sizeBytes) {
        return { segment: hint.segment, position: hint.position, baseOffset: offset }
      }
    }
    const segment = this.#segmentOf(offset)
    const { position, baseOffset } = segment.findBatch(offset)
    return { segment, position, baseOffset }
  }

  #readAt(
    start: ReadStart,
    fromOffset: number,
    bytesMax: number,
    done: (error: Error | undefined, batches: ReadBatches) => void,
  ): void {
    const { segment, position } = start
    const wanted = Math.min(Math.max(bytesMax, BATCH_HEADER_BYTES), segment.sizeBytes - position)
    const open = this.#context.files.pin(segment.logPath, segment)
    const buffer = this.#context.buffers.take(wanted)
    if (wanted <= READ_NOW_BYTES_MAX) {
      let count: number
      try {
        count = readFully(open.file, buffer, wanted, position)
      } catch (error) {
        this.#context.buffers.giveBack(buffer)
        throw error
      } finally {
        this.#context.files.unpin(open)
      }
      return this.#takeBatches(start, fromOffset, bytesMax, buffer, count, done)
    }
    readFullyLater(open.file, buffer, wanted, position, (error, count) => {
      this.#context.files.unpin(open)
      if (error !== null) {
        this.#context.buffers.giveBack(buffer)
        return done(this.#readError(error), NOTHING)
      }
      this.#takeBatches(start, fromOffset, bytesMax, buffer, count, done)
    })
  }

  /** Checks the batches at the front of a buffer that was just read and passes on those that are whole and visible. */
  #takeBatches(
    start: ReadStart,
    fromOffset: number,
    bytesMax: number,
    buffer: Buffer,
    count: number,
    done: (error: Error | undefined, batches: ReadBatches) => void,
  ): void {
    const { segment, position, endOffset } = start
    if (segment.isGone) {
      // Cleaned or removed while it was read: what takes its place is read instead.
      this.#context.buffers.giveBack(buffer)
      return this.read(fromOffset, bytesMax, done, start.isolation)
    }
    let at = 0
    let offset = start.baseOffset
    let fault: string | undefined
    while (at + BATCH_HEADER_BYTES <= count && offset < endOffset) {
      const bytes = getBatchBytes(buffer, at)
      if (at + bytes > count && position + at + bytes <= segment.sizeBytes) break
      fault = findBatchFault(buffer, at, count)
      if (fault === undefined) {
        const baseOffset = getBaseOffset(buffer, at)
        const isNext = segment.cleanings === 0 ? baseOffset === offset : baseOffset >= offset
        if (!isNext) fault = `its base offset is ${baseOffset}, not ${offset}`
        offset = baseOffset + getLastOffsetDelta(buffer, at) + 1
      }
      if (fault !== undefined) break
      at += bytes
    }
    if (at > 0) {
      this.#hints = [
        { offset: start.baseOffset, segment, position },
        { offset, segment, position: position + at },
      ]
      const buffers = this.#context.buffers
      return done(undefined, { bytes: buffer.subarray(0, at), release: () => buffers.giveBack(buffer) })
    }
    const bytes = count >= BATCH_HEADER_BYTES ? getBatchBytes(buffer, 0) : 0
    this.#context.buffers.giveBack(buffer)
    if (fault === undefined && bytes > count && bytes > bytesMax) {
      try {
        return this.#readAt(start, fromOffset, bytes, done)
      } catch (error) {
        return done(this.#readError(error as Error), NOTHING)
      }
    }
    fault ??= 'the file ends in the middle of a batch'
    done(this.#readError(new SegmentCorrupt(`${segment.logPath} at byte ${position}: ${fault}`)), NOTHING)
  }

  #firstRecord(segment: Segment, place: BatchPlace, timestamp: number): FoundRecord | undefined {
    return this.#recordsOf(segment, place).find((found) => found.timestamp >= timestamp)
  }

  /** The records of a batch from the log start on; consumers do not get the broker's own marks. */
  #recordsOf(segment: Segment, place: BatchPlace, which: 'all' | 'for consumers' = 'all'): FoundRecord[] {
    const batch = Buffer.allocUnsafe(place.bytes)
    const count = readFully(segment.file(), batch, place.bytes, place.position)
    const fault = findBatchFault(batch, 0, count)
    if (fault !== undefined) throw new SegmentCorrupt(`${segment.logPath} at byte ${place.position}: ${fault}`)
    if (which === 'for consumers' && isControlBatch(batch, 0)) return []
    const from = this.#log.logStartOffset
    return decodeRecords(batch, 0, this.#context.unpackedBytesMax)
      .filter((record) => record.offset >= from)
      .map(({ offset, timestamp }) => ({ offset, timestamp }))
  }

  #reading<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.#readError(error as Error)
    }
  }

  #readError(error: Error): Error {
    if (error instanceof BrokerError) return error
    const where = `Cannot read topic "${this.#log.topic}", partition ${this.#log.partition}`
    if (error instanceof SegmentCorrupt) {
      this.#context.corruptBatches++
      this.#context.logger.error(
        { topic: this.#log.topic, partition: this.#log.partition, error },
        'a record batch is damaged',
      )
      return new BrokerError('CORRUPT_MESSAGE', `${where}: ${error.message}`, { cause: error })
    }
    if ((error as NodeJS.ErrnoException).code === undefined) return error
    return new BrokerError('KAFKA_STORAGE_ERROR', `${where}: ${error.message}`, { cause: error })
  }

  /** A reader that was told `OFFSET_OUT_OF_RANGE` would begin anew somewhere else, though its record may be there. */
  #unknownEnd(offset: number, cause: Error): BrokerError {
    const { topic, partition, logEndOffset } = this.#log
    const where = `Cannot read topic "${topic}", partition ${partition} from offset ${offset}`
    const why = `what there is from ${logEndOffset} on is not known until the next start (${cause.message})`
    return new BrokerError('KAFKA_STORAGE_ERROR', `${where}: ${why}`, { cause })
  }

  outOfRange(offset: number): BrokerError {
    const { logStartOffset, highWatermark } = this.#log
    const range =
      logStartOffset === highWatermark
        ? `the log is empty and goes on at ${highWatermark}`
        : `the log holds ${logStartOffset} to ${highWatermark - 1}`
    return new BrokerError(
      'OFFSET_OUT_OF_RANGE',
      `Cannot read topic "${this.#log.topic}", partition ${this.#log.partition} from offset ${offset}: ${range}`,
    )
  }
}
