import { BATCH_HEADER_BYTES, findBatchFault, getBatchBytes } from '../record/record-batch.ts'
import type { CleanerPace } from './cleaner-pace.ts'
import type { OpenFiles } from './open-files.ts'
import { readFullyLater, type Segment, SegmentCorrupt } from './segment.ts'

const CHUNK_BYTES = 256 * 1024

/** Reads segments from end to end, a piece at a time, for the cleaner. */
export class BatchSource {
  readonly #files: OpenFiles
  readonly #pace: CleanerPace
  readonly #rest: () => Promise<void>
  readonly #check: () => void
  #buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)

  /** `rest` is called when it is time for others to have a turn, `check` after each read. Both may throw, to end it. */
  constructor(files: OpenFiles, pace: CleanerPace, turns: { rest: () => Promise<void>; check: () => void }) {
    this.#files = files
    this.#pace = pace
    this.#rest = turns.rest
    this.#check = turns.check
  }

  /**
   * Calls `visit` for each batch of a segment, which lies in `buffer` from `start` to before `end` until it returns; its
   * checksum has been compared. `visit` ends the reading by returning false.
   *
   * @throws SegmentCorrupt where something is no whole batch; the system's error
   */
  async visit(segment: Segment, visit: (buffer: Buffer, start: number, end: number) => boolean): Promise<void> {
    let position = 0
    while (position < segment.sizeBytes) {
      const count = await this.#read(segment, position)
      const buffer = this.#buffer
      let at = 0
      while (at + BATCH_HEADER_BYTES <= count) {
        const bytes = getBatchBytes(buffer, at)
        if (bytes > count - at && position + at + bytes <= segment.sizeBytes) break
        const fault = findBatchFault(buffer, at, count)
        if (fault !== undefined) throw new SegmentCorrupt(`${segment.logPath} at byte ${position + at}: ${fault}`)
        if (!visit(buffer, at, at + bytes)) return
        at += bytes
        if (this.#pace.work(bytes)) await this.#rest()
      }
      position += at
      if (at === 0) this.#growFor(segment, position, count)
    }
    if (this.#buffer.length > CHUNK_BYTES) this.#buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  }

  /** Through the thread pool: what lies long back in a log is seldom in the page cache. */
  async #read(segment: Segment, position: number): Promise<number> {
    const open = this.#files.pin(segment.logPath, segment)
    const bytes = Math.min(this.#buffer.length, segment.sizeBytes - position)
    try {
      return await new Promise<number>((resolve, reject) => {
        readFullyLater(open.file, this.#buffer, bytes, position, (error, count) => {
          if (error === null) resolve(count)
          else reject(error)
        })
      })
    } finally {
      this.#files.unpin(open)
      this.#check()
    }
  }

  /** The batch at `position` is larger than the buffer, or it is none. */
  #growFor(segment: Segment, position: number, count: number): void {
    const bytes = count < BATCH_HEADER_BYTES ? 0 : getBatchBytes(this.#buffer, 0)
    if (bytes <= this.#buffer.length || position + bytes > segment.sizeBytes) {
      throw new SegmentCorrupt(`${segment.logPath} at byte ${position}: the file ends in the middle of a batch`)
    }
    this.#buffer = Buffer.allocUnsafeSlow(bytes)
  }
}
