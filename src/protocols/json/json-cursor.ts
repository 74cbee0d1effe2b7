import { countDecodedBytes, decodeBase64 } from '../../base/base64.ts'
import { viewBytes } from '../../base/bytes.ts'
import type { ViewedBytes } from '../../base/bytes.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const SPACE = 0x20
/** Every number with so many digits is a safe integer. */
const DIGITS_MAX = 15

/** The bytes of an ASCII text, to be looked for. */
export function asciiBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

/**
 * Walks through the bytes of a JSON text and takes what it is told to expect. It may refuse what JSON allows (escapes,
 * fractions, space before a colon), and then JSON.parse has to tell; but it never reads anything otherwise than that would.
 */
export class JsonCursor {
  #source: ViewedBytes = viewBytes(Buffer.alloc(0))
  #bytes: Buffer = this.#source.buffer
  #at = 0
  #end = 0

  /** Begins with the text that lies in `buffer` from `start` to before `end`. */
  begin(buffer: Buffer, start: number, end: number): void {
    // All connections share one read buffer, so the view can nearly always stay.
    if (buffer !== this.#source.buffer) this.#source = viewBytes(buffer)
    this.#bytes = buffer
    this.#at = start
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** Takes one byte if it comes next, with the space around it. */
  take(byte: number): boolean {
    this.skipSpace()
    if (this.#at >= this.#end || this.#bytes[this.#at] !== byte) return false
    this.#at++
    this.skipSpace()
    return true
  }

  /** Takes these bytes if they come next, and the space behind them. */
  takeWord(word: Uint8Array): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (at + word.length > this.#end) return false
    for (let index = 0; index < word.length; index++) {
      if (bytes[at + index] !== word[index]) return false
    }
    this.#at = at + word.length
    this.skipSpace()
    return true
  }

  /** A text of printable ASCII characters without escapes; undefined for any other. */
  takeText(): string | undefined {
    const bytes = this.#bytes
    if (bytes[this.#at] !== QUOTE) return undefined
    const start = this.#at + 1
    for (let at = start; at < this.#end; at++) {
      const byte = bytes[at]
      if (byte === QUOTE) {
        this.#at = at + 1
        return bytes.latin1Slice(start, at)
      }
      if (byte < SPACE || byte > 0x7e || byte === BACKSLASH) return undefined
    }
    return undefined
  }

  /** Decodes a base64 text to `to` in `target`, and returns how many bytes it stands for; -1 for anything else. */
  takeBase64(target: ViewedBytes, to: number): number {
    if (this.#bytes[this.#at] !== QUOTE) return -1
    const start = this.#at + 1
    const textEnd = decodeBase64(this.#source, start, this.#end, target, to)
    if (textEnd >= this.#end || this.#bytes[textEnd] !== QUOTE) return -1
    this.#at = textEnd + 1
    return countDecodedBytes(this.#bytes, start, textEnd)
  }

  /** NaN for everything but a plain whole number. */
  takeInteger(): number {
    const bytes = this.#bytes
    const isNegative = this.#at < this.#end && bytes[this.#at] === MINUS
    const start = isNegative ? this.#at + 1 : this.#at
    let at = start
    let value = 0
    for (; at < this.#end; at++) {
      const byte = bytes[at]
      if (byte < ZERO || byte > NINE) break
      value = value * 10 + (byte - ZERO)
    }
    this.#at = at
    const digits = at - start
    // JSON has no leading zeros; minus zero is none of the numbers that a field may have.
    if (digits === 0 || digits > DIGITS_MAX || (bytes[start] === ZERO && (digits > 1 || isNegative))) return Number.NaN
    return isNegative ? -value : value
  }

  skipSpace(): void {
    const bytes = this.#bytes
    while (this.#at < this.#end) {
      const byte = bytes[this.#at]
      if (byte > SPACE || (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return
      this.#at++
    }
  }
}
