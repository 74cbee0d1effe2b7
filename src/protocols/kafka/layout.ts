import { assert } from '../../base/assert.ts'
import type { AnyField, Fields } from './schema.ts'
import { NO_UUID } from './schema.ts'

// What reader and writer must agree on: how fields look in one version of a message.

/** Which version of which message is meant. */
export interface MessageForm {
  /** For the names of functions: `ProduceRequestV9`. */
  readonly name: string
  readonly version: number
  /** Whether this version has compact lengths and tagged fields. */
  readonly isFlexible: boolean
}

/** The code for one message, while it is being written. */
export interface Code {
  readonly form: MessageForm
  readonly lines: string[]
}

/** Whether the version has the field. */
export function hasField({ modifiers }: AnyField, { version }: MessageForm): boolean {
  return version >= modifiers.firstVersion && version <= modifiers.lastVersion
}

/** Whether the field may be null in the version. */
export function isNullableIn({ modifiers }: AnyField, { version }: MessageForm): boolean {
  return version >= modifiers.nullableSince
}

const KINDS_WITH_LENGTH = new Set(['string', 'bytes', 'records', 'arrayCount'])

/** The method of Reader and Writer for a kind: `int32`, `nullableString`, `compactNullableArrayCount`. */
export function methodName(kind: string, isNullable: boolean, { isFlexible }: MessageForm): string {
  if (!KINDS_WITH_LENGTH.has(kind)) return kind
  const name = isNullable ? `nullable${capitalize(kind)}` : kind
  return isFlexible ? `compact${capitalize(name)}` : name
}

/** The fewest bytes that a value of the field can take. */
export function smallestBytes(field: AnyField, form: MessageForm): number {
  const { shape } = field
  switch (shape.kind) {
    case 'bool':
    case 'int8':
      return 1
    case 'int16':
    case 'uint16':
      return 2
    case 'int32':
    case 'uint32':
      return 4
    case 'int64':
    case 'float64':
      return 8
    case 'uuid':
      return 16
    case 'string':
      return form.isFlexible ? 1 : 2
    case 'bytes':
    case 'records':
    case 'array':
      return form.isFlexible ? 1 : 4
    case 'struct':
      return isNullableIn(field, form) ? 1 : smallestStructBytes(shape.fields, form)
  }
}

function smallestStructBytes(fields: Fields, form: MessageForm): number {
  // The one byte says that there are no tagged fields.
  let total = form.isFlexible ? 1 : 0
  for (const field of Object.values(fields)) {
    if (hasField(field, form) && field.modifiers.tagNumber === undefined) total += smallestBytes(field, form)
  }
  return total
}

/** The value of the field when nothing says otherwise, as an expression. */
export function defaultOf(field: AnyField): string {
  const { defaultValue } = field.modifiers
  if (defaultValue === undefined || (Array.isArray(defaultValue) && defaultValue.length === 0)) return emptyOf(field)
  const isWritable = defaultValue === null || typeof defaultValue !== 'object'
  assert(isWritable, 'a default is null, a scalar or an empty array')
  return JSON.stringify(defaultValue)
}

/** The value that says least, as an expression. */
export function emptyOf({ shape }: AnyField): string {
  switch (shape.kind) {
    case 'bool':
      return 'false'
    case 'uuid':
      return `'${NO_UUID}'`
    case 'string':
      return `''`
    case 'bytes':
    case 'records':
      return 'NO_BYTES'
    case 'array':
      return '[]'
    case 'struct': {
      const entries = Object.entries(shape.fields).map(([name, field]) => `${name}: ${defaultOf(field)}`)
      return `{ ${entries.join(', ')} }`
    }
    default:
      return '0'
  }
}

/** An expression that says whether `value`, another one, is the default of a tagged field, or was left out. */
export function isDefault(field: AnyField, value: string): string {
  const { shape } = field
  const isLeftOut = `${value} === undefined`
  if (field.modifiers.defaultValue === null) return `${isLeftOut} || ${value} === null`
  if (shape.kind === 'array') return `${isLeftOut} || ${value}.length === 0`
  if (shape.kind !== 'struct') return `${isLeftOut} || ${value} === ${defaultOf(field)}`
  const parts = Object.entries(shape.fields).map(([name, part]) => `(${isDefault(part, `${value}.${name}`)})`)
  return `${isLeftOut} || ${parts.join(' && ')}`
}

/** `topicData` becomes `TopicData`. */
export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
