import { late, requireLibrary } from '../../base/library.ts'
import { CodecError, tooLong } from './codec-error.ts'

// Snappy comes in two ways. librdkafka, Go and Python write one raw block: its unpacked length as an unsigned varint, and
// then the data. Java and what follows it write the framing of the library snappy-java ("xerial"):
//
//   0 "\x82SNAPPY\0" │ 8 version i32 BE │ 12 compatible version i32 BE │ then, until the end: length i32 BE, a raw block
//
// Streams that were put together may have the sixteen bytes again where a length is due; as a length they are negative.

interface Snappy {
  readonly uncompressSync: (input: Buffer) => Buffer
  readonly compressSync: (input: Buffer) => Buffer
}

const loadSnappy = late(() => requireLibrary('snappy') as Snappy)

const XERIAL_MAGIC = Buffer.from('\x82SNAPPY\0', 'latin1')
const XERIAL_HEADER_BYTES = 16
const XERIAL_VERSION = 1
/** What snappy-java puts into one block. */
const XERIAL_BLOCK_BYTES = 32 * 1024

/** One raw block, or the framing of snappy-java around several. */
export function unpackSnappy(bytes: Buffer, bytesMax: number): Buffer {
  const blocks = isXerial(bytes, 0) ? splitXerial(bytes) : [bytes]
  let claimed = 0
  for (const block of blocks) claimed += readLength(block)
  if (claimed > bytesMax) throw tooLong(bytesMax)
  const { uncompressSync } = loadSnappy()
  const unpacked = blocks.map((block) => {
    try {
      return uncompressSync(block)
    } catch (error) {
      throw new CodecError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  })
  return unpacked.length === 1 ? unpacked[0] : Buffer.concat(unpacked)
}

/** In the framing of snappy-java, which every Kafka client reads. */
export function packSnappy(bytes: Buffer): Buffer {
  const { compressSync } = loadSnappy()
  const header = Buffer.alloc(XERIAL_HEADER_BYTES)
  XERIAL_MAGIC.copy(header)
  header.writeInt32BE(XERIAL_VERSION, 8)
  header.writeInt32BE(XERIAL_VERSION, 12)
  const parts: Buffer[] = [header]
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK_BYTES) {
    const block = compressSync(bytes.subarray(at, at + XERIAL_BLOCK_BYTES))
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}

function isXerial(bytes: Buffer, at: number): boolean {
  const end = at + XERIAL_HEADER_BYTES
  return bytes.length >= end && XERIAL_MAGIC.compare(bytes, at, at + XERIAL_MAGIC.length) === 0
}

function splitXerial(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  let at = 0
  while (at < bytes.length) {
    if (isXerial(bytes, at)) {
      at += XERIAL_HEADER_BYTES
      continue
    }
    const left = bytes.length - at - 4
    const length = left < 0 ? -1 : bytes.readInt32BE(at)
    if (length < 1 || length > left) {
      throw new CodecError(`a block at byte ${at} claims ${length} bytes, ${Math.max(left, 0)} are left`)
    }
    blocks.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return blocks
}

/** The unpacked length that a raw block claims: an unsigned varint of at most five bytes. */
function readLength(block: Buffer): number {
  let length = 0
  for (let index = 0; index < 5 && index < block.length; index++) {
    length += (block[index] & 0x7f) * 2 ** (7 * index)
    if (block[index] < 0x80) return length
  }
  throw new CodecError('a block does not say how long it is')
}
