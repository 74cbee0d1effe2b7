import type { ViewedBytes } from './bytes.ts'

// Base64 by RFC 4648, section 4: the standard alphabet, with padding, in one form only. Texts of which several would
// stand for the same bytes (no padding, the URL alphabet, bits in the last character that no byte holds) are refused, so
// that a text which comes back out is the one that went in.
//
// Node's own functions go through a string, which costs 200 ns for each text; a loop over table lookups costs 3 ns for
// four characters. So short texts are done here and long ones there.

/** `decodeBase64` and `encodeBase64` may write so many bytes more than the result has. */
export const BASE64_SLACK_BYTES = 4

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1')
const EQUALS = 0x3d
const HYPHEN = '-'
const UNDERSCORE = '_'

/** The 12 bits of two characters, by the 16-bit number that the two make; -1 where one is not of the alphabet. */
const BITS_OF_PAIR = new Int16Array(0x10000).fill(-1)
/** The two characters, as a 16-bit number, of 12 bits. */
const PAIR_OF_BITS = new Uint16Array(0x1000)
for (const [high, first] of ALPHABET.entries()) {
  for (const [low, second] of ALPHABET.entries()) {
    const bits = (high << 6) | low
    const pair = (first << 8) | second
    BITS_OF_PAIR[pair] = bits
    PAIR_OF_BITS[bits] = pair
  }
}

const DECODED_HERE_CHARACTERS_MAX = 1024
const ENCODED_HERE_BYTES_MAX = 384
/**
 * The string in between is made for so much at a time. One for a whole megabyte would be new memory for every text, which
 * costs four times what decoding it does.
 */
const CHUNK_BYTES = 48 * 1024
const CHUNK_CHARACTERS = (CHUNK_BYTES / 3) * 4

/**
 * Decodes the base64 text that begins at `at`, as far as it goes but not beyond `end`, to `to` in `target`, and returns
 * the position behind it. What follows there shows whether the text was well formed: the end of the text if it was, and
 * some part of it otherwise. The target has room for three quarters of `end - at` and `BASE64_SLACK_BYTES`.
 */
export function decodeBase64(source: ViewedBytes, at: number, end: number, target: ViewedBytes, to: number): number {
  const from = source.view
  const into = target.view
  const lastGroupAt = Math.min(end, at + DECODED_HERE_CHARACTERS_MAX) - 4
  while (at <= lastGroupAt) {
    const characters = from.getUint32(at)
    const bits = (BITS_OF_PAIR[characters >>> 16] << 12) | BITS_OF_PAIR[characters & 0xffff]
    if (bits < 0) return decodePaddedGroup(source.buffer, at, target.buffer, to)
    // One byte too many, which the next group or the next text writes over.
    into.setUint32(to, bits << 8)
    at += 4
    to += 3
  }
  return end - at < 4 ? at : decodeLong(source, at, end, target, to)
}

/** Two or three characters and the padding, of which there are four bytes at `at`; returns `at` if that is not so. */
function decodePaddedGroup(source: Buffer, at: number, target: Buffer, to: number): number {
  if (source[at + 3] !== EQUALS) return at
  const high = BITS_OF_PAIR[(source[at] << 8) | source[at + 1]]
  if (high < 0) return at
  if (source[at + 2] === EQUALS) {
    if ((high & 0xf) !== 0) return at
    target[to] = high >>> 4
    return at + 4
  }
  // The letter A stands for six zeros: it completes the pair.
  const low = BITS_OF_PAIR[(source[at + 2] << 8) | ALPHABET[0]]
  if (low < 0 || (low & 0xff) !== 0) return at
  target[to] = high >>> 4
  target[to + 1] = ((high & 0xf) << 4) | (low >>> 8)
  return at + 4
}

// Node's decoder skips what it does not know, so a shorter result betrays a malformed text; but it also knows the two
// characters of the URL alphabet, which must be looked for. The last group goes through the strict code above.
function decodeLong(source: ViewedBytes, at: number, end: number, target: ViewedBytes, to: number): number {
  const { buffer } = source
  const quoteAt = buffer.indexOf(0x22, at)
  const textEnd = quoteAt === -1 || quoteAt > end ? end : quoteAt
  const wholeGroupsEnd = at + Math.max(0, Math.floor((textEnd - at - 1) / 4) * 4)
  while (at < wholeGroupsEnd) {
    const chunkEnd = Math.min(at + CHUNK_CHARACTERS, wholeGroupsEnd)
    const characters = buffer.latin1Slice(at, chunkEnd)
    const bytes = (characters.length / 4) * 3
    const isClean = !characters.includes(HYPHEN) && !characters.includes(UNDERSCORE)
    if (!isClean || target.buffer.base64Write(characters, to, bytes) !== bytes) return at
    at = chunkEnd
    to += bytes
  }
  return decodeBase64(source, at, end, target, to)
}

/** How many bytes a well-formed base64 text stands for. */
export function countDecodedBytes(source: Buffer, start: number, end: number): number {
  if (end - start < 4) return 0
  const padding = source[end - 1] !== EQUALS ? 0 : source[end - 2] === EQUALS ? 2 : 1
  return ((end - start) >>> 2) * 3 - padding
}

/** How many characters so many bytes take. */
export function countEncodedCharacters(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}

/**
 * Writes the bytes from `at` to before `end` as base64 text to `to` in `target`, and returns the position behind it. The
 * target has room for the text and `BASE64_SLACK_BYTES`.
 */
export function encodeBase64(source: ViewedBytes, at: number, end: number, target: ViewedBytes, to: number): number {
  const { buffer } = source
  const out = target.buffer
  if (end - at > ENCODED_HERE_BYTES_MAX) {
    for (; at < end; at += CHUNK_BYTES) {
      const text = buffer.base64Slice(at, Math.min(at + CHUNK_BYTES, end))
      to += out.latin1Write(text, to, text.length)
    }
    return to
  }
  const from = source.view
  const into = target.view
  const lastFourAt = end - 4
  while (at <= lastFourAt) {
    const bits = from.getUint32(at) >>> 8
    into.setUint32(to, (PAIR_OF_BITS[bits >>> 12] << 16) | PAIR_OF_BITS[bits & 0xfff])
    at += 3
    to += 4
  }
  const left = end - at
  if (left <= 0) return to
  const bits = (buffer[at] << 16) | (left > 1 ? buffer[at + 1] << 8 : 0) | (left > 2 ? buffer[at + 2] : 0)
  into.setUint32(to, (PAIR_OF_BITS[bits >>> 12] << 16) | PAIR_OF_BITS[bits & 0xfff])
  if (left < 3) out[to + 3] = EQUALS
  if (left < 2) out[to + 2] = EQUALS
  return to + 4
}
