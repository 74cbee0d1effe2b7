import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { MalformedVarintError, readVarint, readVarlong, varintBytes, writeVarint } from './varint.ts'

type Read = typeof readVarint

function encode(value: number): string {
  const buffer = Buffer.alloc(12, 0x55)
  const end = writeVarint(buffer, 1, value)
  expect(end - 1).toBe(varintBytes(value))
  expect([buffer[0], buffer[end]]).toEqual([0x55, 0x55])
  return buffer.toString('hex', 1, end)
}

/** The value and how many bytes it took. */
function decode(read: Read, hex: string): [value: number, bytes: number] {
  const cursor = { buffer: Buffer.from(`55${hex}`, 'hex'), at: 1, end: 1 + hex.length / 2 }
  const value = read(cursor)
  return [value, cursor.at - 1]
}

/** The encoding by its definition, with bigints. */
function define(value: bigint): string {
  let rest = value < 0n ? -value * 2n - 1n : value * 2n
  const bytes: number[] = []
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)]).toString('hex')
}

// Values that Apache Kafka tests its own code with (ByteUtilsTest), and the largest that are safe.
const VECTORS: [value: number, hex: string][] = [
  [0, '00'],
  [-1, '01'],
  [1, '02'],
  [63, '7e'],
  [-64, '7f'],
  [64, '8001'],
  [-65, '8101'],
  [8191, 'fe7f'],
  [-8192, 'ff7f'],
  [8192, '808001'],
  [1048575, 'feff7f'],
  [-1048576, 'ffff7f'],
  [1048576, '80808001'],
  [134217727, 'feffff7f'],
  [134217728, '8080808001'],
  [2147483647, 'feffffff0f'],
  [-2147483648, 'ffffffff0f'],
]

const LONG_VECTORS: [value: number, hex: string][] = [
  [17179869183, 'feffffff7f'],
  [-17179869184, 'ffffffff7f'],
  [17179869184, '808080808001'],
  [2199023255551, 'feffffffff7f'],
  [2199023255552, '80808080808001'],
  [281474976710655, 'feffffffffff7f'],
  [-281474976710656, 'ffffffffffff7f'],
  [281474976710656, '8080808080808001'],
  [Number.MAX_SAFE_INTEGER, 'feffffffffffff1f'],
  [Number.MIN_SAFE_INTEGER, 'fdffffffffffff1f'],
]

test.each(VECTORS)('the varint of %d', (value, hex) => {
  expect(encode(value)).toBe(hex)
  expect(decode(readVarint, hex)).toEqual([value, hex.length / 2])
  expect(decode(readVarlong, hex)).toEqual([value, hex.length / 2])
})

test.each(LONG_VECTORS)('the varlong of %d, which is no varint', (value, hex) => {
  expect(encode(value)).toBe(hex)
  expect(decode(readVarlong, hex)).toEqual([value, hex.length / 2])
  expect(() => decode(readVarint, hex)).toThrow(MalformedVarintError)
})

test('every safe integer is written by the definition and read back', () => {
  const integers = fc.oneof(
    fc.maxSafeInteger(),
    fc.integer(),
    fc.tuple(fc.nat(52), fc.integer({ min: -2, max: 2 })).map(([power, more]) => 2 ** power + more),
  )
  checkProperty(
    fc.property(integers, (value) => {
      for (const signed of [value, -value]) {
        expect(encode(signed)).toBe(define(BigInt(signed)))
        // toEqual tells minus zero from zero; zigzag has one of them.
        expect(decode(readVarlong, encode(signed))).toEqual([signed + 0, varintBytes(signed)])
      }
    }),
    1000,
  )
})

test('a varint that is cut short anywhere is refused', () => {
  for (const [, hex] of [...VECTORS, ...LONG_VECTORS]) {
    for (let length = 0; length < hex.length; length += 2) {
      expect(() => decode(readVarint, hex.slice(0, length))).toThrow(MalformedVarintError)
      expect(() => decode(readVarlong, hex.slice(0, length))).toThrow('cut short')
    }
  }
})

test.each(['ffffffff1f', 'ffffffffff', 'ffffffff8f00', '808080808000'])('%s is over-long as a varint', (hex) => {
  expect(() => decode(readVarint, hex)).toThrow('over 32 bits')
})

test('a varlong has ten bytes at most', () => {
  expect(decode(readVarlong, '81808080808080808000')).toEqual([-1, 10])
  expect(() => decode(readVarlong, '8180808080808080808000')).toThrow('more than ten bytes')
})

test.each(['80808080808080 20', 'fffffffffffff f1f', 'ffffffffffffffffff01', 'feffffffffffffffff01'])(
  '%s is beyond the safe integers',
  (hex) => {
    expect(() => decode(readVarlong, hex.replace(' ', ''))).toThrow('beyond ±(2^53 - 1)')
  },
)

test('arbitrary bytes give a safe integer or are refused, and never move the cursor over the end', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 12 }), fc.constantFrom(readVarint, readVarlong), (array, read) => {
      const cursor = { buffer: Buffer.from(array), at: 0, end: array.length }
      try {
        expect(Number.isSafeInteger(read(cursor))).toBe(true)
        expect(cursor.at).toBeGreaterThan(0)
        expect(cursor.at).toBeLessThanOrEqual(array.length)
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedVarintError)
        expect(cursor.at).toBe(0)
      }
    }),
    1000,
  )
})
