import * as zlib from 'node:zlib'

import { CodecError, tooLong } from './codec-error.ts'
import { loadZstdWasm } from './zstd-wasm.ts'

// The frame format of Zstandard (RFC 8878, little endian):
//
//   magic u32 │ descriptor u8: bits 6-7 width of the content size, 5 single segment, 2 checksum, 0-1 width of the
//   dictionary id │ window u8, unless single segment: bits 3-7 exponent, 0-2 mantissa │ dictionary id │ content size
//   │ blocks: header u24, bit 0 the last one, 1-2 type, the rest its size │ bytes │ checksum u32, if there is one
//
// A frame with the magic 0x184D2A50 to 5F is a length and bytes to be skipped. The decoders that there are differ in what
// they do with several frames, with frames that are cut, and with those that do not say how long they are, as Java
// writes them. So frames are walked through here, and a decoder gets one whole frame and the most that it can grow to.

/** What unpacks one frame and what packs one. */
export interface ZstdEngine {
  /** @throws Error if the frame is damaged or its content is longer than `bytesMax` */
  readonly unpack: (frame: Buffer, bytesMax: number) => Buffer
  readonly pack: (bytes: Buffer, level: number) => Buffer
}

/** What Node has from 22.15 on. */
type ZlibWithZstd = typeof zlib & {
  readonly zstdDecompressSync?: (input: Buffer, options: { readonly maxOutputLength: number }) => Buffer
  readonly zstdDecompress?: (
    input: Buffer,
    options: { readonly maxOutputLength: number },
    done: (error: Error | null, unpacked: Buffer) => void,
  ) => void
  readonly zstdCompressSync?: (input: Buffer, options: { readonly params: Readonly<Record<number, number>> }) => Buffer
}

/** `ZSTD_c_compressionLevel`. */
const LEVEL_PARAMETER = 100
const LEVEL_DEFAULT = 3

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const SKIPPABLE_MASK = 0xfffffff0
const SINGLE_SEGMENT_BIT = 0x20
const RESERVED_BIT = 0x08
const CHECKSUM_BIT = 0x04
const DICTIONARY_ID_BYTES = [0, 1, 2, 4]
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]
const BLOCK_TYPES = { raw: 0, repeated: 1, compressed: 2 }
const BLOCK_BYTES_MAX = 128 * 1024

/** One frame after another, whether they say how long their content is or not. */
export function unpackZstd(bytes: Buffer, bytesMax: number, engine?: ZstdEngine): Buffer {
  const frames: { bytes: Buffer; frame: Frame }[] = []
  let claimed = 0
  for (let at = 0; at < bytes.length;) {
    const frame = walkFrame(bytes, at)
    if (frame.isExact) claimed += frame.unpackedBytesMax
    if (claimed > bytesMax) throw tooLong(bytesMax)
    if (!frame.isSkipped) frames.push({ bytes: bytes.subarray(at, frame.end), frame })
    at = frame.end
  }
  if (frames.length === 0) throw new CodecError('there is no frame')
  const { unpack } = engine ?? loadZstd()
  let left = bytesMax
  const parts = frames.map(({ bytes: whole, frame: { unpackedBytesMax, isExact } }) => {
    // A decoder takes no room of nothing, which an empty frame would do with.
    const room = Math.max(1, Math.min(left, unpackedBytesMax))
    const part = unpackFrame(unpack, whole, room, room < unpackedBytesMax ? bytesMax : undefined)
    if (isExact && part.length !== unpackedBytesMax) {
      throw new CodecError(`a frame has ${part.length} bytes, it says ${unpackedBytesMax}`)
    }
    left -= part.length
    if (left < 0) throw tooLong(bytesMax)
    return part
  })
  return parts.length === 1 ? parts[0] : Buffer.concat(parts)
}

/** `limit` is what has cut the room short, if that was less than the frame might take. */
function unpackFrame(unpack: ZstdEngine['unpack'], frame: Buffer, room: number, limit: number | undefined): Buffer {
  try {
    return unpack(frame, room)
  } catch (error) {
    if (limit !== undefined) throw tooLong(limit)
    throw new CodecError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

/** `unpackZstd` in the thread pool; undefined where there is no way, or several frames, which hardly anybody writes. */
export async function unpackZstdLater(bytes: Buffer, bytesMax: number): Promise<Buffer | undefined> {
  const { zstdDecompress }: ZlibWithZstd = zlib
  if (zstdDecompress === undefined) return undefined
  const { end, unpackedBytesMax, isExact } = walkFrame(bytes, 0)
  if (end !== bytes.length) return undefined
  if (isExact && unpackedBytesMax > bytesMax) throw tooLong(bytesMax)
  const unpacked = await new Promise<Buffer>((resolve, reject) => {
    zstdDecompress(bytes, { maxOutputLength: Math.max(1, Math.min(bytesMax, unpackedBytesMax)) }, (error, result) => {
      if (error === null) resolve(result)
      else reject(new CodecError(error.message, { cause: error }))
    })
  })
  if (!isExact || unpacked.length === unpackedBytesMax) return unpacked
  throw new CodecError(`a frame has ${unpacked.length} bytes, it says ${unpackedBytesMax}`)
}

/** `level` is 1 to 22; higher is smaller and slower. */
export function packZstd(bytes: Buffer, level = LEVEL_DEFAULT): Buffer {
  return loadZstd().pack(bytes, level)
}

/** Node's own Zstandard where it has one, the WebAssembly one elsewhere. */
function loadZstd(): ZstdEngine {
  return nodeZstd() ?? loadZstdWasm()
}

/** Undefined before Node 22.15. */
export function nodeZstd(): ZstdEngine | undefined {
  const { zstdDecompressSync, zstdCompressSync }: ZlibWithZstd = zlib
  if (zstdDecompressSync === undefined || zstdCompressSync === undefined) return undefined
  return {
    unpack: (frame, bytesMax) => zstdDecompressSync(frame, { maxOutputLength: bytesMax }),
    pack: (bytes, level) => zstdCompressSync(bytes, { params: { [LEVEL_PARAMETER]: level } }),
  }
}

interface Frame {
  readonly end: number
  /** The frame does not unpack to more. */
  readonly unpackedBytesMax: number
  /** Whether it says that it unpacks to exactly that. */
  readonly isExact: boolean
  readonly isSkipped: boolean
}

function walkFrame(bytes: Buffer, start: number): Frame {
  need(bytes, start, 8)
  const magic = bytes.readUInt32LE(start)
  if ((magic & SKIPPABLE_MASK) === SKIPPABLE_MAGIC) {
    const end = start + 8 + bytes.readUInt32LE(start + 4)
    need(bytes, start, end - start)
    return { end, unpackedBytesMax: 0, isExact: true, isSkipped: true }
  }
  if (magic !== MAGIC) throw new CodecError(`byte ${start} begins no frame`)
  const descriptor = bytes[start + 4]
  if ((descriptor & RESERVED_BIT) !== 0) throw new CodecError(`the frame at byte ${start} has an unknown format`)
  const isSingleSegment = (descriptor & SINGLE_SEGMENT_BIT) !== 0
  const contentSizeAt = start + 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]
  const contentSizeBytes = CONTENT_SIZE_BYTES[descriptor >> 6] || (isSingleSegment ? 1 : 0)
  need(bytes, contentSizeAt, contentSizeBytes)
  const contentBytes = readContentBytes(bytes, contentSizeAt, contentSizeBytes)
  const windowBytes = isSingleSegment ? contentBytes : readWindowBytes(bytes[start + 5])
  const blockBytesMax = Math.min(windowBytes, BLOCK_BYTES_MAX)
  let at = contentSizeAt + contentSizeBytes
  let mostBytes = 0
  let isLast = false
  while (!isLast) {
    need(bytes, at, 3)
    const header = bytes.readUIntLE(at, 3)
    isLast = (header & 1) !== 0
    const type = (header >> 1) & 3
    const blockBytes = header >> 3
    if (type > BLOCK_TYPES.compressed || blockBytes > BLOCK_BYTES_MAX) {
      throw new CodecError(`the block at byte ${at} is of an unknown kind or too long`)
    }
    mostBytes += type === BLOCK_TYPES.compressed ? blockBytesMax : blockBytes
    at += 3 + (type === BLOCK_TYPES.repeated ? 1 : blockBytes)
  }
  const end = at + ((descriptor & CHECKSUM_BIT) === 0 ? 0 : 4)
  need(bytes, start, end - start)
  const isExact = contentSizeBytes > 0
  return { end, unpackedBytesMax: isExact ? contentBytes : mostBytes, isExact, isSkipped: false }
}

function readContentBytes(bytes: Buffer, at: number, width: number): number {
  if (width === 1) return bytes[at]
  if (width === 2) return bytes.readUInt16LE(at) + 256
  if (width === 4) return bytes.readUInt32LE(at)
  return width === 8 ? bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32 : 0
}

function readWindowBytes(code: number): number {
  const base = 2 ** (10 + (code >> 3))
  return base + (base / 8) * (code & 7)
}

function need(bytes: Buffer, at: number, count: number): void {
  if (at + count > bytes.length) throw new CodecError(`the frame is cut at byte ${bytes.length}`)
}
