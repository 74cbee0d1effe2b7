import { readInt64, writeInt64 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'

// One entry of an .idx file, big endian:
//   0 offset relative to the segment's base u32 │ 4 position in the .log file u32
//   8 largest timestamp of everything before that position i64 │ 16 CRC32C of the 16 bytes before u32
export const INDEX_ENTRY_BYTES = 20
const NO_TIMESTAMP = -1

/**
 * The sparse index of one segment: for a batch every few kilobytes, where it begins and how late the records before it
 * are. Both columns only grow, so that one binary search finds an offset and another one a time. It is a cache: anything
 * in it can be had again by walking the segment.
 */
export class OffsetIndex {
  #bytes: Buffer
  #count = 0

  constructor(capacity = 16) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity * INDEX_ENTRY_BYTES)
  }

  get count(): number {
    return this.#count
  }

  /** The entries from number `first` on, as they stand in the file. */
  encoded(first: number): Buffer {
    return this.#bytes.subarray(first * INDEX_ENTRY_BYTES, this.#count * INDEX_ENTRY_BYTES)
  }

  /** Adds an entry for the batch at `position`; `maxTimestampBefore` is -1 when nothing lies before it. */
  add(relativeOffset: number, position: number, maxTimestampBefore: number): void {
    const at = this.#count * INDEX_ENTRY_BYTES
    if (at === this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(this.#bytes.length * 2)
      this.#bytes.copy(larger)
      this.#bytes = larger
    }
    this.#bytes.writeUInt32BE(relativeOffset, at)
    this.#bytes.writeUInt32BE(position, at + 4)
    writeInt64(this.#bytes, at + 8, maxTimestampBefore)
    this.#bytes.writeUInt32BE(crc32c(this.#bytes, at, at + 16), at + 16)
    this.#count++
  }

  /** Drops the entries from number `count` on. */
  truncate(count: number): void {
    this.#count = Math.min(this.#count, count)
  }

  /** The last entry at or before an offset: the position to start walking from. 0 when there is none. */
  positionOfOffset(relativeOffset: number): number {
    return this.#positionOfLast((at) => this.#bytes.readUInt32BE(at) <= relativeOffset)
  }

  /** A position before which every record is earlier than `timestamp`. 0 when there is none. */
  positionOfTime(timestamp: number): number {
    return this.#positionOfLast((at) => readInt64(this.#bytes, at + 8) < timestamp)
  }

  /** The offset, relative to the base, of the batch that begins at `position`; undefined when no entry is about it. */
  relativeOffsetAt(position: number): number | undefined {
    const found = this.#last((at) => this.#bytes.readUInt32BE(at + 4) <= position)
    if (found < 0 || this.#bytes.readUInt32BE(found + 4) !== position) return undefined
    return this.#bytes.readUInt32BE(found)
  }

  /** The last entry, to go on from: everything before `position` is no later than `maxTimestampBefore`. */
  last(): { position: number; maxTimestampBefore: number } {
    if (this.#count === 0) return { position: 0, maxTimestampBefore: NO_TIMESTAMP }
    const at = (this.#count - 1) * INDEX_ENTRY_BYTES
    return { position: this.#bytes.readUInt32BE(at + 4), maxTimestampBefore: readInt64(this.#bytes, at + 8) }
  }

  #positionOfLast(holds: (at: number) => boolean): number {
    const at = this.#last(holds)
    return at < 0 ? 0 : this.#bytes.readUInt32BE(at + 4)
  }

  /** The place of the last entry for which `holds`, which must be true up to some entry and false after it; -1 if none. */
  #last(holds: (at: number) => boolean): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holds(middle * INDEX_ENTRY_BYTES)) low = middle + 1
      else high = middle
    }
    return (low - 1) * INDEX_ENTRY_BYTES
  }
}

/**
 * Reads the bytes of an .idx file. Undefined when they are not an index of a segment of `segmentBytes`: damaged, out of
 * order, or pointing behind the end. A file that ends early is fine: it only means a longer walk.
 */
export function decodeOffsetIndex(bytes: Buffer, segmentBytes: number): OffsetIndex | undefined {
  if (bytes.length % INDEX_ENTRY_BYTES !== 0) return undefined
  const index = new OffsetIndex(Math.max(16, bytes.length / INDEX_ENTRY_BYTES))
  let offsetBefore = -1
  let positionBefore = -1
  let timestampBefore = NO_TIMESTAMP
  for (let at = 0; at < bytes.length; at += INDEX_ENTRY_BYTES) {
    if (crc32c(bytes, at, at + 16) !== bytes.readUInt32BE(at + 16)) return undefined
    const offset = bytes.readUInt32BE(at)
    const position = bytes.readUInt32BE(at + 4)
    const timestamp = readInt64(bytes, at + 8)
    if (offset <= offsetBefore || position <= positionBefore || timestamp < timestampBefore) return undefined
    if (position >= segmentBytes) return undefined
    index.add(offset, position, timestamp)
    offsetBefore = offset
    positionBefore = position
    timestampBefore = timestamp
  }
  return index
}
