import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { ViewedBytes } from '../src/base/bytes.ts'
import { viewBytes } from '../src/base/bytes.ts'
import { murmur2 } from '../src/broker/partitioner.ts'
import { BATCH_HEADER_BYTES, changeBatchHeader } from '../src/record/batch-header.ts'
import type { BatchProducer, RecordHeader } from '../src/record/batch-header.ts'
import { RecordBatchBuilder } from '../src/record/record-batch-builder.ts'

// Record batches as a producer makes them. The bytes are the business of src/record, which the broker writes with as well:
// there is one codec.

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

const SCRATCH_BYTES_MIN = 4 * 1024
/** A scratch that had to grow beyond this is let go at the next record. */
const SCRATCH_BYTES_KEPT = 1024 * 1024
/** UTF-8 takes at most so many bytes for each unit of a string. */
const BYTES_PER_UNIT_MAX = 3

const NO_HEADERS: readonly RecordHeader[] = []
/** What a record and a header take in a batch besides their bytes, at most. */
const RECORD_OVERHEAD_BYTES = 40
const HEADER_OVERHEAD_BYTES = 10

/**
 * Holds one record on its way into a batch, key and value as bytes, because the key decides which batch that is. Text
 * becomes bytes here without a buffer for each; what is bytes already stays where it is when there is no text beside it.
 */
export class OutgoingRecord {
  #text: ViewedBytes = viewBytes(Buffer.allocUnsafeSlow(SCRATCH_BYTES_MIN))
  #isText = false
  #key: Buffer | null = null
  #value: Buffer | null = null
  // In #text; -1 for null.
  #keyStart = -1
  #keyEnd = -1
  #valueStart = -1
  #valueEnd = -1

  /** Unix milliseconds. */
  timestamp = 0
  headers: readonly RecordHeader[] = NO_HEADERS

  /** Takes the next record; its bytes must not change before it is in a batch. */
  hold(key: Bytes | null, value: Bytes | null, timestamp: number, headers = NO_HEADERS): void {
    this.timestamp = timestamp
    this.headers = headers
    this.#isText = typeof key === 'string' || typeof value === 'string'
    if (!this.#isText) {
      this.#key = asBuffer(key as Uint8Array | null)
      this.#value = asBuffer(value as Uint8Array | null)
      return
    }
    this.#reserve(bytesMaxOf(key) + bytesMaxOf(value))
    this.#keyStart = key === null ? -1 : 0
    this.#keyEnd = key === null ? -1 : this.#write(key, 0)
    this.#valueStart = value === null ? -1 : Math.max(this.#keyEnd, 0)
    this.#valueEnd = value === null ? -1 : this.#write(value, this.#valueStart)
  }

  /** About what it takes in a batch, and not less. */
  get sizeBytes(): number {
    const contentBytes = this.#isText
      ? Math.max(this.#keyEnd, this.#valueEnd, 0)
      : (this.#key?.length ?? 0) + (this.#value?.length ?? 0)
    return RECORD_OVERHEAD_BYTES + contentBytes + (this.headers.length === 0 ? 0 : bytesOfHeaders(this.headers))
  }

  get hasKey(): boolean {
    return this.#isText ? this.#keyStart >= 0 : this.#key !== null
  }

  /** Kafka's hash of the key, which there must be. */
  hashKey(): number {
    if (this.#isText) return murmur2(this.#text.buffer, this.#keyStart, this.#keyEnd)
    return this.#key === null ? 0 : murmur2(this.#key, 0, this.#key.length)
  }

  /** Copies the record into the open batch of `builder`. */
  addTo(builder: RecordBatchBuilder): void {
    const { timestamp, headers } = this
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

  /** Copies the record. */
  add(record: OutgoingRecord): void {
    record.addTo(this.#builder)
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

function bytesOfHeaders(headers: readonly RecordHeader[]): number {
  let bytes = 0
  for (const { key, value } of headers) {
    bytes += HEADER_OVERHEAD_BYTES + key.length * BYTES_PER_UNIT_MAX + (value?.length ?? 0)
  }
  return bytes
}

function asBuffer(bytes: Uint8Array | null): Buffer | null {
  if (bytes === null || Buffer.isBuffer(bytes)) return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function bytesMaxOf(bytes: Bytes | null): number {
  if (bytes === null) return 0
  return typeof bytes === 'string' ? bytes.length * BYTES_PER_UNIT_MAX : bytes.length
}
