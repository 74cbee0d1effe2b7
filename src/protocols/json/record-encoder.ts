import { BASE64_SLACK_BYTES, countEncodedCharacters, encodeBase64 } from '../../base/base64.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { viewBytes } from '../../base/bytes.ts'
import type { ViewedBytes } from '../../base/bytes.ts'
import {
  BATCH_HEADER_BYTES,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getRecordCount,
  isControlBatch,
  RecordReader,
  UNPACKED_BYTES_MAX,
} from '../../record/record-batch.ts'
import type { UnpackedRecords } from '../../record/ahead-unpacker.ts'
import { encodeHeaders } from './headers-json.ts'
import { FRAME_HEADER_BYTES, FRAME_TYPES } from './wire.ts'

/** The answer to a FETCH, in memory that is only lent. */
export interface EncodedAnswer {
  /** The whole frame, header and payload. Good until `release`. */
  readonly frame: Buffer
  readonly recordCount: number
  /** The offset to go on from: behind the last record in the answer, or behind what was skipped before it. */
  readonly nextOffset: number
  /** To be called once nobody looks at `frame` any more. */
  release(): void
}

/** What the answer says about the partition besides its records. */
export interface PartitionOffsets {
  readonly highWatermark: number
  readonly logStartOffset: number
}

// {"records":[{"offset":7,"key":null,"value":"dg==","ts":17,"headers":[…]},…],"highWatermark":9,"logStartOffset":0,
// "nextOffset":9}: the last only where the offsets behind the last record hold nothing to be shown
const RECORDS = fixedText('{"records":[')
const OFFSET = fixedText('{"offset":')
const KEY = fixedText(',"key":')
const VALUE = fixedText(',"value":')
const TS = fixedText(',"ts":')
const HEADERS = fixedText(',"headers":')
const HIGH_WATERMARK = fixedText('],"highWatermark":')
const LOG_START_OFFSET = fixedText(',"logStartOffset":')
const NEXT_OFFSET = fixedText(',"nextOffset":')
const NULL = fixedText('null')

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const ZERO = 0x30
const CLOSING_BRACE = 0x7d

const INTEGER_CHARACTERS_MAX = '-9007199254740991'.length
/** A record without its texts, at its longest: names, two numbers, quotes or nulls, a comma. */
const RECORD_FRAME_BYTES_MAX =
  OFFSET.bytes + KEY.bytes + VALUE.bytes + TS.bytes + HEADERS.bytes + 2 * INTEGER_CHARACTERS_MAX + 2 * 4 + 2
const END_BYTES_MAX = HIGH_WATERMARK.bytes + LOG_START_OFFSET.bytes + NEXT_OFFSET.bytes + 3 * INTEGER_CHARACTERS_MAX + 1

/** A small answer is copied when it is sent, so that it comes back before the next consumer asks for the same. */
const KEPT_BYTES_MAX = 8 * 1024

const NO_HEADERS = ''

/**
 * Writes FETCH answers: record batches to JSON, without an object or a string for each record. Answers are written into
 * buffers of a pool, as they stay in use until the socket has taken them.
 */
export class RecordEncoder {
  readonly #pool: BufferPool
  readonly #reader: RecordReader
  #target: ViewedBytes = viewBytes(Buffer.alloc(0))
  #at = 0
  /** The last answer, as long as somebody uses it; a small one until the next, for the encoder itself borrows it. */
  #last: { readonly question: Question; readonly answer: SharedAnswer } | undefined

  /** `unpackedBytesMax` is the most that the records of a compressed batch may grow to. */
  constructor({ pool = new BufferPool(), unpackedBytesMax = UNPACKED_BYTES_MAX } = {}) {
    this.#pool = pool
    this.#reader = new RecordReader(unpackedBytesMax)
  }

  /**
   * Encodes the records of `batches`, whole record batches one behind the other, from `fromOffset` on. It leaves off
   * before the payload would be longer than `payloadBytesMax`; the first record is always there.
   *
   * Whoever asks the same of the same `batches` as the one before gets the same answer: of a thousand consumers that wait
   * for one record, the first has it encoded. `unpacked` are records that were decompressed before.
   *
   * @throws BrokerError MESSAGE_TOO_LARGE if the first record alone is too long, CORRUPT_MESSAGE if a batch is malformed,
   * UNSUPPORTED_COMPRESSION_TYPE if the library for it does not load
   */
  encode(
    batches: Buffer,
    fromOffset: number,
    partition: PartitionOffsets,
    payloadBytesMax: number,
    unpacked?: UnpackedRecords,
  ): EncodedAnswer {
    const { highWatermark, logStartOffset } = partition
    const question = { batches, fromOffset, highWatermark, logStartOffset, payloadBytesMax }
    if (this.#last !== undefined && isSame(this.#last.question, question)) return this.#last.answer.lendAgain()
    this.#forgetLast()
    const payloadBytes = Math.min(estimateBytes(batches), payloadBytesMax)
    this.#target = viewBytes(this.#pool.take(FRAME_HEADER_BYTES + payloadBytes + BASE64_SLACK_BYTES))
    this.#at = FRAME_HEADER_BYTES
    try {
      this.#put(RECORDS)
      const { recordCount, behindLast, nextOffset } = this.#encodeRecords(
        viewBytes(batches),
        fromOffset,
        FRAME_HEADER_BYTES + payloadBytesMax,
        unpacked,
      )
      this.#put(HIGH_WATERMARK)
      this.#putInteger(highWatermark)
      this.#put(LOG_START_OFFSET)
      this.#putInteger(logStartOffset)
      if (nextOffset > behindLast) {
        this.#put(NEXT_OFFSET)
        this.#putInteger(nextOffset)
      }
      this.#putByte(CLOSING_BRACE)
      return this.#lend(question, recordCount, nextOffset)
    } catch (error) {
      this.#pool.giveBack(this.#target.buffer)
      throw error
    } finally {
      this.#reader.close()
    }
  }

  #encodeRecords(
    batches: ViewedBytes,
    fromOffset: number,
    endMax: number,
    unpacked: UnpackedRecords | undefined,
  ): { recordCount: number; behindLast: number; nextOffset: number } {
    const { buffer } = batches
    const reader = this.#reader
    let recordCount = 0
    let behindLast = fromOffset
    let nextOffset = fromOffset
    for (let batchAt = 0; batchAt < buffer.length; batchAt += getBatchBytes(buffer, batchAt)) {
      reader.open(buffer, batchAt, unpacked?.get(batchAt))
      const batchEndOffset = getBaseOffset(buffer, batchAt) + getLastOffsetDelta(buffer, batchAt) + 1
      if (batchEndOffset <= fromOffset) continue
      if (!isControlBatch(buffer, batchAt)) {
        let source = batches
        while (reader.next()) {
          if (reader.buffer !== source.buffer) source = viewBytes(reader.buffer)
          if (reader.offset < fromOffset) continue
          const headers = reader.headerCount === 0 ? NO_HEADERS : encodeHeaders(reader.headers)
          const bytesMax = countRecordBytesMax(reader, headers)
          if (this.#at + bytesMax + END_BYTES_MAX > endMax) {
            if (recordCount === 0) throw tooLarge(reader.offset, bytesMax, endMax - FRAME_HEADER_BYTES)
            return { recordCount, behindLast, nextOffset }
          }
          this.#reserve(bytesMax + END_BYTES_MAX)
          if (recordCount > 0) this.#putByte(COMMA)
          this.#putRecord(source, headers)
          recordCount++
          behindLast = reader.offset + 1
          nextOffset = behindLast
        }
      }
      nextOffset = batchEndOffset
    }
    return { recordCount, behindLast, nextOffset }
  }

  #putRecord(source: ViewedBytes, headers: string): void {
    const reader = this.#reader
    this.#put(OFFSET)
    this.#putInteger(reader.offset)
    this.#put(KEY)
    this.#putText(source, reader.keyStart, reader.keyEnd)
    this.#put(VALUE)
    this.#putText(source, reader.valueStart, reader.valueEnd)
    this.#put(TS)
    this.#putInteger(reader.timestamp)
    if (headers !== NO_HEADERS) {
      this.#put(HEADERS)
      this.#at += this.#target.buffer.write(headers, this.#at)
    }
    this.#putByte(CLOSING_BRACE)
  }

  /** Bytes as base64 text, or null if `start` is negative. */
  #putText(source: ViewedBytes, start: number, end: number): void {
    if (start < 0) return this.#put(NULL)
    this.#putByte(QUOTE)
    this.#at = encodeBase64(source, start, end, this.#target, this.#at)
    this.#putByte(QUOTE)
  }

  #putInteger(value: number): void {
    if (value < 0) {
      this.#putByte(MINUS)
      value = -value
    }
    const { buffer } = this.#target
    // Two parts of at most nine digits each, since arithmetic with 32 bits is many times cheaper.
    if (value < 1e9) {
      const end = this.#at + countDigits(value)
      writeDigits(buffer, this.#at, end, value)
      this.#at = end
      return
    }
    const high = Math.floor(value / 1e9)
    const highEnd = this.#at + countDigits(high)
    writeDigits(buffer, this.#at, highEnd, high)
    writeDigits(buffer, highEnd, highEnd + 9, value - high * 1e9)
    this.#at = highEnd + 9
  }

  /** May write up to three bytes more than the text has: what follows goes over them, and there is room in any case. */
  #put(text: FixedText): void {
    const { view } = this.#target
    const { words } = text
    const at = this.#at
    for (let index = 0; index < words.length; index++) view.setUint32(at + 4 * index, words[index])
    this.#at = at + text.bytes
  }

  #putByte(byte: number): void {
    this.#target.buffer[this.#at++] = byte
  }

  /** Makes sure of `bytes` more. The estimate can be too low when records are compressed or have headers. */
  #reserve(bytes: number): void {
    const before = this.#target.buffer
    const needed = this.#at + bytes + BASE64_SLACK_BYTES
    if (needed <= before.length) return
    const longer = this.#pool.take(Math.max(needed, before.length * 2))
    before.copy(longer, 0, 0, this.#at)
    this.#pool.giveBack(before)
    this.#target = viewBytes(longer)
  }

  #lend(question: Question, recordCount: number, nextOffset: number): EncodedAnswer {
    const { buffer } = this.#target
    buffer[0] = FRAME_TYPES.FETCH
    buffer.writeUInt32BE(this.#at - FRAME_HEADER_BYTES, 1)
    const answer = new SharedAnswer(buffer.subarray(0, this.#at), recordCount, nextOffset, () => {
      if (this.#last?.answer === answer) this.#last = undefined
      this.#pool.giveBack(buffer)
    })
    this.#last = { question, answer }
    return answer.frame.length <= KEPT_BYTES_MAX ? answer.lendAgain() : answer
  }

  #forgetLast(): void {
    const last = this.#last?.answer
    this.#last = undefined
    if (last !== undefined && last.frame.length <= KEPT_BYTES_MAX) last.release()
  }
}

/** Everything that an answer depends on. While `batches` are lent, no other ones are the same object. */
interface Question {
  readonly batches: Buffer
  readonly fromOffset: number
  readonly highWatermark: number
  readonly logStartOffset: number
  readonly payloadBytesMax: number
}

function isSame(one: Question, other: Question): boolean {
  return (
    one.batches === other.batches &&
    one.fromOffset === other.fromOffset &&
    one.highWatermark === other.highWatermark &&
    one.logStartOffset === other.logStartOffset &&
    one.payloadBytesMax === other.payloadBytesMax
  )
}

/** An answer that several may borrow. Each of them calls `release` once; with the last one the memory is free. */
class SharedAnswer implements EncodedAnswer {
  readonly frame: Buffer
  readonly recordCount: number
  readonly nextOffset: number
  readonly #free: () => void
  #borrowers = 1

  constructor(frame: Buffer, recordCount: number, nextOffset: number, free: () => void) {
    this.frame = frame
    this.recordCount = recordCount
    this.nextOffset = nextOffset
    this.#free = free
  }

  lendAgain(): this {
    this.#borrowers++
    return this
  }

  release(): void {
    this.#borrowers--
    if (this.#borrowers === 0) this.#free()
  }
}

/** The size of an answer with all records, at most, unless some are compressed or have headers. */
function estimateBytes(batches: Buffer): number {
  let bytes = RECORDS.bytes + END_BYTES_MAX
  for (let at = 0; batches.length - at >= BATCH_HEADER_BYTES;) {
    const batchBytes = getBatchBytes(batches, at)
    // A malformed batch is complained of when its turn comes.
    if (batchBytes < BATCH_HEADER_BYTES) break
    const recordCount = getRecordCount(batches, at)
    // Every text may be padded by two characters more than its third would take.
    bytes += countEncodedCharacters(batchBytes) + Math.max(recordCount, 0) * (RECORD_FRAME_BYTES_MAX + 2 * 4)
    at += batchBytes
  }
  return bytes
}

function countRecordBytesMax(reader: RecordReader, headers: string): number {
  return (
    RECORD_FRAME_BYTES_MAX +
    countEncodedCharacters(reader.keyEnd - reader.keyStart) +
    countEncodedCharacters(reader.valueEnd - reader.valueStart) +
    (headers === NO_HEADERS ? 0 : Buffer.byteLength(headers))
  )
}

function countDigits(value: number): number {
  let digits = 1
  for (let limit = 10; value >= limit; limit *= 10) digits++
  return digits
}

/** Writes a number below 10^9 with as many digits as there is room for. */
function writeDigits(buffer: Buffer, start: number, end: number, value: number): void {
  let rest = value | 0
  for (let at = end - 1; at >= start; at--) {
    const tens = (rest / 10) | 0
    buffer[at] = ZERO + (rest - tens * 10)
    rest = tens
  }
}

function tooLarge(offset: number, bytes: number, payloadBytesMax: number): BrokerError {
  return new BrokerError(
    'MESSAGE_TOO_LARGE',
    `Cannot answer with the record at offset ${offset}, which takes up to ${bytes} bytes as JSON: an answer has ${payloadBytesMax} at most`,
  )
}

/** ASCII text that is written often: by four bytes at a time, which is three times as quick as one by one. */
interface FixedText {
  readonly bytes: number
  readonly words: readonly number[]
}

function fixedText(text: string): FixedText {
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4), 'latin1')
  const words = Array.from({ length: padded.length / 4 }, (_, index) => padded.readUInt32BE(4 * index))
  return { bytes: text.length, words }
}
