// How Kafka writes down the parts of a message. "Compact" is the form in flexible versions of an API.
//
//   string    length i16 (-1: null) │ UTF-8            compact: length + 1 as uvarint (0: null) │ UTF-8
//   bytes     length i32 (-1: null) │ bytes            compact: length + 1 as uvarint (0: null) │ bytes
//   array     count i32 (-1: null) │ elements          compact: count + 1 as uvarint (0: null) │ elements
//   uvarint   seven bits to a byte, the low ones first, the top bit set on every byte but the last; no zigzag
//   tagged fields, at the end of every struct of a flexible version:
//             count uvarint │ then for each, by ascending tag: tag uvarint │ size uvarint │ `size` bytes

/** Array elements that one request may have, all its arrays together. */
export const ELEMENTS_PER_REQUEST_MAX = 100_000

/** Longer strings are refused, in the compact form too: Kafka's rule. */
export const STRING_BYTES_MAX = 0x7fff

const TWO_TO_32 = 0x1_0000_0000

/** Thrown for bytes that are not the message they ought to be: cut short, or with a length that cannot be. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError'
}

/**
 * Reads the parts of a Kafka message from a piece of a buffer, one after the other. Nothing outside the piece is looked
 * at, and nothing is allocated on the word of a length or count: each is compared with the bytes that are there first.
 *
 * All methods throw MalformedMessageError.
 */
export class Reader {
  readonly #buffer: Buffer
  #at: number
  #end: number
  #elementsLeft: number

  /** Reads `buffer` from `start` to before `end`. `elementsMax`: array elements that the message may have in all. */
  constructor(buffer: Buffer, start = 0, end = buffer.length, elementsMax = ELEMENTS_PER_REQUEST_MAX) {
    this.#buffer = buffer
    this.#at = start
    this.#end = end
    this.#elementsLeft = elementsMax
  }

  /** The position in the buffer of what is read next. */
  get position(): number {
    return this.#at
  }

  bool(): boolean {
    return this.#buffer[this.#take(1)] !== 0
  }

  int8(): number {
    return (this.#buffer[this.#take(1)] << 24) >> 24
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  uint16(): number {
    const at = this.#take(2)
    return (this.#buffer[at] << 8) | this.#buffer[at + 1]
  }

  int32(): number {
    const at = this.#take(4)
    const buffer = this.#buffer
    return (buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  /** What a number cannot hold exactly comes as ±(2^53 - 1): clients may send the largest there is to say "no limit". */
  int64(): number {
    const high = this.int32()
    const value = high * TWO_TO_32 + this.uint32()
    if (Number.isSafeInteger(value)) return value
    return high < 0 ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
  }

  float64(): number {
    return this.#buffer.readDoubleBE(this.#take(8))
  }

  uuid(): string {
    const at = this.#take(16)
    const hex = this.#buffer.hexSlice(at, at + 16)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  uvarint(): number {
    const start = this.#at
    const buffer = this.#buffer
    let value = 0
    for (let at = start, unit = 1; at < this.#end; at++, unit *= 0x80) {
      const byte = buffer[at]
      // The fifth byte has room for the upper four bits of 32 only.
      if (at === start + 4 && byte > 0x0f) throw this.#malformed(start, 'the uvarint has more than 32 bits')
      value += (byte & 0x7f) * unit
      if (byte < 0x80) {
        this.#at = at + 1
        return value
      }
    }
    throw this.#malformed(start, `the message ends at ${this.#end}, within a uvarint`)
  }

  string(): string {
    return this.#text(this.#present(this.int16()))
  }

  nullableString(): string | null {
    const length = this.int16()
    return length < 0 ? null : this.#text(length)
  }

  compactString(): string {
    return this.#text(this.#present(this.uvarint() - 1))
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.#text(length)
  }

  bytes(): Buffer {
    return this.#copy(this.#present(this.int32()))
  }

  nullableBytes(): Buffer | null {
    const length = this.int32()
    return length < 0 ? null : this.#copy(length)
  }

  compactBytes(): Buffer {
    return this.#copy(this.#present(this.uvarint() - 1))
  }

  compactNullableBytes(): Buffer | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.#copy(length)
  }

  /** A view of the buffer that is read, good for as long as that is. */
  records(): Buffer {
    return this.#slice(this.#present(this.int32()))
  }

  /** See `records`. */
  nullableRecords(): Buffer | null {
    const length = this.int32()
    return length < 0 ? null : this.#slice(length)
  }

  /** See `records`. */
  compactRecords(): Buffer {
    return this.#slice(this.#present(this.uvarint() - 1))
  }

  /** See `records`. */
  compactNullableRecords(): Buffer | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.#slice(length)
  }

  /** The number of elements that follow; each takes `elementBytes` or more. */
  arrayCount(elementBytes: number): number {
    return this.#count(this.#present(this.int32()), elementBytes)
  }

  /** The same, and -1 for null. */
  nullableArrayCount(elementBytes: number): number {
    const count = this.int32()
    return count < 0 ? -1 : this.#count(count, elementBytes)
  }

  /** See `arrayCount`. */
  compactArrayCount(elementBytes: number): number {
    return this.#count(this.#present(this.uvarint() - 1), elementBytes)
  }

  /** See `nullableArrayCount`. */
  compactNullableArrayCount(elementBytes: number): number {
    const count = this.uvarint() - 1
    return count < 0 ? -1 : this.#count(count, elementBytes)
  }

  /** Passes over the tagged fields at the end of a struct. What nobody knows is not kept. */
  skipTaggedFields(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint()
      this.#take(this.uvarint())
    }
  }

  /** Makes the next `size` bytes, those of a tagged field, all there is. Returns what `leave` needs to undo that. */
  enter(size: number): number {
    const outerEnd = this.#end
    const at = this.#take(size)
    this.#at = at
    this.#end = at + size
    return outerEnd
  }

  /** Goes on behind what was entered, whether all of it was read or not. */
  leave(outerEnd: number): void {
    this.#at = this.#end
    this.#end = outerEnd
  }

  /** Moves on by `bytes` and returns where they begin. */
  #take(bytes: number): number {
    const at = this.#at
    if (bytes > this.#end - at)
      throw this.#malformed(at, `the message ends at ${this.#end}, and ${bytes} bytes are due`)
    this.#at = at + bytes
    return at
  }

  #present(length: number): number {
    if (length < 0) throw this.#malformed(this.#at, 'there is a null where none may be')
    return length
  }

  #text(length: number): string {
    if (length > STRING_BYTES_MAX) throw this.#malformed(this.#at, `a string of ${length} bytes is too long`)
    const at = this.#take(length)
    return this.#buffer.utf8Slice(at, at + length)
  }

  #slice(length: number): Buffer {
    const at = this.#take(length)
    return this.#buffer.subarray(at, at + length)
  }

  #copy(length: number): Buffer {
    return Buffer.from(this.#slice(length))
  }

  #count(count: number, elementBytes: number): number {
    if (count * elementBytes > this.#end - this.#at) {
      throw this.#malformed(
        this.#at,
        `${count} elements do not fit into the ${this.#end - this.#at} bytes that are left`,
      )
    }
    if (count > this.#elementsLeft) throw this.#malformed(this.#at, 'the message has too many array elements')
    this.#elementsLeft -= count
    return count
  }

  #malformed(at: number, reason: string): MalformedMessageError {
    return new MalformedMessageError(`Cannot read the message at byte ${at}: ${reason}`)
  }
}
