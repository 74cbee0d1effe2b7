import { expect, test } from 'vitest'
import { AssertionError } from '../../base/assert.ts'
import { Writer } from './writer.ts'

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  const bytes = Buffer.concat(writer.finish())
  expect(writer.size).toBe(bytes.length)
  return bytes
}

const ID = '01234567-89ab-cdef-0123-456789ABCDEF'
const BYTES = Buffer.from([1, 2])

const PARTS: [name: string, write: (writer: Writer) => void, hex: string][] = [
  ['bool', (writer) => writer.bool(true), '01'],
  ['int8', (writer) => writer.int8(-1), 'ff'],
  ['int16', (writer) => writer.int16(-2), 'fffe'],
  ['uint16', (writer) => writer.uint16(0xfffe), 'fffe'],
  ['int32', (writer) => writer.int32(-0x7fff_ffff), '80000001'],
  ['uint32', (writer) => writer.uint32(0x8000_0001), '80000001'],
  ['int64', (writer) => writer.int64(0x1_0000_0002), '0000000100000002'],
  ['int64 below zero', (writer) => writer.int64(-2), 'fffffffffffffffe'],
  ['int64, the largest', (writer) => writer.int64(Number.MAX_SAFE_INTEGER), '001fffffffffffff'],
  ['int64, the smallest', (writer) => writer.int64(Number.MIN_SAFE_INTEGER), 'ffe0000000000001'],
  ['float64', (writer) => writer.float64(-1.5), 'bff8000000000000'],
  ['uuid', (writer) => writer.uuid(ID), '0123456789abcdef0123456789abcdef'],
  ['uvarint', (writer) => writer.uvarint(127), '7f'],
  ['uvarint of two bytes', (writer) => writer.uvarint(300), 'ac02'],
  ['uvarint, the largest', (writer) => writer.uvarint(0xffff_ffff), 'ffffffff0f'],
  ['string', (writer) => writer.string('€'), '0003e282ac'],
  ['string, null', (writer) => writer.nullableString(null), 'ffff'],
  ['compact string', (writer) => writer.compactString('ab'), '036162'],
  ['compact string, null', (writer) => writer.compactNullableString(null), '00'],
  ['long string', (writer) => writer.string('a'.repeat(40)), `0028${'61'.repeat(40)}`],
  ['bytes', (writer) => writer.bytes(BYTES), '000000020102'],
  ['bytes, null', (writer) => writer.nullableBytes(null), 'ffffffff'],
  ['compact bytes', (writer) => writer.compactBytes(BYTES), '030102'],
  ['compact bytes, null', (writer) => writer.compactNullableBytes(null), '00'],
  ['records', (writer) => writer.records(BYTES), '000000020102'],
  ['records, null', (writer) => writer.nullableRecords(null), 'ffffffff'],
  ['compact records', (writer) => writer.compactRecords(BYTES), '030102'],
  ['compact records, null', (writer) => writer.compactNullableRecords(null), '00'],
  ['array count', (writer) => writer.arrayCount(2), '00000002'],
  ['array count, null', (writer) => writer.arrayCount(-1), 'ffffffff'],
  ['compact array count', (writer) => writer.compactArrayCount(2), '03'],
  ['compact array count, null', (writer) => writer.compactArrayCount(-1), '00'],
]

test.each(PARTS)('the writer writes %s', (_name, write, hex) => {
  expect(written(write).toString('hex')).toBe(hex)
})

test.each(PARTS)('the writer has room for %s wherever its buffer ends', (_name, write, hex) => {
  const lead = Buffer.alloc(600, 0x55)
  for (let leadBytes = 460; leadBytes <= 520; leadBytes++) {
    const bytes = written((writer) => {
      writer.bytes(lead.subarray(0, leadBytes))
      write(writer)
    })
    expect(bytes.toString('hex', 4 + leadBytes)).toBe(hex)
  }
})

test('the writer takes large records as they are, and copies small ones', () => {
  const writer = new Writer()
  const large = Buffer.alloc(5000, 1)
  const small = Buffer.alloc(10, 2)
  writer.int8(7)
  writer.records(large)
  writer.records(small)
  writer.records(large)
  const pieces = writer.finish()
  expect(pieces.map((piece) => piece.length)).toEqual([5, 5000, 18, 5000])
  expect([pieces[1], pieces[3]].every((piece) => piece === large)).toBe(true)
})

test.each([0, 1, 126, 127, 128, 129, 20_000])(
  'the writer puts the size of %d bytes before a tagged field',
  (length) => {
    const bytes = written((writer) => {
      writer.int8(1)
      const begin = writer.beginTaggedField(300)
      for (let index = 0; index < length; index++) writer.int8(0x55)
      writer.endTaggedField(begin)
      writer.int8(2)
    })
    const content = Buffer.alloc(length, 0x55)
    const size = written((writer) => writer.uvarint(length))
    expect(bytes.equals(Buffer.concat([Buffer.from('01ac02', 'hex'), size, content, Buffer.from([2])]))).toBe(true)
  },
)

test('the writer nests tagged fields, also behind records', () => {
  const bytes = written((writer) => {
    writer.records(Buffer.alloc(2000))
    const outer = writer.beginTaggedField(1)
    const inner = writer.beginTaggedField(2)
    writer.string('x'.repeat(200))
    writer.endTaggedField(inner)
    writer.endTaggedField(outer)
  })
  expect(bytes.toString('hex', 2004)).toBe(`01cd01 02ca01 00c8${'78'.repeat(200)}`.replaceAll(' ', ''))
})

test('a frame begins with the length of the rest', () => {
  const writer = new Writer()
  writer.int32(0)
  writer.records(Buffer.alloc(2000))
  writer.int8(1)
  const pieces = writer.finishFrame()
  expect(Buffer.concat(pieces).readInt32BE(0)).toBe(2005)
})

test.each<[what: string, write: (writer: Writer) => void]>([
  ['a string that Kafka has no length for', (writer) => writer.string('a'.repeat(0x8000))],
  ['an integer that is not exact', (writer) => writer.int64(2 ** 53)],
  ['a UUID of another form', (writer) => writer.uuid('0123456789abcdef0123456789abcdef')],
  ['a UUID with a letter too many', (writer) => writer.uuid('01234567-89ab-cdef-0123-456789abcdeg')],
])('the writer takes %s for a mistake of ours', (_what, write) => {
  expect(() => write(new Writer())).toThrow(AssertionError)
})
