import { toCanonicalJson } from './canonical-json.ts'
import type { CompiledSchema } from './compiled-schema.ts'
import { escapePointerToken } from './json-place.ts'
import { isMembers } from './keyword-values.ts'
import { isMultipleOf } from './multiple-of.ts'
import { isSchemaObject, own } from './schema-document.ts'
import type { SchemaObject } from './schema-document.ts'

/** One thing in which two schemas differ. */
export interface SchemaChange {
  /** Where in the schema, as a JSON Pointer: in the new one, or in the old one when it is not there any more. */
  readonly pointer: string
  readonly message: string
  /** Whether a value that was valid may not be any more. */
  readonly mayInvalidate: boolean
  /** Whether a value that was not valid may be now. */
  readonly mayAdmit: boolean
}

interface Effect {
  readonly mayInvalidate: boolean
  readonly mayAdmit: boolean
}

const NARROWER: Effect = { mayInvalidate: true, mayAdmit: false }
const WIDER: Effect = { mayInvalidate: false, mayAdmit: true }
const EITHER: Effect = { mayInvalidate: true, mayAdmit: true }
const NEITHER: Effect = { mayInvalidate: false, mayAdmit: false }

/** What they say is for people, or is looked at elsewhere. */
const SILENT = new Set([
  '$comment',
  '$schema',
  'contentEncoding',
  'contentMediaType',
  'contentSchema',
  'default',
  'deprecated',
  'description',
  'examples',
  'readOnly',
  'title',
  'writeOnly',
])
const LEAST = new Set(['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'])
const MOST = new Set(['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'])
/** A schema in these is applied to a part of the value, and narrows the whole as it narrows that. */
const PARTS = new Set(['propertyNames', 'then', 'else'])
const BY_NAME = new Set(['$defs', 'definitions', 'dependentSchemas'])
/** Whether these are fulfilled says in a way of its own what else has to be. */
const TWO_WAYS = /"(?:not|if|oneOf|contains|\$dynamicRef|\$recursiveRef)":/
/** These depend on which keywords are there at all, also on those that allow anything. */
const UNEVALUATED = /"unevaluated(?:Properties|Items)":/

/**
 * What a new schema changes, and for each change whether it may refuse what was taken before, or take what was refused. Where
 * that cannot be seen from the schemas both are said: when no change may invalidate, no valid value becomes invalid.
 */
export function findSchemaChanges(before: CompiledSchema, after: CompiledSchema): readonly SchemaChange[] {
  const comparison = new Comparison(TWO_WAYS.test(before.text) || TWO_WAYS.test(after.text))
  if (before.draft !== after.draft) {
    comparison.note('', `the draft was ${before.draft} and is ${after.draft}`, EITHER)
  }
  const [from, to] = [before, after].map(({ text }) => JSON.parse(text) as unknown)
  comparison.compare(from, to, '')
  if ((UNEVALUATED.test(before.text) || UNEVALUATED.test(after.text)) && !isEqual(from, to)) {
    comparison.note('', 'what counts as unevaluated may be something else now', EITHER)
  }
  return comparison.changes
}

class Comparison {
  readonly changes: SchemaChange[] = []
  /** Whether something within may turn a narrower part into a wider whole. */
  readonly #isTwoWay: boolean
  #isInTwoWays = false

  constructor(isTwoWay: boolean) {
    this.#isTwoWay = isTwoWay
  }

  note(pointer: string, message: string, effect: Effect): void {
    const real = this.#isInTwoWays && effect !== NEITHER ? EITHER : effect
    this.changes.push({ pointer, message, mayInvalidate: real.mayInvalidate, mayAdmit: real.mayAdmit })
  }

  compare(before: unknown, after: unknown, pointer: string): void {
    if (isEqual(before, after)) return
    if (before === false || after === false) {
      const effect = before === false ? WIDER : NARROWER
      this.note(pointer, before === false ? 'something may be there now' : 'nothing may be there any more', effect)
      return
    }
    const from = isSchemaObject(before) ? before : {}
    const to = isSchemaObject(after) ? after : {}
    const keywords = new Set([...Object.keys(from), ...Object.keys(to)])
    for (const keyword of keywords) {
      const [old, now] = [own(from, keyword), own(to, keyword)]
      if (isEqual(old, now)) continue
      this.#compareKeyword(keyword, { from, to, old, now, pointer: `${pointer}/${escapePointerToken(keyword)}` })
    }
  }

  #compareKeyword(keyword: string, change: KeywordChange): void {
    const { old, now, pointer } = change
    if (SILENT.has(keyword)) return this.note(pointer, `${keyword} is another`, NEITHER)
    if (LEAST.has(keyword)) return this.#compareLimit(keyword, change, (one, other) => one > other)
    if (MOST.has(keyword)) return this.#compareLimit(keyword, change, (one, other) => one < other)
    // What branches on another schema, and that one did not change, is as wide as its branches.
    if (PARTS.has(keyword)) return this.compare(old ?? true, now ?? true, pointer)
    if (BY_NAME.has(keyword)) return this.#compareByName(keyword, change)
    switch (keyword) {
      case 'type':
        return this.#compareTypes(change)
      case 'required':
        return this.#compareRequired(change)
      case 'dependentRequired':
        return this.#comparePlainly(keyword, change)
      case 'enum':
      case 'const':
        return this.#compareValues(keyword, change)
      case 'properties':
        return this.#compareProperties(change)
      case 'additionalProperties':
        return this.#compareAdditional(change)
      case 'items':
        return this.#compareItems(change)
      case 'multipleOf':
        return this.#compareMultiple(change)
      case 'uniqueItems':
        return this.note(
          pointer,
          now === true ? 'items must be unique now' : 'items need not be unique any more',
          now === true ? NARROWER : WIDER,
        )
      case 'allOf':
      case 'anyOf':
        return this.#compareList(keyword, change)
      case 'pattern':
      case 'format':
        return this.#comparePlainly(keyword, change)
      default:
        return this.note(pointer, describe(keyword, old, now), EITHER)
    }
  }

  /** Being there narrows, being gone widens, and of another value nothing is known. */
  #comparePlainly(keyword: string, { old, now, pointer }: KeywordChange): void {
    const effect = old === undefined ? NARROWER : now === undefined ? WIDER : EITHER
    this.note(pointer, describe(keyword, old, now), effect)
  }

  #compareLimit(keyword: string, change: KeywordChange, isStricter: (one: number, other: number) => boolean): void {
    const { old, now, pointer } = change
    if (typeof old !== 'number' || typeof now !== 'number') return this.#comparePlainly(keyword, change)
    this.note(pointer, describe(keyword, old, now), isStricter(now, old) ? NARROWER : WIDER)
  }

  #compareTypes({ old, now, pointer }: KeywordChange): void {
    const [from, to] = [typesOf(old), typesOf(now)]
    const lost = from.filter((type) => !includesType(to, type))
    const won = to.filter((type) => !includesType(from, type))
    if (lost.length > 0) this.note(pointer, `it may not be ${lost.join(' or ')} any more`, NARROWER)
    if (won.length > 0) this.note(pointer, `it may be ${won.join(' or ')} now`, WIDER)
  }

  #compareRequired({ old, now, pointer }: KeywordChange): void {
    const [from, to] = [listOf(old), listOf(now)]
    for (const name of to) {
      if (!from.includes(name)) this.note(pointer, `${JSON.stringify(name)} must be there now`, NARROWER)
    }
    for (const name of from) {
      if (!to.includes(name)) this.note(pointer, `${JSON.stringify(name)} need not be there any more`, WIDER)
    }
  }

  #compareValues(keyword: string, change: KeywordChange): void {
    const { old, now, pointer } = change
    if (old === undefined || now === undefined) return this.#comparePlainly(keyword, change)
    const [from, to] = [old, now].map((value) => (keyword === 'enum' ? listOf(value) : [value]).map(canonical))
    const [lost, won] = [difference(from, to), difference(to, from)]
    if (lost.length > 0) this.note(pointer, `it may not be ${some(lost)} any more`, NARROWER)
    if (won.length > 0) this.note(pointer, `it may be ${some(won)} now`, WIDER)
  }

  #compareProperties({ from, to, pointer }: KeywordChange): void {
    const names = new Set([...Object.keys(namedOf(from, 'properties')), ...Object.keys(namedOf(to, 'properties'))])
    for (const name of names) {
      const place = `${pointer}/${escapePointerToken(name)}`
      const [old, now] = [from, to].map((schema) => own(namedOf(schema, 'properties'), name))
      const [oldRest, newRest] = [restOf(from), restOf(to)]
      const what = JSON.stringify(name)
      if (old === undefined && oldRest === undefined) this.note(place, `${what} is described now`, EITHER)
      else if (now === undefined && newRest === undefined) this.note(place, `${what} is not described any more`, EITHER)
      else this.#compareMember(old ?? oldRest, now ?? newRest, place, what)
    }
  }

  #compareMember(old: unknown, now: unknown, place: string, what: string): void {
    if (isEqual(old, now)) return
    if (old === false) return this.note(place, `${what} may be there now`, WIDER)
    if (now === false) return this.note(place, `${what} may not be there any more`, NARROWER)
    this.compare(old, now, place)
  }

  #compareAdditional({ from, to, old, now, pointer }: KeywordChange): void {
    if (isEqual(own(from, 'patternProperties'), own(to, 'patternProperties'))) {
      this.#compareMember(old ?? true, now ?? true, pointer, 'a member that is not described')
    } else {
      this.note(pointer, describe('additionalProperties', old, now), EITHER)
    }
  }

  /** Lists of schemas, of older drafts too, move the place where the one for all others begins. */
  #compareItems({ from, to, old, now, pointer }: KeywordChange): void {
    const isPlain = ['prefixItems', 'additionalItems'].every((keyword) => isEqual(own(from, keyword), own(to, keyword)))
    if (isPlain && !Array.isArray(old) && !Array.isArray(now)) this.compare(old ?? true, now ?? true, pointer)
    else this.note(pointer, describe('items', old, now), EITHER)
  }

  #compareMultiple(change: KeywordChange): void {
    const { old, now, pointer } = change
    if (typeof old !== 'number' || typeof now !== 'number') return this.#comparePlainly('multipleOf', change)
    const effect = isMultipleOf(now, old) ? NARROWER : isMultipleOf(old, now) ? WIDER : EITHER
    this.note(pointer, describe('multipleOf', old, now), effect)
  }

  #compareByName(keyword: string, { old, now, pointer }: KeywordChange): void {
    const [from, to] = [isMembers(old) ? old : {}, isMembers(now) ? now : {}]
    const outer = this.#isInTwoWays
    // Nobody knows here from where a definition is referred to.
    this.#isInTwoWays ||= this.#isTwoWay && keyword !== 'dependentSchemas'
    for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
      const place = `${pointer}/${escapePointerToken(name)}`
      const isThere = Object.hasOwn(from, name) && Object.hasOwn(to, name)
      // What refers to a definition that is new, or did to one that is gone, is another itself.
      if (isThere || keyword === 'dependentSchemas') this.compare(own(from, name) ?? true, own(to, name) ?? true, place)
      else this.note(place, Object.hasOwn(to, name) ? 'is defined now' : 'is not defined any more', NEITHER)
    }
    this.#isInTwoWays = outer
  }

  #compareList(keyword: 'allOf' | 'anyOf', change: KeywordChange): void {
    const { old, now, pointer } = change
    if (old === undefined || now === undefined) return this.#comparePlainly(keyword, change)
    const [from, to] = [listOf(old), listOf(now)]
    const [lost, won] = [
      difference(from.map(canonical), to.map(canonical)),
      difference(to.map(canonical), from.map(canonical)),
    ]
    const [gone, added] = keyword === 'allOf' ? [WIDER, NARROWER] : [NARROWER, WIDER]
    if (lost.length === 0) return this.note(pointer, `${won.length} more in ${keyword}`, added)
    if (won.length === 0) return this.note(pointer, `${lost.length} less in ${keyword}`, gone)
    if (from.length !== to.length) return this.note(pointer, `${keyword} is another`, EITHER)
    for (const [index, schema] of from.entries()) this.compare(schema, to[index], `${pointer}/${index}`)
  }
}

/** A keyword that is not as it was, within the two schemas that have it. */
interface KeywordChange {
  readonly from: SchemaObject
  readonly to: SchemaObject
  readonly old: unknown
  readonly now: unknown
  readonly pointer: string
}

/** What holds for a member that is not described by name; undefined when that depends on its name. */
function restOf(schema: SchemaObject): unknown {
  if (Object.keys(namedOf(schema, 'patternProperties')).length > 0) return undefined
  return own(schema, 'additionalProperties') ?? true
}

function namedOf(schema: SchemaObject, keyword: string): SchemaObject {
  const value = own(schema, keyword)
  return isMembers(value) ? value : {}
}

const ALL_TYPES = ['null', 'boolean', 'number', 'string', 'array', 'object']

function typesOf(value: unknown): readonly unknown[] {
  if (value === undefined) return ALL_TYPES
  return Array.isArray(value) ? value : [value]
}

function includesType(types: readonly unknown[], type: unknown): boolean {
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function canonical(value: unknown): string {
  return toCanonicalJson(value, () => {})
}

function isEqual(one: unknown, other: unknown): boolean {
  if (one === undefined || other === undefined) return one === other
  return canonical(one) === canonical(other)
}

function difference(one: readonly string[], other: readonly string[]): readonly string[] {
  const known = new Set(other)
  return one.filter((text) => !known.has(text))
}

const SHOWN_MAX = 5
const CHARACTERS_MAX = 60

function some(texts: readonly string[]): string {
  const shown = texts.slice(0, SHOWN_MAX).map(short)
  return texts.length > SHOWN_MAX ? `${shown.join(', ')} or ${texts.length - SHOWN_MAX} others` : shown.join(' or ')
}

function short(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text
}

function describe(keyword: string, old: unknown, now: unknown): string {
  if (old === undefined) return `${keyword} is new: ${short(canonical(now))}`
  if (now === undefined) return `${keyword} is gone: ${short(canonical(old))}`
  return `${keyword} was ${short(canonical(old))} and is ${short(canonical(now))}`
}
