import { late, requireLibrary } from '../../base/library.ts'
import { CodecError, tooLong } from './codec-error.ts'

// The frame format of LZ4 (little endian), as Kafka has it since record batches of version 2:
//
//   magic u32 │ FLG u8: bits 6-7 version 1, 5 blocks are independent, 4 block checksums, 3 content size, 2 content
//   checksum, 0 dictionary │ BD u8: bits 4-6 the largest block, 4 to 7 for 64 KiB to 4 MiB │ content size u64, if FLG
//   says so │ dictionary id u32, likewise │ header checksum u8
//   │ blocks: size u32, its top bit set for bytes that are not compressed │ that many bytes │ checksum u32, if FLG says so
//   │ end mark u32, zero │ content checksum u32, if FLG says so
//
// A frame with the magic 0x184D2A50 to 5F is a length and bytes to be skipped. The library has no limit for what it
// unpacks, stops at the first frame, and does not miss an end mark. So frames are walked through before it gets them.

interface Lz4 {
  readonly decompressFrameSync: (input: Buffer) => Buffer
  readonly compressFrameSync: (input: Buffer) => Buffer
}

const loadLz4 = late(() => requireLibrary('lz4-napi') as Lz4)

const MAGIC = 0x184d2204
const SKIPPABLE_MAGIC = 0x184d2a50
const SKIPPABLE_MASK = 0xfffffff0
const VERSION = 1
const BLOCK_CHECKSUM_BIT = 0x10
const CONTENT_SIZE_BIT = 0x08
const CONTENT_CHECKSUM_BIT = 0x04
const DICTIONARY_BIT = 0x01
const STORED_BIT = 0x80000000
const CHECKSUM_BYTES = 4
/** A byte of a block stands for at most so many: one more byte of a match's length is 255 bytes of it. */
const EXPANSION_MAX = 255
const MATCH_BYTES_MIN = 4

/** One frame after another, with or without checksums and content size, with blocks of any size, linked or not. */
export function unpackLz4(bytes: Buffer, bytesMax: number): Buffer {
  const frames: Buffer[] = []
  let left = bytesMax
  for (let at = 0; at < bytes.length;) {
    const { end, unpackedBytesMax, isSkipped } = walkFrame(bytes, at, left)
    left -= unpackedBytesMax
    if (left < 0) throw tooLong(bytesMax)
    if (!isSkipped) frames.push(bytes.subarray(at, end))
    at = end
  }
  if (frames.length === 0) throw new CodecError('there is no frame')
  const { decompressFrameSync } = loadLz4()
  const unpacked = frames.map((frame) => {
    try {
      return decompressFrameSync(frame)
    } catch (error) {
      throw new CodecError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  })
  return unpacked.length === 1 ? unpacked[0] : Buffer.concat(unpacked)
}

/** One frame of independent blocks, which is all that Java reads. */
export function packLz4(bytes: Buffer): Buffer {
  return loadLz4().compressFrameSync(bytes)
}

interface Frame {
  readonly end: number
  /** The frame does not unpack to more. */
  readonly unpackedBytesMax: number
  readonly isSkipped: boolean
}

/** Counts only roughly what the frame unpacks to, as long as that is not more than `bytesMax`. */
function walkFrame(bytes: Buffer, start: number, bytesMax: number): Frame {
  need(bytes, start, 8)
  const magic = bytes.readUInt32LE(start)
  if ((magic & SKIPPABLE_MASK) === SKIPPABLE_MAGIC) {
    const end = start + 8 + bytes.readUInt32LE(start + 4)
    need(bytes, start, end - start)
    return { end, unpackedBytesMax: 0, isSkipped: true }
  }
  if (magic !== MAGIC) throw new CodecError(`byte ${start} begins no frame`)
  const flags = bytes[start + 4]
  const blockCode = (bytes[start + 5] >> 4) & 7
  if (flags >> 6 !== VERSION || blockCode < 4) throw new CodecError(`the frame at byte ${start} has an unknown format`)
  if ((flags & DICTIONARY_BIT) !== 0) throw new CodecError('a frame with a dictionary cannot be read')
  const hasBlockChecksums = (flags & BLOCK_CHECKSUM_BIT) !== 0
  const blockBytesMax = 2 ** (8 + 2 * blockCode)
  let at = start + 7 + ((flags & CONTENT_SIZE_BIT) === 0 ? 0 : 8)
  const blocks: { from: number; to: number }[] = []
  let storedBytes = 0
  let roughBytes = 0
  while (true) {
    need(bytes, at, 4)
    const size = bytes.readUInt32LE(at)
    at += 4
    if (size === 0) break
    const isStored = size >= STORED_BIT
    const blockBytes = isStored ? size - STORED_BIT : size
    if (blockBytes > blockBytesMax) {
      throw new CodecError(`a block claims ${blockBytes} bytes, its frame allows ${blockBytesMax}`)
    }
    if (isStored) {
      storedBytes += blockBytes
    } else {
      roughBytes += Math.min(blockBytesMax, blockBytes * EXPANSION_MAX)
      blocks.push({ from: at, to: at + blockBytes })
    }
    at += blockBytes + (hasBlockChecksums ? CHECKSUM_BYTES : 0)
  }
  const end = at + ((flags & CONTENT_CHECKSUM_BIT) === 0 ? 0 : CHECKSUM_BYTES)
  need(bytes, start, end - start)
  if (storedBytes + roughBytes <= bytesMax) return { end, unpackedBytesMax: storedBytes + roughBytes, isSkipped: false }
  const exactBytes = blocks.reduce((sum, { from, to }) => sum + countUnpacked(bytes, from, to), 0)
  return { end, unpackedBytesMax: storedBytes + exactBytes, isSkipped: false }
}

/**
 * What a block unpacks to. It is a run of sequences: a byte with two lengths of four bits, the first one's further bytes,
 * so many literal bytes, and, unless the block ends there, two bytes that say where a match lies and the second length's
 * further bytes. A length of 15 goes on in further bytes, as long as they are 255.
 */
function countUnpacked(bytes: Buffer, from: number, to: number): number {
  let count = 0
  let at = from
  const readLength = (first: number) => {
    let length = first
    let byte = first === 15 ? 255 : 0
    while (byte === 255 && at < to) {
      byte = bytes[at++]
      length += byte
    }
    return length
  }
  while (at < to) {
    const token = bytes[at++]
    const literals = readLength(token >> 4)
    count += literals
    at += literals
    if (at >= to) break
    at += 2
    count += readLength(token & 15) + MATCH_BYTES_MIN
  }
  return count
}

function need(bytes: Buffer, at: number, count: number): void {
  if (at + count > bytes.length) throw new CodecError(`the frame is cut at byte ${bytes.length}`)
}
