import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { BrokerError } from '../src/base/broker-error.ts'
import type { ViewedBytes } from '../src/base/bytes.ts'
import { viewBytes } from '../src/base/bytes.ts'
import { murmur2 } from '../src/broker/partitioner.ts'
import {
  BATCH_HEADER_BYTES,
  changeBatchHeader,
  findBatchFault,
  findHeaderFault,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
} from '../src/record/batch-header.ts'
import type { BatchProducer, RecordHeader } from '../src/record/batch-header.ts'
import { RecordBatchBuilder } from '../src/record/record-batch-builder.ts'
import { RecordReader } from '../src/record/record-reader.ts'

// Record batches as Producer and Consumer see them. The bytes are the business of src/record, which the broker reads and
// writes with as well: there is one codec.

/** Text counts as UTF-8. */
export type Bytes = string | Uint8Array

/** Records that came from the broker and cannot be read. `offset` is where the batch begins that they are in. */
export class UnreadableRecords extends Error {
  override readonly name = 'UnreadableRecords'
  /** CORRUPT_MESSAGE, or UNSUPPORTED_COMPRESSION_TYPE when there is no library here for what they are compressed with. */
  readonly code: string
  readonly offset: number

  constructor(code: string, message: string, offset: number, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.offset = offset
  }
}

/**
 * Calls `visit` for each record from `fromOffset` on, in the batches that lie one behind the other in `bytes`, always with the
 * same reader, which has moved on to that record. What is not for consumers is skipped. Returns the offset to go on from:
 * behind the last batch, or where `visit` said false, at that record, which is then not passed over.
 *
 * It ends before a batch that cannot be read, and when that is the first one with something new, throws.
 *
 * @throws UnreadableRecords
 */
export function visitBatches(
  bytes: Buffer,
  fromOffset: number,
  visit: (record: RecordReader) => boolean | void,
  reader = new RecordReader(),
): number {
  let nextOffset = fromOffset
  let at = 0
  while (at < bytes.length) {
    // The broker makes aborted batches look like control batches, and their checksum no longer fits then.
    const isHidden = findHeaderFault(bytes, at, bytes.length) === undefined && isControlBatch(bytes, at)
    const fault = isHidden ? undefined : findBatchFault(bytes, at, bytes.length)
    if (fault !== undefined) {
      if (nextOffset > fromOffset) return nextOffset
      throw new UnreadableRecords('CORRUPT_MESSAGE', `Cannot read the records from ${nextOffset}: ${fault}`, nextOffset)
    }
    const batchEnd = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
    if (batchEnd > nextOffset && !isHidden) {
      try {
        reader.open(bytes, at)
        while (reader.next()) {
          if (reader.offset < nextOffset) continue
          if (visit(reader) === false) return reader.offset
          nextOffset = reader.offset + 1
        }
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        if (nextOffset > fromOffset) return nextOffset
        throw new UnreadableRecords(error.code, error.message, getBaseOffset(bytes, at), { cause: error })
      }
    }
    nextOffset = Math.max(nextOffset, batchEnd)
    at += getBatchBytes(bytes, at)
  }
  return nextOffset
}

const SCRATCH_BYTES_MIN = 4 * 1024
/** A scratch that had to grow beyond this is let go at the next record. */
const SCRATCH_BYTES_KEPT = 1024 * 1024
/** UTF-8 takes at most so many bytes for each unit of a string. */
const BYTES_PER_UNIT_MAX = 3

/**
 * Holds key and value of one record as bytes on their way into a batch, because the key decides which batch that is. Text
 * becomes bytes here without a buffer for each; what is bytes already stays where it is when there is no text beside it.
 */
export class RecordScratch {
  #text: ViewedBytes = viewBytes(Buffer.allocUnsafeSlow(SCRATCH_BYTES_MIN))
  #isText = false
  #key: Buffer | null = null
  #value: Buffer | null = null
  // In #text; -1 for null.
  #keyStart = -1
  #keyEnd = -1
  #valueStart = -1
  #valueEnd = -1

  /** Key and value together, in bytes. */
  sizeBytes = 0

  /** Takes the next record; the bytes must not change before it is in a batch. */
  hold(key: Bytes | null, value: Bytes | null): void {
    this.#isText = typeof key === 'string' || typeof value === 'string'
    if (!this.#isText) {
      this.#key = asBuffer(key as Uint8Array | null)
      this.#value = asBuffer(value as Uint8Array | null)
      this.sizeBytes = (key === null ? 0 : key.length) + (value === null ? 0 : value.length)
      return
    }
    this.#reserve(bytesMaxOf(key) + bytesMaxOf(value))
    this.#keyStart = key === null ? -1 : 0
    this.#keyEnd = key === null ? -1 : this.#write(key, 0)
    this.#valueStart = value === null ? -1 : Math.max(this.#keyEnd, 0)
    this.#valueEnd = value === null ? -1 : this.#write(value, this.#valueStart)
    this.sizeBytes = Math.max(this.#keyEnd, this.#valueEnd, 0)
  }

  /** Kafka's hash of the key; undefined when there is none. */
  hashKey(): number | undefined {
    if (this.#isText) return this.#keyStart < 0 ? undefined : murmur2(this.#text.buffer, this.#keyStart, this.#keyEnd)
    return this.#key === null ? undefined : murmur2(this.#key, 0, this.#key.length)
  }

  /** Copies the record into the open batch of `builder`. */
  addTo(builder: RecordBatchBuilder, timestamp: number, headers?: readonly RecordHeader[]): void {
    if (!this.#isText) return builder.add(this.#key, this.#value, timestamp, headers)
    const text = this.#text
    builder.addSlices(text, this.#keyStart, this.#keyEnd, this.#valueStart, this.#valueEnd, timestamp, headers)
  }

  #write(bytes: Bytes, at: number): number {
    const { buffer } = this.#text
    if (typeof bytes === 'string') return at + buffer.utf8Write(bytes, at, buffer.length - at)
    buffer.set(bytes, at)
    return at + bytes.length
  }

  #reserve(bytes: number): void {
    const current = this.#text.buffer.length
    if (bytes <= current && (current <= SCRATCH_BYTES_KEPT || bytes > SCRATCH_BYTES_KEPT)) return
    this.#text = viewBytes(Buffer.allocUnsafeSlow(Math.max(bytes, SCRATCH_BYTES_MIN)))
  }
}

/** One batch on its way to the broker: opened, filled, finished, and used again for another one. */
export class BatchWriter {
  readonly #builder: RecordBatchBuilder

  /** `batchBytes` is how large a batch is expected to become; it can grow beyond. */
  constructor(batchBytes: number) {
    this.#builder = new RecordBatchBuilder(batchBytes)
    this.#builder.begin()
  }

  get recordCount(): number {
    return this.#builder.recordCount
  }

  /** The size that the batch would have, uncompressed, if it were finished now. */
  get sizeBytes(): number {
    return this.#builder.sizeBytes
  }

  /** Copies the record that `scratch` holds. `timestamp` is Unix milliseconds. */
  add(scratch: RecordScratch, timestamp: number, headers?: readonly RecordHeader[]): void {
    scratch.addTo(this.#builder, timestamp, headers)
  }

  /** Completes the batch, uncompressed. It stays as it is until `reset`. */
  finish(producer?: BatchProducer): Buffer {
    return this.#builder.finish(producer)
  }

  /** Begins another batch over the bytes of the last one. */
  reset(): void {
    this.#builder.abandon()
    this.#builder.reset()
    this.#builder.begin()
  }
}

/** The same batch with its records compressed, in a buffer of its own. The work is done in the thread pool. */
export async function compressBatch(batch: Buffer): Promise<Buffer> {
  const header = batch.subarray(0, BATCH_HEADER_BYTES)
  const compressed = Buffer.concat([header, await compress(batch.subarray(BATCH_HEADER_BYTES))])
  changeBatchHeader(compressed, { codec: 'gzip' })
  return compressed
}

const compress = promisify<Buffer, Buffer>(gzip)

function asBuffer(bytes: Uint8Array | null): Buffer | null {
  if (bytes === null || Buffer.isBuffer(bytes)) return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function bytesMaxOf(bytes: Bytes | null): number {
  if (bytes === null) return 0
  return typeof bytes === 'string' ? bytes.length * BYTES_PER_UNIT_MAX : bytes.length
}
