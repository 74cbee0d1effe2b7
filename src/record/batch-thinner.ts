import { BrokerError } from '../base/broker-error.ts'
import { MalformedVarintError, readVarint, readVarlong, varintBytes, writeVarint } from '../base/varint.ts'
import type { ByteCursor } from '../base/varint.ts'
import {
  BATCH_HEADER_BYTES,
  copyBatchHeader,
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getMaxTimestamp,
  getRecordCount,
  hasDeleteHorizon,
  hasLogAppendTime,
} from './batch-header.ts'
import type { Codec } from './batch-header.ts'
import { packRecords, UNPACKED_BYTES_MAX } from './codecs/unpack.ts'
import { RecordReader } from './record-reader.ts'

/** A varint of 64 bits at its longest, and a length: what may be added to a record whose timestamp is told anew. */
const GROWTH_BYTES_MAX = 15
const SCRATCH_BYTES_KEPT = 1024 * 1024

/** What became of a batch. */
export type Thinned =
  /** All of its records stay, and nothing else of it changes. */
  | { readonly kind: 'whole' }
  /** Some stay, or the delete horizon is new: `batch` is good until the next call. */
  | { readonly kind: 'thinned'; readonly batch: Buffer; readonly recordCount: number }
  /** None stays. */
  | { readonly kind: 'nothing' }
  /** Some should go, but there is nothing to compress the others with. */
  | { readonly kind: 'unwritable' }

const WHOLE: Thinned = { kind: 'whole' }
const NOTHING: Thinned = { kind: 'nothing' }
const UNWRITABLE: Thinned = { kind: 'unwritable' }

/**
 * Takes records out of batches, as log compaction does. What stays keeps its offset and its bytes; the batch keeps its
 * base offset, last offset delta, base sequence, producer, epoch, timestamp type and codec.
 */
export class BatchThinner {
  readonly #reader: RecordReader
  #scratch = Buffer.allocUnsafeSlow(64 * 1024)

  /** `unpackedBytesMax` is the most that the records of one batch may grow to when they are decompressed. */
  constructor(unpackedBytesMax = UNPACKED_BYTES_MAX) {
    this.#reader = new RecordReader(unpackedBytesMax)
  }

  /**
   * Asks `stays` about each record of the batch at `at`. With `horizon`, a batch that keeps a tombstone and has no delete
   * horizon yet gets this one: the time, Unix milliseconds, from which its tombstones may go.
   *
   * @throws BrokerError CORRUPT_MESSAGE and others if the records cannot be read
   */
  thin(batch: Buffer, at: number, horizon: number | undefined, stays: (record: RecordReader) => boolean): Thinned {
    const reader = this.#reader
    reader.open(batch, at)
    const spans: number[] = []
    let count = 0
    let hasTombstone = false
    let maxTimestamp = -1
    let start = -1
    while (reader.next()) {
      // The records of a compressed batch lie at the beginning of another buffer.
      if (start < 0) start = reader.buffer === batch ? at + BATCH_HEADER_BYTES : 0
      if (stays(reader)) {
        if (spans.length > 0 && spans[spans.length - 1] === start) spans[spans.length - 1] = reader.at
        else spans.push(start, reader.at)
        count++
        hasTombstone ||= reader.valueStart < 0
        if (reader.timestamp > maxTimestamp) maxTimestamp = reader.timestamp
      }
      start = reader.at
    }
    if (count === 0) return NOTHING
    const newHorizon = hasTombstone && !hasDeleteHorizon(batch, at) ? horizon : undefined
    if (count === getRecordCount(batch, at) && newHorizon === undefined) return WHOLE
    const source = reader.buffer
    const baseTimestamp = getBaseTimestamp(batch, at)
    const end =
      newHorizon === undefined
        ? this.#copy(source, spans)
        : this.#copyWithTimestamps(source, spans, baseTimestamp - newHorizon)
    const packed = pack(getCodec(batch, at) ?? 'none', this.#scratch, end)
    if (packed === undefined) return UNWRITABLE
    copyBatchHeader(batch, at, packed, {
      recordCount: count,
      hasDeleteHorizon: newHorizon !== undefined || hasDeleteHorizon(batch, at),
      baseTimestamp: newHorizon ?? baseTimestamp,
      maxTimestamp: hasLogAppendTime(batch, at) ? getMaxTimestamp(batch, at) : maxTimestamp,
    })
    return { kind: 'thinned', batch: packed, recordCount: count }
  }

  /**
   * A copy of the batch at `at` with a delete horizon, the time from which compaction may drop it: for a marker, which is no
   * tombstone. Good until the next call.
   */
  withHorizon(batch: Buffer, at: number, horizon: number): Buffer {
    const end = this.#copyWithTimestamps(
      batch,
      [at + BATCH_HEADER_BYTES, at + getBatchBytes(batch, at)],
      getBaseTimestamp(batch, at) - horizon,
    )
    const copy = this.#scratch.subarray(0, end)
    copyBatchHeader(batch, at, copy, {
      recordCount: getRecordCount(batch, at),
      hasDeleteHorizon: true,
      baseTimestamp: horizon,
      maxTimestamp: getMaxTimestamp(batch, at),
    })
    return copy
  }

  /** Lets go of the batch, and of memory that only a large one needs. */
  close(): void {
    this.#reader.close()
    if (this.#scratch.length > SCRATCH_BYTES_KEPT) this.#scratch = Buffer.allocUnsafeSlow(64 * 1024)
  }

  #copy(source: Buffer, spans: readonly number[]): number {
    let end = BATCH_HEADER_BYTES
    for (let i = 0; i < spans.length; i += 2) {
      this.#reserve(end, spans[i + 1] - spans[i])
      end += source.copy(this.#scratch, end, spans[i], spans[i + 1])
    }
    return end
  }

  /** Each record's time is told from another base: `shift` is added to every delta. */
  #copyWithTimestamps(source: Buffer, spans: readonly number[], shift: number): number {
    const cursor: ByteCursor = { buffer: source, at: 0, end: source.length }
    let end = BATCH_HEADER_BYTES
    for (let i = 0; i < spans.length; i += 2) {
      cursor.at = spans[i]
      while (cursor.at < spans[i + 1]) {
        const bytes = readVarint(cursor)
        const recordStart = cursor.at
        const recordEnd = recordStart + bytes
        cursor.at = recordStart + 1
        const delta = readVarlong(cursor) + shift
        if (!Number.isSafeInteger(delta))
          throw new MalformedVarintError('a timestamp is too far from the delete horizon')
        this.#reserve(end, bytes + GROWTH_BYTES_MAX)
        const restBytes = recordEnd - cursor.at
        end = writeVarint(this.#scratch, end, 1 + varintBytes(delta) + restBytes)
        this.#scratch[end++] = source[recordStart]
        end = writeVarint(this.#scratch, end, delta)
        end += source.copy(this.#scratch, end, cursor.at, recordEnd)
        cursor.at = recordEnd
      }
    }
    return end
  }

  #reserve(end: number, bytes: number): void {
    if (end + bytes <= this.#scratch.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#scratch.length * 2, end + bytes))
    this.#scratch.copy(larger, 0, 0, end)
    this.#scratch = larger
  }
}

/** Room for a header with the records behind it as they lie in a batch; undefined when the codec cannot be written. */
function pack(codec: Codec, scratch: Buffer, end: number): Buffer | undefined {
  if (codec === 'none') return scratch.subarray(0, end)
  try {
    const records = packRecords(codec, scratch.subarray(BATCH_HEADER_BYTES, end))
    return Buffer.concat([scratch.subarray(0, BATCH_HEADER_BYTES), records])
  } catch (error) {
    if (error instanceof BrokerError) return undefined
    throw error
  }
}
