import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ANSWER_CHARACTERS, LIMIT_DEFAULT, LIMIT_RANGE } from '../../src/http/records-reader.ts'
import { PRODUCE_BYTES_MAX, RECORD_BYTES_MAX, RECORDS_MAX } from '../../src/http/records-parser.ts'
import { createApiRoutes } from '../../src/http/api-routes.ts'
import { API_PREFIX, BODIES_BYTES_MAX, BODY_BYTES_MAX } from '../../src/http/api.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import { RawClient } from '../support/raw-client.ts'

// docs/http-api.md is held to the code: every request is in it, and its lines are run.

const COMMIT = 4
const run = promisify(execFile)
const document = readFileSync(new URL('../../docs/http-api.md', import.meta.url), 'utf8')

/** Each command of the page with the answer below it. */
function readExamples(): { readonly command: string; readonly answer: unknown }[] {
  const blocks = [...document.matchAll(/^```console\n([^]*?)^```$/gm)].map(([, block]) => block)
  return blocks
    .flatMap((block) => block.split(/^\$ /m).slice(1))
    .map((example) => {
      const [, command, answer] = /^((?:.*\\\n)*.*)\n([^]*)$/.exec(example) ?? []
      return { command, answer: JSON.parse(answer) }
    })
}

/** What differs from day to day: times, ids of topics and clusters, ages. */
const VARYING = /^(?:.*At|atMs|timestamp|lagMs|clusterId|version)$/

/** The answer with what may differ as the page has it. */
function likePage(given: any, page: any, name = ''): unknown {
  if (page === '…') return page
  if (VARYING.test(name) && typeof given === typeof page && !(name === 'version' && typeof page === 'number'))
    return page
  if (name === 'id' && String(page).includes('-')) return page
  if (Array.isArray(page) && Array.isArray(given)) {
    return page.includes('…') ? page : given.map((item, index) => likePage(item, page[index]))
  }
  if (typeof page !== 'object' || page === null || typeof given !== 'object' || given === null) return given
  const entries = Object.entries(given).map(([key, value]) => [key, likePage(value, page[key], key)])
  const shown = '…' in page ? [...entries.filter(([key]) => String(key) in page), ['…', '…']] : entries
  return Object.fromEntries(shown)
}

test('the lines of the page do what the page says', async ({ skip }) => {
  if (spawnSync('curl', ['--version']).status !== 0) skip('there is no curl: apt-get install curl')
  await using broker = await startCafeLog()
  const client = await RawClient.connect(broker.ports.json)
  const examples = readExamples()
  expect(examples.length).toBeGreaterThan(15)
  for (const { command, answer } of examples) {
    if (command.includes('/groups'))
      await client.ask(COMMIT, { topic: 'orders', partition: 0, group: 'analytics', offset: 1 })
    const { stdout } = await run('sh', ['-c', command.replace('localhost:8080', broker.addresses.http)])
    const given = JSON.parse(stdout)
    expect.soft({ command, answer: likePage(given, answer) }).toEqual({ command, answer })
  }
  client.close()
})

test('the page lists every request that there is, and no other', () => {
  const rows = [...document.matchAll(/^\| `([A-Z]+) (\S+)` +\|/gm)].map(([, method, path]) => `${method} ${path}`)
  const routes = createApiRoutes()
    .filter(({ path }) => path !== '/')
    .map(({ method, path }) => `${method} ${API_PREFIX}${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  expect(rows.toSorted()).toEqual(routes.toSorted())
})

test('the page has the limits that the code has', () => {
  const mebibytes = [PRODUCE_BYTES_MAX, RECORD_BYTES_MAX, BODY_BYTES_MAX, BODIES_BYTES_MAX, ANSWER_CHARACTERS]
  for (const bytes of mebibytes) expect(document).toContain(`${bytes / 2 ** 20} MiB`)
  for (const count of [RECORDS_MAX, LIMIT_DEFAULT, LIMIT_RANGE.max])
    expect(document).toContain(count.toLocaleString('en-US'))
})
