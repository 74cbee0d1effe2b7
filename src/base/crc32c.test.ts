import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { crc32c, crc32cJs } from './crc32c.ts'

// RFC 3720, appendix B.4, and the check value that catalogues of checksums give for CRC-32C.
const VECTORS: [what: string, bytes: Buffer, checksum: number][] = [
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 ascending bytes', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
  ['32 descending bytes', Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c],
  [
    'a SCSI read command',
    Buffer.from(
      '01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000',
      'hex',
    ),
    0xd9963a56,
  ],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ['nothing', Buffer.alloc(0), 0],
]

test.each(VECTORS)('the checksum of %s', (_what, bytes, checksum) => {
  expect(crc32c(bytes, 0, bytes.length)).toBe(checksum)
  expect(crc32cJs(bytes, 0, bytes.length)).toBe(checksum)
})

test('only the range counts', () => {
  const bytes = Buffer.from('<<123456789>')
  expect(crc32c(bytes, 2, 11)).toBe(0xe3069283)
})

test('native code and JavaScript agree on ranges of any length and position', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(), fc.nat(), (array, first, second) => {
      const bytes = Buffer.from(array)
      const ends = [first % (bytes.length + 1), second % (bytes.length + 1)]
      const [start, end] = [Math.min(...ends), Math.max(...ends)]
      expect(crc32c(bytes, start, end)).toBe(bitByBit(bytes.subarray(start, end)))
      expect(crc32cJs(bytes, start, end)).toBe(bitByBit(bytes.subarray(start, end)))
    }),
    200,
  )
})

function bitByBit(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}
