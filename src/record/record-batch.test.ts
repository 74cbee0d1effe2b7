import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { BrokerError } from '../base/broker-error.ts'
import { writeInt64 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import { packRecords } from './codecs/unpack.ts'
import type { Codec, RecordHeader } from './record-batch.ts'
import {
  BATCH_HEADER_BYTES,
  CODECS,
  decodeRecords,
  findBatchFault,
  getAttributes,
  getBaseOffset,
  getBaseSequence,
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getCrc,
  getLastOffsetDelta,
  getLeaderEpoch,
  getMagic,
  getMaxTimestamp,
  getProducerEpoch,
  getProducerId,
  getRecordCount,
  hasDeleteHorizon,
  hasLogAppendTime,
  isControlBatch,
  isTransactional,
  RecordBatchBuilder,
  setBaseOffset,
  setLeaderEpoch,
  visitRecords,
} from './record-batch.ts'

interface PlainRecord {
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

const record = (timestamp: number, key: string | null, value: string | null, headers: RecordHeader[] = []) => ({
  timestamp,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers,
})

function build(records: readonly PlainRecord[], builder = new RecordBatchBuilder()): Buffer {
  builder.begin()
  for (const { key, value, timestamp, headers } of records) builder.add(key, value, timestamp, headers)
  return builder.finish()
}

/** What the records must be when they are read: with offsets that begin at `baseOffset`. */
function withOffsets(records: readonly PlainRecord[], baseOffset: number) {
  return records.map((each, index) => ({ offset: baseOffset + index, ...each }))
}

// Written by kafka-python 2.0.2 (DefaultRecordBatchBuilder), which has nothing in common with this code. It writes
// leader epoch 0; the checksum does not cover that.
const GOLDEN_RECORDS = [
  record(1700000000000, 'k1', 'v1'),
  record(1700000000123, null, 'a longer value '.repeat(6)),
  record(1699999999000, '', null),
  record(1700000000001, 'key', '', [
    { key: 'trace', value: Buffer.from([0x00, 0xff]) },
    { key: 'none', value: null },
    { key: 'ü', value: Buffer.alloc(0) },
  ]),
]
const GOLDEN =
  '0000000000000000000000c5000000000298e12f840000000000030000018bcfe568000000018bcfe5687bffffffffffffffffffffffffffff0000' +
  '000414000000046b3104763100c40100f6010201b40161206c6f6e6765722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765' +
  '722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765722076616c75652061206c6f6e6765722076616c756520000e00cf0f04' +
  '00010038000206066b657900060a74726163650400ff086e6f6e650104c3bc00'

test('a batch has the bytes that another implementation gives it', () => {
  const batch = build(GOLDEN_RECORDS)
  expect(getLeaderEpoch(batch, 0)).toBe(-1)
  setLeaderEpoch(batch, 0, 0)
  expect(batch.toString('hex')).toBe(GOLDEN)
})

test('a batch of another implementation is read', () => {
  const batch = Buffer.from(GOLDEN, 'hex')
  expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
  expect(decodeRecords(batch)).toEqual(withOffsets(GOLDEN_RECORDS, 0))
})

test('the header is read field by field', () => {
  // By kafka-python 2.0.2: transactional, producer 4001, epoch 3, sequence 77, one record of time 5.
  const batch = Buffer.from(
    '00000000000000000000003a00000000029d321fc20010000000000000000000000005000000000000000500000000' +
      '00000fa100030000004d0000000110000000026b027600',
    'hex',
  )
  setBaseOffset(batch, 0, 123456789012)
  setLeaderEpoch(batch, 0, 9)
  const buffer = Buffer.concat([Buffer.alloc(7, 0xee), batch, Buffer.alloc(7, 0xee)])
  expect(findBatchFault(buffer, 7, buffer.length)).toBeUndefined()
  const readers = {
    getBaseOffset,
    getBatchBytes,
    getLeaderEpoch,
    getMagic,
    getCrc,
    getAttributes,
    getCodec,
    getLastOffsetDelta,
    getBaseTimestamp,
    getMaxTimestamp,
    getProducerId,
    getProducerEpoch,
    getBaseSequence,
    getRecordCount,
    isTransactional,
    isControlBatch,
    hasLogAppendTime,
    hasDeleteHorizon,
  }
  expect(Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read(buffer, 7)]))).toEqual({
    getBaseOffset: 123456789012,
    getBatchBytes: 70,
    getLeaderEpoch: 9,
    getMagic: 2,
    getCrc: 0x9d321fc2,
    getAttributes: 0x10,
    getCodec: 'none',
    getLastOffsetDelta: 0,
    getBaseTimestamp: 5,
    getMaxTimestamp: 5,
    getProducerId: 4001,
    getProducerEpoch: 3,
    getBaseSequence: 77,
    getRecordCount: 1,
    isTransactional: true,
    isControlBatch: false,
    hasLogAppendTime: false,
    hasDeleteHorizon: false,
  })
})

test('gzip by another implementation is read', () => {
  // By kafka-python 2.0.2: five records, compressed with gzip.
  const batch = Buffer.from(
    '000000000000000000000077000000000269767cda0001000000040000018bcfe568000000018bcfe56804ffffffffffffffffffffffffffff0000' +
      '00051f8b08007c68056b02ff8b626060e0c84ead3470cb48cdc9c957c04b324431303181541b12a99a8505a4da8848d56c6c20d5c644aae6e000a9' +
      '36214a3500b19e9a77e6000000',
    'hex',
  )
  expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
  expect(getCodec(batch, 0)).toBe('gzip')
  const records = Array.from({ length: 5 }, (_, index) =>
    record(1700000000000 + index, `key${index}`, 'hello hello hello hello hello hello'),
  )
  expect(decodeRecords(batch)).toEqual(withOffsets(records, 0))
})

const anyBytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const anyNullableBytes = fc.option(anyBytes)
const anyHeader = fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 8 }), value: anyNullableBytes })
const anyRecord: fc.Arbitrary<PlainRecord> = fc.record({
  timestamp: fc.oneof(
    fc.constant(-1),
    fc.nat(),
    fc.integer({ min: 1.7e12, max: 1.8e12 }),
    fc.maxSafeNat().map((nat) => nat - 1),
  ),
  key: anyNullableBytes,
  value: anyNullableBytes,
  headers: fc.array(anyHeader, { maxLength: 3 }),
})
const anyRecords = fc.array(anyRecord, { minLength: 1, maxLength: 20 })

test('all records come back, and the header says what is true of them', () => {
  // One builder for all runs, with an arena that is far too small.
  const builder = new RecordBatchBuilder(64)
  checkProperty(
    fc.property(anyRecords, fc.maxSafeNat(), (records, anyOffset) => {
      const batch = build(records, builder)
      const baseOffset = Math.min(anyOffset, Number.MAX_SAFE_INTEGER - records.length)
      setBaseOffset(batch, 0, baseOffset)
      expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
      expect(decodeRecords(batch)).toEqual(withOffsets(records, baseOffset))
      expect(getBatchBytes(batch, 0)).toBe(batch.length)
      expect(getRecordCount(batch, 0)).toBe(records.length)
      expect(getLastOffsetDelta(batch, 0)).toBe(records.length - 1)
      expect(getBaseTimestamp(batch, 0)).toBe(records[0].timestamp)
      expect(getMaxTimestamp(batch, 0)).toBe(Math.max(...records.map((each) => each.timestamp)))
      expect(getAttributes(batch, 0)).toBe(0)
      expect([getProducerId(batch, 0), getProducerEpoch(batch, 0), getBaseSequence(batch, 0)]).toEqual([-1, -1, -1])
      if (builder.recordCount === 0 && anyOffset % 3 === 0) builder.reset()
    }),
    300,
  )
})

test('records taken from a range of other bytes are the same', () => {
  const source = viewOf('<key><value>')
  const lengths = [0, 1, 3, 4, 5, 159, 160, 161, 1000]
  const long = viewOf('x'.repeat(1000))
  const builder = new RecordBatchBuilder(64)
  builder.begin()
  builder.addSlices(source, 1, 4, 6, 11, 17)
  builder.addSlices(source, -1, -1, 3, 3, 17, [{ key: 'h', value: null }])
  for (const length of lengths) builder.addSlices(long, 0, length, -1, -1, 17)
  const batch = builder.finish()
  expect(batch).toEqual(
    build([
      record(17, 'key', 'value'),
      record(17, null, '', [{ key: 'h', value: null }]),
      ...lengths.map((length) => record(17, 'x'.repeat(length), null)),
    ]),
  )
})

function viewOf(text: string) {
  const buffer = Buffer.from(text)
  return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.length) }
}

test('finished batches stay as they are until the arena is reset, however much follows', () => {
  const builder = new RecordBatchBuilder(256)
  const expected = Array.from({ length: 50 }, (_, index) => [record(index, `key ${index}`, 'v'.repeat(index * 7))])
  for (let round = 0; round < 3; round++) {
    const batches = expected.map((records) => build(records, builder))
    expect(batches.map((batch) => decodeRecords(batch))).toEqual(expected.map((records) => withOffsets(records, 0)))
    builder.reset()
  }
})

test('an abandoned batch leaves nothing behind', () => {
  const builder = new RecordBatchBuilder()
  const kept = build([record(1, 'kept', 'v')], builder)
  builder.begin()
  builder.add(Buffer.from('dropped'), null, 2)
  expect(builder.recordCount).toBe(1)
  builder.abandon()
  builder.abandon()
  expect([builder.recordCount, builder.sizeBytes]).toEqual([0, 0])
  expect(decodeRecords(build([record(3, 'next', 'v')], builder))).toEqual(withOffsets([record(3, 'next', 'v')], 0))
  expect(decodeRecords(kept)).toEqual(withOffsets([record(1, 'kept', 'v')], 0))
})

test('the size of an open batch is the size that it will have', () => {
  const builder = new RecordBatchBuilder()
  builder.begin()
  expect(builder.sizeBytes).toBe(BATCH_HEADER_BYTES)
  builder.add(null, Buffer.from('value'), 0)
  const { sizeBytes } = builder
  expect(builder.finish().length).toBe(sizeBytes)
})

test('timestamps whose difference cannot be held are a mistake of ours', () => {
  const builder = new RecordBatchBuilder()
  builder.begin()
  builder.add(null, null, -1)
  expect(() => builder.add(null, null, Number.MAX_SAFE_INTEGER)).toThrow('within 2^53 of each other')
})

test('a builder that is used in the wrong order says so', () => {
  const builder = new RecordBatchBuilder()
  expect(() => builder.add(null, null, 0)).toThrow('needs an open record batch')
  expect(() => builder.finish()).toThrow('with records')
  builder.begin()
  expect(() => builder.finish()).toThrow('with records')
  expect(() => builder.begin()).toThrow('must be finished')
  expect(() => builder.reset()).toThrow('cannot be reset')
})

test('a visit ends when the visitor has seen enough', () => {
  const offsets: number[] = []
  visitRecords(build(GOLDEN_RECORDS), 0, ({ offset }) => {
    offsets.push(offset)
    return offset < 1
  })
  expect(offsets).toEqual([0, 1])
})

test('with log append time every record has the time of the batch', () => {
  const batch = change(build(GOLDEN_RECORDS), (bytes) => bytes.writeInt16BE(0x08, 21))
  expect(decodeRecords(batch).map(({ timestamp }) => timestamp)).toEqual(Array(4).fill(1700000000123))
})

test('offsets may have gaps, as compaction leaves them', () => {
  const batch = change(build([record(1, 'a', null), record(1, 'b', null)]), (bytes) => {
    bytes.writeInt32BE(40, 23)
    // The second record's offset delta, behind its length, attributes and timestamp delta.
    bytes[BATCH_HEADER_BYTES + 8 + 3] = 31 * 2
  })
  expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
  expect(decodeRecords(batch).map(({ offset }) => offset)).toEqual([0, 31])
})

test('a batch without records is whole', () => {
  const batch = change(build([record(1, 'a', null)]).subarray(0, BATCH_HEADER_BYTES), (bytes) => {
    bytes.writeInt32BE(BATCH_HEADER_BYTES - 12, 8)
    bytes.writeInt32BE(0, 57)
  })
  expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
  expect(decodeRecords(batch)).toEqual([])
})

/** Changes a copy of the batch and makes its checksum right again. */
function change(batch: Buffer, edit: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(batch)
  edit(copy)
  copy.writeUInt32BE(crc32c(copy, 21, copy.length), 17)
  return copy
}

const WHOLE = build(GOLDEN_RECORDS)

test.each<[what: string, edit: (bytes: Buffer) => void, fault: string]>([
  [
    'a length less than the header',
    (bytes) => bytes.writeInt32BE(48, 8),
    'its length of 60 bytes is less than its header',
  ],
  ['a length of zero', (bytes) => bytes.writeInt32BE(0, 8), 'its length of 12 bytes is less than its header'],
  ['a negative length', (bytes) => bytes.writeInt32BE(-13, 8), 'its length of -1 bytes is less than its header'],
  ['too great a length', (bytes) => bytes.writeInt32BE(0x7fffffff, 8), 'its length is 2147483659 bytes, 209 are there'],
  ['an older magic', (bytes) => bytes.writeInt8(1, 16), 'its magic is 1, only 2 is understood'],
  ['an unknown codec', (bytes) => bytes.writeInt16BE(5, 21), 'its compression codec is number 5, there are 0 to 4'],
  ['a negative base offset', (bytes) => writeInt64(bytes, 0, -1), 'its base offset is -1'],
  ['a huge base offset', (bytes) => bytes.writeBigInt64BE(2n ** 53n), 'its base offset is beyond ±(2^53 - 1)'],
  ['a huge last offset', (bytes) => writeInt64(bytes, 0, 2 ** 53 - 4), 'its last offset is beyond 2^53 - 2'],
  ['a huge timestamp', (bytes) => bytes.writeBigInt64BE(2n ** 63n - 1n, 35), 'its max timestamp is beyond ±(2^53 - 1)'],
  ['a huge base timestamp', (bytes) => bytes.writeBigInt64BE(-(2n ** 63n), 27), 'its base timestamp is beyond'],
  ['a huge producer id', (bytes) => bytes.writeBigInt64BE(2n ** 60n, 43), 'its producer id is beyond'],
  ['a negative offset delta', (bytes) => bytes.writeInt32BE(-1, 23), 'its last offset delta is -1'],
  [
    'a negative count',
    (bytes) => bytes.writeInt32BE(-1, 57),
    'its record count is -1, its offsets have room for 0 to 4',
  ],
  [
    'too great a count',
    (bytes) => bytes.writeInt32BE(5, 57),
    'its record count is 5, its offsets have room for 0 to 4',
  ],
])('a batch with %s is faulty', (_what, edit, fault) => {
  const batch = change(WHOLE, edit)
  expect(findBatchFault(batch, 0, batch.length)).toContain(fault)
  expect(() => decodeRecords(batch)).toThrow(`Cannot read the record batch at position 0: ${fault}`)
})

test('a count that the bytes cannot hold is faulty', () => {
  const batch = change(WHOLE, (bytes) => {
    bytes.writeInt32BE(2_000_000_000, 23)
    bytes.writeInt32BE(2_000_000_000, 57)
  })
  expect(findBatchFault(batch, 0, batch.length)).toBe('its record count is 2000000000, which 148 bytes cannot hold')
})

test('a batch must end where it is said to', () => {
  expect(findBatchFault(WHOLE, 0, WHOLE.length - 1)).toBe('its length is 209 bytes, 208 are there')
  expect(findBatchFault(WHOLE, 0, 60)).toBe('its header takes 61 bytes, 60 are there')
  expect(findBatchFault(Buffer.concat([WHOLE, WHOLE]), WHOLE.length, 2 * WHOLE.length)).toBeUndefined()
  expect(findBatchFault(WHOLE, 0, 10_000)).toBeUndefined()
})

test('zeros are no batch', () => {
  expect(findBatchFault(Buffer.alloc(4096), 0, 4096)).toContain('its length of 12 bytes')
})

test('every bit counts but those of the base offset and the leader epoch', () => {
  for (let at = 0; at < WHOLE.length; at++) {
    for (const bit of [0, 3, 7]) {
      const batch = Buffer.from(WHOLE)
      batch[at] ^= 1 << bit
      const fault = findBatchFault(batch, 0, batch.length)
      // The upper bits of the base offset would make it negative, or more than 2^53.
      const isFree = (at === 1 && bit < 5) || (at >= 2 && at < 8) || (at >= 12 && at < 16)
      expect(fault === undefined, `byte ${at}, bit ${bit}: ${fault}`).toBe(isFree)
    }
  }
})

test('a batch that is cut anywhere is refused', () => {
  for (let length = 0; length < WHOLE.length; length++) {
    const cut = WHOLE.subarray(0, length)
    expect(findBatchFault(cut, 0, length)).toBeDefined()
    expect(() => decodeRecords(cut)).toThrow(BrokerError)
    if (length < BATCH_HEADER_BYTES) continue
    // Cut, and the length made right again: now only the records can tell.
    const mended = change(cut, (bytes) => bytes.writeInt32BE(length - 12, 8))
    expect(() => decodeRecords(mended)).toThrow(BrokerError)
  }
})

// Records by hand: behind a header that allows four of them.
test.each<[what: string, records: string, fault: string]>([
  ['no record where one is promised', '', 'its record count is 1, which 0 bytes cannot hold'],
  ['a record shorter than any', '0a0000000101 00', 'claims 5 bytes'],
  ['a record with a negative length', '01000000010100', 'claims -1 bytes'],
  ['a record longer than its batch', '7e000000010100', 'claims 63 bytes, 6 are left'],
  ['a record longer than its fields', '0e00000001010000', 'is 1 bytes longer than its fields'],
  ['bytes behind the last record', '0c000000010100 00', '1 bytes follow its last record'],
  ['a key longer than its record', '0c000000080100', 'a key in it claims 4 bytes, 2 are left'],
  ['a key with a length of -2', '0c000000030100', 'a key in it claims -2 bytes'],
  ['a value longer than its record', '0c0000000104 00', 'a value in it claims 2 bytes'],
  ['a length that reaches over the end of its record', '0c000000 ffffff', 'cut short'],
  ['a huge key', '14000000 feffffff0f 0101', 'a key in it claims 2147483647 bytes'],
  ['an over-long varint', '16000000 ffffffffff0f 0100', 'over 32 bits'],
  ['a negative header count', '0c000000010101', 'claims -1 headers'],
  ['more headers than there is room for', '0c000000010102', 'claims 1 headers, 0 bytes are left'],
  ['a huge header count', '14000000 0101 feffffff0f', 'claims 2147483647 headers'],
  ['a header without a key', '1000000001010201 00', 'a header in it has no key'],
  ['a header key longer than its record', '10000000010102 0400', 'a header key in it claims 2 bytes'],
  ['an offset before the batch', '0c000001010100', 'has offset delta -1: 0 to 3 fit there'],
  ['an offset behind the batch', '0c000008010100', 'has offset delta 4: 0 to 3 fit there'],
  ['a timestamp that cannot be held', '1a00 ffffffffffffff1f 00010100', 'beyond ±(2^53 - 1)'],
])('%s is refused', (_what, hex, fault) => {
  const records = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const header = change(WHOLE.subarray(0, BATCH_HEADER_BYTES), (bytes) => bytes.writeInt32BE(1, 57))
  const batch = change(Buffer.concat([header, records]), (bytes) => bytes.writeInt32BE(bytes.length - 12, 8))
  expect(refusalOf(() => decodeRecords(batch))).toContain(fault)
  // Compressed, the same bytes are no better.
  expect(refusalOf(() => decodeRecords(compress(batch)))).toMatch(/Cannot read the record batch/)
})

test('two records with the same offset are refused', () => {
  const batch = change(build([record(1, 'a', null), record(1, 'b', null)]), (bytes) => {
    bytes[BATCH_HEADER_BYTES + 8 + 3] = 0
  })
  expect(refusalOf(() => decodeRecords(batch))).toContain('has offset delta 0: 1 to 1 fit there')
})

/** The message of a CORRUPT_MESSAGE; anything else fails the test. */
function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'CORRUPT_MESSAGE') return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

const COMPRESSIONS = ['gzip', 'snappy', 'lz4', 'zstd'] as const

function compress(
  batch: Buffer,
  records: Buffer = gzipSync(batch.subarray(BATCH_HEADER_BYTES)),
  codec: Codec = 'gzip',
): Buffer {
  return change(Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), records]), (bytes) => {
    bytes.writeInt32BE(bytes.length - 12, 8)
    bytes.writeInt16BE(CODECS.indexOf(codec), 21)
  })
}

test('compressed records come back', () => {
  checkProperty(
    fc.property(anyRecords, (records) => {
      const batch = compress(build(records))
      expect(findBatchFault(batch, 0, batch.length)).toBeUndefined()
      expect(decodeRecords(batch)).toEqual(withOffsets(records, 0))
    }),
    50,
  )
})

test('what cannot be decompressed, or goes on for ever, is refused', () => {
  expect(refusalOf(() => decodeRecords(compress(WHOLE, Buffer.from('no gzip'))))).toContain('decompressed with gzip')
  expect(refusalOf(() => decodeRecords(compress(WHOLE, Buffer.alloc(0))))).toContain('decompressed with gzip')
  const bomb = gzipSync(Buffer.alloc(129 * 1024 * 1024))
  expect(bomb.length).toBeLessThan(200_000)
  expect(refusalOf(() => decodeRecords(compress(WHOLE, bomb)))).toContain(
    'its records cannot be decompressed with gzip: they grow to more than 134217728 bytes',
  )
  expect(refusalOf(() => decodeRecords(compress(WHOLE), 0, 10))).toContain('more than 10 bytes')
  const nothing = gzipSync(Buffer.alloc(0))
  expect(refusalOf(() => decodeRecords(compress(WHOLE, nothing)))).toContain('which 0 bytes cannot hold')
})

test.each(COMPRESSIONS)('records compressed with %s come back, no more and no fewer than the header says', (codec) => {
  checkProperty(
    fc.property(anyRecords, (records) => {
      const batch = build(records)
      const packed = compress(batch, packRecords(codec, batch.subarray(BATCH_HEADER_BYTES)), codec)
      expect(findBatchFault(packed, 0, packed.length)).toBeUndefined()
      expect(decodeRecords(packed)).toEqual(withOffsets(records, 0))
      const plain = batch.subarray(BATCH_HEADER_BYTES)
      const refused = (bytes: Buffer) =>
        refusalOf(() => decodeRecords(compress(batch, packRecords(codec, bytes), codec)))
      expect(refused(Buffer.concat([plain, Buffer.alloc(3)]))).toContain('3 bytes follow its last record')
      expect(refused(plain.subarray(0, -1))).toMatch(/claims|cannot hold|malformed|longer than its fields/)
    }),
    50,
  )
})

test.each(COMPRESSIONS)('bytes that are not %s are refused by its name', (codec) => {
  const batch = compress(WHOLE, Buffer.from('not compressed at all'), codec)
  expect(refusalOf(() => decodeRecords(batch))).toContain(`its records cannot be decompressed with ${codec}: `)
})

test('arbitrary bytes in place of the records are decoded or refused, and never hang', () => {
  const header = WHOLE.subarray(0, BATCH_HEADER_BYTES)
  // Small bytes are lengths that fit more often than not, which gets further into the fields.
  const anyRecordBytes = fc.array(fc.oneof(fc.nat(0xff), fc.nat(0x10)), { maxLength: 80 })
  checkProperty(
    fc.property(anyRecordBytes, fc.nat(4), fc.boolean(), (bytes, count, isCompressed) => {
      const plain = change(Buffer.concat([header, Buffer.from(bytes)]), (edited) => {
        edited.writeInt32BE(edited.length - 12, 8)
        edited.writeInt32BE(count, 57)
      })
      const batch = isCompressed ? compress(plain) : plain
      try {
        expect(decodeRecords(batch)).toHaveLength(count)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT_MESSAGE' })
      }
    }),
    2000,
  )
})

test('arbitrary bytes in place of a batch are refused', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(300), (array, at) => {
      const bytes = Buffer.from(array)
      expect(findBatchFault(bytes, at, bytes.length)).toBeDefined()
      expect(() => decodeRecords(bytes, at)).toThrow(BrokerError)
    }),
    500,
  )
})
