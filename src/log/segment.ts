import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { isSafeInt64 } from '../base/bytes.ts'
import type { File } from '../base/file-system.ts'
import {
  BATCH_HEADER_BYTES,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getMaxTimestamp,
  getRecordCount,
  MAX_TIMESTAMP_AT,
} from '../record/record-batch.ts'
import { decodeOffsetIndex, INDEX_ENTRY_BYTES, OffsetIndex } from './offset-index.ts'
import type { FileOwner, OpenFiles } from './open-files.ts'

/** Index entries that wait in memory before they are written: one small write for about a megabyte of log. */
const INDEX_ENTRIES_WAITING_MAX = 256
/** How much of a segment is read at a time when only headers are wanted. */
const WALK_BYTES = 8192

/** What is known of a segment without reading it; kept in the checkpoint. */
export interface SegmentFacts {
  readonly baseOffset: number
  /** The offset after the last record. */
  readonly nextOffset: number
  readonly sizeBytes: number
  /** The largest timestamp of any record, -1 when there is none. */
  readonly maxTimestamp: number
  /** Wall-clock time at which the first batch was appended, for rolling by age; 0 while there is none. */
  readonly firstAppendMs: number
  /**
   * How often compaction has made it anew. Only when it has may offsets be missing between its batches, and before the
   * first one.
   */
  readonly cleanings: number
}

/** Where a batch lies. */
export interface BatchPlace {
  readonly baseOffset: number
  readonly position: number
  readonly bytes: number
  readonly nextOffset: number
  /** -1 for a batch without records. */
  readonly maxTimestamp: number
}

/** The name of a segment's file: its base offset in twenty digits, so that names sort as offsets do. */
export function segmentFileName(baseOffset: number, ending: '.log' | '.idx'): string {
  return String(baseOffset).padStart(20, '0') + ending
}

/**
 * The name of what is to take a segment's place: nothing, unless the checkpoint says that the segment was cleaned so often.
 */
export function cleanedFileName(baseOffset: number, cleanings: number): string {
  return `${String(baseOffset).padStart(20, '0')}.${cleanings}.cleaned`
}

/** Whether a file is the work of the cleaner, to be put in place or to be removed. */
export function isCleanedFileName(name: string): boolean {
  return name.endsWith('.cleaned')
}

/** The base offset that a file name stands for; undefined when it is not the name of a segment. */
export function parseSegmentFileName(name: string): number | undefined {
  const match = /^(\d{20})\.log$/.exec(name)
  if (match === null) return undefined
  const baseOffset = Number(match[1])
  return Number.isSafeInteger(baseOffset) ? baseOffset : undefined
}

/** Thrown when a segment does not hold what it must; `position` is where. */
export class SegmentCorrupt extends Error {
  override readonly name = 'SegmentCorrupt'
}

/**
 * One segment: a run of record batches in one file, with its sparse index beside it. It knows nothing of policies: when
 * to roll, sync or delete is decided by the partition's log.
 */
export class Segment implements FileOwner {
  readonly baseOffset: number
  readonly cleanings: number
  readonly logPath: string
  readonly indexPath: string
  nextOffset: number
  sizeBytes: number
  maxTimestamp: number
  firstAppendMs: number
  /** How much of the file is on stable storage. */
  syncedBytes: number
  /** The largest timestamp of what is on stable storage. */
  syncedMaxTimestamp: number
  /** How often a partial write was cut off, and how many of the cuts are on stable storage: the others may come undone. */
  cuts = 0
  syncedCuts = 0
  /** Whether the file's name is on stable storage. */
  isNameSynced: boolean
  /** Whether the file was seen to be as long as it must be, once before the first write to it. */
  isSizeChecked = false
  /** It is not part of the log any more: its path may be another file's by now. */
  isGone = false
  /** Told when the sync failed that had to happen before the file could be closed. */
  onSyncFailure: (error: Error) => void = () => {}

  readonly #files: OpenFiles
  #index: OffsetIndex | undefined
  #indexEntriesWritten = 0
  #bytesSinceIndexEntry = 0
  #isIndexRebuilt = false

  constructor(directory: string, files: OpenFiles, facts: SegmentFacts) {
    this.baseOffset = facts.baseOffset
    this.cleanings = facts.cleanings
    this.logPath = join(directory, segmentFileName(facts.baseOffset, '.log'))
    this.indexPath = join(directory, segmentFileName(facts.baseOffset, '.idx'))
    this.nextOffset = facts.nextOffset
    this.sizeBytes = facts.sizeBytes
    this.maxTimestamp = facts.maxTimestamp
    this.firstAppendMs = facts.firstAppendMs
    this.syncedBytes = facts.sizeBytes
    this.syncedMaxTimestamp = facts.maxTimestamp
    this.isNameSynced = true
    this.#files = files
  }

  /** Makes the files of a new, empty segment. Throws the system's error; nothing of it is left behind then. */
  static create(directory: string, files: OpenFiles, baseOffset: number): Segment {
    const facts = { baseOffset, nextOffset: baseOffset, sizeBytes: 0, maxTimestamp: -1, firstAppendMs: 0, cleanings: 0 }
    const segment = new Segment(directory, files, facts)
    segment.isNameSynced = false
    segment.isSizeChecked = true
    segment.#index = new OffsetIndex()
    files.create(segment.logPath, segment)
    return segment
  }

  /** A segment that compaction has made, with the index that it has made along with it. */
  static cleaned(directory: string, files: OpenFiles, facts: SegmentFacts, index: OffsetIndex): Segment {
    const segment = new Segment(directory, files, facts)
    segment.#index = index
    return segment
  }

  get facts(): SegmentFacts {
    const { baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings } = this
    return { baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings }
  }

  get isDurable(): boolean {
    return this.isNameSynced && this.syncedBytes === this.sizeBytes && this.syncedCuts === this.cuts
  }

  /** The log file, for use in this turn. */
  file(): File {
    return this.#files.use(this.logPath, this)
  }

  beforeClose(file: File): void {
    if (this.syncedBytes === this.sizeBytes) return
    try {
      file.syncNow()
    } catch (error) {
      this.onSyncFailure(error as Error)
    }
  }

  /** Notes a batch that has been written at the end of the file. */
  noteAppended(batch: Buffer, recordCount: number, now: number, indexIntervalBytes: number): void {
    const index = this.#indexToAddTo()
    if (index !== undefined && this.sizeBytes > 0 && this.#bytesSinceIndexEntry >= indexIntervalBytes) {
      index.add(this.nextOffset - this.baseOffset, this.sizeBytes, this.maxTimestamp)
      this.#bytesSinceIndexEntry = 0
    }
    if (this.sizeBytes === 0) this.firstAppendMs = now
    this.#bytesSinceIndexEntry += batch.length
    this.sizeBytes += batch.length
    this.nextOffset += recordCount
    const maxTimestamp = getRecordCount(batch, 0) === 0 ? -1 : getMaxTimestamp(batch, 0)
    if (maxTimestamp > this.maxTimestamp) this.maxTimestamp = maxTimestamp
    if (index !== undefined && index.count - this.#indexEntriesWritten >= INDEX_ENTRIES_WAITING_MAX) this.writeIndex()
  }

  /** The batch is in the file already: an index that cannot be had just now must not make anyone refuse it. */
  #indexToAddTo(): OffsetIndex | undefined {
    try {
      return this.index()
    } catch {
      return undefined
    }
  }

  /**
   * Brings the .idx file up to date. It is only a cache, so it is not synced, and a disk that refuses is not a failure:
   * the entries stay in memory and the next call tries again.
   */
  writeIndex(): void {
    const index = this.#index
    if (index === undefined) return
    try {
      const file = this.#indexFile()
      if (this.#indexEntriesWritten === 0) file.truncate(0)
      const entries = index.encoded(this.#indexEntriesWritten)
      if (entries.length === 0) return
      const written = file.write([entries], this.#indexEntriesWritten * INDEX_ENTRY_BYTES)
      this.#indexEntriesWritten += Math.floor(written / INDEX_ENTRY_BYTES)
    } catch {
      // Rebuilt from the log when it is missed.
    }
  }

  /** Lets the index go from memory; it comes back from its file. Only for a segment that takes no more batches. */
  releaseIndex(): void {
    this.writeIndex()
    this.#files.close(this.indexPath)
    this.#index = undefined
  }

  get hasIndexInMemory(): boolean {
    return this.#index !== undefined
  }

  /** The index, read from its file, or made anew from the log when that file is missing or damaged. */
  index(): OffsetIndex {
    this.#index ??= this.#readIndex() ?? this.#rebuildIndex()
    return this.#index
  }

  /**
   * Finds the batch that contains `offset`, which must lie in this segment; where compaction has left nothing, the next
   * one.
   *
   * @throws SegmentCorrupt when the walk meets something that is not a batch
   */
  findBatch(offset: number): BatchPlace {
    assert(offset >= this.baseOffset && offset < this.nextOffset, 'the offset lies in this segment')
    const found = this.#walkFrom(
      (index) => index.positionOfOffset(offset - this.baseOffset),
      (place) => place.nextOffset > offset,
    )
    if (found === undefined) throw this.#corrupt(this.sizeBytes, `offset ${offset} is not there`)
    return found
  }

  /** Finds the first batch that holds a record of `timestamp` or later; undefined when there is none. */
  findBatchByTime(timestamp: number, fromOffset: number): BatchPlace | undefined {
    return this.#walkFrom(
      (index) => index.positionOfTime(timestamp),
      (place) => place.maxTimestamp >= timestamp && place.nextOffset > fromOffset,
    )
  }

  /**
   * Visits the batches from a position on until `visit` says stop; headers only, no checksum is compared. `visit` finds the
   * header at a position of a buffer that is good until it returns. With `isExact` the first one must begin at the expected
   * offset even if compaction may have left a gap.
   */
  walk(
    position: number,
    expectedOffset: number | undefined,
    visit: (place: BatchPlace, buffer: Buffer, at: number) => boolean,
    isExact = false,
  ): void {
    const file = this.file()
    const mayHaveGaps = this.cleanings > 0
    const buffer = Buffer.allocUnsafe(WALK_BYTES)
    let bufferAt = position
    let buffered = 0
    let offset = expectedOffset
    while (position < this.sizeBytes) {
      if (position + BATCH_HEADER_BYTES > bufferAt + buffered || position < bufferAt) {
        bufferAt = position
        buffered = readFully(file, buffer, Math.min(WALK_BYTES, this.sizeBytes - position), position)
        if (buffered < BATCH_HEADER_BYTES) throw this.#corrupt(position, 'the file ends in the middle of a batch')
      }
      const at = position - bufferAt
      if (!isSafeInt64(buffer, at)) throw this.#corrupt(position, 'an offset is out of all range')
      // A damaged timestamp does not hide the way to the batches behind it; whoever reads this one meets its checksum.
      const hasTimestamp = isSafeInt64(buffer, at + MAX_TIMESTAMP_AT)
      let maxTimestamp = hasTimestamp ? getMaxTimestamp(buffer, at) : Number.MAX_SAFE_INTEGER
      if (getRecordCount(buffer, at) === 0) maxTimestamp = -1
      const baseOffset = getBaseOffset(buffer, at)
      const bytes = getBatchBytes(buffer, at)
      if (bytes < BATCH_HEADER_BYTES || position + bytes > this.sizeBytes) {
        throw this.#corrupt(position, `a batch of ${bytes} bytes does not fit`)
      }
      if (offset !== undefined && !(baseOffset === offset || (mayHaveGaps && !isExact && baseOffset > offset))) {
        throw this.#corrupt(position, `a batch begins at offset ${baseOffset} where ${offset} should follow`)
      }
      const nextOffset = baseOffset + getLastOffsetDelta(buffer, at) + 1
      if (nextOffset <= baseOffset) throw this.#corrupt(position, 'a batch has no records')
      if (!visit({ baseOffset, position, bytes, nextOffset, maxTimestamp }, buffer, at)) return
      position += bytes
      offset = nextOffset
      isExact = false
    }
  }

  /** Removes both files. What is still being read stays readable until that is over. */
  remove(removeFile: (path: string) => void): void {
    this.#files.close(this.logPath)
    this.#files.close(this.indexPath)
    removeFile(this.logPath)
    try {
      removeFile(this.indexPath)
    } catch {
      // It may never have been written.
    }
  }

  #walkFrom(choose: (index: OffsetIndex) => number, isWanted: (place: BatchPlace) => boolean): BatchPlace | undefined {
    const index = this.index()
    const position = choose(index)
    const relativeOffset = position === 0 ? 0 : index.relativeOffsetAt(position)
    assert(relativeOffset !== undefined, 'a position that the index gave is in the index')
    try {
      return this.#walkTo(position, this.baseOffset + relativeOffset, isWanted)
    } catch (error) {
      // The index may belong to other bytes: then the walk from the start tells the truth. It is tried once, since
      // damage in the log itself looks the same from here, and then the old index is the better one.
      if (position === 0 || this.#isIndexRebuilt || !(error instanceof SegmentCorrupt)) throw error
      this.#isIndexRebuilt = true
      const found = this.#walkTo(0, this.baseOffset, isWanted)
      this.#index = this.#rebuildIndex()
      return found
    }
  }

  #walkTo(position: number, expectedOffset: number, isWanted: (place: BatchPlace) => boolean): BatchPlace | undefined {
    let found: BatchPlace | undefined
    // An index entry says exactly where a batch begins; what is not there does not belong to this index.
    const isExact = position > 0
    const visit = (place: BatchPlace) => {
      if (!isWanted(place)) return true
      found = place
      return false
    }
    this.walk(position, expectedOffset, visit, isExact)
    return found
  }

  #indexFile(): File {
    try {
      return this.#files.use(this.indexPath, INDEX_OWNER)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.#indexEntriesWritten = 0
      return this.#files.create(this.indexPath, INDEX_OWNER)
    }
  }

  #readIndex(): OffsetIndex | undefined {
    try {
      const file = this.#files.use(this.indexPath, INDEX_OWNER)
      const bytes = Buffer.allocUnsafe(file.size())
      const read = readFully(file, bytes, bytes.length, 0)
      const index = decodeOffsetIndex(bytes.subarray(0, read), Math.max(1, this.sizeBytes))
      this.#indexEntriesWritten = index?.count ?? 0
      return index
    } catch {
      return undefined
    }
  }

  #rebuildIndex(): OffsetIndex {
    const index = new OffsetIndex()
    let maxTimestamp = -1
    let sinceEntry = 0
    try {
      this.walk(0, this.baseOffset, (place) => {
        if (place.position > 0 && sinceEntry >= REBUILT_INTERVAL_BYTES) {
          index.add(place.baseOffset - this.baseOffset, place.position, maxTimestamp)
          sinceEntry = 0
        }
        sinceEntry += place.bytes
        if (place.maxTimestamp > maxTimestamp) maxTimestamp = place.maxTimestamp
        return true
      })
    } catch (error) {
      // Up to the damage it is right; the damage itself is met again, and reported, by whoever reads there.
      if (!(error instanceof SegmentCorrupt)) throw error
    }
    this.#bytesSinceIndexEntry = sinceEntry
    this.#indexEntriesWritten = 0
    return index
  }

  #corrupt(position: number, what: string): SegmentCorrupt {
    return new SegmentCorrupt(`${this.logPath} at byte ${position}: ${what}`)
  }
}

const REBUILT_INTERVAL_BYTES = 4096

/** Index files hold nothing that must reach the disk. */
const INDEX_OWNER: FileOwner = { beforeClose() {} }

/** Reads until `length` bytes are there or the file ends; returns how many there were. */
export function readFully(file: File, target: Buffer, length: number, position: number): number {
  let done = 0
  while (done < length) {
    const count = file.read(target, done, length - done, position + done)
    if (count === 0) break
    done += count
  }
  return done
}

/** The same in the thread pool. */
export function readFullyLater(
  file: File,
  target: Buffer,
  length: number,
  position: number,
  done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  already = 0,
): void {
  file.readLater(target, already, length - already, position + already, (error, count) => {
    const bytesRead = already + count
    if (error !== null || count === 0 || bytesRead === length) done(error, bytesRead)
    else readFullyLater(file, target, length, position, done, bytesRead)
  })
}
