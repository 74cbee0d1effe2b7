// What is said of schemas is held against the schemas themselves: an inferred one takes all that it was inferred from, and a
// change that is called harmless refuses nothing that was taken.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { findSchemaFault } from './check-value.ts'
import { CompiledSchema } from './compiled-schema.ts'
import { findSchemaChanges } from './schema-difference.ts'
import { SchemaInference } from './schema-inference.ts'

const TEXTS = ['', 'a', 'b', '2026-11-24', '2026-11-24T10:00:00Z', 'a@b.example', '10.0.0.1', 'http://x.example/']
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, 0, 1, 2, 3, 1.5, -1, 1e300, ...TEXTS),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__', '1', 'a/b~'), tie('value'), { maxKeys: 4 }),
  ),
})).value

const fits = (schema: CompiledSchema, value: unknown) =>
  findSchemaFault(Buffer.from(JSON.stringify(value)), schema) === undefined

function infer(seen: readonly unknown[], options: Partial<ConstructorParameters<typeof SchemaInference>[0]> = {}) {
  const inference = new SchemaInference({ isClosed: false, hasFormats: true, enumValuesMax: 10, ...options })
  for (const value of seen) inference.add(JSON.parse(JSON.stringify(value)))
  return inference.toText()
}

test('an inferred schema is fulfilled by all values that it was inferred from', () => {
  const options = fc.record({
    isClosed: fc.boolean(),
    hasFormats: fc.boolean(),
    enumValuesMax: fc.constantFrom(0, 2, 10),
  })
  const property = fc.property(fc.array(values, { minLength: 1, maxLength: 12 }), options, (seen, wanted) => {
    // Seen several times, texts become an enum.
    const all = [...seen, ...seen, ...seen]
    const schema = new CompiledSchema(infer(all, wanted))
    for (const value of all) expect(findSchemaFault(Buffer.from(JSON.stringify(value)), schema)).toBeUndefined()
  })
  checkProperty(property, 300)
})

test('maps, deep values and wide ones come to a schema that may be set', () => {
  const deep = (depth: number): unknown => (depth === 0 ? 1 : { a: [deep(depth - 1)], b: deep(0) })
  const map = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`id-${at}`, { count: at, tag: 'x' }]))
  const wide = (depth: number): unknown =>
    depth === 0 ? 'x' : Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`k${at}`, wide(depth - 1)]))
  for (const value of [deep(25), map, wide(2), [map, { 'id-1': null }], [{ 'id-1': null }, map, 1]]) {
    const text = infer([value])
    expect(fits(new CompiledSchema(text), value)).toBe(true)
  }
  expect(JSON.parse(infer([map]))).toMatchObject({
    type: 'object',
    additionalProperties: { type: 'object', required: ['count', 'tag'], properties: { count: { type: 'integer' } } },
  })
})

test('an inferred schema is what a person would write', () => {
  const orders = Array.from({ length: 12 }, (_, at) => ({
    id: at,
    state: at % 2 === 0 ? 'open' : 'paid',
    at: `2026-11-${at + 10}T10:00:00Z`,
    price: at / 2,
    note: at % 3 === 0 ? null : `note ${at}`,
    ...(at > 3 && { items: [{ sku: `sku-${at}` }] }),
  }))
  expect(JSON.parse(infer(orders, { isClosed: true }))).toEqual({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    required: ['id', 'state', 'at', 'price', 'note'],
    properties: {
      id: { type: 'integer' },
      state: { type: 'string', enum: ['open', 'paid'] },
      at: { type: 'string', format: 'date-time' },
      price: { type: 'number' },
      note: { type: ['null', 'string'] },
      items: {
        type: 'array',
        items: {
          type: 'object',
          required: ['sku'],
          properties: { sku: { type: 'string' } },
          additionalProperties: false,
        },
      },
    },
    additionalProperties: false,
  })
})

const small = fc.integer({ min: 0, max: 3 })
/** The keywords that a schema is made of, each with the schemas within it. */
const keywordsOf = (schema: fc.Arbitrary<unknown>) => ({
  type: fc.constantFrom('string', 'integer', 'number', ['object', 'null'], 'array', 'object', ['number', 'string']),
  required: fc.uniqueArray(fc.constantFrom('a', 'b'), { maxLength: 2 }),
  properties: fc.dictionary(fc.constantFrom('a', 'b', 'c'), schema, { maxKeys: 2 }),
  additionalProperties: schema,
  patternProperties: fc.dictionary(fc.constantFrom('^a', 'b$'), schema, { maxKeys: 1 }),
  unevaluatedProperties: schema,
  propertyNames: schema,
  dependentSchemas: fc.dictionary(fc.constantFrom('a', 'b'), schema, { maxKeys: 1 }),
  dependentRequired: fc.constantFrom({ a: ['b'] }, { b: ['a', 'c'] }),
  items: schema,
  prefixItems: fc.array(schema, { minLength: 1, maxLength: 2 }),
  contains: schema,
  minContains: small,
  maxContains: small,
  uniqueItems: fc.boolean(),
  enum: fc.uniqueArray(fc.constantFrom(0, 1, 'a', null), { minLength: 1, maxLength: 3 }),
  const: fc.constantFrom(0, 1, 'a', null),
  minimum: small,
  maximum: small,
  exclusiveMinimum: small,
  exclusiveMaximum: small,
  multipleOf: fc.constantFrom(0.5, 1, 2, 3),
  minLength: small,
  maxLength: small,
  pattern: fc.constantFrom('a', '^2', '@'),
  format: fc.constantFrom('date', 'email', 'ipv4'),
  minItems: small,
  maxItems: small,
  minProperties: small,
  maxProperties: small,
  allOf: fc.array(schema, { minLength: 1, maxLength: 2 }),
  anyOf: fc.array(schema, { minLength: 1, maxLength: 3 }),
  oneOf: fc.array(schema, { minLength: 1, maxLength: 2 }),
  not: schema,
  if: schema,
  else: schema,
  title: fc.constantFrom('one', 'other'),
  $ref: fc.constantFrom('#/$defs/d', '#/$defs/e'),
})

/** Schemas of a few keywords, nested so deep. */
function schemasOf(depth: number): fc.Arbitrary<boolean | Record<string, unknown>> {
  const within = depth === 0 ? fc.boolean() : schemasOf(depth - 1)
  const keywords = [...Object.entries(keywordsOf(within)), ['then', within] as const].map(([name, value]) =>
    (value as fc.Arbitrary<unknown>).map((content) => ({ [name]: content })),
  )
  const some = fc.array(fc.oneof(...keywords), { maxLength: 4 }).map((list) => Object.assign({}, ...list) as object)
  return fc.oneof({ weight: 1, arbitrary: fc.boolean() }, { weight: 6, arbitrary: some }) as fc.Arbitrary<
    boolean | Record<string, unknown>
  >
}
const schemas = schemasOf(2)
const documents = fc.tuple(schemas, schemas, schemas).map(([root, d, e]) => {
  const named = typeof root === 'boolean' ? { allOf: [root] } : root
  return { ...named, $defs: { d: withoutReferences(d), e: withoutReferences(e) } }
})

/** Schemas that lead to themselves without end are refused: here only the document itself refers to others. */
function withoutReferences(schema: unknown): unknown {
  const text = JSON.stringify(schema, (key, value: unknown) => (key === '$ref' ? undefined : value))
  return JSON.parse(text)
}

/** A document that differs from the first in one keyword, or in all. */
const pairs = fc.tuple(documents, documents, fc.integer({ min: 0, max: 40 })).map(([before, other, at]) => {
  const keys = Object.keys(other)
  const key = keys[at % keys.length]
  return at % 5 === 0 ? [before, other] : [before, { ...before, [key]: other[key as keyof typeof other] }]
})

test('what is called harmless refuses nothing that was taken, and takes nothing that was refused', () => {
  let harmless = 0
  const property = fc.property(
    pairs,
    fc.array(values, { minLength: 5, maxLength: 25 }),
    ([before, after], candidates) => {
      const [old, now] = [before, after].map((document) => new CompiledSchema(JSON.stringify(document)))
      for (const [from, to] of [
        [old, now],
        [now, old],
      ]) {
        const changes = findSchemaChanges(from, to)
        const mayInvalidate = changes.some((change) => change.mayInvalidate)
        const mayAdmit = changes.some((change) => change.mayAdmit)
        if (!mayInvalidate || !mayAdmit) harmless++
        for (const value of candidates) {
          const [was, is] = [fits(from, value), fits(to, value)]
          if (was && !is) expect(mayInvalidate, `${JSON.stringify(value)} ${JSON.stringify(changes)}`).toBe(true)
          if (!was && is) expect(mayAdmit, `${JSON.stringify(value)} ${JSON.stringify(changes)}`).toBe(true)
        }
      }
    },
  )
  checkProperty(property, 600)
  expect(harmless).toBeGreaterThan(50)
})

test.each([
  [{ required: ['a'] }, { required: ['a', 'b'] }, [['/required', '"b" must be there now', 'narrower']]],
  [{ type: 'integer' }, { type: ['number', 'null'] }, [['/type', 'it may be number or null now', 'wider']]],
  [{ type: 'number' }, { type: 'integer' }, [['/type', 'it may not be number any more', 'narrower']]],
  [
    { enum: ['a', 'b'] },
    { enum: ['b', 'c'] },
    [
      ['/enum', 'it may not be "a" any more', 'narrower'],
      ['/enum', 'it may be "c" now', 'wider'],
    ],
  ],
  [{ maxLength: 5 }, { maxLength: 4 }, [['/maxLength', 'maxLength was 5 and is 4', 'narrower']]],
  [{ title: 'A' }, { title: 'B' }, [['/title', 'title is another', 'neither']]],
  [
    { properties: { a: {} }, additionalProperties: false },
    { properties: { b: { minimum: 1 } }, additionalProperties: false },
    [
      ['/properties/a', '"a" may not be there any more', 'narrower'],
      ['/properties/b', '"b" may be there now', 'wider'],
    ],
  ],
  [
    { properties: {} },
    { properties: { b: { minimum: 1 } } },
    [['/properties/b/minimum', 'minimum is new: 1', 'narrower']],
  ],
  [
    { items: { type: 'string' } },
    { items: {} },
    [['/items/type', 'it may be null or boolean or number or array or object now', 'wider']],
  ],
  [{ pattern: 'a' }, { pattern: 'b' }, [['/pattern', 'pattern was "a" and is "b"', 'either']]],
])('%j and %j', (before, after, expected) => {
  const changes = findSchemaChanges(
    new CompiledSchema(JSON.stringify(before)),
    new CompiledSchema(JSON.stringify(after)),
  )
  const effectOf = ({ mayInvalidate, mayAdmit }: { mayInvalidate: boolean; mayAdmit: boolean }) =>
    mayInvalidate ? (mayAdmit ? 'either' : 'narrower') : mayAdmit ? 'wider' : 'neither'
  expect(changes.map((change) => [change.pointer, change.message, effectOf(change)])).toEqual(expected)
})
