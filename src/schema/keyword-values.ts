import { own, SchemaRefused } from './schema-document.ts'
import type { SchemaDocument, SchemaObject } from './schema-document.ts'
import { escapePointerToken } from './json-place.ts'
import type { WorkBudget } from './work-budget.ts'

// The value of a keyword, checked to be of the kind that JSON Schema asks for. Undefined when the keyword is not there.

/** @throws SchemaRefused */
export function numberOf(schema: SchemaObject, keyword: string, document: SchemaDocument): number | undefined {
  const value = own(schema, keyword)
  if (value === undefined || typeof value === 'number') return value
  throw wrong(schema, keyword, document, 'a number')
}

/** @throws SchemaRefused */
export function countOf(schema: SchemaObject, keyword: string, document: SchemaDocument): number | undefined {
  const value = numberOf(schema, keyword, document)
  if (value === undefined || (Number.isInteger(value) && value >= 0)) return value
  throw wrong(schema, keyword, document, 'a whole number, 0 or more')
}

/** @throws SchemaRefused */
export function textOf(schema: SchemaObject, keyword: string, document: SchemaDocument): string | undefined {
  const value = own(schema, keyword)
  if (value === undefined || typeof value === 'string') return value
  throw wrong(schema, keyword, document, 'a text')
}

/** @throws SchemaRefused */
export function textsOf(
  schema: SchemaObject,
  keyword: string,
  document: SchemaDocument,
  value = own(schema, keyword),
): readonly string[] | undefined {
  if (value === undefined) return undefined
  const isRight = Array.isArray(value) && value.every((item) => typeof item === 'string')
  if (isRight && new Set(value).size === value.length) return value
  throw wrong(schema, keyword, document, 'a list of different texts')
}

/** The schemas of a keyword that has some by name, each with its name. The document was walked: it is an object. */
export function namedOf(schema: SchemaObject, keyword: string): readonly (readonly [name: string, node: unknown])[] {
  const value = own(schema, keyword)
  return value === undefined ? [] : Object.entries(value as SchemaObject)
}

/** The schemas of a keyword that has a list of them. */
export function listOf(schema: SchemaObject, keyword: string): readonly unknown[] {
  const value = own(schema, keyword)
  return Array.isArray(value) ? value : []
}

/** The refusal of a keyword whose value is not of the right kind. */
export function wrong(schema: SchemaObject, keyword: string, document: SchemaDocument, wanted: string): SchemaRefused {
  const pointer = `${document.pointerOf(schema)}/${escapePointerToken(keyword)}`
  return new SchemaRefused(pointer, `${keyword} must be ${wanted}`)
}

/** The name of the type of a value of JSON, with its article. */
export function nameType(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'boolean' ? 'a boolean' : `a ${typeof value}`
}

/** Objects with more members than this are kept as hash tables, of which a list of keys has to be made. */
const SMALL_OBJECT_KEYS = 100
const STEPS_PER_KEY = 4

/**
 * The keys of an object, charged to the budget.
 *
 * @throws WorkExceeded
 */
export function keysOf(value: Readonly<Record<string, unknown>>, budget: WorkBudget): readonly string[] {
  const keys = Object.keys(value)
  budget.charge(keys.length > SMALL_OBJECT_KEYS ? STEPS_PER_KEY * keys.length : keys.length)
  return keys
}

/** An object of JSON, and no array. */
export function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
