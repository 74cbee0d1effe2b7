import type { File, FileSystem } from '../base/file-system.ts'
import {
  emptyBatch,
  getBaseOffset,
  getLastOffsetDelta,
  getMaxTimestamp,
  getRecordCount,
} from '../record/record-batch.ts'
import { done, writeFully } from './checkpoint.ts'
import { OffsetIndex } from './offset-index.ts'

/** What is collected before it is written. */
const BUFFER_BYTES = 256 * 1024
/** After so much the file is synced, so that the sync at its end does not hold up those of producers for long. */
const SYNC_BYTES = 8 * 1024 * 1024

/** A place to come back to. */
export interface Mark {
  readonly sizeBytes: number
  readonly nextOffset: number
  readonly maxTimestamp: number
  readonly indexCount: number
  readonly bytesSinceEntry: number
  readonly left: Buffer | undefined
}

/** The file that compaction writes a segment to before it takes its place, with the index that belongs to it. */
export class CleanedFile {
  readonly path: string
  readonly baseOffset: number
  readonly index = new OffsetIndex()
  /** The largest timestamp of any record, -1 when there is none. */
  maxTimestamp = -1
  /** The offset behind the last batch that was added or left out. */
  nextOffset: number
  readonly #file: File
  readonly #indexIntervalBytes: number
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #buffered = 0
  #writtenBytes = 0
  #syncedBytes = 0
  #bytesSinceEntry = 0
  /** The header of the last batch that was left out, if nothing was added since. */
  #left: Buffer | undefined

  /** Makes the file. Throws the system's error. */
  constructor(fileSystem: FileSystem, path: string, baseOffset: number, indexIntervalBytes: number) {
    this.path = path
    this.baseOffset = baseOffset
    this.nextOffset = baseOffset
    this.#indexIntervalBytes = indexIntervalBytes
    if (fileSystem.sizeOf(path) !== undefined) fileSystem.remove(path)
    this.#file = fileSystem.open(path, 'create')
  }

  get sizeBytes(): number {
    return this.#writtenBytes + this.#buffered
  }

  /** Adds the batch that lies in `buffer` from `start` to before `end`. Throws the system's error. */
  add(buffer: Buffer, start: number, end: number): void {
    const baseOffset = getBaseOffset(buffer, start)
    const position = this.sizeBytes
    if (position > 0 && this.#bytesSinceEntry >= this.#indexIntervalBytes) {
      this.index.add(baseOffset - this.baseOffset, position, this.maxTimestamp)
      this.#bytesSinceEntry = 0
    }
    this.#bytesSinceEntry += end - start
    this.#write(buffer, start, end)
    this.nextOffset = baseOffset + getLastOffsetDelta(buffer, start) + 1
    if (getRecordCount(buffer, start) > 0)
      this.maxTimestamp = Math.max(this.maxTimestamp, getMaxTimestamp(buffer, start))
    this.#left = undefined
  }

  /** Leaves out the batch at `start`. */
  leaveOut(buffer: Buffer, start: number): void {
    this.nextOffset = getBaseOffset(buffer, start) + getLastOffsetDelta(buffer, start) + 1
    this.#left = emptyBatch(buffer, start)
  }

  /** Where the file is now. */
  mark(): Mark {
    const { sizeBytes, nextOffset, maxTimestamp } = this
    const indexCount = this.index.count
    return { sizeBytes, nextOffset, maxTimestamp, indexCount, bytesSinceEntry: this.#bytesSinceEntry, left: this.#left }
  }

  /** Takes back everything since `mark`. */
  rewind(mark: Mark): void {
    this.#flush()
    this.#file.truncate(mark.sizeBytes)
    this.#writtenBytes = mark.sizeBytes
    this.#syncedBytes = Math.min(this.#syncedBytes, mark.sizeBytes)
    this.nextOffset = mark.nextOffset
    this.maxTimestamp = mark.maxTimestamp
    this.index.truncate(mark.indexCount)
    this.#bytesSinceEntry = mark.bytesSinceEntry
    this.#left = mark.left
  }

  /** Whether so much was written since the last sync that it is time for one. */
  get isSyncDue(): boolean {
    return this.#writtenBytes - this.#syncedBytes >= SYNC_BYTES
  }

  /** Makes durable what was written. */
  async sync(): Promise<void> {
    const writtenBytes = this.#writtenBytes
    await done((finish) => this.#file.sync(finish))
    this.#syncedBytes = writtenBytes
  }

  /** The last batch stays at least as a header, so that the file itself says how far it goes; then all of it is durable. */
  async finish(): Promise<void> {
    const left = this.#left
    if (left !== undefined) this.add(left, 0, left.length)
    this.#flush()
    await this.sync()
  }

  /** Closes the file. What was not synced by now does not matter any more. */
  close(): void {
    this.#file.close()
  }

  #write(buffer: Buffer, start: number, end: number): void {
    if (this.#buffered + end - start > this.#buffer.length) this.#flush()
    if (end - start > this.#buffer.length) {
      writeFully(this.#file, buffer.subarray(start, end), this.#writtenBytes)
      this.#writtenBytes += end - start
      return
    }
    this.#buffered += buffer.copy(this.#buffer, this.#buffered, start, end)
  }

  #flush(): void {
    if (this.#buffered === 0) return
    writeFully(this.#file, this.#buffer.subarray(0, this.#buffered), this.#writtenBytes)
    this.#writtenBytes += this.#buffered
    this.#buffered = 0
  }
}
