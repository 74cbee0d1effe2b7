import { createRequire } from 'node:module'

// CRC-32C (Castagnoli), the checksum of Kafka's record batches; not the CRC-32 of zlib. Two ways to the same number:
// a native module, and slicing-by-8 in JavaScript, which is as fast for two hundred bytes because nothing has to cross
// into native code, and which is what is left on a platform that the native module has no binary for.

type NativeCrc32c = (input: Uint8Array) => number

const NATIVE_BYTES_MIN = 256
const POLYNOMIAL = 0x82f63b78

// TABLES[k * 256 + b] is the checksum of byte b followed by k zero bytes, so that eight bytes can be looked up at once.
const TABLES = makeTables()
const native = loadNative()

/** The CRC-32C of the bytes from `start` to before `end`, unsigned. */
export function crc32c(buffer: Buffer, start: number, end: number): number {
  if (native !== undefined && end - start >= NATIVE_BYTES_MIN) return native(buffer.subarray(start, end))
  return crc32cJs(buffer, start, end)
}

/** `crc32c` in JavaScript alone. */
export function crc32cJs(buffer: Buffer, start: number, end: number): number {
  const tables = TABLES
  const eightsEnd = end - 7
  let crc = -1
  let at = start
  for (; at < eightsEnd; at += 8) {
    crc ^= buffer[at] | (buffer[at + 1] << 8) | (buffer[at + 2] << 16) | (buffer[at + 3] << 24)
    crc =
      tables[0x700 | (crc & 0xff)] ^
      tables[0x600 | ((crc >>> 8) & 0xff)] ^
      tables[0x500 | ((crc >>> 16) & 0xff)] ^
      tables[0x400 | (crc >>> 24)] ^
      tables[0x300 | buffer[at + 4]] ^
      tables[0x200 | buffer[at + 5]] ^
      tables[0x100 | buffer[at + 6]] ^
      tables[buffer[at + 7]]
  }
  for (; at < end; at++) crc = tables[(crc ^ buffer[at]) & 0xff] ^ (crc >>> 8)
  return ~crc >>> 0
}

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at++) {
    const shorter = tables[at - 256]
    tables[at] = tables[shorter & 0xff] ^ (shorter >>> 8)
  }
  return tables
}

function loadNative(): NativeCrc32c | undefined {
  try {
    const load: (name: string) => { crc32c: NativeCrc32c } = createRequire(import.meta.url)
    const found = load('@node-rs/crc32').crc32c
    return found(Buffer.from('123456789')) === 0xe3069283 ? found : undefined
  } catch {
    return undefined
  }
}
