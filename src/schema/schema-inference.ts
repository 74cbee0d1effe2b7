import { CompiledSchema } from './compiled-schema.ts'
import { FORMATS } from './formats.ts'
import { isMembers } from './keyword-values.ts'
import { SchemaRefused } from './schema-document.ts'

/** What an inferred schema says besides types, members and items. */
export interface InferenceOptions {
  /** Only members that were seen may be there. */
  readonly isClosed: boolean
  readonly hasFormats: boolean
  /** Texts of so many different values, each of them seen several times, become an `enum`; 0 for none. */
  readonly enumValuesMax: number
}

/** Formats that mean something to people, those first that say more. */
const TELLING_FORMATS = ['date-time', 'date', 'time', 'uuid', 'email', 'ipv4', 'ipv6', 'uri'] as const
/** An object with more members than this is a map: its keys are data. */
const MEMBERS_MAX = 200
/** Nesting of a schema grows by two with each level of its values. */
const DEPTH_MAX = 14
/** How often each value of an `enum` must have been seen, on average. */
const ENUM_TIMES_MIN = 3
const ENUM_CHARACTERS_MAX = 100

/** Infers a schema, of 2020-12, from values: it is fulfilled by each of them. */
export class SchemaInference {
  readonly #root: Seen
  #count = 0

  constructor(options: InferenceOptions) {
    this.#root = new Seen(options)
  }

  /** How many values were added. */
  get count(): number {
    return this.#count
  }

  add(value: unknown): void {
    this.#root.add(value, 0)
    this.#count++
  }

  /** The schema as text, indented. What would make it larger than a schema may be is left out, the deepest levels first. */
  toText(): string {
    for (let depth = DEPTH_MAX; ; depth--) {
      const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', ...this.#root.toSchema(depth) }
      const text = `${JSON.stringify(schema, null, 2)}\n`
      try {
        return new CompiledSchema(text).text
      } catch (error) {
        if (!(error instanceof SchemaRefused) || depth === 0) throw error
      }
    }
  }
}

/** All values that were seen at one place. */
class Seen {
  readonly #options: InferenceOptions
  readonly #types = new Set<string>()
  readonly #formats = new Set<string>(TELLING_FORMATS)
  /** Undefined when there are too many, or when one of them is long. */
  #texts: Set<string> | undefined = new Set()
  #textCount = 0
  #objectCount = 0
  /** By name, with how many objects had it. */
  #members = new Map<string, { readonly seen: Seen; count: number }>()
  /** When the names are data: what all members are like. */
  #anyMember: Seen | undefined
  #items: Seen | undefined

  constructor(options: InferenceOptions) {
    this.#options = options
  }

  add(value: unknown, depth: number): void {
    if (typeof value === 'string') this.#addText(value)
    else if (Array.isArray(value)) this.#addItems(value, depth)
    else if (isMembers(value)) this.#addMembers(value, depth)
    else this.#types.add(nameOf(value))
  }

  toSchema(depth: number): object {
    const types = [...this.#types]
    if (types.includes('number')) remove(types, 'integer')
    if (types.length === 0 || depth < 0) return {}
    return {
      type: types.length === 1 ? types[0] : types,
      ...this.#textKeywords(types),
      ...(this.#types.has('object') && this.#memberKeywords(depth)),
      ...(this.#items !== undefined && depth > 0 && { items: this.#items.toSchema(depth - 1) }),
    }
  }

  #addText(text: string): void {
    this.#types.add('string')
    this.#textCount++
    for (const format of this.#formats) if (FORMATS.get(format)?.(text) !== true) this.#formats.delete(format)
    this.#texts?.add(text)
    const { enumValuesMax } = this.#options
    if (text.length > ENUM_CHARACTERS_MAX || (this.#texts?.size ?? 0) > enumValuesMax) this.#texts = undefined
  }

  #addItems(items: readonly unknown[], depth: number): void {
    this.#types.add('array')
    if (depth === DEPTH_MAX) return
    for (const item of items) {
      this.#items ??= new Seen(this.#options)
      this.#items.add(item, depth + 1)
    }
  }

  #addMembers(members: Readonly<Record<string, unknown>>, depth: number): void {
    this.#types.add('object')
    this.#objectCount++
    if (depth === DEPTH_MAX) return
    for (const [name, value] of Object.entries(members)) {
      if (this.#anyMember !== undefined) {
        this.#anyMember.add(value, depth + 1)
        continue
      }
      const known = this.#members.get(name) ?? { seen: new Seen(this.#options), count: 0 }
      this.#members.set(name, known)
      known.seen.add(value, depth + 1)
      known.count++
      if (this.#members.size > MEMBERS_MAX) this.#becomeMap()
    }
  }

  #becomeMap(): void {
    const any = new Seen(this.#options)
    for (const { seen } of this.#members.values()) any.#takeIn(seen)
    this.#anyMember = any
    this.#members = new Map()
  }

  /** Takes in what was seen elsewhere, as if it had been here. */
  #takeIn(other: Seen): void {
    for (const type of other.#types) this.#types.add(type)
    if (other.#textCount > 0) {
      for (const format of this.#formats) if (!other.#formats.has(format)) this.#formats.delete(format)
      if (other.#texts === undefined) this.#texts = undefined
      for (const text of other.#texts ?? []) this.#texts?.add(text)
      if ((this.#texts?.size ?? 0) > this.#options.enumValuesMax) this.#texts = undefined
    }
    this.#textCount += other.#textCount
    this.#objectCount += other.#objectCount
    if (other.#items !== undefined) {
      this.#items ??= new Seen(this.#options)
      this.#items.#takeIn(other.#items)
    }
    if (other.#anyMember !== undefined && this.#anyMember === undefined) this.#becomeMap()
    for (const [name, { seen, count }] of other.#members) {
      if (this.#anyMember !== undefined) {
        this.#anyMember.#takeIn(seen)
        continue
      }
      const known = this.#members.get(name) ?? { seen: new Seen(this.#options), count: 0 }
      this.#members.set(name, known)
      known.seen.#takeIn(seen)
      known.count += count
      if (this.#members.size > MEMBERS_MAX) this.#becomeMap()
    }
    if (other.#anyMember !== undefined && this.#anyMember !== undefined) this.#anyMember.#takeIn(other.#anyMember)
  }

  #textKeywords(types: readonly string[]): object {
    if (this.#textCount === 0) return {}
    const texts = this.#texts
    const isOftenSeen = texts !== undefined && texts.size > 0 && this.#textCount >= ENUM_TIMES_MIN * texts.size
    // An enum speaks of all values, not only of texts.
    const isTextOnly = types.every((type) => type === 'string' || type === 'null')
    if (isOftenSeen && isTextOnly)
      return { enum: [...[...texts].toSorted(), ...(types.includes('null') ? [null] : [])] }
    const [format] = this.#formats
    return format !== undefined && this.#options.hasFormats ? { format } : {}
  }

  #memberKeywords(depth: number): object {
    if (depth === 0) return {}
    if (this.#anyMember !== undefined) return { additionalProperties: this.#anyMember.toSchema(depth - 1) }
    const members = [...this.#members]
    const required = members.filter(([, { count }]) => count === this.#objectCount).map(([name]) => name)
    const properties = members.map(([name, { seen }]) => [name, seen.toSchema(depth - 1)] as const)
    return {
      ...(required.length > 0 && { required }),
      ...(properties.length > 0 && { properties: Object.fromEntries(properties) }),
      ...(this.#options.isClosed && { additionalProperties: false }),
    }
  }
}

/** The type of a value that is no text, array or object. */
function nameOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return 'boolean'
  return Number.isInteger(value) ? 'integer' : 'number'
}

function remove(list: string[], item: string): void {
  const index = list.indexOf(item)
  if (index !== -1) list.splice(index, 1)
}
