import { expect, test } from 'vitest'
import { ELEMENTS_PER_REQUEST_MAX, MalformedMessageError, Reader } from './reader.ts'

/** The parts of a message that take no argument. */
type Part = { [Name in keyof Reader]: Reader[Name] extends () => unknown ? Name : never }[keyof Reader]

/** A reader whose buffer goes on before and behind what it may read. */
function readerOf(hex: string, elementsMax?: number): Reader {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const buffer = Buffer.concat([Buffer.alloc(8, 0x01), bytes, Buffer.alloc(8, 0x01)])
  return new Reader(buffer, 8, 8 + bytes.length, elementsMax)
}

const ID = '01234567-89ab-cdef-0123-456789abcdef'
const BYTES = Buffer.from([1, 2])

test.each<[part: Part, hex: string, value: unknown]>([
  ['bool', '00', false],
  ['bool', '02', true],
  ['int8', 'ff', -1],
  ['int16', '8000', -0x8000],
  ['uint16', '8000', 0x8000],
  ['int32', '80000001', -0x7fff_ffff],
  ['uint32', '80000001', 0x8000_0001],
  ['int64', 'ffffffff fffffffe', -2],
  ['int64', '00000001 00000002', 0x1_0000_0002],
  ['int64', '001fffff ffffffff', Number.MAX_SAFE_INTEGER],
  ['int64', '00200000 00000000', Number.MAX_SAFE_INTEGER],
  ['int64', '7fffffff ffffffff', Number.MAX_SAFE_INTEGER],
  ['int64', '80000000 00000000', Number.MIN_SAFE_INTEGER],
  ['float64', 'bff80000 00000000', -1.5],
  ['uuid', '0123456789abcdef0123456789abcdef', ID],
  ['uvarint', '7f', 127],
  ['uvarint', 'ac02', 300],
  ['uvarint', '8000', 0],
  ['uvarint', 'ffffffff0f', 0xffff_ffff],
  ['string', '0003 e282ac', '€'],
  ['string', '0000', ''],
  ['nullableString', 'ffff', null],
  ['nullableString', 'fffe', null],
  ['compactString', '04 e282ac', '€'],
  ['compactString', '01', ''],
  ['compactNullableString', '00', null],
  ['bytes', '00000002 0102', BYTES],
  ['nullableBytes', 'ffffffff', null],
  ['compactBytes', '03 0102', BYTES],
  ['compactNullableBytes', '00', null],
  ['records', '00000002 0102', BYTES],
  ['nullableRecords', 'ffffffff', null],
  ['compactRecords', '03 0102', BYTES],
  ['compactNullableRecords', '00', null],
  ['skipTaggedFields', '00', undefined],
  ['skipTaggedFields', '02 00 01 ff ac02 02 ffff', undefined],
])('the reader takes %s from %s', (part, hex, value) => {
  const reader = readerOf(hex)
  expect(reader[part]()).toEqual(value)
  expect(() => reader.int8()).toThrow(MalformedMessageError)
})

test.each<[part: Part, hex: string]>([
  ['int8', ''],
  ['int16', '00'],
  ['int32', '000000'],
  ['int64', '00000000000000'],
  ['float64', '00000000000000'],
  ['uuid', '0123456789abcdef0123456789abcd'],
  ['uvarint', ''],
  ['uvarint', 'ffff'],
  ['uvarint', 'ffffffff10'],
  ['uvarint', 'ffffffffff01'],
  ['string', '0003 e282'],
  ['string', 'ffff'],
  ['compactString', '04 e282'],
  ['compactString', '00'],
  ['compactString', 'ffffffff0f 00'],
  ['bytes', '7fffffff 00'],
  ['bytes', 'ffffffff'],
  ['compactBytes', '00'],
  ['records', '80000000'],
  ['compactRecords', '00'],
  ['skipTaggedFields', '01 00 02 ff'],
  ['skipTaggedFields', 'ffffffff0f'],
])('the reader refuses %s from "%s"', (part, hex) => {
  expect(() => readerOf(hex)[part]()).toThrow(MalformedMessageError)
})

test('the reader refuses a string that is longer than Kafka allows', () => {
  const text = '61'.repeat(0x7fff)
  expect(readerOf(`808002 ${text}`).compactString()).toHaveLength(0x7fff)
  expect(() => readerOf(`818002 ${text}61`).compactString()).toThrow(/string of 32768 bytes is too long/)
})

test('the reader copies bytes and only points to records', () => {
  const buffer = Buffer.from('00000001aa 00000001bb'.replaceAll(' ', ''), 'hex')
  const reader = new Reader(buffer)
  const copied = reader.bytes()
  const pointed = reader.records()
  buffer.fill(0)
  expect([copied, pointed]).toEqual([Buffer.from([0xaa]), Buffer.from([0])])
})

test('the reader takes counts that the bytes behind them can keep', () => {
  expect(readerOf('00000002 0102').arrayCount(1)).toBe(2)
  expect(readerOf('00000002 01020304').nullableArrayCount(2)).toBe(2)
  expect(readerOf('03 0102').compactArrayCount(1)).toBe(2)
  expect(readerOf('03 01020304').compactNullableArrayCount(2)).toBe(2)
  expect(readerOf('ffffffff').nullableArrayCount(1)).toBe(-1)
  expect(readerOf('00').compactNullableArrayCount(1)).toBe(-1)
  expect(() => readerOf('00000003 0102').arrayCount(1)).toThrow(/3 elements do not fit into the 2 bytes/)
  expect(() => readerOf('7fffffff 0102').nullableArrayCount(1)).toThrow(MalformedMessageError)
  expect(() => readerOf('03 010203').compactArrayCount(2)).toThrow(MalformedMessageError)
  expect(() => readerOf('ffffffff0f 0102').compactNullableArrayCount(2)).toThrow(MalformedMessageError)
  expect(() => readerOf('ffffffff').arrayCount(1)).toThrow(/null where none may be/)
  expect(() => readerOf('00').compactArrayCount(1)).toThrow(/null where none may be/)
})

test('the reader limits the array elements of a message, all arrays together', () => {
  const twoArrays = readerOf('00000002 00000003 010203', 5)
  expect([twoArrays.arrayCount(1), twoArrays.arrayCount(1)]).toEqual([2, 3])
  const oneTooMany = readerOf('00000002 00000003 010203', 4)
  expect(oneTooMany.arrayCount(1)).toBe(2)
  expect(() => oneTooMany.arrayCount(1)).toThrow(/too many array elements/)

  const large = Buffer.alloc(4 + 4 * ELEMENTS_PER_REQUEST_MAX + 4)
  large.writeInt32BE(ELEMENTS_PER_REQUEST_MAX)
  expect(new Reader(large).arrayCount(4)).toBe(ELEMENTS_PER_REQUEST_MAX)
  large.writeInt32BE(ELEMENTS_PER_REQUEST_MAX + 1)
  expect(() => new Reader(large).arrayCount(4)).toThrow(MalformedMessageError)
})

test('the reader stays within what was entered, and goes on behind it', () => {
  const reader = readerOf('0102 03')
  const outerEnd = reader.enter(2)
  expect(reader.int8()).toBe(1)
  expect(() => reader.int16()).toThrow(MalformedMessageError)
  reader.leave(outerEnd)
  expect(reader.int8()).toBe(3)
  expect(() => readerOf('0102').enter(3)).toThrow(MalformedMessageError)
})

test('what is thrown says where and why', () => {
  expect(() => new Reader(Buffer.alloc(6), 2, 4).int32()).toThrow(
    'Cannot read the message at byte 2: the message ends at 4, and 4 bytes are due',
  )
})
