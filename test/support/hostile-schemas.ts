// What a schema of 64 KiB and a value of a megabyte can be made to cost together.

function members(count: number, name = (index: number) => `k${index}`, value: unknown = 0): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), value]))
}

/** An array of so many items. */
export function list(length: number, item: (index: number) => unknown): unknown[] {
  return Array.from({ length }, (_, index) => item(index))
}

/** A schema that is applied to the same value so many times. */
function often(count: number, schema: unknown): unknown {
  return { allOf: list(count, () => ({ $ref: '#/$defs/it' })), $defs: { it: schema } }
}

const KEYS = members(10_000)
const NAMES = Object.keys(members(3_000))
const ITEMS = list(99_990, () => 0)
const LONG = 'x'.repeat(1_000_000)

/** Pairs of a schema and a value, each within their limits, that cost as much as the two can be made to. */
export const COSTLY: readonly (readonly [what: string, schema: unknown, value: unknown])[] = [
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
