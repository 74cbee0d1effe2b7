import { beginRequest, FRAME_LENGTH_BYTES } from '../../src/protocols/kafka/headers.ts'
import type { RequestHeader } from '../../src/protocols/kafka/headers.ts'
import type { AnyField, Fields } from '../../src/protocols/kafka/schema.ts'
import { Writer } from '../../src/protocols/kafka/writer.ts'
import type { SeededRandom } from '../simulation/seeded-random.ts'
import type { AnyApi, AnyMessage } from './kafka-apis.ts'
import { randomScalar } from './kafka-apis.ts'

// Requests as nobody should send them: every one begins as a real request of its API, in a version that is served, so
// that it gets past the first bytes before it goes wrong.

/** Texts that mean something to the broker, so that requests reach what lies behind the lookup of a name. */
export interface Names {
  readonly texts: readonly string[]
  readonly uuids: readonly string[]
}

/** Where a request has a length, a count or a tag. */
export interface Mark {
  readonly kind: 'int16' | 'int32' | 'uvarint'
  readonly at: number
}

/** A whole frame, and where in it lengths are. */
export interface MarkedFrame {
  readonly frame: Buffer
  readonly marks: readonly Mark[]
}

/** A Writer that remembers where it has written lengths, counts and tags. */
class MarkingWriter extends Writer {
  marks: Mark[] = []
  #isMoving = false

  override uvarint(value: number): void {
    if (!this.#isMoving) this.#mark('uvarint')
    super.uvarint(value)
  }
  override string(value: string): void {
    this.#mark('int16')
    super.string(value)
  }
  override nullableString(value: string | null): void {
    if (value === null) this.#mark('int16')
    super.nullableString(value)
  }
  override bytes(value: Buffer): void {
    this.#mark('int32')
    super.bytes(value)
  }
  override nullableBytes(value: Buffer | null): void {
    if (value === null) this.#mark('int32')
    super.nullableBytes(value)
  }
  override records(value: Buffer): void {
    this.#mark('int32')
    super.records(value)
  }
  override nullableRecords(value: Buffer | null): void {
    if (value === null) this.#mark('int32')
    super.nullableRecords(value)
  }
  override arrayCount(count: number): void {
    this.#mark('int32')
    super.arrayCount(count)
  }
  override endTaggedField(begin: number): void {
    const sizeBefore = this.size
    this.#isMoving = true
    super.endTaggedField(begin)
    this.#isMoving = false
    // The field has moved to make room for its size.
    const movedBytes = this.size - sizeBefore
    this.marks = this.marks.map((mark) => (mark.at >= begin ? { ...mark, at: mark.at + movedBytes } : mark))
    this.#mark('uvarint', begin)
  }

  #mark(kind: Mark['kind'], at = this.size): void {
    this.marks.push({ kind, at })
  }
}

/** Writes a request, header and all, and tells where its lengths are. */
export function markRequest(api: AnyApi, version: number, message: AnyMessage, correlationId = 1): MarkedFrame {
  const header: RequestHeader = { apiKey: api.key, apiVersion: version, correlationId, clientId: 'hostile' }
  const head = Buffer.concat(beginRequest(api, header).finish())
  const writer = new MarkingWriter()
  api.writeRequest(writer, version, message)
  const frame = Buffer.concat([head, ...writer.finish()])
  const marks: Mark[] = writer.marks.map((mark) => ({ ...mark, at: mark.at + head.length }))
  // The client id and, where there are some, the tags of the header have lengths too.
  marks.push({ kind: 'int16', at: FRAME_LENGTH_BYTES + 8 })
  if (api.isFlexible(version)) marks.push({ kind: 'uvarint', at: head.length - 1 })
  return { frame: withLength(frame), marks }
}

/** The frame with its true length at its beginning. */
export function withLength(frame: Buffer): Buffer {
  frame.writeInt32BE(frame.length - FRAME_LENGTH_BYTES, 0)
  return frame
}

/** A request with anything in its fields: names that exist among others, the ends of number ranges, nulls, defaults. */
export function likelyMessage(fields: Fields, version: number, random: SeededRandom, names: Names): AnyMessage {
  const here = Object.entries(fields).filter(([, field]) => hasVersion(field, version))
  return Object.fromEntries(here.map(([name, field]) => [name, likelyValue(field, version, random, names)]))
}

function hasVersion({ modifiers }: AnyField, version: number): boolean {
  return version >= modifiers.firstVersion && version <= modifiers.lastVersion
}

function likelyValue(field: AnyField, version: number, random: SeededRandom, names: Names): unknown {
  const { shape } = field
  if (version >= field.modifiers.nullableSince && random.chance(0.2)) return null
  switch (shape.kind) {
    case 'struct':
      return likelyMessage(shape.fields, version, random, names)
    case 'array':
      return Array.from({ length: random.below(4) }, () => likelyValue(shape.element, version, random, names))
    case 'string':
      return random.chance(0.7) ? random.pick(names.texts) : randomScalar('string', random)
    case 'uuid':
      return random.chance(0.5) ? random.pick(names.uuids) : randomScalar('uuid', random)
    case 'bool':
    case 'float64':
    case 'bytes':
    case 'records':
      return randomScalar(shape.kind, random)
    default:
      return random.chance(0.5) ? random.below(4) : randomScalar(shape.kind, random)
  }
}

/** The frame with one of its lengths replaced. */
export function replaceMark({ frame }: MarkedFrame, { kind, at }: Mark, value: Buffer): Buffer {
  const bytes = kind === 'int16' ? 2 : kind === 'int32' ? 4 : uvarintLength(frame, at)
  return withLength(Buffer.concat([frame.subarray(0, at), value, frame.subarray(at + bytes)]))
}

function uvarintLength(frame: Buffer, at: number): number {
  let end = at
  while (frame[end] >= 0x80) end++
  return end + 1 - at
}

/** What no length ought to be, for a mark of this kind: the largest, the least, null, and a little more than there is. */
export function wrongLengths({ frame }: MarkedFrame, { kind, at }: Mark): Buffer[] {
  const left = frame.length - at
  if (kind === 'int16') return [0x7fff, -1, -0x8000, Math.min(left - 1, 0x7fff), 0].map(int16)
  if (kind === 'int32') return [0x7fffffff, -1, -0x80000000, left - 3, 100_001, 0].map(int32)
  const numbers = [0xffffffff, 0, left + 1, 0x7fffffff, 0x80000000, 0x8000].map(uvarint)
  return [
    ...numbers,
    Buffer.alloc(9, 0xff),
    Buffer.from('ffffffffffffffffff01', 'hex'),
    Buffer.from('ffffffff1f', 'hex'),
  ]
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function uvarint(value: number): Buffer {
  const writer = new Writer()
  writer.uvarint(value)
  return Buffer.concat(writer.finish())
}

/** The ways in which a request goes wrong at random. */
const DAMAGES = [
  'cut',
  'flip',
  'length',
  'lengths',
  'trailing',
  'insert',
  'remove',
  'noise',
  'tags',
  'shortFrame',
] as const

/** A request of this API and version that is broken in one way or another, or that only looks so. */
export function damagedRequest(api: AnyApi, version: number, random: SeededRandom, names: Names): Buffer {
  const marked = markRequest(api, version, likelyMessage(api.request, version, random, names), random.next() | 0)
  const { frame, marks } = marked
  // What lies before it says which API it is: everyone's test, and done elsewhere.
  const from = Math.min(FRAME_LENGTH_BYTES + 8, frame.length - 1)
  const place = () => from + random.below(frame.length - from)
  switch (random.pick(DAMAGES)) {
    case 'cut':
      return withLength(Buffer.from(frame.subarray(0, place())))
    case 'flip': {
      const flipped = Buffer.from(frame)
      for (let left = 1 + random.below(4); left > 0; left--) flipped[place()] ^= 1 << random.below(8)
      return flipped
    }
    case 'length': {
      const mark = random.pick(marks)
      return replaceMark(marked, mark, random.pick(wrongLengths(marked, mark)))
    }
    case 'lengths': {
      // From behind, so that the places of those before stay right.
      const chosen = marks.filter(() => random.chance(0.3)).toSorted((one, other) => other.at - one.at)
      let broken = frame
      for (const mark of chosen) {
        broken = replaceMark({ frame: broken, marks }, mark, random.pick(wrongLengths(marked, mark)))
      }
      return broken
    }
    case 'trailing':
      return withLength(Buffer.concat([frame, noise(1 + random.below(2000), random)]))
    case 'insert': {
      const at = place()
      return withLength(Buffer.concat([frame.subarray(0, at), noise(1 + random.below(20), random), frame.subarray(at)]))
    }
    case 'remove': {
      const at = place()
      return withLength(Buffer.concat([frame.subarray(0, at), frame.subarray(at + 1 + random.below(8))]))
    }
    case 'noise':
      return withLength(Buffer.concat([frame.subarray(0, from), noise(random.below(500), random)]))
    case 'tags':
      return withTags(frame, api.isFlexible(version), random)
    case 'shortFrame': {
      // The rest of it is taken for the next frame.
      const short = Buffer.from(frame)
      short.writeInt32BE(random.below(frame.length), 0)
      return short
    }
  }
}

/** Unknown tags at the end of the message, thousands of them or one that is large; the message is whole before them. */
function withTags(frame: Buffer, isFlexible: boolean, random: SeededRandom): Buffer {
  if (!isFlexible) return withLength(Buffer.concat([frame, noise(300, random)]))
  const count = random.pick([1, 2, 100, 10_000])
  const writer = new Writer()
  writer.uvarint(count)
  for (let left = count; left > 0; left--) {
    const bytes = random.below(count < 100 ? 60_000 : 10)
    writer.uvarint(random.pick([0, 1, 2, 3, 500, 0xffffffff]))
    writer.uvarint(bytes)
    for (const byte of noise(bytes, random)) writer.int8(byte)
  }
  return withLength(Buffer.concat([frame.subarray(0, -1), ...writer.finish()]))
}

function noise(bytes: number, random: SeededRandom): Buffer {
  const filled = Buffer.alloc(bytes)
  random.fill(filled)
  return filled
}
