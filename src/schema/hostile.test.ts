// What a schema of 64 KiB and a value of a megabyte can be made to cost together. Each of these took from a hundred
// milliseconds to ten seconds before the work in question was charged to the budget.
import { expect, test } from 'vitest'
import { findSchemaFault } from './check-value.ts'
import { CompiledSchema } from './compiled-schema.ts'
import { SchemaRefused } from './schema-document.ts'

/** For a machine that is four times slower and busy: by the budget it is a few milliseconds. */
const CPU_MS_MAX = 500

function cpuMs(work: () => void): number {
  const { user, system } = process.cpuUsage()
  work()
  const used = process.cpuUsage({ user, system })
  return (used.user + used.system) / 1000
}

function members(count: number, name = (index: number) => `k${index}`, value: unknown = 0): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), value]))
}

const list = (length: number, item: (index: number) => unknown): unknown[] =>
  Array.from({ length }, (_, index) => item(index))

/** A schema that is applied to the same value so many times. */
function often(count: number, schema: unknown): unknown {
  return { allOf: list(count, () => ({ $ref: '#/$defs/it' })), $defs: { it: schema } }
}

const KEYS = members(10_000)
const NAMES = Object.keys(members(3_000))
const ITEMS = list(99_990, () => 0)
const LONG = 'x'.repeat(1_000_000)

const COSTLY: readonly (readonly [what: string, schema: unknown, value: unknown])[] = [
  ['minProperties', often(990, { minProperties: 1 }), KEYS],
  ['maxProperties', often(990, { maxProperties: 20_000 }), KEYS],
  ['propertyNames', often(990, { propertyNames: true }), KEYS],
  ['required', often(900, { required: NAMES }), KEYS],
  ['dependentRequired', often(900, { dependentRequired: { k1: NAMES } }), KEYS],
  [
    'dependentRequired of items',
    { items: { dependentRequired: members(900, undefined, ['a']) } },
    list(99_990, () => ({})),
  ],
  [
    'dependentSchemas of items',
    { items: { dependentSchemas: members(900, undefined, true) } },
    list(99_990, () => ({})),
  ],
  ['contains', often(900, { contains: false, minContains: 0 }), ITEMS],
  ['anyOf of items', { items: { anyOf: [...list(900, () => false), true] } }, ITEMS],
  ['allOf of items', { items: { allOf: list(900, () => true) } }, ITEMS],
  ['uniqueItems', often(900, { uniqueItems: true }), ITEMS],
  [
    'uniqueItems of long texts',
    often(900, { uniqueItems: true }),
    list(58, (at) => LONG.slice(0, 17_000) + String(at + 10)),
  ],
  ['const with a long text', often(900, { not: { const: {} } }), { a: LONG }],
  ['multipleOf', { items: { multipleOf: 5e-324 } }, list(20_000, (at) => 1.7e308 - at * 1e300)],
  ['multipleOf of fractions', { items: { multipleOf: 0.1 } }, list(90_000, (at) => at / 10)],
  ['the format regex', { format: 'regex' }, `[${'\\p{L}'.repeat(30_000)}]`],
  ['the format uri-template', { format: 'uri-template' }, '{a}'.repeat(60_000)],
  ['a pattern that is in many states without a character', { pattern: `(${'|'.repeat(900)})b` }, 'a'.repeat(190_000)],
  [
    'patternProperties',
    { patternProperties: members(400, (at) => `^(a|a)*${at}$`, {}) },
    members(9_000, (at) => 'a'.repeat(80) + at),
  ],
  [
    'unevaluatedProperties',
    { unevaluatedProperties: false, anyOf: list(450, () => ({ patternProperties: { '': true } })) },
    KEYS,
  ],
  ['unevaluatedItems', { unevaluatedItems: false, anyOf: list(450, () => ({ contains: true })) }, ITEMS],
]

test.each(COSTLY)('%s is within the budget', (_, schema, value) => {
  const compiled = new CompiledSchema(JSON.stringify(schema))
  const bytes = Buffer.from(JSON.stringify(value))
  expect(cpuMs(() => findSchemaFault(bytes, compiled))).toBeLessThan(CPU_MS_MAX)
})

test.each([
  [
    'patterns',
    { allOf: list(900, (at) => ({ pattern: `(ab){1000}(cd){1000}${at}` })) },
    'come to more than 100000 steps',
  ],
  [
    'classes of Unicode',
    { allOf: list(400, (at) => ({ pattern: `[\\p{L}${at}]` })) },
    'come to more than 100000 steps',
  ],
  [
    'dynamic references',
    {
      items: { $ref: 'http://x/0' },
      $defs: Object.fromEntries(
        list(330, (at) => [`d${at}`, { $id: `http://x/${at}`, $dynamicAnchor: 'n', items: { $dynamicRef: '#n' } }]) as [
          string,
          object,
        ][],
      ),
    },
    'more than 5000 places',
  ],
])('too many %s are refused before much was done', (_, schema, message) => {
  let refusal: unknown
  const ms = cpuMs(() => {
    try {
      void new CompiledSchema(JSON.stringify(schema))
    } catch (error) {
      refusal = error
    }
  })
  expect(refusal).toBeInstanceOf(SchemaRefused)
  expect(String(refusal)).toContain(message)
  expect(ms).toBeLessThan(CPU_MS_MAX)
})

test('one pattern used many times counts once', () => {
  const names = { pattern: '^[\\p{L} ]{1,100}$' }
  expect(new CompiledSchema(JSON.stringify({ allOf: list(900, () => names) })).draft).toBe('2020-12')
})

test('what is unique is told from what is not, whatever its kind', () => {
  const compiled = new CompiledSchema('{"uniqueItems":true}')
  const reasonOf = (text: string) => findSchemaFault(Buffer.from(text), compiled)?.reason ?? 'fits'
  expect(reasonOf('[1,"1",true,"true",null,"null",[1],["1"],{},{"a":1},[],""]')).toBe('fits')
  for (const twice of ['1', '"a"', 'null', 'true', '[1,[2]]', '{"a":{}}']) {
    expect(reasonOf(`[0,${twice},"x",${twice}]`)).toBe('uniqueItems')
  }
  expect(reasonOf('[0,-0]')).toBe('uniqueItems')
  expect(reasonOf('[1,1.0]')).toBe('uniqueItems')
})
