import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { findBatchFault, getCodec, setBatchProducer } from '../src/record/batch-header.ts'
import type { RecordHeader } from '../src/record/batch-header.ts'
import { decodeRecords } from '../src/record/record-reader.ts'
import { checkProperty, checkPropertyAsync } from '../test/support/property.ts'
import type { Bytes } from './record-batch.ts'
import { BatchWriter, compressBatch, OutgoingRecord } from './record-batch.ts'

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
  const record = new OutgoingRecord()
  writer.reset()
  for (const { key, value, timestamp, headers } of records) {
    record.hold(key, value, timestamp, headers)
    writer.add(record)
  }
  return Buffer.from(writer.finish())
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
      expect([findBatchFault(batch, 0, batch.length), getCodec(batch, 0)]).toEqual([undefined, 'gzip'])
      expect(decodeRecords(batch)).toEqual(asRead(records))
    }),
    50,
  )
})

test('a producer that is told later makes the same batch as one that was known', () => {
  const producer = { producerId: 2 ** 40 + 3, producerEpoch: 12, baseSequence: 2 ** 31 - 2 }
  const record = new OutgoingRecord()
  const writer = new BatchWriter(100)
  record.hold('key', 'value', 5)
  writer.add(record)
  const known = writer.finish(producer)
  const later = write([{ key: 'key', value: 'value', timestamp: 5, headers: [] }])
  setBatchProducer(later, producer)
  expect(later).toEqual(known)
})

test('text that needs much room leaves none behind', () => {
  const record = new OutgoingRecord()
  const writer = new BatchWriter(100)
  for (const value of ['x'.repeat(3_000_000), 'small', 'ü'.repeat(5000)]) {
    record.hold('key', value, 0)
    const before = writer.sizeBytes
    writer.add(record)
    expect(record.sizeBytes).toBeGreaterThanOrEqual(writer.sizeBytes - before)
  }
  expect(decodeRecords(writer.finish()).map(({ value }) => value?.length)).toEqual([3_000_000, 5, 10_000])
})
