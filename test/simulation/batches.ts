import { crc32c } from '../../src/base/crc32c.ts'
import type { Acks } from '../../src/log/log-engine.ts'

// Record batches made and taken apart without the broker's own code, so that a mistake there cannot hide from the
// simulation. The layout is Kafka's record batch v2; src/record/batch-header.ts draws it.

const HEADER_BYTES = 61

/** What became of a batch, as far as its producer knows. */
export type Outcome =
  | 'waiting'
  | 'acked'
  /** Refused with an error that says it is not stored. */
  | 'refused'
  /** Nothing was promised: no answer was asked for, none came, or the answer said that the outcome is not known. */
  | 'unknown'

/** Who sends a batch, as which one of his. */
export interface Numbering {
  readonly producerId: number
  readonly epoch: number
  readonly sequence: number
  readonly isTransactional: boolean
}

/** The end of a transaction. */
export interface Marker {
  readonly producerId: number
  readonly epoch: number
  readonly coordinatorEpoch: number
  readonly isCommit: boolean
}

/** A batch that was given to the engine, as the model remembers it. */
export interface SentBatch {
  /** Its checksum, which no other batch of the same life has: who it is. */
  readonly crc: number
  /** Its bytes as they were sent, a private copy. */
  readonly bytes: Buffer
  readonly recordCount: number
  readonly timestamps: readonly number[]
  readonly maxTimestamp: number
  readonly acks: Acks
  readonly numbering?: Numbering
  readonly marker?: Marker
  baseOffset: number
  leaderEpoch: number
  outcome: Outcome
  /** A bit of it was turned over on the disk. */
  isDamaged: boolean
  /** What compaction looks at; empty in topics that are never compacted. */
  readonly records: readonly SentRecord[]
  /** When it was sent, by the wall clock. */
  sentAt: number
}

/** A record that was sent to a topic that may be compacted. */
export interface SentRecord {
  readonly key: string | undefined
  readonly isTombstone: boolean
  /** Everything of it behind the timestamp, which compaction may write in another way. */
  readonly rest: Buffer
  /** It was looked for and is not there any more: it must never come back. */
  isGone: boolean
}

/** What a record has for a key and for a value in a topic that may be compacted. */
export interface KeyedRecord {
  readonly key: string | undefined
  readonly isTombstone: boolean
}

/** A batch as it was found in bytes that the engine read. */
export interface FoundBatch {
  readonly baseOffset: number
  readonly leaderEpoch: number
  readonly recordCount: number
  readonly crc: number
  readonly bytes: Buffer
  /** How many records are in it: fewer than it has offsets if compaction has taken some. */
  readonly recordsLeft: number
}

/**
 * Makes a batch of records whose values are `valueBytes` long each. `id` goes into the first bytes of each value, so no two
 * batches are alike. Without `keyed` records have no keys.
 */
export function makeBatch(
  id: number,
  timestamps: readonly number[],
  valueBytes: number,
  acks: Acks,
  keyed: readonly KeyedRecord[] = [],
  numbering?: Numbering,
): SentBatch {
  const baseTimestamp = timestamps[0]
  const kept: SentRecord[] = []
  const records = timestamps.map((timestamp, index) => {
    const value = Buffer.alloc(Math.max(4, valueBytes), (id * 31 + index) & 0xff)
    value.writeUInt32BE(id, 0)
    const { key, isTombstone } = keyed[index] ?? { key: undefined, isTombstone: false }
    const keyBytes = Buffer.from(key ?? '')
    const rest = Buffer.concat([
      varint(index),
      key === undefined ? varint(-1) : Buffer.concat([varint(keyBytes.length), keyBytes]),
      isTombstone ? varint(-1) : Buffer.concat([varint(value.length), value]),
      varint(0),
    ])
    if (keyed.length > 0) kept.push({ key, isTombstone, rest, isGone: false })
    const body = Buffer.concat([Buffer.from([0]), varint(timestamp - baseTimestamp), rest])
    return Buffer.concat([varint(body.length), body])
  })
  const bytes = frame(records, timestamps)
  if (numbering) {
    const { producerId, epoch, sequence, isTransactional } = numbering
    number(bytes, producerId, epoch, sequence, isTransactional ? TRANSACTIONAL : 0)
  }
  const sent = begin(bytes, timestamps, acks, kept)
  return numbering ? { ...sent, numbering } : sent
}

/** What the engine must write to end a transaction. */
export function makeMarker(marker: Marker, timestamp: number): SentBatch {
  const { producerId, epoch, coordinatorEpoch, isCommit } = marker
  const record = Buffer.from([0x20, 0, 0, 0, 8, 0, 0, 0, isCommit ? 1 : 0, 12, 0, 0, 0, 0, 0, 0, 0])
  record.writeInt32BE(coordinatorEpoch, 12)
  const bytes = frame([record], [timestamp])
  number(bytes, producerId, epoch, -1, TRANSACTIONAL | CONTROL)
  return { ...begin(bytes, [timestamp], 'all', []), marker }
}

const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** A batch of no producer around its records. */
function frame(records: readonly Buffer[], timestamps: readonly number[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...records])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes.writeInt8(2, 16)
  bytes.writeInt32BE(timestamps.length - 1, 23)
  bytes.writeBigInt64BE(BigInt(timestamps[0]), 27)
  bytes.writeBigInt64BE(BigInt(Math.max(...timestamps)), 35)
  bytes.fill(0xff, 43, 57)
  bytes.writeInt32BE(timestamps.length, 57)
  return bytes
}

function number(bytes: Buffer, producerId: number, epoch: number, sequence: number, attributes: number): void {
  bytes.writeInt16BE(attributes, 21)
  bytes.writeBigInt64BE(BigInt(producerId), 43)
  bytes.writeInt16BE(epoch, 51)
  bytes.writeInt32BE(sequence, 53)
}

function begin(bytes: Buffer, timestamps: readonly number[], acks: Acks, records: readonly SentRecord[]): SentBatch {
  const crc = crc32c(bytes, 21, bytes.length)
  bytes.writeUInt32BE(crc, 17)
  return {
    crc,
    bytes,
    recordCount: timestamps.length,
    timestamps,
    maxTimestamp: Math.max(...timestamps),
    acks,
    baseOffset: -1,
    leaderEpoch: -1,
    outcome: 'waiting',
    isDamaged: false,
    records,
    sentAt: 0,
  }
}

/** Takes whole batches apart; undefined when the bytes are anything else. */
export function splitBatches(bytes: Buffer): FoundBatch[] | undefined {
  const found: FoundBatch[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + HEADER_BYTES > bytes.length) return undefined
    const size = bytes.readInt32BE(at + 8) + 12
    if (size < HEADER_BYTES || at + size > bytes.length) return undefined
    found.push({
      baseOffset: Number(bytes.readBigInt64BE(at)),
      leaderEpoch: bytes.readInt32BE(at + 12),
      recordCount: bytes.readInt32BE(at + 23) + 1,
      crc: bytes.readUInt32BE(at + 17),
      bytes: bytes.subarray(at, at + size),
      recordsLeft: bytes.readInt32BE(at + 57),
    })
    at += size
  }
  return found
}

/** Whether what was read is what was sent, but for the two fields that the broker sets. */
export function isSame(sent: SentBatch, found: FoundBatch): boolean {
  return (
    sent.bytes.length === found.bytes.length &&
    sent.bytes.compare(found.bytes, 16, sent.bytes.length, 16, sent.bytes.length) === 0 &&
    sent.bytes.compare(found.bytes, 8, 12, 8, 12) === 0
  )
}

/**
 * Whether what was read is what compaction may leave of what was sent: some of the records, each with the bytes and the time
 * that it had, in a batch with the same offsets. Returns which ones are left, and undefined when it is anything else.
 */
export function recordsLeft(sent: SentBatch, found: FoundBatch): Set<number> | undefined {
  const { bytes } = found
  const isHeaderSame =
    found.recordCount === sent.recordCount &&
    sent.bytes.compare(bytes, 43, 57, 43, 57) === 0 &&
    (bytes.readInt16BE(21) & ~0x40) === sent.bytes.readInt16BE(21) &&
    crc32c(bytes, 21, bytes.length) === found.crc
  if (!isHeaderSame) return undefined
  const baseTimestamp = Number(bytes.readBigInt64BE(27))
  const left = new Set<number>()
  const cursor = { bytes, at: HEADER_BYTES }
  let latest = -1
  while (cursor.at < bytes.length) {
    const end = readVarint(cursor) + cursor.at
    cursor.at += 1
    const timestamp = baseTimestamp + readVarint(cursor)
    const restAt = cursor.at
    const index = readVarint(cursor)
    const record = sent.records[index]
    if (!record?.rest.equals(bytes.subarray(restAt, end)) || timestamp !== sent.timestamps[index]) return undefined
    latest = Math.max(latest, timestamp)
    left.add(index)
    cursor.at = end
  }
  const isTimeRight = left.size === 0 || Number(bytes.readBigInt64BE(35)) === latest
  return left.size === found.recordsLeft && isTimeRight ? left : undefined
}

function readVarint(cursor: { readonly bytes: Buffer; at: number }): number {
  let value = 0
  for (let factor = 1; ; factor *= 0x80) {
    const byte = cursor.bytes[cursor.at++]
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}

export function endOf(batch: { readonly baseOffset: number; readonly recordCount: number }): number {
  return batch.baseOffset + batch.recordCount
}

/** A number in zigzag variable-length bytes, as records hold them. */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}
