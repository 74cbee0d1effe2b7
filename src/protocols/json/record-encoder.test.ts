import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../../test/support/property.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { crc32c } from '../../base/crc32c.ts'
import type { DecodedRecord, RecordHeader } from '../../record/record-batch.ts'
import { decodeRecords, getBatchBytes, RecordBatchBuilder, setBaseOffset } from '../../record/record-batch.ts'
import { FETCH_PAYLOAD_BYTES_MAX, RECORD_BYTES_SAFE_MAX } from './limits.ts'
import type { EncodedAnswer } from './record-encoder.ts'
import { RecordEncoder } from './record-encoder.ts'
import { FRAME_HEADER_BYTES, FRAME_TYPES } from './wire.ts'

interface PlainRecord {
  readonly key?: Buffer | null
  readonly value?: Buffer | null
  readonly timestamp?: number
  readonly headers?: readonly RecordHeader[]
}

/** Batches one behind the other, each beginning where the one before ended. */
function makeBatches(baseOffset: number, ...batches: (readonly PlainRecord[])[]): Buffer {
  const builder = new RecordBatchBuilder()
  let offset = baseOffset
  const made = batches.map((records) => {
    builder.begin()
    for (const { key = null, value = null, timestamp = 17, headers } of records) {
      builder.add(key, value, timestamp, headers)
    }
    const batch = builder.finish()
    setBaseOffset(batch, 0, offset)
    offset += records.length
    return batch
  })
  return Buffer.concat(made)
}

const value = (text: string): PlainRecord => ({ value: Buffer.from(text) })
const PARTITION = { highWatermark: 9007199254740991, logStartOffset: 0 }
const encoder = new RecordEncoder()

/** The payload as text, with the memory given back. */
function encode(batches: Buffer, fromOffset: number, payloadBytesMax = FETCH_PAYLOAD_BYTES_MAX): string {
  const answer = encoder.encode(batches, fromOffset, PARTITION, payloadBytesMax)
  const text = payloadOf(answer).toString('utf8')
  answer.release()
  return text
}

function payloadOf({ frame }: EncodedAnswer): Buffer {
  const payload = frame.subarray(FRAME_HEADER_BYTES)
  expect([frame[0], frame.readUInt32BE(1)]).toEqual([FRAME_TYPES.FETCH, payload.length])
  return payload
}

/** The same by JSON.stringify. */
function stringify(records: readonly DecodedRecord[]): string {
  const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null
  return JSON.stringify({
    records: records.map(({ offset, key, value: bytes, timestamp, headers }) => ({
      offset,
      key: base64(key),
      value: base64(bytes),
      ts: timestamp,
      ...(headers.length === 0
        ? {}
        : { headers: headers.map((each) => ({ key: each.key, value: base64(each.value) })) }),
    })),
    ...PARTITION,
  })
}

const offsetsIn = (answer: string) =>
  (JSON.parse(answer) as { records: { offset: number }[] }).records.map(({ offset }) => offset)

test('an answer has the bytes that docs and clients know', () => {
  const batches = makeBatches(
    7,
    [{ key: Buffer.from('k'), value: Buffer.from('v'), timestamp: 1700000000000 }, {}],
    [
      {
        value: Buffer.alloc(0),
        headers: [
          { key: '"ü"', value: Buffer.from('h') },
          { key: 'none', value: null },
        ],
      },
    ],
  )
  expect(encode(batches, 7)).toBe(
    '{"records":[' +
      '{"offset":7,"key":"aw==","value":"dg==","ts":1700000000000},' +
      '{"offset":8,"key":null,"value":null,"ts":17},' +
      '{"offset":9,"key":null,"value":"","ts":17,"headers":[{"key":"\\"ü\\"","value":"aA=="},{"key":"none","value":null}]}' +
      '],"highWatermark":9007199254740991,"logStartOffset":0}',
  )
})

test('records below the offset that was asked for are left out', () => {
  const batches = makeBatches(10, [value('a'), value('b')], [value('c'), value('d')], [value('e')])
  expect(offsetsIn(encode(batches, 0))).toEqual([10, 11, 12, 13, 14])
  expect(offsetsIn(encode(batches, 11))).toEqual([11, 12, 13, 14])
  expect(offsetsIn(encode(batches, 13))).toEqual([13, 14])
  expect(offsetsIn(encode(batches, 15))).toEqual([])
  expect(offsetsIn(encode(Buffer.alloc(0), 15))).toEqual([])
})

/** Sets attributes of the first batch, and its checksum anew. */
function setAttributes(batches: Buffer, attributes: number): Buffer {
  batches.writeInt16BE(attributes, 21)
  batches.writeUInt32BE(crc32c(batches, 21, getBatchBytes(batches, 0)), 17)
  return batches
}

test('control batches are left out, and one knows to go on behind them', () => {
  const batches = setAttributes(makeBatches(5, [value('mark')], [value('a')]), 0x20)
  expect(offsetsIn(encode(batches, 5))).toEqual([6])
  const answer = encoder.encode(batches.subarray(0, getBatchBytes(batches, 0)), 5, PARTITION, 1000)
  expect(answer).toMatchObject({ recordCount: 0, nextOffset: 6 })
})

test('batches that are left out are not decompressed', () => {
  const batches = setAttributes(makeBatches(5, [value('no snappy')], [value('a')]), 2)
  expect(offsetsIn(encode(batches, 6))).toEqual([6])
  expect(() => encode(batches, 5)).toThrow('cannot be decompressed with snappy')
})

const anyBytes = fc.option(fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)))
const anyRecord: fc.Arbitrary<PlainRecord> = fc.record({
  key: anyBytes,
  value: fc.oneof({ weight: 9, arbitrary: anyBytes }, { weight: 1, arbitrary: fc.constant(Buffer.alloc(1000, 0xa5)) }),
  timestamp: fc.oneof(
    fc.constant(-1),
    fc.nat(),
    fc.integer({ min: 1.7e12, max: 1.8e12 }),
    fc.maxSafeNat().map((nat) => nat - 1),
  ),
  headers: fc.oneof(
    { weight: 9, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: anyBytes }), { maxLength: 9 }),
    },
  ),
})
const anyBatch = fc.array(anyRecord, { minLength: 1, maxLength: 6 })

test('an answer is the text that JSON.stringify makes of it', () => {
  checkProperty(
    fc.property(
      fc.array(anyBatch, { maxLength: 5 }),
      fc.oneof(fc.nat(1000), fc.maxSafeNat()),
      fc.nat(30),
      (batches, anyOffset, skipped) => {
        const count = batches.reduce((sum, records) => sum + records.length, 0)
        const baseOffset = Math.min(anyOffset, Number.MAX_SAFE_INTEGER - count)
        const bytes = makeBatches(baseOffset, ...batches)
        const fromOffset = Math.min(baseOffset + skipped, Number.MAX_SAFE_INTEGER)
        const records = decodeAll(bytes).filter(({ offset }) => offset >= fromOffset)
        const answer = encoder.encode(bytes, fromOffset, PARTITION, FETCH_PAYLOAD_BYTES_MAX)
        expect(payloadOf(answer).toString('utf8')).toBe(stringify(records))
        expect(answer.recordCount).toBe(records.length)
        expect(answer.nextOffset).toBe(Math.max(fromOffset, baseOffset + count))
        answer.release()
      },
    ),
    300,
  )
})

function decodeAll(batches: Buffer): DecodedRecord[] {
  const records: DecodedRecord[] = []
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) records.push(...decodeRecords(batches, at))
  return records
}

test('numbers of every length are written as they are', () => {
  const numbers = [
    0,
    9,
    10,
    999_999_999,
    1_000_000_000,
    1_000_000_001,
    12_345_678_901,
    999_999_999_999_999,
    2 ** 53 - 2,
  ]
  for (const number of numbers) {
    const batches = makeBatches(number, [{ timestamp: number }])
    expect(encode(batches, 0)).toBe(stringify(decodeAll(batches)))
  }
})

test('an answer ends before it would be too long, and one goes on where it ended', () => {
  const records = Array.from({ length: 30 }, (_, index) => ({ value: Buffer.alloc(index * 10, index) }))
  const batches = makeBatches(100, records.slice(0, 7), records.slice(7, 8), records.slice(8))
  for (const payloadBytesMax of [600, 1000, 3000, 100_000]) {
    const offsets: number[] = []
    for (let offset = 100; offset < 130;) {
      const answer = encoder.encode(batches, offset, PARTITION, payloadBytesMax)
      expect(payloadOf(answer).length).toBeLessThanOrEqual(payloadBytesMax)
      expect(answer.recordCount).toBeGreaterThan(0)
      offsets.push(...offsetsIn(payloadOf(answer).toString('utf8')))
      offset = answer.nextOffset
      answer.release()
    }
    expect(offsets).toEqual(records.map((_, index) => 100 + index))
  }
})

test('the largest record that is taken fits into an answer', () => {
  const halves = [Math.floor(RECORD_BYTES_SAFE_MAX / 2), Math.ceil(RECORD_BYTES_SAFE_MAX / 2)]
  for (const [keyBytes, valueBytes] of [[-1, RECORD_BYTES_SAFE_MAX], halves]) {
    const key = keyBytes < 0 ? null : Buffer.alloc(keyBytes)
    const record = { key, value: Buffer.alloc(valueBytes), timestamp: Number.MAX_SAFE_INTEGER }
    const batches = makeBatches(Number.MAX_SAFE_INTEGER - 1, [record])
    const answer = new RecordEncoder().encode(
      batches,
      0,
      { highWatermark: 2 ** 53 - 1, logStartOffset: 2 ** 53 - 1 },
      FETCH_PAYLOAD_BYTES_MAX,
    )
    expect(answer.recordCount).toBe(1)
    expect(payloadOf(answer).length).toBeLessThanOrEqual(FETCH_PAYLOAD_BYTES_MAX)
  }
})

test('a record that is too long for any answer is refused by its offset', () => {
  const batches = makeBatches(41, [value('a')], [{ value: Buffer.alloc(1000) }])
  expect(offsetsIn(encode(batches, 41, 500))).toEqual([41])
  const refusal =
    /^Cannot answer with the record at offset 42, which takes up to \d+ bytes as JSON: an answer has 500 at most$/
  expect(() => encode(batches, 42, 500)).toThrow(refusal)
})

test('memory comes from the pool and goes back to it, also after a refusal', () => {
  const pool = new BufferPool()
  const pooled = new RecordEncoder({ pool })
  const batches = makeBatches(0, [{ value: Buffer.alloc(10_000) }])
  const first = pooled.encode(batches, 0, PARTITION, 100_000)
  const { buffer: memory } = first.frame
  first.release()
  const cut = Buffer.concat([batches, batches.subarray(0, 100)])
  expect(() => pooled.encode(cut, 0, PARTITION, 100_000)).toThrow('Cannot read the record batch')
  expect(pooled.encode(batches, 0, PARTITION, 100_000).frame.buffer).toBe(memory)
  expect(pooled.encode(makeBatches(0, [value('a')]), 0, PARTITION, 100_000).frame.buffer).not.toBe(memory)
})

test('an answer is made once for all who ask the same at the same time', () => {
  const shared = new RecordEncoder()
  const batches = makeBatches(0, [value('a')], [value('b')])
  const first = shared.encode(batches, 0, PARTITION, 1000)
  const second = shared.encode(batches, 0, PARTITION, 1000)
  expect(second.frame).toBe(first.frame)
  first.release()
  expect(shared.encode(batches, 0, PARTITION, 1000).frame).toBe(second.frame)

  const otherQuestions = [
    shared.encode(Buffer.from(batches), 0, PARTITION, 1000),
    shared.encode(batches, 1, PARTITION, 1000),
    shared.encode(batches, 0, { ...PARTITION, highWatermark: 2 }, 1000),
    shared.encode(batches, 0, { ...PARTITION, logStartOffset: 1 }, 1000),
    shared.encode(batches, 0, PARTITION, 2000),
  ]
  for (const answer of otherQuestions) expect(answer.frame.buffer).not.toBe(first.frame.buffer)
  expect(otherQuestions.map((answer) => offsetsIn(payloadOf(answer).toString()))).toEqual([
    [0, 1],
    [1],
    [0, 1],
    [0, 1],
    [0, 1],
  ])
})

test('damaged batches are refused or give an answer that is JSON, and never hang', () => {
  const whole = makeBatches(3, [value('a'), { headers: [{ key: 'k', value: null }] }], [value('b')])
  checkProperty(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(whole.length),
      (edits, length) => {
        const damaged = Buffer.from(whole.subarray(0, length))
        for (const [at, byte] of edits) if (at < length) damaged[at] = byte
        try {
          JSON.parse(encode(damaged, 0))
        } catch (error) {
          expect(error).toBeInstanceOf(BrokerError)
        }
      },
    ),
    1000,
  )
})

test('consumers that ask the same of the same batches share one answer, small or large', () => {
  for (const valueBytes of [10, 100_000]) {
    const pool = new BufferPool()
    let lent = 0
    const [take, giveBack] = [pool.take.bind(pool), pool.giveBack.bind(pool)]
    pool.take = (bytes) => {
      lent++
      return take(bytes)
    }
    pool.giveBack = (buffer) => {
      lent--
      giveBack(buffer)
    }
    const sharing = new RecordEncoder({ pool })
    const batches = makeBatches(0, [{ value: Buffer.alloc(valueBytes, 'a') }])
    const others = makeBatches(0, [{ value: Buffer.alloc(valueBytes, 'b') }])
    const ask = (asked: Buffer, partition = PARTITION) => sharing.encode(asked, 0, partition, FETCH_PAYLOAD_BYTES_MAX)
    const first = ask(batches)
    const second = ask(batches)
    expect(second.frame).toBe(first.frame)
    first.release()
    expect(ask(batches).frame).toBe(first.frame)
    const text = String(first.frame)
    const changed = ask(batches, { ...PARTITION, logStartOffset: 1 })
    const other = ask(others)
    expect(String(changed.frame)).not.toBe(text)
    expect(String(other.frame)).not.toBe(text)
    expect(String(second.frame)).toBe(text)
    for (const answer of [second, second, changed, other]) answer.release()
    // Nothing is left but the small answer that the encoder keeps for the next one.
    expect(lent).toBe(valueBytes === 10 ? 1 : 0)
  }
})
