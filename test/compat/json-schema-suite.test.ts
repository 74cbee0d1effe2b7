// The official JSON-Schema-Test-Suite, from a checkout of github.com/json-schema-org/JSON-Schema-Test-Suite that
// JSON_SCHEMA_TEST_SUITE names. What is left out below is left out on purpose: docs/schema.md says what and why.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { CompiledSchema } from '../../src/schema/compiled-schema.ts'
import { SchemaRefused } from '../../src/schema/schema-document.ts'
import type { Draft } from '../../src/schema/schema-document.ts'
import { WorkBudget } from '../../src/schema/work-budget.ts'

const SUITE = process.env.JSON_SCHEMA_TEST_SUITE ?? ''
const isThere = SUITE !== '' && existsSync(join(SUITE, 'tests'))

interface Group {
  readonly description: string
  readonly schema: unknown
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[]
}

/** References that lead out of the document are refused, and so are patterns that look around. */
const REFUSED = /leads out of the document|looking ahead or behind is not taken/
/** Files about what is not done: other vocabularies, formats that only annotate, drafts within drafts. */
const FILES_LEFT_OUT = ['vocabulary.json', 'refRemote.json', 'format.json']
/** RFC 5892's rules for single characters of host names need tables that nothing else here has a use for. */
const FORMATS_LEFT_OUT = ['idn-hostname.json']
/** Single groups, by their description. */
const GROUPS_LEFT_OUT = [/metaschema/, /^validation of A-label \(punycode\) host names$/]

const DRAFTS: readonly (readonly [Draft, string])[] = [
  ['7', 'draft7'],
  ['2019-09', 'draft2019-09'],
  ['2020-12', 'draft2020-12'],
]

describe.skipIf(!isThere)('the official test suite', () => {
  test.each(DRAFTS)('draft %s', (draft, folder) => {
    const figures = { passed: 0, refused: 0 }
    const failed: string[] = []
    for (const path of filesOf(join(SUITE, 'tests', folder))) {
      const groups = JSON.parse(readFileSync(path, 'utf8')) as Group[]
      for (const group of groups) {
        if (GROUPS_LEFT_OUT.some((pattern) => pattern.test(group.description))) continue
        const where = `${path.slice(SUITE.length)}: ${group.description}`
        let schema: CompiledSchema
        try {
          schema = new CompiledSchema(JSON.stringify(group.schema), draft)
        } catch (error) {
          if (!(error instanceof SchemaRefused)) throw error
          if (REFUSED.test(error.message)) figures.refused += group.tests.length
          else failed.push(`${where}: ${error.message}`)
          continue
        }
        for (const { description, data, valid } of group.tests) {
          const fault = schema.findFault(data, new WorkBudget(1_000_000))
          if ((fault === undefined) === valid) figures.passed++
          else failed.push(`${where}: ${description}: ${JSON.stringify(fault)}`)
        }
      }
    }
    console.log(`draft ${draft}: ${JSON.stringify(figures)}`)
    expect(failed).toEqual([])
  })
})

test.skipIf(isThere)('the official test suite needs JSON_SCHEMA_TEST_SUITE, the path of its checkout', (context) => {
  context.skip('set JSON_SCHEMA_TEST_SUITE')
})

function filesOf(folder: string): string[] {
  const required = readdirSync(folder).filter((name) => name.endsWith('.json') && !FILES_LEFT_OUT.includes(name))
  const formats = join(folder, 'optional', 'format')
  return [
    ...required.map((name) => join(folder, name)),
    ...readdirSync(formats)
      .filter((name) => !FORMATS_LEFT_OUT.includes(name))
      .map((name) => join(formats, name)),
    ...['bignum', 'ecmascript-regex', 'float-overflow', 'non-bmp-regex']
      .map((name) => join(folder, 'optional', `${name}.json`))
      .filter((path) => existsSync(path)),
  ]
}
