import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { isSafeInt64, readInt64, UnsafeIntegerError, viewBytes, writeInt64 } from './bytes.ts'

/** Reads a 64-bit integer that was written by Node; undefined if it is refused. */
function readBack(value: bigint): number | undefined {
  const buffer = Buffer.alloc(10)
  buffer.writeBigInt64BE(value, 1)
  if (!isSafeInt64(buffer, 1)) {
    expect(() => readInt64(buffer, 1)).toThrow(UnsafeIntegerError)
    return undefined
  }
  return readInt64(buffer, 1)
}

const MAX = BigInt(Number.MAX_SAFE_INTEGER)

test.each([0n, 1n, -1n, 0xffff_ffffn, 0x1_0000_0000n, -0x1_0000_0000n, -0x1_0000_0001n, MAX, -MAX])(
  '%s is read as it is',
  (value) => {
    expect(readBack(value)).toBe(Number(value))
  },
)

test.each([MAX + 1n, -MAX - 1n, MAX + 2n, -MAX - 2n, 2n ** 63n - 1n, -(2n ** 63n)])('%s is refused', (value) => {
  expect(readBack(value)).toBeUndefined()
})

test('a refused integer is quoted in full', () => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64BE(9007199254740993n)
  expect(() => readInt64(buffer, 0)).toThrow('Cannot read the integer 9007199254740993 exactly: at most ±(2^53 - 1)')
})

test('reading and writing agree with Node for every 64-bit integer', () => {
  const integers = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger().map(BigInt))
  checkProperty(
    fc.property(integers, (value) => {
      const isSafe = value >= -MAX && value <= MAX
      expect(readBack(value)).toBe(isSafe ? Number(value) : undefined)
      if (!isSafe) return
      const buffer = Buffer.alloc(10, 0x55)
      writeInt64(buffer, 1, Number(value))
      expect(buffer.readBigInt64BE(1)).toBe(value)
      expect([buffer[0], buffer[9]]).toEqual([0x55, 0x55])
    }),
    500,
  )
})

test.each([0.5, Number.NaN, Infinity, 2 ** 53, -(2 ** 53)])('%s is not written', (value) => {
  expect(() => writeInt64(Buffer.alloc(8), 0, value)).toThrow(UnsafeIntegerError)
})

test('positions outside the buffer are refused', () => {
  expect(() => readInt64(Buffer.alloc(8), 1)).toThrow(RangeError)
  expect(() => writeInt64(Buffer.alloc(8), 1, 0)).toThrow(RangeError)
})

test('a view shows the bytes of its buffer and no others', () => {
  const buffer = Buffer.from('0123456789').subarray(2, 7)
  const { view } = viewBytes(buffer)
  expect(view.byteLength).toBe(5)
  expect(view.getUint8(0)).toBe(0x32)
})
