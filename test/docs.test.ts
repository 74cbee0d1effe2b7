// The tables of docs/ that list what the code has are written by the code, between `<!-- begin NAME -->` and
// `<!-- end NAME -->`. `npm run docs` writes them anew; as a test, this file compares. The rest of the pages is written
// by hand, and is held to the code where that is cheap.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { expect, test } from 'vitest'
import { BrokerError, type BrokerErrorName, ERRORS } from '../src/base/broker-error.ts'
import { DURATION_WANTED, formatDuration, formatSize, SIZE_WANTED } from '../src/base/units.ts'
import { OTHER_TOPIC_CONFIG } from '../src/broker/other-topic-config.ts'
import { formatFlushPolicy, TOPIC_CONFIG, type TopicConfigField } from '../src/broker/topic-config.ts'
import { PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX } from '../src/broker/topics.ts'
import { SETTINGS } from '../src/config/config.ts'
import { FLAGS } from '../src/config/flags.ts'
import { TOPICS_FILE_KEYS } from '../src/config/topics-file-keys.ts'
import { parseTopicsFile } from '../src/config/topics-file.ts'
import { GROUP_DEFAULTS } from '../src/groups/group-options.ts'
import { Metrics } from '../src/metrics/metrics.ts'
import * as netLimits from '../src/net/limits.ts'
import { toWireError } from '../src/protocols/json/errors.ts'
import * as jsonLimits from '../src/protocols/json/limits.ts'
import { Meters } from '../src/protocols/json/meters.ts'
import { FRAME_PAYLOAD_BYTES_MAX, WIRE_ERRORS } from '../src/protocols/json/wire.ts'
import type { ApiFacts } from '../src/protocols/kafka/api.ts'
import { createRegistry } from '../src/protocols/kafka/services.ts'
import { TRACING_VARIABLES } from '../src/tracing/tracing-settings.ts'
import { TRANSACTION_DEFAULTS } from '../src/transactions/transaction-options.ts'
import { CLIENTS, versionsOfClients } from './support/client-versions.ts'

const ROOT = join(import.meta.dirname, '..')

/** A table: its titles, then its rows. */
type Table = readonly (readonly string[])[]

const code = (text: string | number) => `\`${text}\``
const many = (count: number) => count.toLocaleString('en-US')

const TABLES: Readonly<Record<string, () => Table>> = {
  settings: () => [
    ['variable', 'default', 'what it may be', 'while it runs', 'meaning'],
    ...Object.values(SETTINGS).map(({ variable, default: byDefault, range, meaning, atRuntime = '–', parse }) => [
      code(variable),
      parse(byDefault) === undefined ? byDefault : code(byDefault),
      range,
      atRuntime,
      meaning,
    ]),
  ],
  flags: () => [
    ['flag', 'default', 'what it may be', 'meaning'],
    ...FLAGS.map(({ flag, default: byDefault, range, meaning }) => [code(flag), byDefault, range, meaning]),
  ],
  'topics file': () => [
    ['key', 'default', 'what it may be', 'on SIGHUP', 'meaning'],
    ...TOPICS_FILE_KEYS.map(({ path, default: byDefault, range, onReload, meaning }) => [
      code(path),
      byDefault,
      range,
      onReload,
      meaning,
    ]),
  ],
  'tracing variables': () => [
    ['variable', 'default', 'what it may be', 'meaning'],
    ...TRACING_VARIABLES.map(({ variable, default: byDefault, range, meaning }) => [
      code(variable),
      byDefault,
      range,
      meaning,
    ]),
  ],
  'topic configuration': () => [
    ['key', 'default', 'what it may be', 'meaning'],
    ...(Object.keys(TOPIC_CONFIG) as TopicConfigField[]).map((field) => {
      const { name, wanted, meaning } = TOPIC_CONFIG[field]
      const short = wanted.replace(SIZE_WANTED, 'a size').replace(DURATION_WANTED, 'a duration')
      return [code(name), code(showDefault(field)), short, meaning]
    }),
  ],
  'other topic configuration': () => [
    ['key', 'default', 'what it may be', 'what it means in Kafka, and here'],
    ...[...OTHER_TOPIC_CONFIG.values()].map(({ name, default: byDefault, wanted, meaning }) => [
      code(name),
      byDefault === '' ? 'empty' : code(byDefault),
      wanted,
      meaning,
    ]),
  ],
  limits: () => [
    ['what', 'limit', 'beyond it'],
    ['partitions of a topic', many(PARTITIONS_PER_TOPIC_MAX), 'refused'],
    ['partitions of the broker', many(PARTITIONS_MAX), 'refused'],
    ['payload of a frame', formatSize(FRAME_PAYLOAD_BYTES_MAX), 'refused, and the connection closed'],
    ['records of a PRODUCE', many(jsonLimits.RECORDS_PER_REQUEST_MAX), 'refused'],
    ['record batches of a PRODUCE_BATCHES', many(jsonLimits.BATCHES_PER_REQUEST_MAX), 'refused'],
    ['`maxBytes` of a FETCH', formatSize(jsonLimits.FETCH_BYTES_MAX), 'this much is read'],
    ['partitions of a FETCH_BATCHES', many(jsonLimits.PARTITIONS_PER_REQUEST_MAX), 'refused'],
    ['`maxBytes` of a FETCH_BATCHES', formatSize(jsonLimits.FETCH_BATCHES_BYTES_MAX), 'this much is read'],
    ['`maxWaitMs` of a FETCH', formatDuration(jsonLimits.FETCH_WAIT_MS_MAX), 'answered after this time'],
    ['requests in flight, one connection', many(netLimits.REQUESTS_IN_FLIGHT_MAX), 'the connection is not read'],
    ['unread answers, one connection', formatSize(netLimits.OUTPUT_BYTES_SOFT_MAX), 'the connection is not read'],
    ['unread answers, all connections', formatSize(netLimits.OUTPUT_BYTES_TOTAL_MAX), 'slow readers wait'],
    [
      'unfinished frames, all connections',
      formatSize(netLimits.UNFINISHED_BYTES_TOTAL_MAX),
      'the connection that has kept one for longest is closed',
    ],
    ['time for a frame to arrive', formatDuration(netLimits.FRAME_TIMEOUT_MS), 'the connection is closed'],
    ['connection without a request', formatDuration(netLimits.IDLE_TIMEOUT_MS), 'the connection is closed'],
    [
      'client that does not read its answers',
      formatDuration(netLimits.OUTPUT_STALL_TIMEOUT_MS),
      'the connection is closed',
    ],
  ],
  'kafka APIs': () => [
    ['API', 'key', 'versions', ...CLIENTS],
    ...kafkaApis().map(({ name, key, versions }) => {
      const { first, last } = versions
      const range = first === last ? String(first) : `${first} to ${last}`
      return [name, String(key), range, ...versionsOfClients(key, last)]
    }),
  ],
  'error codes': () => [
    ['code', 'meaning', 'may the same request succeed later?'],
    ...Object.entries(WIRE_ERRORS).map(([name, { sentence, isRetriable }]) => [
      `[${code(name)}](#${name.toLowerCase()})`,
      sentence,
      isRetriable ? 'yes' : 'no',
    ]),
  ],
  'error names': () => [
    ['name', 'meaning', 'code on the wire'],
    ...(Object.keys(ERRORS) as BrokerErrorName[]).map((name) => [
      code(name),
      ERRORS[name].sentence,
      code(toWireError(new BrokerError(name, '')).code),
    ]),
  ],
  'consumer groups': () => [
    ['what', 'default', 'beyond it'],
    ['wait for more members of an empty classic group', formatDuration(GROUP_DEFAULTS.initialRebalanceDelayMs), ''],
    [
      'session timeout of a classic member',
      `its own: ${formatDuration(GROUP_DEFAULTS.sessionTimeoutMsMin)} to ${formatDuration(GROUP_DEFAULTS.sessionTimeoutMsMax)}`,
      code('INVALID_SESSION_TIMEOUT'),
    ],
    [
      "a new member's wait for the end of a rebalance",
      formatDuration(GROUP_DEFAULTS.newMemberJoinTimeoutMs),
      'it is dropped',
    ],
    [
      'session timeout of a member of a consumer group',
      formatDuration(GROUP_DEFAULTS.consumerSessionTimeoutMs),
      'it is fenced',
    ],
    ['its heartbeats, as it is told', `every ${formatDuration(GROUP_DEFAULTS.consumerHeartbeatIntervalMs)}`, ''],
    [
      'offsets without a member',
      `${formatDuration(GROUP_DEFAULTS.offsetsRetentionMs)}, looked at every ${formatDuration(GROUP_DEFAULTS.offsetsRetentionCheckMs)}`,
      'they expire',
    ],
    ['text beside an offset', formatSize(GROUP_DEFAULTS.offsetMetadataBytesMax), code('OFFSET_METADATA_TOO_LARGE')],
    ['groups', many(GROUP_DEFAULTS.groupsMax), code('POLICY_VIOLATION')],
    ['members of a group', many(GROUP_DEFAULTS.membersPerGroupMax), code('GROUP_MAX_SIZE_REACHED')],
    ['committed offsets of all groups', many(GROUP_DEFAULTS.offsetsMax), code('POLICY_VIOLATION')],
    ['protocols and subscriptions of a member', formatSize(GROUP_DEFAULTS.memberBytesMax), code('INVALID_REQUEST')],
    ['those of all members of a group', formatSize(GROUP_DEFAULTS.bytesPerGroupMax), code('GROUP_MAX_SIZE_REACHED')],
    ['an assignment by a leader', formatSize(GROUP_DEFAULTS.assignmentBytesMax), code('INVALID_REQUEST')],
    ['all of that, of all groups', formatSize(GROUP_DEFAULTS.bytesMax), code('GROUP_MAX_SIZE_REACHED')],
  ],
  transactions: () => [
    ['what', 'default', 'beyond it'],
    [
      'timeout of a transaction',
      `its producer's own: up to ${formatDuration(TRANSACTION_DEFAULTS.timeoutMsMax)}`,
      code('INVALID_TRANSACTION_TIMEOUT'),
    ],
    [
      'transactional id that nobody uses',
      `${formatDuration(TRANSACTION_DEFAULTS.idExpirationMs)}, looked at every ${formatDuration(TRANSACTION_DEFAULTS.idExpirationCheckMs)}`,
      'it is forgotten',
    ],
    ['wait for a transaction to end', formatDuration(TRANSACTION_DEFAULTS.waitMsMax), code('CONCURRENT_TRANSACTIONS')],
    ['transactional ids', many(TRANSACTION_DEFAULTS.idsMax), code('POLICY_VIOLATION')],
    ['partitions of a transaction', many(TRANSACTION_DEFAULTS.partitionsPerTransactionMax), code('POLICY_VIOLATION')],
    ['groups of a transaction', many(TRANSACTION_DEFAULTS.groupsPerTransactionMax), code('POLICY_VIOLATION')],
    ['memory of all of that', formatSize(TRANSACTION_DEFAULTS.bytesMax), code('POLICY_VIOLATION')],
    [
      'requests that wait for a transactional id',
      many(TRANSACTION_DEFAULTS.requestsPerIdMax),
      code('CONCURRENT_TRANSACTIONS'),
    ],
  ],
  metrics: () => [
    ['metric', 'type', 'labels', 'meaning'],
    ...new Metrics().families.map(({ name, type, labelNames, help }) => [
      code(name),
      type,
      labelNames.map(code).join(', '),
      help,
    ]),
  ],
}

/** What the Kafka door serves, by key. */
function kafkaApis(): ApiFacts[] {
  const registry = createRegistry()
  return registry.advertise().flatMap(({ apiKey, maxVersion }) => registry.find(apiKey, maxVersion)?.api ?? [])
}

function showDefault(field: TopicConfigField): string {
  const value = TOPIC_CONFIG[field].default
  if (typeof value === 'object') return formatFlushPolicy(value)
  if (typeof value !== 'number' || !/(?:Ms|Bytes|Max)$/.test(field) || field === 'delayRecordsMax') return String(value)
  return field.endsWith('Ms') ? formatDuration(value) : formatSize(value)
}

function writeTable(table: Table): string {
  const [titles, ...rows] = table.map((cells) => `| ${cells.map(escapeCell).join(' | ')} |`)
  return [titles, `|${' --- |'.repeat(table[0].length)}`, ...rows].join('\n')
}

/** Outside code, `<duration>` would be taken for HTML. */
function escapeCell(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

/** The page as it should be: its own text with the tables of this moment. */
async function writePage(path: string): Promise<string> {
  const text = readFileSync(path, 'utf8').replaceAll(
    /(<!-- begin (.+?) -->\n)[^]*?(<!-- end \2 -->)/g,
    (_all, begin: string, name: string, end: string) => `${begin}\n${writeTable(TABLES[name]())}\n\n${end}`,
  )
  return format(text, { ...(await resolveConfig(path)), filepath: path })
}

test.each([
  'configuration.md',
  'consumer-groups.md',
  'errors.md',
  'metrics.md',
  'protocol-kafka.md',
  'tracing.md',
  'transactions.md',
])('the tables of docs/%s are what the code has', async (name) => {
  const path = join(ROOT, 'docs', name)
  await expect(await writePage(path), `docs/${name} is out of date: npm run docs`).toMatchFileSnapshot(path)
})

const readPage = (name: string) => readFileSync(join(ROOT, name), 'utf8')

test('every table that can be written is on a page', () => {
  const pages = ['configuration', 'consumer-groups', 'errors', 'metrics', 'protocol-kafka', 'tracing', 'transactions']
    .map((name) => readPage(`docs/${name}.md`))
    .join('')
  const names = [...pages.matchAll(/^<!-- begin (.+) -->$/gm)].map(([, name]) => name)
  expect(names.toSorted()).toEqual(Object.keys(TABLES).toSorted())
})

test('the table of topics.yml has every key that is read there, and no other', async () => {
  const known = async (text: string) => {
    const fault = await parseTopicsFile('topics.yml', text).then(
      () => 'none',
      (error: Error) => error.message,
    )
    const [, names] = /, there is ([\w, ]+)$/m.exec(fault) ?? []
    return names.split(', ')
  }
  const inTopic = (text: string) => known(`topics:\n  - name: a\n    ${text}`)
  const read = await Promise.all(
    (await inTopic('zzzzzz: 1')).map(async (key) => {
      const isMap = ['retention', 'segment', 'schema'].includes(key)
      return isMap ? (await inTopic(`${key}: { zzzzzz: 1 }`)).map((inner) => `${key}.${inner}`) : [key]
    }),
  )
  const paths = [...(await known('zzzzzz: 1')), ...read.flat().map((key) => `topics[].${key}`)]
  expect(TOPICS_FILE_KEYS.map(({ path }) => path).toSorted()).toEqual(paths.toSorted())
})

test('the topics.yml of docs/configuration.md is one', async () => {
  const [, example] = /^```yaml\n([^]*?)^```$/m.exec(readPage('docs/configuration.md')) ?? []
  const declarations = await parseTopicsFile('topics.yml', example, async (name) =>
    readFileSync(new URL(`../configs/${name}`, import.meta.url)),
  )
  expect(new Set(declarations.flatMap(({ settings }) => [...settings.keys()]))).toEqual(
    new Set(Object.values(TOPIC_CONFIG).map(({ name }) => name)),
  )
})

test('docs/errors.md has a section for every code on the wire, and names every reason not to start', () => {
  const page = readPage('docs/errors.md')
  const sections = [...page.matchAll(/^### ([A-Z_]+)$/gm)].map(([, name]) => name)
  expect(sections).toEqual(Object.keys(WIRE_ERRORS))
  const sources = ['main', 'program', 'start-error'].map((name) => readPage(`src/${name}.ts`)).join('')
  const reasons = [...sources.matchAll(/\bcode: '([A-Z_]+)',\s+exitCode: (\d+)/g)]
  expect(reasons.length).toBeGreaterThan(5)
  for (const [, name, exitCode] of reasons) expect(page).toMatch(new RegExp(`^\\| \`${name}\` +\\| ${exitCode} `, 'm'))
})

test('docs/metrics.md names every label value that there is from the start', () => {
  const page = readPage('docs/metrics.md')
  const metrics = new Metrics()
  expect(new Meters(metrics)).toBeDefined()
  const values = metrics.families.flatMap((family) => [...family.children()].flatMap(([labelValues]) => labelValues))
  expect([...new Set(values)].filter((value) => !page.includes(code(value)))).toEqual([])
})

test('every link of every page leads somewhere', () => {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => `docs/${name}`)
  const pages = [...readdirSync(ROOT), ...docs].filter((name) => name.endsWith('.md'))
  const broken = pages.flatMap((page) =>
    linksOf(readPage(page))
      .filter((link) => !leadsSomewhere(page, link))
      .map((link) => `${page}: ${link}`),
  )
  expect(broken).toEqual([])
  const index = linksOf(readPage('docs/README.md'))
  expect(docs.filter((name) => /^docs\/(?!README)[^/]+\.md$/.test(name) && !index.includes(name.slice(5)))).toEqual([])
})

function linksOf(page: string): string[] {
  const prose = page.replaceAll(/^```[^]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '``')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^https?:/.test(link))
}

function leadsSomewhere(page: string, link: string): boolean {
  const [file, anchor] = link.split('#')
  const target = file === '' ? page : join(dirname(page), file)
  if (!existsSync(join(ROOT, target))) return false
  if (anchor === undefined) return true
  const headings = [...readPage(target).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading.toLowerCase())
  return headings.some((heading) => heading.replaceAll(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-') === anchor)
}
