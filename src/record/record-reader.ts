import { BrokerError } from '../base/broker-error.ts'
import { MalformedVarintError, readVarint, readVarlong } from '../base/varint.ts'
import type { ByteCursor } from '../base/varint.ts'
import {
  BATCH_HEADER_BYTES,
  findHeaderFault,
  getBaseOffset,
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getLastOffsetDelta,
  getMaxTimestamp,
  getRecordCount,
  hasLogAppendTime,
  RECORD_BYTES_MIN,
} from './batch-header.ts'
import type { RecordHeader } from './batch-header.ts'
import { UNPACKED_BYTES_MAX, unpackRecords } from './codecs/unpack.ts'

/** The least that a header takes: two lengths. */
const HEADER_BYTES_MIN = 2
const NO_BYTES = Buffer.alloc(0)

/** A record taken out of its batch. The buffers are views of the batch's bytes, or of what it was decompressed to. */
export interface DecodedRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

const NO_HEADERS: readonly RecordHeader[] = []

/**
 * Takes the records of the batch at `at`. The batch's checksum is not compared: that is `findBatchFault`'s.
 *
 * @throws BrokerError CORRUPT_MESSAGE if the header or any record is malformed, the records cannot be decompressed, or
 * they are more than `unpackedBytesMax` bytes then; UNSUPPORTED_COMPRESSION_TYPE if the codec's library does not load
 */
export function decodeRecords(batch: Buffer, at = 0, unpackedBytesMax = UNPACKED_BYTES_MAX): DecodedRecord[] {
  const records: DecodedRecord[] = []
  const visit = ({ offset, timestamp, key, value, headers }: RecordReader) => {
    records.push({ offset, timestamp, key, value, headers })
  }
  visitRecords(batch, at, visit, unpackedBytesMax)
  return records
}

/**
 * Calls `visit` for each record of the batch at `at`, always with the same reader, which has moved on to that record.
 * `visit` ends the visit by returning false. A malformed record is noticed when its turn comes, not before.
 *
 * @throws BrokerError as `decodeRecords` does
 */
export function visitRecords(
  batch: Buffer,
  at: number,
  visit: (record: RecordReader) => boolean | void,
  unpackedBytesMax = UNPACKED_BYTES_MAX,
): void {
  const reader = new RecordReader(unpackedBytesMax)
  reader.open(batch, at)
  while (reader.next()) {
    if (visit(reader) === false) return
  }
}

/** The headers of a record that a RecordReader has walked over, from its `buffer`, `headersStart` and `headerCount`. */
export function readHeaders(buffer: Buffer, start: number, count: number): readonly RecordHeader[] {
  if (count === 0) return NO_HEADERS
  const cursor: ByteCursor = { buffer, at: start, end: buffer.length }
  const headers: RecordHeader[] = []
  for (let left = count; left > 0; left--) {
    const keyBytes = readVarint(cursor)
    const key = buffer.toString('utf8', cursor.at, cursor.at + keyBytes)
    cursor.at += keyBytes
    const valueBytes = readVarint(cursor)
    const value = valueBytes < 0 ? null : buffer.subarray(cursor.at, cursor.at + valueBytes)
    cursor.at += Math.max(valueBytes, 0)
    headers.push({ key, value })
  }
  return headers
}

/**
 * Walks through the records of one batch after another without allocating for each. `open` a batch, then call `next`
 * until it says false; after each true the fields speak of that record, as positions in `buffer`, until the next call.
 */
export class RecordReader implements ByteCursor {
  /** Where the positions point into: the batch itself, or what it was decompressed to. */
  buffer: Buffer = NO_BYTES
  at = 0
  end = 0

  offset = 0
  timestamp = 0
  /** -1 for a null key, and then `keyEnd` too. */
  keyStart = 0
  keyEnd = 0
  /** -1 for a null value, and then `valueEnd` too. */
  valueStart = 0
  valueEnd = 0
  headerCount = 0
  /** Where `readHeaders` begins. */
  headersStart = 0

  readonly #unpackedBytesMax: number
  #batchAt = 0
  #baseOffset = 0
  #baseTimestamp = 0
  #logAppendTime: number | undefined
  #lastOffsetDelta = 0
  #offsetDelta = 0
  #recordsLeft = 0
  #isPacked = false

  /** `unpackedBytesMax` is the most that the records of one batch may grow to when they are decompressed. */
  constructor(unpackedBytesMax = UNPACKED_BYTES_MAX) {
    this.#unpackedBytesMax = unpackedBytesMax
  }

  /**
   * Moves before the first record of the batch at `at`. `unpacked` are its records if they have been decompressed before.
   *
   * @throws BrokerError CORRUPT_MESSAGE if the header is malformed
   */
  open(batch: Buffer, at: number, unpacked?: Buffer): void {
    const fault = findHeaderFault(batch, at, batch.length)
    if (fault !== undefined) throw this.#corrupt(at, fault)
    this.#batchAt = at
    this.#baseOffset = getBaseOffset(batch, at)
    this.#baseTimestamp = getBaseTimestamp(batch, at)
    this.#logAppendTime = hasLogAppendTime(batch, at) ? getMaxTimestamp(batch, at) : undefined
    this.#lastOffsetDelta = getLastOffsetDelta(batch, at)
    this.#offsetDelta = -1
    this.#recordsLeft = getRecordCount(batch, at)
    this.buffer = batch
    this.at = at + BATCH_HEADER_BYTES
    this.end = at + getBatchBytes(batch, at)
    this.#isPacked = this.#recordsLeft > 0 && getCodec(batch, at) !== 'none'
    if (this.#isPacked && unpacked !== undefined) this.#goOnIn(unpacked)
  }

  /** Lets go of the batch, and of what it was decompressed to. */
  close(): void {
    this.#end()
    this.buffer = NO_BYTES
  }

  /**
   * Moves to the next record; false behind the last one.
   *
   * @throws BrokerError CORRUPT_MESSAGE if the record is malformed, bytes are left behind the last one, or the records
   * cannot be decompressed; UNSUPPORTED_COMPRESSION_TYPE if the codec's library does not load
   */
  next(): boolean {
    if (this.#isPacked) this.#unpack()
    if (this.#recordsLeft === 0) {
      if (this.at !== this.end) throw this.#corrupt(this.#batchAt, `${this.end - this.at} bytes follow its last record`)
      return false
    }
    this.#recordsLeft--
    try {
      this.#read()
    } catch (error) {
      if (error instanceof MalformedVarintError) {
        throw this.#corrupt(this.#batchAt, `a record in it is malformed: ${error.message}`, error)
      }
      throw error
    }
    return true
  }

  get key(): Buffer | null {
    return this.keyStart < 0 ? null : this.buffer.subarray(this.keyStart, this.keyEnd)
  }

  get value(): Buffer | null {
    return this.valueStart < 0 ? null : this.buffer.subarray(this.valueStart, this.valueEnd)
  }

  get headers(): readonly RecordHeader[] {
    return readHeaders(this.buffer, this.headersStart, this.headerCount)
  }

  #read(): void {
    const batchEnd = this.end
    const recordBytes = this.#readSmall()
    const recordEnd = this.at + recordBytes
    if (recordBytes < RECORD_BYTES_MIN - 1 || recordEnd > batchEnd) {
      throw this.#corrupt(this.#batchAt, `a record in it claims ${recordBytes} bytes, ${batchEnd - this.at} are left`)
    }
    // No field may reach over the end of its record, which is why the record's end is the cursor's for a while.
    this.end = recordEnd
    this.at++
    const timestamp = this.#baseTimestamp + readVarlong(this)
    const offsetDelta = this.#readSmall()
    if (offsetDelta <= this.#offsetDelta || offsetDelta > this.#lastOffsetDelta) {
      throw this.#corrupt(
        this.#batchAt,
        `a record in it has offset delta ${offsetDelta}: ${this.#offsetDelta + 1} to ${this.#lastOffsetDelta} fit there`,
      )
    }
    if (!Number.isSafeInteger(timestamp)) throw this.#corrupt(this.#batchAt, 'a timestamp in it is beyond ±(2^53 - 1)')
    this.#offsetDelta = offsetDelta
    this.offset = this.#baseOffset + offsetDelta
    this.timestamp = this.#logAppendTime ?? timestamp
    this.keyStart = this.#skipBytes('key')
    this.keyEnd = this.keyStart < 0 ? -1 : this.at
    this.valueStart = this.#skipBytes('value')
    this.valueEnd = this.valueStart < 0 ? -1 : this.at
    this.headerCount = this.#readSmall()
    this.headersStart = this.at
    if (this.headerCount !== 0) this.#skipHeaders()
    if (this.at !== recordEnd) {
      throw this.#corrupt(this.#batchAt, `a record in it is ${recordEnd - this.at} bytes longer than its fields`)
    }
    this.end = batchEnd
  }

  #skipHeaders(): void {
    const count = this.headerCount
    if (count < 0 || count * HEADER_BYTES_MIN > this.end - this.at) {
      throw this.#corrupt(
        this.#batchAt,
        `a record in it claims ${count} headers, ${this.end - this.at} bytes are left of it`,
      )
    }
    for (let left = count; left > 0; left--) {
      if (this.#skipBytes('header key') < 0) throw this.#corrupt(this.#batchAt, 'a header in it has no key')
      this.#skipBytes('header value')
    }
  }

  /** Moves behind a length and its bytes; returns where the bytes begin, -1 for null. */
  #skipBytes(what: string): number {
    const bytes = this.#readSmall()
    if (bytes === -1) return -1
    const start = this.at
    if (bytes < 0 || bytes > this.end - start) {
      throw this.#corrupt(this.#batchAt, `a ${what} in it claims ${bytes} bytes, ${this.end - start} are left`)
    }
    this.at = start + bytes
    return start
  }

  /** A varint; most of them are one byte. */
  #readSmall(): number {
    const at = this.at
    if (at < this.end) {
      const byte = this.buffer[at]
      if (byte < 0x80) {
        this.at = at + 1
        return (byte >>> 1) ^ -(byte & 1)
      }
    }
    return readVarint(this)
  }

  /** Goes on in the decompressed records. */
  #unpack(): void {
    this.#isPacked = false
    const codec = getCodec(this.buffer, this.#batchAt)
    if (codec === undefined || codec === 'none') return
    let unpacked: Buffer
    try {
      unpacked = unpackRecords(codec, this.buffer.subarray(this.at, this.end), this.#unpackedBytesMax)
    } catch (error) {
      if (error instanceof BrokerError) {
        this.#end()
        throw error
      }
      const reason = error instanceof Error ? error.message : String(error)
      throw this.#corrupt(this.#batchAt, `its records cannot be decompressed with ${codec}: ${reason}`, error)
    }
    this.#goOnIn(unpacked)
  }

  #goOnIn(unpacked: Buffer): void {
    this.#isPacked = false
    this.buffer = unpacked
    this.at = 0
    this.end = unpacked.length
    if (this.end < this.#recordsLeft * RECORD_BYTES_MIN) {
      throw this.#corrupt(
        this.#batchAt,
        `its record count is ${this.#recordsLeft}, which ${this.end} bytes cannot hold`,
      )
    }
  }

  #corrupt(at: number, fault: string, cause?: unknown): BrokerError {
    this.#end()
    return new BrokerError('CORRUPT_MESSAGE', `Cannot read the record batch at position ${at}: ${fault}`, { cause })
  }

  /** Ends the reading of this batch: whoever goes on regardless gets no half-read record. */
  #end(): void {
    this.#recordsLeft = 0
    this.#isPacked = false
    this.at = this.end
  }
}
