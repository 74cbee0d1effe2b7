// CRC-32C of one batch: the broker's function against its own fallback in JavaScript, and against zlib's CRC-32.
import { crc32 } from 'node:zlib'
import { crc32c, crc32cJs } from '../../src/base/crc32c.ts'
import { compare } from './compare.ts'

for (const bytes of [64, 128, 256, 1024, 16_384, 1_048_576]) {
  const buffer = Buffer.alloc(bytes, 'cafelog')
  compare(`CRC of ${bytes.toLocaleString('en-US')} bytes`, { name: 'call', perRun: 1 }, [
    { name: 'slicing-by-8 in JavaScript', run: () => crc32cJs(buffer, 0, bytes) },
    { name: 'crc32c', run: () => crc32c(buffer, 0, bytes) },
    { name: 'zlib.crc32 (another polynomial)', run: () => crc32(buffer) },
  ])
}
