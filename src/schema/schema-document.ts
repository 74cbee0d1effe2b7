import { JsonFault, parseGuardedJson } from './guarded-json.ts'
import { escapePointerToken, findJsonFault, findPointerPlace } from './json-place.ts'
import type { TextPlace } from './json-place.ts'
import { SCHEMA_LIMITS } from './limits.ts'
import { PatternPool } from './pattern-pool.ts'

/** The drafts of JSON Schema that are understood, oldest first. */
export const DRAFTS = ['7', '2019-09', '2020-12'] as const
export type Draft = (typeof DRAFTS)[number]
/** Of a schema that does not say which. */
export const DRAFT_DEFAULT: Draft = '2020-12'

const DRAFTS_BY_URI: ReadonlyMap<string, Draft> = new Map([
  ['json-schema.org/draft-07/schema', '7'],
  ['json-schema.org/draft/2019-09/schema', '2019-09'],
  ['json-schema.org/draft/2020-12/schema', '2020-12'],
])

/** Reads a draft as people write it; undefined for anything else. */
export function parseDraft(text: string): Draft | undefined {
  const wanted = text
    .trim()
    .toLowerCase()
    .replace(/^draft[-/ ]?/, '')
    .replace(/^0(?=7$)/, '')
  return DRAFTS.find((draft) => draft === wanted)
}

/** A schema that is not taken: `pointer` says what in it, and `place` where that is in the text. */
export class SchemaRefused extends Error {
  override readonly name = 'SchemaRefused'
  readonly pointer: string
  place: TextPlace | undefined

  constructor(pointer: string, message: string) {
    super(message)
    this.pointer = pointer
  }
}

export type SchemaObject = Readonly<Record<string, unknown>>
export type SchemaNode = boolean | SchemaObject

/** Where in a document schemas are: which keywords hold one, a list of them, or some by name. */
const ONE = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'contentSchema',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
  'unevaluatedItems',
  'unevaluatedProperties',
]
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const NAMED = ['$defs', 'definitions', 'dependentSchemas', 'patternProperties', 'properties', 'dependencies']

/** For a document that has no id. Nothing is ever looked up there, or anywhere else. */
const NO_BASE = 'schema://document/'

/** What a reference leads to. */
export interface ReferenceTarget {
  readonly node: SchemaNode
  /** When it was named by an anchor: the name, and the id of the resource that has it. */
  readonly anchor: string | undefined
  readonly base: string
}

/**
 * A schema as it was written, with everything in it that has a name. References lead to places within the document: by
 * JSON Pointer, by anchor, or by an id that is in it. There is nothing else that they could lead to.
 */
export class SchemaDocument {
  readonly text: string
  readonly root: SchemaNode
  readonly draft: Draft
  /** Whether what a reference means can depend on the way that led to it. */
  isDynamic = false
  readonly patterns = new PatternPool()
  readonly #resources = new Map<string, SchemaNode>()
  readonly #anchors = new Map<string, SchemaNode>()
  readonly #dynamicAnchors = new Set<string>()
  readonly #bases = new Map<SchemaObject, string>()
  readonly #pointers = new Map<SchemaObject, string>()
  #schemaCount = 0

  /**
   * Reads the text of a schema. `draft` is taken for the schema's own when that does not say.
   *
   * @throws SchemaRefused with the place in the text
   */
  constructor(text: string, draft?: Draft) {
    this.text = text
    this.root = parseRoot(text)
    this.draft = findDraft(this.root, draft)
    this.#resources.set(NO_BASE, this.root)
    this.#walk(this.root, NO_BASE, '')
  }

  /** Where a schema of this document is. */
  pointerOf(node: SchemaObject): string {
    return this.#pointers.get(node) ?? ''
  }

  /** The id of the resource that a schema of this document belongs to. */
  baseOf(node: SchemaObject): string {
    return this.#bases.get(node) ?? NO_BASE
  }

  /** The ids of all resources. */
  bases(): Iterable<string> {
    return this.#resources.keys()
  }

  /** The root of the resource with this id. */
  resource(base: string): SchemaNode | undefined {
    return this.#resources.get(base)
  }

  /** What a resource has under the name of a dynamic anchor. */
  dynamicAnchor(base: string, name: string): SchemaNode | undefined {
    const key = `${base}#${name}`
    return this.#dynamicAnchors.has(key) ? this.#anchors.get(key) : undefined
  }

  /** @throws SchemaRefused for what is not in the document */
  resolve(from: SchemaObject, keyword: string, reference: unknown): ReferenceTarget {
    const pointer = `${this.pointerOf(from)}/${keyword}`
    if (typeof reference !== 'string') throw new SchemaRefused(pointer, `${keyword} must be a text`)
    const [base, fragment] = splitFragment(resolveUri(this.baseOf(from), reference))
    const resource = this.#resources.get(base)
    if (resource === undefined) {
      throw new SchemaRefused(
        pointer,
        `${keyword} ${quote(reference)} leads out of the document: only references within it are followed, such as "#/$defs/name"`,
      )
    }
    if (fragment === '') return { node: resource, anchor: undefined, base }
    if (!fragment.startsWith('/')) {
      const node = this.#anchors.get(`${base}#${fragment}`)
      if (node === undefined)
        throw new SchemaRefused(pointer, `${keyword} ${quote(reference)} leads to no anchor of this document`)
      return { node, anchor: fragment, base }
    }
    return {
      node: this.#follow(resource, base, fragment, pointer, `${keyword} ${quote(reference)}`),
      anchor: undefined,
      base,
    }
  }

  #follow(root: SchemaNode, rootBase: string, fragment: string, pointer: string, what: string): SchemaNode {
    let value: unknown = root
    let base = rootBase
    let path = typeof root === 'object' ? this.pointerOf(root) : ''
    for (const token of fragment.split('/').slice(1)) {
      const name = decodeToken(token)
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) {
        throw new SchemaRefused(pointer, `${what} leads to nothing in this document`)
      }
      value = (value as SchemaObject)[name]
      path += `/${escapePointerToken(name)}`
      if (isSchemaObject(value)) base = this.#bases.get(value) ?? base
    }
    if (typeof value !== 'boolean' && !isSchemaObject(value))
      throw new SchemaRefused(pointer, `${what} does not lead to a schema`)
    // What lies under a keyword that is not known becomes a schema by being referred to.
    if (isSchemaObject(value) && !this.#bases.has(value)) this.#walk(value, base, path)
    return value
  }

  #walk(node: unknown, outerBase: string, pointer: string): void {
    if (++this.#schemaCount > SCHEMA_LIMITS.schemasMax) {
      throw new SchemaRefused(pointer, `the document has more than ${SCHEMA_LIMITS.schemasMax} schemas`)
    }
    if (typeof node === 'boolean') return
    if (!isSchemaObject(node)) throw new SchemaRefused(pointer, 'a schema is wanted here: an object, true or false')
    if (this.#bases.has(node)) return
    const base = this.#noteNames(node, outerBase, pointer)
    this.#bases.set(node, base)
    this.#pointers.set(node, pointer)
    if (own(node, '$dynamicRef') !== undefined || own(node, '$recursiveRef') !== undefined) this.isDynamic = true
    for (const keyword of ONE) {
      const value = own(node, keyword)
      const path = `${pointer}/${keyword}`
      if (value === undefined) continue
      if (keyword === 'items' && Array.isArray(value)) this.#walkList(value, base, path)
      else this.#walk(value, base, path)
    }
    for (const keyword of LISTS) {
      const value = own(node, keyword)
      if (value !== undefined) this.#walkList(value, base, `${pointer}/${keyword}`)
    }
    for (const keyword of NAMED) {
      const value = own(node, keyword)
      const path = `${pointer}/${keyword}`
      if (value === undefined) continue
      if (!isSchemaObject(value)) throw new SchemaRefused(path, `${keyword} must be an object`)
      for (const [name, schema] of Object.entries(value)) {
        if (keyword === 'dependencies' && Array.isArray(schema)) continue
        this.#walk(schema, base, `${path}/${escapePointerToken(name)}`)
      }
    }
  }

  #walkList(value: unknown, base: string, pointer: string): void {
    if (!Array.isArray(value) || value.length === 0) {
      throw new SchemaRefused(
        pointer,
        `${pointer.slice(pointer.lastIndexOf('/') + 1)} must be a list of schemas that is not empty`,
      )
    }
    for (const [index, schema] of value.entries()) this.#walk(schema, base, `${pointer}/${index}`)
  }

  /** Notes what names a schema has, and returns the id of the resource that it belongs to. */
  #noteNames(node: SchemaObject, outerBase: string, pointer: string): string {
    const isOld = this.draft === '7'
    let base = outerBase
    const id = own(node, '$id')
    // In draft 7 nothing counts beside a reference.
    if (id !== undefined && !(isOld && own(node, '$ref') !== undefined)) {
      if (typeof id !== 'string') throw new SchemaRefused(`${pointer}/$id`, '$id must be a text')
      const [uri, fragment] = splitFragment(resolveUri(outerBase, id))
      if (isOld && fragment !== '') this.#noteAnchor(uri, fragment, node, pointer)
      if (!id.startsWith('#')) {
        base = uri
        if (this.#resources.has(base) && this.#resources.get(base) !== node) {
          throw new SchemaRefused(`${pointer}/$id`, `$id ${quote(id)} is there twice`)
        }
        this.#resources.set(base, node)
      }
    }
    if (isOld) return base
    for (const keyword of ['$anchor', '$dynamicAnchor']) {
      const anchor = own(node, keyword)
      if (anchor === undefined || (keyword === '$dynamicAnchor' && this.draft !== '2020-12')) continue
      if (typeof anchor !== 'string' || !/^[A-Za-z_][-A-Za-z0-9._]*$/.test(anchor)) {
        throw new SchemaRefused(`${pointer}/${keyword}`, `${keyword} must be a name`)
      }
      this.#noteAnchor(base, anchor, node, pointer)
      if (keyword === '$dynamicAnchor') this.#dynamicAnchors.add(`${base}#${anchor}`)
    }
    return base
  }

  #noteAnchor(base: string, name: string, node: SchemaObject, pointer: string): void {
    const key = `${base}#${name}`
    if (this.#anchors.has(key)) throw new SchemaRefused(pointer, `the anchor ${quote(name)} is there twice`)
    this.#anchors.set(key, node)
  }
}

/** The value of a keyword that is the schema's own: `constructor` and the like are inherited by every object. */
export function own(node: SchemaObject, keyword: string): unknown {
  return Object.hasOwn(node, keyword) ? node[keyword] : undefined
}

export function isSchemaObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A text for a message, cut where it gets long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}

/** Adds to a refusal where in the text that is, for people. */
export function withPlace(text: string, error: SchemaRefused): SchemaRefused {
  error.place ??= findPointerPlace(text, error.pointer)
  return error
}

function parseRoot(text: string): SchemaNode {
  let root: unknown
  let isJson = true
  try {
    root = parseGuardedJson(Buffer.from(text), { ...SCHEMA_LIMITS, keysMax: SCHEMA_LIMITS.valuesMax })
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error
    if (error.reason !== 'parse') throw refuseUnread(error.message)
    isJson = false
  }
  // Also in JSON that can be parsed: the same member twice is a mistake in a schema.
  const fault = findJsonFault(text)
  if (fault !== undefined) {
    const refusal = new SchemaRefused('', `this is not JSON: ${fault.message}`)
    refusal.place = fault
    throw refusal
  }
  if (!isJson) throw new SchemaRefused('', 'this is not JSON')
  if (typeof root !== 'boolean' && !isSchemaObject(root))
    throw new SchemaRefused('', 'a schema is an object, true or false')
  return root
}

/** What is too large or too deep is not gone through once more to find the place. */
function refuseUnread(message: string): SchemaRefused {
  const refusal = new SchemaRefused('', message)
  refusal.place = { line: 1, column: 1 }
  return refusal
}

function findDraft(root: SchemaNode, wanted: Draft | undefined): Draft {
  const uri = typeof root === 'boolean' ? undefined : own(root, '$schema')
  if (uri === undefined) return wanted ?? DRAFT_DEFAULT
  const found =
    typeof uri === 'string' ? DRAFTS_BY_URI.get(uri.replace(/^https?:\/\//, '').replace(/#$/, '')) : undefined
  if (found === undefined) {
    throw new SchemaRefused(
      '/$schema',
      `$schema is ${typeof uri === 'string' ? quote(uri) : 'no text'}: drafts ${DRAFTS.join(', ')} are understood`,
    )
  }
  if (wanted !== undefined && wanted !== found) {
    throw new SchemaRefused('/$schema', `$schema says draft ${found}, and draft ${wanted} is asked for: leave one out`)
  }
  return found
}

function resolveUri(base: string, reference: string): string {
  if (reference.startsWith('#')) return splitFragment(base)[0] + reference
  try {
    return new URL(reference, base).href
  } catch {
    return reference
  }
}

function splitFragment(uri: string): [base: string, fragment: string] {
  const hash = uri.indexOf('#')
  return hash === -1 ? [uri, ''] : [uri.slice(0, hash), uri.slice(hash + 1)]
}

function decodeToken(token: string): string {
  let decoded = token
  try {
    decoded = decodeURIComponent(token)
  } catch {
    // A % that begins no escape stands for itself.
  }
  return decoded.replaceAll('~1', '/').replaceAll('~0', '~')
}
