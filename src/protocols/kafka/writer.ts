import { AssertionError } from '../../base/assert.ts'
import { STRING_BYTES_MAX } from './reader.ts'

/** Most answers fit, and Node cuts buffers of this size from a larger one. */
const FIRST_BYTES = 512
/** Records up to this length are copied: that costs less than one more piece to be sent. */
const COPIED_RECORDS_BYTES_MAX = 1024

const HYPHEN = 0x2d
const TWO_TO_32 = 0x1_0000_0000

/** ASCII up to this length is written faster here than by a call out of JavaScript. */
const SHORT_TEXT_BYTES_MAX = 32

/**
 * Writes the parts of a Kafka message, one after the other; reader.ts draws them. Records are not copied: the message
 * comes out as pieces, so that an answer to a fetch is some bytes of our own, a buffer of the log, and so on.
 */
export class Writer {
  #pieces: Buffer[] = []
  /** Bytes in `#pieces`. */
  #piecesBytes = 0
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  /** Where the piece that is being written begins and ends in `#buffer`. */
  #start = 0
  #at = 0

  /** Bytes written so far. */
  get size(): number {
    return this.#piecesBytes + this.#at - this.#start
  }

  bool(value: boolean): void {
    this.int8(value ? 1 : 0)
  }

  int8(value: number): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  int16(value: number): void {
    const at = this.#reserve(2)
    this.#buffer[at] = value >>> 8
    this.#buffer[at + 1] = value
  }

  uint16(value: number): void {
    this.int16(value)
  }

  int32(value: number): void {
    const at = this.#reserve(4)
    putInt32(this.#buffer, at, value)
  }

  uint32(value: number): void {
    this.int32(value)
  }

  /** Writes a safe integer. */
  int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new AssertionError(`${value} is no integer that can be written exactly`)
    const at = this.#reserve(8)
    putInt32(this.#buffer, at, Math.floor(value / TWO_TO_32))
    // Bit operations take a number modulo 2^32, in two's complement: the low half, of negative numbers too.
    putInt32(this.#buffer, at + 4, value | 0)
  }

  float64(value: number): void {
    const at = this.#reserve(8)
    this.#buffer.writeDoubleBE(value, at)
  }

  /** Writes a UUID, in the form with hyphens. */
  uuid(value: string): void {
    let at = this.#reserve(16)
    let all = value.length === 36 ? 0 : -1
    for (let index = 0; index < 36; index += 2) {
      if (value.charCodeAt(index) === HYPHEN) index++
      const byte = (hexDigit(value, index) << 4) | hexDigit(value, index + 1)
      this.#buffer[at++] = byte
      all |= byte
    }
    if (all < 0) throw new AssertionError(`"${value}" is no UUID`)
  }

  /** Writes an integer of at most 32 bits without sign. */
  uvarint(value: number): void {
    let at = this.#reserve(uvarintBytes(value))
    let rest = value
    for (; rest >= 0x80; rest >>>= 7) this.#buffer[at++] = (rest & 0x7f) | 0x80
    this.#buffer[at] = rest
  }

  string(value: string): void {
    const length = stringBytes(value)
    this.int16(length)
    this.#text(value, length)
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    const length = stringBytes(value)
    this.uvarint(length + 1)
    this.#text(value, length)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  bytes(value: Buffer): void {
    this.int32(value.length)
    this.#copy(value)
  }

  nullableBytes(value: Buffer | null): void {
    if (value === null) this.int32(-1)
    else this.bytes(value)
  }

  compactBytes(value: Buffer): void {
    this.uvarint(value.length + 1)
    this.#copy(value)
  }

  compactNullableBytes(value: Buffer | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  /** The buffer itself becomes a piece of the message and must not change until that is sent. */
  records(value: Buffer): void {
    this.int32(value.length)
    this.#refer(value)
  }

  /** See `records`. */
  nullableRecords(value: Buffer | null): void {
    if (value === null) this.int32(-1)
    else this.records(value)
  }

  /** See `records`. */
  compactRecords(value: Buffer): void {
    this.uvarint(value.length + 1)
    this.#refer(value)
  }

  /** See `records`. */
  compactNullableRecords(value: Buffer | null): void {
    if (value === null) this.uvarint(0)
    else this.compactRecords(value)
  }

  /** Announces as many elements; -1 for null. */
  arrayCount(count: number): void {
    this.int32(count)
  }

  /** Announces as many elements; -1 for null. */
  compactArrayCount(count: number): void {
    this.uvarint(count + 1)
  }

  /** Begins a tagged field. Returns what `endTaggedField` needs to put the size before it. */
  beginTaggedField(tag: number): number {
    this.uvarint(tag)
    return this.size
  }

  /** Ends the tagged field that was begun. It must not have held records: their bytes cannot be moved. */
  endTaggedField(begin: number): void {
    const fieldBytes = this.size - begin
    this.uvarint(fieldBytes)
    // The size is behind the field now, and shows how far the field has to move to make room for it.
    const sizeBytes = uvarintBytes(fieldBytes)
    const end = this.#at - sizeBytes
    const at = end - fieldBytes
    this.#buffer.copyWithin(at + sizeBytes, at, end)
    this.#at = at
    this.uvarint(fieldBytes)
    this.#at = end + sizeBytes
  }

  /**
   * The pieces of a whole frame. What was written began with four bytes that are now filled with the length of the rest.
   * The writer is used up.
   */
  finishFrame(): readonly Buffer[] {
    const pieces = this.finish()
    putInt32(pieces[0], 0, this.size - 4)
    return pieces
  }

  /** The pieces of what was written. The writer is used up. */
  finish(): readonly Buffer[] {
    this.#closePiece()
    return this.#pieces
  }

  /**
   * Makes room for as many bytes, moves on behind them and returns where they begin. `#buffer` may be another one
   * afterwards, so look at it only then.
   */
  #reserve(bytes: number): number {
    if (this.#at + bytes > this.#buffer.length) this.#grow(bytes)
    const at = this.#at
    this.#at = at + bytes
    return at
  }

  #grow(bytes: number): void {
    const pieceBytes = this.#at - this.#start
    const larger = Buffer.allocUnsafe(Math.max(FIRST_BYTES, 2 * (pieceBytes + bytes)))
    this.#buffer.copy(larger, 0, this.#start, this.#at)
    this.#buffer = larger
    this.#start = 0
    this.#at = pieceBytes
  }

  #text(value: string, length: number): void {
    const at = this.#reserve(length)
    const buffer = this.#buffer
    if (length !== value.length) buffer.utf8Write(value, at, length)
    else if (length > SHORT_TEXT_BYTES_MAX) buffer.latin1Write(value, at, length)
    else for (let index = 0; index < length; index++) buffer[at + index] = value.charCodeAt(index)
  }

  #copy(value: Buffer): void {
    const at = this.#reserve(value.length)
    value.copy(this.#buffer, at)
  }

  #refer(value: Buffer): void {
    if (value.length <= COPIED_RECORDS_BYTES_MAX) return this.#copy(value)
    this.#closePiece()
    this.#pieces.push(value)
    this.#piecesBytes += value.length
  }

  #closePiece(): void {
    if (this.#at === this.#start) return
    this.#pieces.push(this.#buffer.subarray(this.#start, this.#at))
    this.#piecesBytes += this.#at - this.#start
    this.#start = this.#at
  }
}

function putInt32(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >>> 16
  buffer[at + 2] = value >>> 8
  buffer[at + 3] = value
}

/** Negative for what is no digit. */
function hexDigit(text: string, index: number): number {
  return HEX_DIGITS[text.charCodeAt(index) & 0xff]
}

const HEX_DIGITS = new Int8Array(0x100).fill(-1)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  HEX_DIGITS[digit.charCodeAt(0)] = value
  HEX_DIGITS[digit.toUpperCase().charCodeAt(0)] = value
}

function stringBytes(value: string): number {
  const length = Buffer.byteLength(value)
  if (length > STRING_BYTES_MAX) throw new AssertionError(`a string of ${length} bytes is longer than Kafka can say`)
  return length
}

function uvarintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < 0x1000_0000) return 4
  return 5
}
