// Kafka's varints inside records: zigzag (0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …), then seven bits to a byte, the low
// ones first, the top bit set on every byte but the last. A varint is a 32-bit integer of at most five bytes, a varlong
// a 64-bit one of at most ten, of which `number` holds those up to ±(2^53 - 1), in at most eight bytes.

/** Thrown for a varint that is cut short, over-long, or too large to be held exactly. */
export class MalformedVarintError extends RangeError {
  override readonly name = 'MalformedVarintError'
}

/** A place in a buffer that reading moves on. Nothing at or behind `end` is looked at. */
export interface ByteCursor {
  buffer: Buffer
  at: number
  end: number
}

const VARLONG_BYTES_MAX = 10

/** How many bytes `writeVarint` takes for a safe integer: 1 to 8. */
export function varintBytes(value: number): number {
  // -1 costs what 0 does: without the zigzag, 6 bits are left in the first byte and 7 in each further one.
  const magnitude = value < 0 ? -(value + 1) : value
  if (magnitude < 0x40) return 1
  if (magnitude < 0x2000) return 2
  if (magnitude < 0x10_0000) return 3
  if (magnitude < 0x800_0000) return 4
  if (magnitude < 0x4_0000_0000) return 5
  if (magnitude < 0x200_0000_0000) return 6
  if (magnitude < 0x1_0000_0000_0000) return 7
  return 8
}

/**
 * Writes a safe integer and returns the position behind it. Varints and varlongs are written alike. The caller has made
 * sure of the room.
 */
export function writeVarint(buffer: Buffer, at: number, value: number): number {
  // Doubling would leave the safe integers, so the sign goes into the first byte and only then is the rest divided.
  const sign = value < 0 ? 1 : 0
  let rest = sign === 1 ? -(value + 1) : value
  if (rest < 0x40) {
    buffer[at] = (rest << 1) | sign
    return at + 1
  }
  buffer[at++] = 0x80 | ((rest & 0x3f) << 1) | sign
  rest = rest < 0x4000_0000 ? rest >>> 6 : Math.floor(rest / 0x40)
  while (rest >= 0x8000_0000) {
    buffer[at++] = 0x80 | (rest & 0x7f)
    rest = Math.floor(rest / 0x80)
  }
  while (rest >= 0x80) {
    buffer[at++] = 0x80 | (rest & 0x7f)
    rest >>>= 7
  }
  buffer[at] = rest
  return at + 1
}

/**
 * Reads a varint and moves the cursor behind it.
 *
 * @throws MalformedVarintError if it is cut short, longer than five bytes, or no 32-bit integer
 */
export function readVarint(cursor: ByteCursor): number {
  const { buffer, end } = cursor
  const start = cursor.at
  let raw = 0
  for (let at = start, shift = 0; at < end; at++, shift += 7) {
    const byte = buffer[at]
    // The fifth byte has room for the upper four bits only.
    if (shift === 28 && byte > 0x0f) throw new MalformedVarintError(`Cannot read the varint at ${start}: over 32 bits`)
    raw |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      cursor.at = at + 1
      return (raw >>> 1) ^ -(raw & 1)
    }
  }
  throw new MalformedVarintError(`Cannot read the varint at ${start}: cut short at ${end}`)
}

/**
 * Reads a varlong and moves the cursor behind it.
 *
 * @throws MalformedVarintError if it is cut short, longer than ten bytes, or beyond ±(2^53 - 1)
 */
export function readVarlong(cursor: ByteCursor): number {
  const { buffer, end } = cursor
  const start = cursor.at
  let magnitude = 0
  let negative = false
  for (let at = start, unit = 1; at < end && at < start + VARLONG_BYTES_MAX; at++) {
    const byte = buffer[at]
    if (at === start) {
      negative = (byte & 1) === 1
      magnitude = (byte & 0x7f) >>> 1
      unit = 0x40
    } else {
      // Inexact beyond 2^53, but never rounded down to below it: the check at the end sees it.
      magnitude += (byte & 0x7f) * unit
      unit *= 0x80
    }
    if (byte < 0x80) {
      const value = negative ? -magnitude - 1 : magnitude
      if (!Number.isSafeInteger(value)) {
        throw new MalformedVarintError(`Cannot read the varlong at ${start}: beyond ±(2^53 - 1)`)
      }
      cursor.at = at + 1
      return value
    }
  }
  if (end >= start + VARLONG_BYTES_MAX) {
    throw new MalformedVarintError(`Cannot read the varlong at ${start}: more than ten bytes`)
  }
  throw new MalformedVarintError(`Cannot read the varlong at ${start}: cut short at ${end}`)
}
