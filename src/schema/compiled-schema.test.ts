import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

import { CompiledSchema } from './compiled-schema.ts'
import { parseGuardedJson } from './guarded-json.ts'
import { SCHEMA_LIMITS, VALUE_LIMITS } from './limits.ts'
import { parseDraft, SchemaRefused } from './schema-document.ts'
import type { Draft } from './schema-document.ts'
import { WorkBudget } from './work-budget.ts'

/** What a record may cost in the broker. */
const STEPS = 200_000

/** `pointer: keyword: message` of what is wrong, or 'fits'. */
function check(schema: unknown, value: unknown, draft?: Draft): string {
  const fault = new CompiledSchema(JSON.stringify(schema), draft).findFault(value, new WorkBudget(STEPS))
  return fault === undefined ? 'fits' : `${fault.pointer}: ${fault.keyword}: ${fault.message}`
}

/** `line:column pointer message` of why a schema is refused. */
function refusal(schema: unknown, draft?: Draft): string {
  try {
    void new CompiledSchema(typeof schema === 'string' ? schema : JSON.stringify(schema), draft)
    return 'taken'
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    return `${error.place?.line}:${error.place?.column} ${error.pointer} ${error.message}`
  }
}

/** What is not bounded takes minutes or for ever; a busy machine must not be taken for that. */
const MUCH_TOO_LONG_MS = 1000

/** The best of three, since others use the machine too. */
function millisecondsOf(work: () => void): number {
  const runs = Array.from({ length: 3 }, () => {
    const startedAt = performance.now()
    work()
    return performance.now() - startedAt
  })
  return Math.min(...runs)
}

const ORDER = {
  type: 'object',
  required: ['id', 'amount'],
  properties: {
    id: { type: 'integer', minimum: 1 },
    amount: { type: 'number', multipleOf: 0.01 },
    currency: { enum: ['EUR', 'USD'] },
    lines: {
      type: 'array',
      items: { type: 'object', required: ['sku'], properties: { sku: { pattern: '^[A-Z]{3}-\\d+$' } } },
    },
  },
  additionalProperties: false,
}

describe('a value', () => {
  test.each([
    [{ id: 1, amount: 19.99 }, 'fits'],
    [{ id: 1 }, '/amount: required: it is missing'],
    [{ id: 'x', amount: 1 }, '/id: type: it is a string: it must be integer'],
    [{ id: 0, amount: 1 }, '/id: minimum: it must be at least 1'],
    [{ id: 1, amount: 0.001 }, '/amount: multipleOf: it must be a whole number of times 0.01'],
    [{ id: 1, amount: 1, currency: 'DM' }, '/currency: enum: it is none of the 2 values that may be there'],
    [
      { id: 1, amount: 1, 'a/b~c': 0 },
      '/a~1b~0c: additionalProperties: it is not one of the properties that may be there',
    ],
    [
      { id: 1, amount: 1, lines: [{ sku: 'ABC-1' }, { sku: 'x' }] },
      '/lines/1/sku: pattern: it does not match the pattern "^[A-Z]{3}-\\\\d+$"',
    ],
    [{ id: 1, amount: 1, lines: [{ sku: 'ABC-1' }, {}] }, '/lines/1/sku: required: it is missing'],
    [[], ': type: it is an array: it must be object'],
    [null, ': type: it is null: it must be object'],
  ])('%j', (value, expected) => {
    expect(check(ORDER, value)).toBe(expected)
  })

  test('a fault tells nothing of what the value holds', () => {
    const secret = 'hunter2'
    for (const keyword of [
      { type: 'number' },
      { enum: [1] },
      { const: 1 },
      { format: 'date' },
      { pattern: '^x' },
      { maxLength: 2 },
      { not: {} },
      { anyOf: [false] },
    ]) {
      expect(check(keyword, secret)).not.toContain(secret)
    }
  })

  test('what a draft calls its own', () => {
    const tuple = { items: [{ type: 'string' }], additionalItems: false }
    expect(check(tuple, ['a', 1], '7')).toBe(
      '/1: items: nothing may be there: 1 items are the most'.replace('items:', 'additionalItems:'),
    )
    expect(refusal(tuple, '2020-12')).toBe(
      '1:10 /items items must be a schema: draft 2020-12 has prefixItems for a list of them',
    )
    expect(check({ prefixItems: [{ type: 'string' }], items: false }, ['a', 1])).toBe(
      '/1: items: nothing may be there: 1 items are the most',
    )
    expect(check({ $ref: '#/definitions/a', maximum: 1, definitions: { a: {} } }, 5, '7')).toBe('fits')
    expect(check({ $ref: '#/$defs/a', maximum: 1, $defs: { a: {} } }, 5)).toBe(': maximum: it must be at most 1')
    expect(
      check({ $schema: 'http://json-schema.org/draft-07/schema#', dependentRequired: { a: ['b'] } }, { a: 1 }),
    ).toBe('fits')
    expect(check({ allOf: [{ properties: { a: true } }], unevaluatedProperties: false }, { a: 1, b: 2 })).toBe(
      '/b: unevaluatedProperties: it is not one of the properties that may be there',
    )
    expect(['7', 'draft-07', 'Draft 7', '2019-09', 'draft-2020-12', '4', 'x'].map(parseDraft)).toEqual([
      '7',
      '7',
      '7',
      '2019-09',
      '2020-12',
      undefined,
      undefined,
    ])
  })
})

describe('a schema is refused', () => {
  test.each<readonly [unknown, string]>([
    ['{"type":"object",\n "minLength": -1}', '2:15 /minLength minLength must be a whole number, 0 or more'],
    ['{"type":"object"\n "minLength": 1}', '2:2  this is not JSON: a comma or } is wanted here'],
    ['{"type":"object", "type":"string"}', '1:19  this is not JSON: "type" is there twice'],
    ['[]', '1:1  a schema is an object, true or false'],
    ['', '1:1  this is not JSON: the text ends too early'],
    [
      { type: 'strnig' },
      '1:9 /type type must be one or several of null, boolean, integer, number, string, array, object',
    ],
    [{ properties: { a: 1 } }, '1:20 /properties/a a schema is wanted here: an object, true or false'],
    [{ pattern: '(' }, '1:12 /pattern the pattern "(" is not taken: a group is not closed'],
    [
      { pattern: '(?=a)b' },
      '1:12 /pattern the pattern "(?=a)b" is not taken: looking ahead or behind is not taken: nothing can do it in linear time',
    ],
    [
      { pattern: '(a)\\1' },
      '1:12 /pattern the pattern "(a)\\\\1" is not taken: a back-reference, \\1, is not taken: nothing can do it in linear time',
    ],
    [
      { $schema: 'http://json-schema.org/draft-04/schema#' },
      '1:12 /$schema $schema is "http://json-schema.org/draft-04/schema#": drafts 7, 2019-09, 2020-12 are understood',
    ],
    [{ $ref: '#/$defs/nothing' }, '1:9 /$ref $ref "#/$defs/nothing" leads to nothing in this document'],
    [{ $ref: '#nothing' }, '1:9 /$ref $ref "#nothing" leads to no anchor of this document'],
    [{ $ref: '#' }, '1:1  this schema leads back to itself for the same value, without end'],
    [
      { $ref: '#/$defs/a', $defs: { a: { allOf: [{ $ref: '#/$defs/b' }] }, b: { not: { $ref: '#/$defs/a' } } } },
      '1:34 /$defs/a this schema leads back to itself for the same value, without end',
    ],
  ])('%j', (schema, expected) => {
    expect(refusal(schema)).toBe(expected)
  })

  test.each([
    'http://169.254.169.254/latest/meta-data',
    'https://example.com/schema.json',
    'file:///etc/passwd',
    '//host/schema',
    'other.json',
    '/etc/passwd',
  ])('when its $ref leads to %s, and nothing is opened', (reference) => {
    expect(refusal({ $ref: reference })).toContain('leads out of the document: only references within it are followed')
  })

  test('when it is more than a schema may be', () => {
    const deep = '{"not":'.repeat(40) + 'true' + '}'.repeat(40)
    expect(refusal(deep)).toContain('nested more than 32 deep')
    expect(refusal('{"not":'.repeat(6_000) + 'true' + '}'.repeat(6_000))).toContain('nested more than 32 deep')
    expect(refusal({ anyOf: Array.from({ length: 2_000 }, (_, at) => ({ const: at })) })).toContain(
      'more than 1000 schemas',
    )
    expect(refusal({ enum: Array.from({ length: 10_001 }, (_, at) => at) })).toContain('more than 10000 values')
    expect(refusal({ description: 'x'.repeat(SCHEMA_LIMITS.bytesMax) })).toContain('65536 are the most')
    expect(refusal({ pattern: 'a'.repeat(1_001) })).toContain('1000 are the most')
    expect(refusal({ pattern: '((a{1000}){1000}){1000}' })).toContain('comes to more than 5000 steps')
    expect(refusal({ pattern: '((((){1000}){1000}){1000}){1000}' })).toContain('comes to more than 5000 steps')
  })

  test('in no time, whatever it is', () => {
    const ms = millisecondsOf(() => {
      refusal('['.repeat(10 * 1024 * 1024))
      refusal('['.repeat(60_000))
      refusal(`{"enum":[${'[],'.repeat(20_000)}1]}`)
    })
    expect(ms).toBeLessThan(MUCH_TOO_LONG_MS)
  })
})

describe('hostile', () => {
  test.each(['^(a|a)*$', '^(a+)+$', '^(a|aa)+$', '(x+x+)+y', '^([a-zA-Z]+)*$', '(.*)*(.*)*b$', '^(\\w+\\s?)*$'])(
    'the pattern %s takes linear time',
    (pattern) => {
      const schema = new CompiledSchema(JSON.stringify({ pattern }))
      const texts = ['a'.repeat(40) + '!', 'x'.repeat(10_000), `${'a'.repeat(1_000_000)}!`]
      for (const text of texts) {
        const ms = millisecondsOf(() => schema.findFault(text, new WorkBudget(STEPS)))
        expect(ms).toBeLessThan(MUCH_TOO_LONG_MS)
      }
      expect(schema.findFault('a'.repeat(40) + '!', new WorkBudget(STEPS))?.keyword).toBe('pattern')
      expect(schema.findFault('a'.repeat(1_000_000) + '!', new WorkBudget(STEPS))?.keyword).toBe('too_costly')
    },
  )

  test('schemas that multiply their own work run out of budget', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 25 }, (_, at) => [
        `d${at}`,
        { allOf: [{ $ref: `#/$defs/d${at + 1}` }, { $ref: `#/$defs/d${at + 1}` }] },
      ]),
    )
    const schema = new CompiledSchema(
      JSON.stringify({ $ref: '#/$defs/d0', $defs: { ...$defs, d25: { type: 'string' } } }),
    )
    const ms = millisecondsOf(() => expect(schema.findFault('x', new WorkBudget(STEPS))?.keyword).toBe('too_costly'))
    expect(ms).toBeLessThan(MUCH_TOO_LONG_MS)
  })

  test('a schema may lead to itself from member to member, as deep as the value is', () => {
    const tree = { type: 'object', properties: { next: { $ref: '#' }, name: { type: 'string' } }, required: ['name'] }
    let value: object = { name: 'leaf' }
    for (let depth = 1; depth < 60; depth++) value = { name: 'node', next: value }
    expect(check(tree, value)).toBe('fits')
    expect(check(tree, { name: 'a', next: { name: 'b', next: {} } })).toBe('/next/next/name: required: it is missing')
  })

  test('quadratic keywords are not', () => {
    const items = Array.from({ length: 3_000 }, (_, at) => ({ at, text: 'x' }))
    const schema = new CompiledSchema('{"uniqueItems":true}')
    const ms = millisecondsOf(() => expect(schema.findFault(items, new WorkBudget(STEPS))).toBeUndefined())
    expect(ms).toBeLessThan(MUCH_TOO_LONG_MS)
    expect(
      check({ uniqueItems: true }, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toBe(': uniqueItems: some of its items are equal')
  })

  test('__proto__, constructor and toString are names like others', () => {
    const parse = (text: string) => parseGuardedJson(Buffer.from(text), VALUE_LIMITS)
    const closed = { properties: { a: {} }, additionalProperties: false }
    expect(check(closed, parse('{"__proto__":{"a":1}}'))).toBe(
      '/__proto__: additionalProperties: it is not one of the properties that may be there',
    )
    expect(check({ required: ['constructor'] }, {})).toBe('/constructor: required: it is missing')
    expect(check({ required: ['toString', '__proto__'] }, {})).toBe('/toString: required: it is missing')
    const schema = new CompiledSchema('{"properties":{"__proto__":{"type":"string"}}}')
    expect(schema.findFault(parse('{"__proto__":1}'), new WorkBudget(STEPS))?.pointer).toBe('/__proto__')
    expect(schema.findFault({}, new WorkBudget(STEPS))).toBeUndefined()
    expect(refusal('{"__proto__":{"type":"string"},"type":"number"}')).toBe('taken')
    expect(({} as Record<string, unknown>).a).toBeUndefined()
  })

  test('values are parsed within limits', () => {
    const reasonOf = (bytes: Buffer | string) => {
      try {
        parseGuardedJson(Buffer.from(bytes as string), VALUE_LIMITS)
        return 'parsed'
      } catch (error) {
        return (error as { reason?: string }).reason
      }
    }
    const ms = millisecondsOf(() => {
      expect(reasonOf('['.repeat(10 * 1024 * 1024))).toBe('too_large')
      expect(reasonOf('['.repeat(100_000))).toBe('too_deep')
      expect(reasonOf('{"a":'.repeat(100_000))).toBe('too_deep')
      expect(reasonOf(`[${'0,'.repeat(200_000)}0]`)).toBe('too_large')
      expect(reasonOf(`{${Array.from({ length: 10_001 }, (_, at) => `"${at}":0`).join(',')}}`)).toBe('too_large')
    })
    expect(ms).toBeLessThan(100)
    expect(reasonOf('['.repeat(64) + ']'.repeat(64))).toBe('parsed')
    expect(reasonOf('["[[[\\"[[[", 1]'.padEnd(100))).toBe('parsed')
    expect(['', '{', '{"a"}', 'nul', '1 2', '"\\"'].map(reasonOf)).toEqual(Array.from({ length: 6 }, () => 'parse'))
    expect(reasonOf(Buffer.from([0x22, 0xff, 0x22]))).toBe('parse')
  })
})

test('nothing here opens a connection or a file', () => {
  for (const name of ['schema-document', 'compiled-schema', 'keywords']) {
    const source = readFileSync(new URL(`${name}.ts`, import.meta.url), 'utf8')
    expect(source).not.toMatch(/node:(?:http|https|net|fs|dns)|fetch\(/)
  }
})
