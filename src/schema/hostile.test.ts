// What a schema of 64 KiB and a value of a megabyte can be made to cost together. Each of these took from a hundred
// milliseconds to ten seconds before the work in question was charged to the budget.
import { expect, test } from 'vitest'
import { COSTLY, list } from '../../test/support/hostile-schemas.ts'
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
