/** Four words of the hash of a key and two of an offset. */
const WORDS_PER_SLOT = 6
const BYTES_PER_SLOT = WORDS_PER_SLOT * 4
/** The table counts as full before looking for a free slot gets slow. */
const FILL_MAX = 0.8
const SLOTS_MIN = 64
const TWO_32 = 2 ** 32

/**
 * The newest offset of each key, in a flat table that grows no further than it is allowed to: 24 bytes a key, whatever its
 * length, because in place of the key there are 16 bytes of its hash. Kafka's cleaner keeps the same. Two keys with the
 * same hash would be taken for one; among a thousand million keys the odds of that are one in 10^20.
 */
export class KeyOffsets {
  readonly #slots: number
  readonly #countMax: number
  readonly #words: Int32Array
  readonly #hash = new Int32Array(4)
  #count = 0

  /** A table for `keys` keys if `bytesMax` allows it, otherwise for as many as that holds. */
  constructor(keys: number, bytesMax: number) {
    const slotsMax = Math.max(SLOTS_MIN, Math.floor(bytesMax / BYTES_PER_SLOT))
    this.#slots = Math.min(slotsMax, Math.max(SLOTS_MIN, Math.ceil(keys / FILL_MAX) + 1))
    this.#countMax = Math.floor(this.#slots * FILL_MAX)
    this.#words = new Int32Array(this.#slots * WORDS_PER_SLOT)
  }

  /** How many keys there are. */
  get count(): number {
    return this.#count
  }

  /** How many more keys there is certainly room for. */
  get room(): number {
    return this.#countMax - this.#count
  }

  /** Notes the offset of a key, which lies in `buffer`; it is not lower than any noted before. There must be room. */
  set(buffer: Buffer, start: number, end: number, offset: number): void {
    const at = this.#find(buffer, start, end)
    const words = this.#words
    if (words[at + 4] === 0 && words[at + 5] === 0) {
      words.set(this.#hash, at)
      this.#count++
    }
    // Zero stands for a free slot.
    const stored = offset + 1
    words[at + 4] = Math.floor(stored / TWO_32)
    words[at + 5] = stored % TWO_32
  }

  /** The newest offset of a key, -1 when it has none. */
  get(buffer: Buffer, start: number, end: number): number {
    const at = this.#find(buffer, start, end)
    return this.#words[at + 4] * TWO_32 + (this.#words[at + 5] >>> 0) - 1
  }

  /** Where the slot of a key begins, or the free one that it would get. */
  #find(buffer: Buffer, start: number, end: number): number {
    const hash = this.#hash
    hashKey(buffer, start, end, hash)
    const words = this.#words
    let slot = (hash[0] >>> 0) % this.#slots
    for (;;) {
      const at = slot * WORDS_PER_SLOT
      if (words[at + 4] === 0 && words[at + 5] === 0) return at
      if (
        words[at] === hash[0] &&
        words[at + 1] === hash[1] &&
        words[at + 2] === hash[2] &&
        words[at + 3] === hash[3]
      ) {
        return at
      }
      slot = slot + 1 === this.#slots ? 0 : slot + 1
    }
  }
}

const C1 = 0x239b961b
const C2 = 0xab0e9789 | 0
const C3 = 0x38b34ae5
const C4 = 0xa1e38b93 | 0

/** MurmurHash3, the variant of 128 bits in four lanes of 32 (public domain, by Austin Appleby), with the seed 0. */
export function hashKey(buffer: Buffer, start: number, end: number, into: Int32Array): void {
  let h1 = 0
  let h2 = 0
  let h3 = 0
  let h4 = 0
  let at = start
  for (; at + 16 <= end; at += 16) {
    h1 ^= mix(buffer.readInt32LE(at), C1, 15, C2)
    h1 = (Math.imul((rotate(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0
    h2 ^= mix(buffer.readInt32LE(at + 4), C2, 16, C3)
    h2 = (Math.imul((rotate(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0
    h3 ^= mix(buffer.readInt32LE(at + 8), C3, 17, C4)
    h3 = (Math.imul((rotate(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0
    h4 ^= mix(buffer.readInt32LE(at + 12), C4, 18, C1)
    h4 = (Math.imul((rotate(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0
  }
  h4 ^= mix(readTail(buffer, at + 12, end), C4, 18, C1)
  h3 ^= mix(readTail(buffer, at + 8, end), C3, 17, C4)
  h2 ^= mix(readTail(buffer, at + 4, end), C2, 16, C3)
  h1 ^= mix(readTail(buffer, at, end), C1, 15, C2)
  const length = end - start
  h1 ^= length
  h2 ^= length
  h3 ^= length
  h4 ^= length
  h1 = (h1 + h2 + h3 + h4) | 0
  h2 = (h2 + h1) | 0
  h3 = (h3 + h1) | 0
  h4 = (h4 + h1) | 0
  h1 = finish(h1)
  h2 = finish(h2)
  h3 = finish(h3)
  h4 = finish(h4)
  h1 = (h1 + h2 + h3 + h4) | 0
  into[0] = h1
  into[1] = h2 + h1
  into[2] = h3 + h1
  into[3] = h4 + h1
}

function mix(word: number, first: number, turn: number, second: number): number {
  return Math.imul(rotate(Math.imul(word, first), turn), second)
}

function rotate(word: number, turn: number): number {
  return (word << turn) | (word >>> (32 - turn))
}

function finish(word: number): number {
  let mixed = word ^ (word >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** Up to four bytes, little endian; what lies behind `end` counts as zero. */
function readTail(buffer: Buffer, at: number, end: number): number {
  let word = 0
  for (let byte = Math.min(end - at, 4) - 1; byte >= 0; byte--) word = (word << 8) | buffer[at + byte]
  return word
}
