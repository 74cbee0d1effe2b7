import { NO_UUID } from '../../src/protocols/kafka/schema.ts'
import type { AnyField, Fields } from '../../src/protocols/kafka/schema.ts'
import { STRING_BYTES_MAX } from '../../src/protocols/kafka/reader.ts'
import type { AnyMessage } from './kafka-apis.ts'

/** What exists on the broker that the request goes to. */
export interface Existing {
  readonly topic: string
  readonly uuid: string
}

/** A message that is right, and what is special about it. */
export interface LargeMessage {
  readonly what: string
  readonly message: AnyMessage
}

/** How the values of one message are chosen. */
interface Recipe {
  /** The array, by its path, that has `count` elements; all others have one. */
  readonly large: string | undefined
  readonly count: number
  text(index: number): string
  integer(bits: number, index: number): number
  readonly uuid: string
}

/**
 * A request may have 100,000 elements. With fewer the tests do not take minutes, and what takes its time in the square of
 * the number is still found.
 */
const ELEMENTS = 30_000
const LONG_COUNT = 200

/**
 * Messages that are larger than anybody's: for each array one with very many elements, the same ones
 * and different ones; one with the longest texts; and two with all numbers at their ends.
 */
export function largeMessages(fields: Fields, version: number, { topic, uuid }: Existing): LargeMessage[] {
  const small = (_bits: number, index: number) => (index % 2 === 0 ? 0 : 1)
  const plain = { large: undefined, count: 0, text: () => topic, integer: small, uuid } satisfies Recipe
  const messages: LargeMessage[] = []
  const add = (what: string, recipe: Recipe) => messages.push({ what, message: make(fields, version, recipe, '', 0) })
  for (const large of arraysOf(fields, version, '')) {
    // Elements count in all arrays, and those around this one and within its elements have some too.
    const within = arraysOf(fields, version, '').filter((path) => path.startsWith(`${large}.`)).length
    const around = large.split('.').length
    const count = Math.floor((ELEMENTS - 100 * around) / (1 + within))
    add(`${count} times the same in ${large}`, { ...plain, large, count })
    add(`${count} different ones in ${large}`, {
      ...plain,
      large,
      count,
      text: (index) => `${topic}-${index}`,
      integer: (bits, index) => (bits < 32 ? index % 2 : index),
    })
    const long = 'x'.repeat(STRING_BYTES_MAX - 10)
    add(`${LONG_COUNT} long texts in ${large}`, {
      ...plain,
      large,
      count: LONG_COUNT,
      text: (index) => `${long}${index}`,
    })
  }
  add('the largest numbers', { ...plain, integer: (bits) => Math.min(2 ** (bits - 1) - 1, Number.MAX_SAFE_INTEGER) })
  add('the least numbers', {
    ...plain,
    integer: (bits) => Math.max(-(2 ** (bits - 1)), Number.MIN_SAFE_INTEGER),
    uuid: NO_UUID,
  })
  return messages
}

function hasVersion({ modifiers }: AnyField, version: number): boolean {
  return version >= modifiers.firstVersion && version <= modifiers.lastVersion
}

/** The paths of all arrays: `topics`, `topics.partitions`. */
function arraysOf(fields: Fields, version: number, prefix: string): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (!hasVersion(field, version)) return []
    const path = `${prefix}${name}`
    const { shape } = field
    if (shape.kind === 'struct') return arraysOf(shape.fields, version, `${path}.`)
    if (shape.kind !== 'array') return []
    const { element } = shape
    return [path, ...(element.shape.kind === 'struct' ? arraysOf(element.shape.fields, version, `${path}.`) : [])]
  })
}

function make(fields: Fields, version: number, recipe: Recipe, prefix: string, index: number): AnyMessage {
  const here = Object.entries(fields).filter(([, field]) => hasVersion(field, version))
  return Object.fromEntries(
    here.map(([name, field]) => [name, makeValue(field, version, recipe, `${prefix}${name}`, index)]),
  )
}

const INTEGER_BITS: Record<string, number> = { int8: 8, int16: 16, int32: 32, int64: 64, uint16: 15, uint32: 31 }

function makeValue(field: AnyField, version: number, recipe: Recipe, path: string, index: number): unknown {
  const { shape } = field
  switch (shape.kind) {
    case 'struct':
      return make(shape.fields, version, recipe, `${path}.`, index)
    case 'array': {
      const count = path === recipe.large ? recipe.count : 1
      return Array.from({ length: count }, (_, at) =>
        makeValue(shape.element, version, recipe, path, count === 1 ? index : at),
      )
    }
    case 'string':
      return recipe.text(index)
    case 'bool':
      return false
    case 'uuid':
      return recipe.uuid
    case 'bytes':
    case 'records':
      return Buffer.alloc(0)
    case 'float64':
      return 1e300
    default:
      return recipe.integer(INTEGER_BITS[shape.kind], index)
  }
}
