import { readdirSync } from 'node:fs'
import { Api } from '../../src/protocols/kafka/api.ts'
import type { AnyField, Fields } from '../../src/protocols/kafka/schema.ts'
import type { SeededRandom } from '../simulation/seeded-random.ts'

/** An API whose messages are not known to the compiler. */
export type AnyApi = Api<Fields, Fields>
export type AnyMessage = Record<string, unknown>

export const DIRECTIONS = ['request', 'response'] as const
export type Direction = (typeof DIRECTIONS)[number]

/** Every API that has a file, by key. */
export async function importApis(): Promise<AnyApi[]> {
  const folder = new URL('../../src/protocols/kafka/apis/', import.meta.url)
  const apis: AnyApi[] = []
  for (const file of readdirSync(folder).toSorted()) {
    if (file.endsWith('.test.ts')) continue
    const exports = Object.values((await import(new URL(file, folder).href)) as object)
    apis.push(...exports.filter((value): value is AnyApi => value instanceof Api))
  }
  return apis
}

/** The versions that an API serves. */
export function versionsOf({ versions }: AnyApi): number[] {
  return Array.from({ length: versions.last - versions.first + 1 }, (_, index) => versions.first + index)
}

/**
 * Makes a message with the fields that a version has, with anything in them: nulls where they may be, short and empty
 * texts, the ends of number ranges, and tagged fields with and without their defaults.
 */
export function randomMessage(fields: Fields, version: number, random: SeededRandom): AnyMessage {
  const entries = Object.entries(fields).filter(([, field]) => hasVersion(field, version))
  return Object.fromEntries(entries.map(([name, field]) => [name, randomField(field, version, random)]))
}

function hasVersion({ modifiers }: AnyField, version: number): boolean {
  return version >= modifiers.firstVersion && version <= modifiers.lastVersion
}

function randomField(field: AnyField, version: number, random: SeededRandom): unknown {
  const { shape } = field
  if (version >= field.modifiers.nullableSince && random.chance(0.25)) return null
  if (shape.kind === 'struct') return randomMessage(shape.fields, version, random)
  if (shape.kind === 'array') {
    return Array.from({ length: random.below(4) }, () => randomField(shape.element, version, random))
  }
  return randomScalar(shape.kind, random)
}

const TEXTS = ['', 'a', 'orders', 'with-ümläuts', '日本語', '😀', 'x'.repeat(126), 'y'.repeat(127), 'z'.repeat(300)]
const INTEGER_BITS: Record<string, number> = { int8: 8, int16: 16, int32: 32, int64: 54, uint16: 16, uint32: 32 }

/** Any value of a kind that is not made of others. */
export function randomScalar(kind: string, random: SeededRandom): unknown {
  switch (kind) {
    case 'bool':
      return random.chance(0.5)
    case 'float64':
      return random.pick([0, -1.5, 1e300, Infinity])
    case 'uuid':
      return randomBytes(16, random)
        .toString('hex')
        .replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    case 'string':
      return random.pick(TEXTS)
    case 'bytes':
    case 'records':
      return randomBytes(random.pick([0, 1, 126, 127, 1500]), random)
    default:
      return randomInteger(kind, random)
  }
}

function randomInteger(kind: string, random: SeededRandom): number {
  const isSigned = kind.startsWith('int')
  const size = 2 ** INTEGER_BITS[kind]
  const least = isSigned ? -size / 2 : 0
  const most = least + size - 1
  const any = least + Math.floor((random.next() / 2 ** 32) * size)
  // An int64 is a safe integer here, and -2^53 is not one.
  return Math.max(random.pick([0, isSigned ? -1 : 1, least, most, any]), Number.MIN_SAFE_INTEGER)
}

function randomBytes(length: number, random: SeededRandom): Buffer {
  const bytes = Buffer.alloc(length)
  random.fill(bytes)
  return bytes
}
