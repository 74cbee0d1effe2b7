// What holds for all APIs together.
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { SeededRandom } from '../../../test/simulation/seeded-random.ts'
import type { AnyApi, AnyMessage, Direction } from '../../../test/support/kafka-apis.ts'
import { DIRECTIONS, importApis, randomMessage, versionsOf } from '../../../test/support/kafka-apis.ts'
import { checkProperty } from '../../../test/support/property.ts'
import { Metadata } from './apis/03-metadata.ts'
import { MalformedMessageError, Reader } from './reader.ts'
import { Registry } from './registry.ts'
import { Writer } from './writer.ts'

const apis = await importApis()
const NAMED = apis.map((api) => [api.name, api] as const)

function read(api: AnyApi, direction: Direction, version: number, reader: Reader): AnyMessage {
  return direction === 'request' ? api.readRequest(reader, version) : api.readResponse(reader, version)
}

function write(api: AnyApi, direction: Direction, version: number, message: AnyMessage, writer = new Writer()): Buffer {
  if (direction === 'request') api.writeRequest(writer, version, message)
  else api.writeResponse(writer, version, message)
  return Buffer.concat(writer.finish())
}

/** Calls `check` with both messages of an API in all versions. */
function forEachForm(api: AnyApi, check: (direction: Direction, version: number) => void): void {
  for (const direction of DIRECTIONS) for (const version of versionsOf(api)) check(direction, version)
}

test.each(NAMED)('%s comes back as it was written', (_name, api) => {
  forEachForm(api, (direction, version) => {
    checkProperty(
      fc.property(fc.nat(), (seed) => {
        const message = randomMessage(api[direction], version, new SeededRandom(seed))
        const bytes = write(api, direction, version, message)
        const reader = new Reader(bytes)
        const back = read(api, direction, version, reader)
        expect(reader.position).toBe(bytes.length)
        expect(isPartOf(message, back)).toBe(true)
        expect(write(api, direction, version, back).equals(bytes)).toBe(true)
      }),
      10,
    )
  })
})

/** Whether the whole says the same; it also has the fields of other versions. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (Buffer.isBuffer(part) || typeof part !== 'object' || part === null) return isDeepStrictEqual(part, whole)
  if (Array.isArray(part) && part.length !== (whole as unknown[]).length) return false
  return Object.entries(part).every(([name, value]) => isPartOf(value, (whole as AnyMessage)[name]))
}

test.each(NAMED)('%s is refused when it is cut short', (_name, api) => {
  forEachForm(api, (direction, version) => {
    const bytes = write(api, direction, version, randomMessage(api[direction], version, new SeededRandom(version)))
    const ends = Array.from({ length: bytes.length }, (_, end) => end)
    expect(ends.filter((end) => !isRefused(api, direction, version, bytes, end))).toEqual([])
  })
})

function isRefused(api: AnyApi, direction: Direction, version: number, bytes: Buffer, end = bytes.length): boolean {
  try {
    read(api, direction, version, new Reader(bytes, 0, end))
    return false
  } catch (error) {
    if (error instanceof MalformedMessageError) return true
    throw error
  }
}

/** A writer that takes down where it wrote a length or count, and in which form. */
class NotingWriter extends Writer {
  readonly lengths: { readonly at: number; readonly kind: 'i16' | 'i32' | 'uvarint' }[] = []

  override string(value: string): void {
    this.lengths.push({ at: this.size, kind: 'i16' })
    super.string(value)
  }
  override bytes(value: Buffer): void {
    this.lengths.push({ at: this.size, kind: 'i32' })
    super.bytes(value)
  }
  override records(value: Buffer): void {
    this.lengths.push({ at: this.size, kind: 'i32' })
    super.records(value)
  }
  override arrayCount(count: number): void {
    this.lengths.push({ at: this.size, kind: 'i32' })
    super.arrayCount(count)
  }
  override uvarint(value: number): void {
    this.lengths.push({ at: this.size, kind: 'uvarint' })
    super.uvarint(value)
  }
  override beginTaggedField(tag: number): number {
    const begin = super.beginTaggedField(tag)
    // The tag is no length.
    this.lengths.pop()
    return begin
  }
  override endTaggedField(begin: number): void {
    const inside = this.lengths.filter(({ at }) => at >= begin)
    const outside = this.lengths.filter(({ at }) => at < begin)
    const { size } = this
    super.endTaggedField(begin)
    const moved = inside.map(({ at, kind }) => ({ at: at + this.size - size, kind }))
    this.lengths.splice(0, Infinity, ...outside, { at: begin, kind: 'uvarint' }, ...moved)
  }
}

const LARGEST = { i16: ['7fff'], i32: ['7fffffff', '00100000'], uvarint: ['ffffffff0f', '80808040'] }
const SLACK = Buffer.alloc(64)

test('no length or count makes the reader allocate or work more than what is there', () => {
  let bombs = 0
  const before = process.memoryUsage()
  const start = process.cpuUsage()
  for (const api of apis) {
    forEachForm(api, (direction, version) => {
      const writer = new NotingWriter()
      const bytes = write(api, direction, version, fullMessage(api, direction, version), writer)
      for (const { at, kind } of writer.lengths) {
        for (const largest of LARGEST[kind]) {
          const bomb = Buffer.concat([
            bytes.subarray(0, at),
            Buffer.from(largest, 'hex'),
            bytes.subarray(at + 1),
            SLACK,
          ])
          expect(isRefused(api, direction, version, bomb)).toBe(true)
          bombs++
        }
      }
    })
  }
  const { user } = process.cpuUsage(start)
  const after = process.memoryUsage()
  expect(bombs).toBeGreaterThan(3000)
  expect(user / 1000 / bombs).toBeLessThan(1)
  expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(200e6)
})

/** A message that has at least one element in each of its arrays. */
function fullMessage(api: AnyApi, direction: Direction, version: number): AnyMessage {
  const random = new SeededRandom(1)
  random.below = (limit) => Math.min(1, limit - 1)
  random.chance = () => false
  return randomMessage(api[direction], version, random)
}

test('a request with as many elements as fit into a large frame is refused before they are made', () => {
  const bytes = Buffer.alloc(32 * 1024 * 1024)
  bytes.writeInt32BE(bytes.length / 2 - 2)
  const before = process.memoryUsage().heapUsed
  expect(() => Metadata.readRequest(new Reader(bytes), 0)).toThrow(/too many array elements/)
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5e6)
})

test('surplus bytes of librdkafka, which asks for all topics with a count of four bytes, are ignored', () => {
  const request = Metadata.readRequest(new Reader(Buffer.from('00000000010000', 'hex')), 12)
  expect(request.topics).toBeNull()
})

test('all APIs are advertised in the versions that clients need', () => {
  const registry = new Registry<undefined>()
  for (const api of apis) registry.serve(api, () => expect.unreachable())
  const rows = registry.advertise().map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion])
  // Old librdkafka turns features off when the lowest versions are missing, and @platformatic/kafka below 2.10 refuses to
  // work without the highest. Raise no minimum, lower no maximum.
  expect(rows).toEqual(ADVERTISED)
})

const ADVERTISED = [
  [0, 0, 11],
  [1, 4, 17],
  [2, 1, 9],
  [3, 0, 13],
  [8, 2, 9],
  [9, 1, 9],
  [10, 0, 6],
  [11, 0, 9],
  [12, 0, 4],
  [13, 0, 5],
  [14, 0, 5],
  [15, 0, 5],
  [16, 0, 5],
  [17, 0, 1],
  [18, 0, 4],
  [19, 2, 7],
  [20, 1, 6],
  [21, 0, 2],
  [22, 0, 5],
  [23, 2, 4],
  [24, 0, 3],
  [25, 0, 4],
  [26, 0, 4],
  [28, 0, 4],
  [29, 1, 3],
  [30, 1, 3],
  [31, 1, 3],
  [32, 1, 4],
  [33, 0, 2],
  [35, 1, 4],
  [36, 0, 2],
  [37, 0, 3],
  [42, 0, 2],
  [43, 0, 2],
  [44, 0, 1],
  [45, 0, 0],
  [46, 0, 0],
  [47, 0, 0],
  [48, 0, 1],
  [49, 0, 1],
  [50, 0, 0],
  [51, 0, 0],
  [60, 0, 1],
  [61, 0, 0],
  [65, 0, 0],
  [66, 0, 1],
  [68, 0, 1],
  [69, 0, 1],
  [75, 0, 0],
]
