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
  baseOffset: number
  leaderEpoch: number
  outcome: Outcome
  /** A bit of it was turned over on the disk. */
  isDamaged: boolean
}

/** A batch as it was found in bytes that the engine read. */
export interface FoundBatch {
  readonly baseOffset: number
  readonly leaderEpoch: number
  readonly recordCount: number
  readonly crc: number
  readonly bytes: Buffer
}

/**
 * Makes a batch of records without keys whose values are `valueBytes` long each. `id` goes into the first bytes of each
 * value, so no two batches are alike.
 */
export function makeBatch(id: number, timestamps: readonly number[], valueBytes: number, acks: Acks): SentBatch {
  const baseTimestamp = timestamps[0]
  const maxTimestamp = Math.max(...timestamps)
  const records = timestamps.map((timestamp, index) => {
    const value = Buffer.alloc(Math.max(4, valueBytes), (id * 31 + index) & 0xff)
    value.writeUInt32BE(id, 0)
    const body = Buffer.concat([
      Buffer.from([0]),
      varint(timestamp - baseTimestamp),
      varint(index),
      varint(-1),
      varint(value.length),
      value,
      varint(0),
    ])
    return Buffer.concat([varint(body.length), body])
  })
  const header = Buffer.alloc(HEADER_BYTES)
  const bytes = Buffer.concat([header, ...records])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes.writeInt8(2, 16)
  bytes.writeInt32BE(timestamps.length - 1, 23)
  bytes.writeBigInt64BE(BigInt(baseTimestamp), 27)
  bytes.writeBigInt64BE(BigInt(maxTimestamp), 35)
  bytes.fill(0xff, 43, 57)
  bytes.writeInt32BE(timestamps.length, 57)
  const crc = crc32c(bytes, 21, bytes.length)
  bytes.writeUInt32BE(crc, 17)
  return {
    crc,
    bytes,
    recordCount: timestamps.length,
    timestamps,
    maxTimestamp,
    acks,
    baseOffset: -1,
    leaderEpoch: -1,
    outcome: 'waiting',
    isDamaged: false,
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
