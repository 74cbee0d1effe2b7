import { join } from 'node:path'
import type { File, FileSystem } from '../base/file-system.ts'
import type { Logger } from '../base/logger.ts'
import {
  BATCH_HEADER_BYTES,
  findBatchFault,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getLeaderEpoch,
  getMaxTimestamp,
  getRecordCount,
} from '../record/record-batch.ts'
import { writeFully } from './checkpoint.ts'
import { finishCleaning } from './cleaner-leftovers.ts'
import type { EpochStart, PartitionFacts } from './partition-facts.ts'
import { parseSegmentFileName, readFully, segmentFileName, type SegmentFacts } from './segment.ts'

/** How much is read at a time; a larger batch gets a buffer of its own. */
const CHUNK_BYTES = 1024 * 1024

/** What a recovery found. */
export interface Recovered {
  readonly facts: PartitionFacts
  /** Bytes above the recovery point that were no whole batches, and were cut off. */
  readonly truncatedBytes: number
  /** Why the log cannot be written to: something below the recovery point is missing, or the disk refused. */
  readonly failure: Error | undefined
}

/**
 * Brings a partition's files back into order after a stop that was not clean.
 *
 * Below the recovery point everything was synced: nothing there is read, cut or changed, and if it is not there, that is
 * reported. Above it lies whatever the system had got round to writing. Whole batches that follow each other are kept;
 * the first thing that is not such a batch ends the log. What is kept from above the recovery point is written over
 * itself and synced, because after a failed sync the system shows bytes that the disk never took, and takes them for
 * written. The work can be interrupted anywhere and done again.
 */
export function recoverPartition(
  fileSystem: FileSystem,
  directory: string,
  known: PartitionFacts,
  now: number,
  logger: Logger,
): Recovered {
  const recovery = new Recovery(fileSystem, directory, known, now, logger)
  return recovery.run()
}

/**
 * What to assume of a partition that no checkpoint knows of though it has files: every segment but the last was complete,
 * and is made durable; the last one is all in doubt. Reads everything; `noteEpoch` is told the leader epoch of every whole
 * batch.
 */
export function assumeFacts(
  fileSystem: FileSystem,
  directory: string,
  now: number,
  noteEpoch: (leaderEpoch: number) => void,
): PartitionFacts {
  // Nobody knows which of them were to take a segment's place; the segments are still there, since they go last.
  finishCleaning(fileSystem, directory, [])
  let bases = listSegments(fileSystem, directory)
  const newest = bases.at(-1)
  const segments: SegmentFacts[] = []
  const epochs: EpochStart[] = []
  for (let i = 0; i < bases.length; i++) {
    const base = bases[i]
    const isLast = i === bases.length - 1
    const path = join(directory, segmentFileName(base, '.log'))
    const sizeBytes = fileSystem.sizeOf(path) ?? 0
    const file = fileSystem.open(path, 'write')
    const visit = (epoch: number, offset: number) => {
      noteEpoch(epoch)
      if (!isLast && epoch > (epochs.at(-1)?.[0] ?? -1)) epochs.push([epoch, offset])
    }
    const found = scanBatches(file, emptySegment(base), sizeBytes, now, !isLast, visit)
    if (!isLast) file.syncNow()
    file.close()
    // A segment that reaches over the next ones was made of them by compaction, and was put in place before they went.
    bases = bases.filter((other) => other <= base || other >= found.nextOffset || other === newest)
    if (isLast) segments.push(emptySegment(base))
    else segments.push({ ...found, nextOffset: bases[i + 1], sizeBytes })
  }
  fileSystem.syncDirectoryNow(directory)
  finishCleaning(fileSystem, directory, segments)
  fileSystem.syncDirectoryNow(directory)
  const logStartOffset = bases.at(0) ?? 0
  const durableOffset = bases.at(-1) ?? 0
  return { logStartOffset, durableOffset, durableBytes: 0, epochs, cleanedOffset: 0, segments, producersEmptyAt: 0 }
}

function listSegments(fileSystem: FileSystem, directory: string): number[] {
  const bases: number[] = []
  for (const { name } of fileSystem.list(directory)) {
    const base = parseSegmentFileName(name)
    if (base !== undefined) bases.push(base)
  }
  return bases.toSorted((a, b) => a - b)
}

class Recovery {
  readonly #fileSystem: FileSystem
  readonly #directory: string
  readonly #known: PartitionFacts
  readonly #now: number
  readonly #logger: Logger
  readonly #segments: SegmentFacts[]
  readonly #epochs: EpochStart[]
  #nextOffset: number
  #durableBytes: number
  #truncatedBytes = 0
  #isDirectoryChanged = false

  constructor(fileSystem: FileSystem, directory: string, known: PartitionFacts, now: number, logger: Logger) {
    this.#fileSystem = fileSystem
    this.#directory = directory
    this.#known = known
    this.#now = now
    this.#logger = logger
    this.#segments = known.segments.slice(0, -1).filter((segment) => segment.nextOffset > known.logStartOffset)
    this.#epochs = [...known.epochs]
    this.#nextOffset = known.durableOffset
    this.#durableBytes = known.durableBytes
  }

  run(): Recovered {
    try {
      const { isChanged } = finishCleaning(this.#fileSystem, this.#directory, this.#known.segments)
      if (isChanged) this.#isDirectoryChanged = true
      const damage = this.#findDamage()
      if (damage !== undefined) throw new Error(damage)
      this.#removeExpired()
      this.#recoverTail()
      if (this.#isDirectoryChanged) this.#fileSystem.syncDirectoryNow(this.#directory)
    } catch (error) {
      this.#logger.error(
        { directory: this.#directory, error },
        'partition cannot be recovered; it is closed for writes',
      )
      return { facts: this.#known, truncatedBytes: 0, failure: error as Error }
    }
    const { logStartOffset } = this.#known
    const facts = {
      logStartOffset,
      durableOffset: this.#nextOffset,
      durableBytes: this.#durableBytes,
      epochs: this.#epochs,
      cleanedOffset: this.#known.cleanedOffset,
      segments: this.#segments,
      producersEmptyAt: this.#known.producersEmptyAt,
    }
    return { facts, truncatedBytes: this.#truncatedBytes, failure: undefined }
  }

  /** What is missing below the recovery point, in a sentence. */
  #findDamage(): string | undefined {
    for (const [i, segment] of this.#known.segments.entries()) {
      const isExpired = segment.nextOffset <= this.#known.logStartOffset
      if (isExpired && i < this.#known.segments.length - 1) continue
      const path = this.#path(segment.baseOffset, '.log')
      const size = this.#fileSystem.sizeOf(path)
      if (size === undefined && segment.sizeBytes > 0 && !isExpired)
        return `${path} is missing: it held ${segment.sizeBytes} bytes`
      const isOther = size !== segment.sizeBytes && segment.cleanings > 0
      if (size !== undefined && (size < segment.sizeBytes || isOther)) {
        return `${path} has ${size} bytes: ${segment.sizeBytes} had been synced`
      }
    }
    return undefined
  }

  /** Segments that were expired and came back. */
  #removeExpired(): void {
    const first = (this.#segments.at(0) ?? this.#known.segments.at(-1))?.baseOffset ?? this.#known.durableOffset
    for (const { name } of this.#fileSystem.list(this.#directory)) {
      const base = parseSegmentFileName(name)
      if (base !== undefined && base < first) this.#removeSegment(base)
    }
  }

  #recoverTail(): void {
    const last = this.#known.segments.at(-1)
    const bases = listSegments(this.#fileSystem, this.#directory)
    const tail = last === undefined ? bases : bases.filter((base) => base >= last.baseOffset)
    if (last !== undefined && tail[0] !== last.baseOffset) tail.unshift(last.baseOffset)
    for (const base of tail) {
      const isLastKnown = base === last?.baseOffset
      // A segment that follows on without a gap belongs to the log even when the one before it has a torn tail: that is
      // then the rest of a write that a full disk cut short, and nothing of it was in the log.
      if (isLastKnown || base === this.#nextOffset) {
        this.#recoverSegment(isLastKnown ? last : emptySegment(base))
      } else {
        this.#truncatedBytes += this.#fileSystem.sizeOf(this.#path(base, '.log')) ?? 0
        this.#removeSegment(base)
      }
    }
    if (this.#truncatedBytes > 0) {
      const { durableOffset } = this.#known
      this.#logger.warn(
        {
          directory: this.#directory,
          bytes: this.#truncatedBytes,
          recoveryPoint: durableOffset,
          logEnd: this.#nextOffset,
        },
        'cut a torn tail off the log',
      )
    }
  }

  /** Keeps what is whole of one segment. */
  #recoverSegment(segment: SegmentFacts): void {
    const path = this.#path(segment.baseOffset, '.log')
    const size = this.#fileSystem.sizeOf(path)
    if (size === undefined || size === segment.sizeBytes) {
      // Nothing above the recovery point. A file of no bytes is where the log goes on, if it is there at all; nobody may
      // have made its name durable yet.
      if (size === 0) this.#isDirectoryChanged = true
      if (size !== undefined) this.#keep(segment)
      else if (segment.nextOffset > this.#known.logStartOffset && segment.sizeBytes > 0) {
        throw new Error(`${path} is missing`)
      } else this.#durableBytes = this.#segments.at(-1)?.sizeBytes ?? 0
      return
    }
    const file = this.#fileSystem.open(path, 'write')
    try {
      const found = scanBatches(file, segment, size, this.#now, false, (epoch, offset) => {
        this.#noteEpoch(epoch, offset)
      })
      this.#truncatedBytes += size - found.sizeBytes
      rewrite(file, segment.sizeBytes, found.sizeBytes)
      file.truncate(found.sizeBytes)
      file.syncNow()
      // Nobody may have made the file's name durable yet.
      this.#isDirectoryChanged = true
      this.#removeIfThere(this.#path(segment.baseOffset, '.idx'))
      this.#keep(found)
    } finally {
      file.close()
    }
  }

  #keep(segment: SegmentFacts): void {
    this.#segments.push(segment)
    this.#nextOffset = segment.nextOffset
    this.#durableBytes = segment.sizeBytes
  }

  #noteEpoch(epoch: number, offset: number): void {
    if (epoch > (this.#epochs.at(-1)?.[0] ?? -1)) this.#epochs.push([epoch, offset])
  }

  #path(baseOffset: number, ending: '.log' | '.idx'): string {
    return join(this.#directory, segmentFileName(baseOffset, ending))
  }

  #removeSegment(baseOffset: number): void {
    this.#removeIfThere(this.#path(baseOffset, '.log'))
    this.#removeIfThere(this.#path(baseOffset, '.idx'))
  }

  #removeIfThere(path: string): void {
    if (this.#fileSystem.sizeOf(path) !== undefined) this.#remove(path)
  }

  #remove(path: string): void {
    this.#fileSystem.remove(path)
    this.#isDirectoryChanged = true
  }
}

/**
 * Writes a range of a file over itself: the system then has to give it to the disk once more, and to say so if it cannot.
 * In place, because a disk that is nearly full has no room for a copy.
 */
function rewrite(file: File, from: number, to: number): void {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - from))
  for (let position = from; position < to;) {
    const count = readFully(file, buffer, Math.min(buffer.length, to - position), position)
    if (count === 0) throw new Error(`${file.path} ended at byte ${position} while it was read`)
    writeFully(file, buffer.subarray(0, count), position)
    position += count
  }
}

function emptySegment(baseOffset: number): SegmentFacts {
  return { baseOffset, nextOffset: baseOffset, sizeBytes: 0, maxTimestamp: -1, firstAppendMs: 0, cleanings: 0 }
}

/**
 * Walks the batches of a file from `from.sizeBytes` on, comparing checksums, up to the first that is not whole, and
 * returns the segment up to there. `visit` is told the epoch and base offset of each. With `mayHaveGaps` offsets may be
 * missing, and if they are the segment counts as cleaned.
 */
function scanBatches(
  file: File,
  from: SegmentFacts,
  fileBytes: number,
  now: number,
  mayHaveGaps: boolean,
  visit: (leaderEpoch: number, baseOffset: number) => void,
): SegmentFacts {
  let { nextOffset, sizeBytes, maxTimestamp, cleanings } = from
  let buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, fileBytes - sizeBytes))
  for (;;) {
    const count = readFully(file, buffer, Math.min(buffer.length, fileBytes - sizeBytes), sizeBytes)
    let at = 0
    while (at + BATCH_HEADER_BYTES <= count && findBatchFault(buffer, at, count) === undefined) {
      const baseOffset = getBaseOffset(buffer, at)
      const isEmpty = getRecordCount(buffer, at) === 0
      // The broker itself appends batches that are empty, when their producer counts on their sequence numbers.
      if (baseOffset !== nextOffset || (isEmpty && mayHaveGaps)) {
        if (!mayHaveGaps || baseOffset < nextOffset) break
        cleanings = 1
      }
      visit(getLeaderEpoch(buffer, at), baseOffset)
      nextOffset = baseOffset + getLastOffsetDelta(buffer, at) + 1
      if (!isEmpty) maxTimestamp = Math.max(maxTimestamp, getMaxTimestamp(buffer, at))
      at += getBatchBytes(buffer, at)
    }
    sizeBytes += at
    if (at > 0 && sizeBytes < fileBytes) continue
    // No progress: either the batch is larger than the buffer, or this is where the log ends.
    const bytes = count >= BATCH_HEADER_BYTES ? getBatchBytes(buffer, 0) : 0
    if (at > 0 || bytes <= buffer.length || bytes > fileBytes - sizeBytes) break
    buffer = Buffer.allocUnsafe(bytes)
  }
  const firstAppendMs = from.firstAppendMs > 0 || sizeBytes === 0 ? from.firstAppendMs : now
  return { baseOffset: from.baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings }
}
