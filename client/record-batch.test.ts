import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { setBaseOffset, setBatchProducer, setControlBatch } from '../src/record/batch-header.ts'
import type { RecordHeader } from '../src/record/batch-header.ts'
import { decodeRecords } from '../src/record/record-reader.ts'
import { checkProperty, checkPropertyAsync } from '../test/support/property.ts'
import type { Bytes } from './record-batch.ts'
import { BatchWriter, compressBatch, RecordScratch, UnreadableRecords, visitBatches } from './record-batch.ts'

interface PlainRecord {
  readonly key: Bytes | null
  readonly value: Bytes | null
  readonly timestamp: number
  readonly headers: readonly RecordHeader[]
}

/** Records as another implementation wrote them below. */
const GOLDEN_RECORDS: readonly PlainRecord[] = [
  { timestamp: 1700000000000, key: 'k1', value: 'v1', headers: [] },
  { timestamp: 1700000000123, key: null, value: 'a longer value '.repeat(6), headers: [] },
  { timestamp: 1699999999000, key: '', value: null, headers: [] },
  {
    timestamp: 1700000000001,
    key: 'key',
    value: '',
    headers: [
      { key: 'trace', value: Buffer.from([0x00, 0xff]) },
      { key: 'none', value: null },
      { key: 'ü', value: Buffer.alloc(0) },
    ],
  },
]

// Written by kafka-python 2.0.2 (DefaultRecordBatchBuilder); its leader epoch is 0, which the checksum does not cover.
const GOLDEN =
  '0000000000000000000000c5000000000298e12f840000000000030000018bcfe568000000018bcfe5687bffffffffffffffffffffffffffff0000' +
  '000414000000046b3104763100c40100f6010201b40161206c6f6e6765722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765' +
  '722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765722076616c756520000e00cf0f04' +
  '00010038000206066b657900060a74726163650400ff086e6f6e650104c3bc00'

/** The records of a batch, in a buffer of its own. */
function write(records: readonly PlainRecord[], writer = new BatchWriter(100)): Buffer {
  const scratch = new RecordScratch()
  writer.reset()
  for (const { key, value, timestamp, headers } of records) {
    scratch.hold(key, value)
    writer.add(scratch, timestamp, headers)
  }
  return Buffer.from(writer.finish())
}

/** The batch with `text` as values, at an offset. */
function batchAt(baseOffset: number, ...texts: string[]): Buffer {
  const batch = write(texts.map((value) => ({ key: null, value, timestamp: 0, headers: [] })))
  setBaseOffset(batch, 0, baseOffset)
  return batch
}

function read(bytes: Buffer, fromOffset: number): { nextOffset: number; values: string[] } {
  const values: string[] = []
  const nextOffset = visitBatches(bytes, fromOffset, ({ offset, value }) => {
    values.push(`${offset} ${String(value)}`)
  })
  return { nextOffset, values }
}

const bytesOf = (bytes: Bytes | null) => (bytes === null ? null : Buffer.from(bytes as string))

const anyBytes = fc.oneof(
  fc.constant(null),
  fc.string({ maxLength: 300, unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 300 }),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
)
const anyHeaders = fc.array(
  fc.record({
    key: fc.string({ maxLength: 10 }),
    value: fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))),
  }),
  { maxLength: 3 },
)
const anyRecords: fc.Arbitrary<PlainRecord[]> = fc.array(
  fc.record({ key: anyBytes, value: anyBytes, timestamp: fc.nat({ max: 2 ** 45 }), headers: anyHeaders }),
  { minLength: 1, maxLength: 20 },
)

/** What `decodeRecords` is to say about them. */
const asRead = (records: readonly PlainRecord[]) =>
  records.map(({ key, value, ...rest }, offset) => ({ offset, key: bytesOf(key), value: bytesOf(value), ...rest }))

test('a batch has the bytes that another implementation gives it', () => {
  const batch = write(GOLDEN_RECORDS)
  batch.writeInt32BE(0, 12)
  expect(batch.toString('hex')).toBe(GOLDEN)
})

test('whatever is written is read, also with a writer that was used before', () => {
  const writer = new BatchWriter(100)
  checkProperty(
    fc.property(anyRecords, (records) => {
      expect(decodeRecords(write(records, writer))).toEqual(asRead(records))
    }),
    300,
  )
})

test('whatever is compressed is read', async () => {
  await checkPropertyAsync(
    fc.asyncProperty(anyRecords, async (records) => {
      const batch = await compressBatch(write(records))
      setBatchProducer(batch, { producerId: 7, producerEpoch: 1, baseSequence: 9 })
      const values: (Buffer | null)[] = []
      visitBatches(batch, 0, ({ value }) => void values.push(value))
      expect(values).toEqual(records.map(({ value }) => bytesOf(value)))
    }),
    50,
  )
})

test('a producer that is told later makes the same batch as one that was known', () => {
  const producer = { producerId: 2 ** 40 + 3, producerEpoch: 12, baseSequence: 2 ** 31 - 2 }
  const scratch = new RecordScratch()
  const writer = new BatchWriter(100)
  scratch.hold('key', 'value')
  writer.add(scratch, 5)
  const known = writer.finish(producer)
  const later = write([{ key: 'key', value: 'value', timestamp: 5, headers: [] }])
  setBatchProducer(later, producer)
  expect(later).toEqual(known)
})

test('text that needs much room leaves none behind', () => {
  const scratch = new RecordScratch()
  const writer = new BatchWriter(100)
  for (const value of ['x'.repeat(3_000_000), 'small', 'ü'.repeat(5000)]) {
    scratch.hold('key', value)
    expect(scratch.sizeBytes).toBe(3 + Buffer.byteLength(value))
    writer.add(scratch, 0)
  }
  expect(decodeRecords(writer.finish()).map(({ value }) => value?.length)).toEqual([3_000_000, 5, 10_000])
})

test('batches are read from the offset that is wanted, and control batches passed over', () => {
  const control = batchAt(12, 'mark')
  setControlBatch(control, 0)
  const bytes = Buffer.concat([batchAt(10, 'a', 'b'), control, batchAt(13, 'c')])
  expect(read(bytes, 11)).toEqual({ nextOffset: 14, values: ['11 b', '13 c'] })
  expect(read(bytes.subarray(0, bytes.length - batchAt(13, 'c').length), 12)).toEqual({ nextOffset: 13, values: [] })
  expect(read(bytes, 20)).toEqual({ nextOffset: 20, values: [] })
  expect(read(Buffer.alloc(0), 5)).toEqual({ nextOffset: 5, values: [] })
})

test('a visit that ends goes on at the record at which it ended', () => {
  const bytes = Buffer.concat([batchAt(0, 'a', 'b'), batchAt(2, 'c', 'd')])
  expect(visitBatches(bytes, 0, ({ offset }) => offset < 2)).toBe(2)
  expect(read(bytes, 2)).toEqual({ nextOffset: 4, values: ['2 c', '3 d'] })
})

test('what is damaged is refused once everything before it was read', () => {
  const damaged = batchAt(2, 'c')
  damaged[damaged.length - 2] ^= 1
  const bytes = Buffer.concat([batchAt(0, 'a', 'b'), damaged])
  expect(read(bytes, 0)).toEqual({ nextOffset: 2, values: ['0 a', '1 b'] })
  expect(() => read(bytes, 2)).toThrow(UnreadableRecords)
  expect(() => read(bytes, 2)).toThrow('Cannot read the records from 2: its CRC32C is')
  // What is in it cannot be read although its checksum is right.
  setBatchProducer(damaged, { producerId: -1, producerEpoch: -1, baseSequence: -1 })
  damaged.writeUInt8(99, 61)
  setBatchProducer(damaged, { producerId: -1, producerEpoch: -1, baseSequence: -1 })
  expect(read(bytes.subarray(0, bytes.length - damaged.length), 0).nextOffset).toBe(2)
  expect(() => read(damaged, 2)).toThrow('Cannot read the record batch')
})
