import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, expect, test } from 'vitest'

import { systemClock } from '../base/clock.ts'
import { TopicSchemas } from '../broker/topic-schemas.ts'
import { Topics } from '../broker/topics.ts'
import { Metrics } from '../metrics/metrics.ts'
import { CommittedOffsets } from '../groups/committed-offsets.ts'
import type { LogEngine } from '../log/log-engine.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { ConfigError } from './config.ts'
import { applyTopicsFile, parseTopicsFile, readTopicsFile } from './topics-file.ts'

const EXAMPLE = `topics:
  - name: "user-events"
    partitions: 4
    retention:
      bytes: "1GB"
      ms: "7d"
  - name: "order-processing"
    partitions: 8
    retention:
      bytes: "512MB"
      ms: "24h"
`
const EVERYTHING = `
topics:
  - name: audit
    retention: {ms: -1}
    segment:
      bytes: 1048576
      ms: 1h
    flush: interval:10ms
    maxMessageBytes: 1MB
    config: {index.interval.bytes: 8192}
  - {name: plain}
`

async function parse(text: string) {
  const declarations = await parseTopicsFile('topics.yml', text)
  return declarations.map(({ name, partitionCount, settings }) => [name, partitionCount, Object.fromEntries(settings)])
}

async function faults(work: Promise<unknown>): Promise<readonly string[]> {
  try {
    await work
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

test('the example of the documentation is read', async () => {
  expect(await parse(EXAMPLE)).toEqual([
    ['user-events', 4, { 'retention.bytes': '1073741824', 'retention.ms': '604800000' }],
    ['order-processing', 8, { 'retention.bytes': '536870912', 'retention.ms': '86400000' }],
  ])
})

test('the file that comes with the broker is the example', async () => {
  const declarations = await readTopicsFile(join(import.meta.dirname, '../../configs/topics.yml'))
  const strip = (found: typeof declarations) =>
    found.map(({ name, partitionCount, settings }) => ({ name, partitionCount, settings }))
  expect(strip(declarations)).toEqual(strip(await parseTopicsFile('topics.yml', EXAMPLE)))
})

test('every setting can be declared', async () => {
  expect(await parse(EVERYTHING)).toEqual([
    [
      'audit',
      undefined,
      {
        'retention.ms': '-1',
        'segment.bytes': '1048576',
        'segment.ms': '3600000',
        'flush.policy': 'interval:10ms',
        'max.message.bytes': '1048576',
        'index.interval.bytes': '8192',
      },
    ],
    ['plain', undefined, {}],
  ])
})

test.each(['', '\n', '# nothing\n', 'topics:\n', 'topics: []\n', 'topics:\n#  - name: x\n', '\ufeff'])(
  '%j declares no topics',
  async (text) => {
    expect(await parse(text)).toEqual([])
  },
)

const wrong: [text: string, faults: string[]][] = [
  ['topic:\n', ['1:1: there is no "topic" in the file, did you mean "topics"?']],
  ['- name: x\n', ['1:1: the file is a list: it must be a mapping with topics']],
  ['topics: {name: x}\n', ['1:9: topics is a mapping: it must be a list of topics']],
  ['topics:\n  - partitions: 1\n', ['2:5: this topic has no name: begin it with "- name: …"']],
  [
    'topics:\n  - name: ../x\n',
    [
      '2:11: Cannot use "../x" as a topic name: 1 to 249 letters, digits, dots, underscores or hyphens, and not "." or ".."',
    ],
  ],
  [
    'topics:\n  - name: x\n    partitions: 0\n  - name: y\n    partitions: "four"\n  - name: z\n    partitions: 10001\n',
    ['3:17: partitions is "0"', '5:17: partitions is "four"', '7:17: partitions is "10001"'].map(
      (fault) => `${fault}: it must be a whole number from 1 to 10000`,
    ),
  ],
  [
    'topics:\n  - name: x\n    retension: {ms: 1h}\n',
    ['3:16: there is no "retension" in a topic, did you mean "retention"?'],
  ],
  ['topics:\n  - name: x\n    retention: 7d\n', ['3:16: retention is "7d": it must be a mapping with bytes, ms']],
  ['topics:\n  - name: x\n    retention:\n', ['3:5: retention is empty: it must be a mapping with bytes, ms']],
  [
    'topics:\n  - name: x\n    retention: {bytes: 1G, ms: true}\n',
    [
      '3:24: Cannot set retention.bytes to "1G": it must be a whole number of bytes, or a number with B, KB, MB, GB or TB, such as "512MB", at least 1B, or -1 for no limit',
      '3:32: retention.ms is "true": it must be a text or a number',
    ],
  ],
  [
    'topics:\n  - name: x\n    flush: os\n    config: {flush.policy: always, retention.sm: 1h}\n',
    [
      '4:28: flush.policy is set twice for this topic, first at topics.yml:3:12',
      '4:50: There is no topic configuration "retention.sm", did you mean "retention.ms"?',
    ],
  ],
  ['topics:\n  - name: x\n  - name: x\n', ['3:11: topic "x" is declared twice, first at topics.yml:2:11']],
  ['topics:\n  - name: x\n    name: y\n', ['3:5: this is not YAML: Map keys must be unique']],
  [
    'topics: &a [{name: x, config: *a}]\n',
    ['1:31: config is an alias, which is not followed here: it must be keys with values'],
  ],
  ['topics: []\n---\ntopics: []\n', ['2:1: a second document begins here: there can be only one']],
]

test.each(wrong)('%j is refused with its places', async (text, expected) => {
  expect(await faults(parse(text))).toEqual(expected.map((fault) => `topics.yml:${fault}`))
})

test('aliases cannot make a small file large', async () => {
  const layers = Array.from({ length: 30 }, (_, layer) => `a${layer + 1}: &a${layer + 1} [${`*a${layer},`.repeat(9)}]`)
  expect(await faults(parse(`a0: &a0 [x]\n${layers.join('\n')}\ntopics: *a30\n`))).toContainEqual(
    'topics.yml:32:9: topics is an alias, which is not followed here: it must be a list of topics',
  )
})

const directories: string[] = []
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

test('a file is read if it is there, and must be UTF-8 text of at most 1 MiB', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-topics-'))
  directories.push(directory)
  const path = join(directory, 'topics.yml')
  expect(await readTopicsFile(path)).toEqual([])
  writeFileSync(path, EXAMPLE)
  expect(await readTopicsFile(path)).toHaveLength(2)
  writeFileSync(path, Buffer.from([0x74, 0xff, 0xfe]))
  expect(await faults(readTopicsFile(path))).toEqual([`Cannot read ${path}: it is not UTF-8 text`])
  writeFileSync(path, ' '.repeat(1024 * 1024 + 1))
  expect(await faults(readTopicsFile(path))).toEqual([
    `Cannot read ${path}: it has 1048577 bytes, 1048576 are the most`,
  ])
  rmSync(path)
  mkdirSync(path)
  expect(await faults(readTopicsFile(path))).toEqual([expect.stringContaining(`Cannot read ${path}: EISDIR`)])
})

const engine: LogEngine = {
  onHighWatermark() {},
  openTopic: () => Promise.resolve(),
  configureTopic() {},
  deleteTopic: () => Promise.resolve(),
  get: () => undefined,
  isDiskFull: false,
  stageImage: () => Promise.resolve([]),
  close: () => Promise.resolve(),
}

function makeTopics(partitionsMax = 100) {
  const store = new MemoryStore()
  const committedOffsets = new CommittedOffsets(store, systemClock)
  return new Topics({ store, engine, committedOffsets, clock: systemClock, partitionsMax })
}

const makeSchemas = () => new TopicSchemas({ store: new MemoryStore(), clock: systemClock, metrics: new Metrics() })
const apply = async (topics: Topics, text: string) =>
  applyTopicsFile({ topics, schemas: makeSchemas() }, await parseTopicsFile('topics.yml', text))
const describe = (topics: Topics) =>
  topics.list().map(({ name, partitionCount, overrides }) => [name, partitionCount, Object.fromEntries(overrides)])

test('applying a file makes its topics, and does nothing the second time', async () => {
  const topics = makeTopics()
  expect(await apply(topics, 'topics: [{name: a, partitions: 4}, {name: b, retention: {ms: 1h}}]')).toEqual([
    'created topic "a" with 4 partitions',
    'created topic "b" with 1 partition',
  ])
  expect(await apply(topics, 'topics: [{name: a, partitions: 4}, {name: b, retention: {ms: 60m}}]')).toEqual([])
  expect(describe(topics)).toEqual([
    ['a', 4, {}],
    ['b', 1, { 'retention.ms': '3600000' }],
  ])
})

test('applying a file adds partitions and sets what it mentions; the rest stays', async () => {
  const topics = makeTopics()
  await topics.create({ name: 'a', partitionCount: 2, overrides: { 'segment.ms': '1h', 'retention.ms': '1h' } })
  await topics.create({ name: 'by-hand', partitionCount: 3 })
  expect(await apply(topics, 'topics: [{name: a, partitions: 4, retention: {ms: 2h}}, {name: by-hand}]')).toEqual([
    'changed topic "a": partitions from 2 to 4, retention.ms from 3600000 to 7200000',
  ])
  expect(describe(topics)).toEqual([
    ['a', 4, { 'segment.ms': '3600000', 'retention.ms': '7200000' }],
    ['by-hand', 3, {}],
  ])
})

test('applying a file of which one thing is refused does nothing, and says where', async () => {
  const topics = makeTopics(20)
  await topics.create({ name: 'a', partitionCount: 4 })
  expect(await faults(apply(topics, 'topics:\n  - name: new\n  - name: a\n    partitions: 2\n'))).toEqual([
    'topics.yml:4:17: Cannot alter topic "a" to 2 partitions: it has 4, and they can only become more',
  ])
  const tooMany =
    'topics:\n  - {name: new, partitions: 10}\n  - {name: a, partitions: 9}\n  - {name: b, partitions: 2}\n'
  expect(await faults(apply(topics, tooMany))).toEqual([
    'topics.yml:4:27: up to here the file wants 17 partitions more: 16 are left',
  ])
  expect(describe(topics)).toEqual([['a', 4, {}]])
})

const order = (text: string) => async (name: string) => {
  if (name !== 'schemas/order.json') throw new Error(`ENOENT: ${name}`)
  return Buffer.from(text)
}

test('a schema is read from its file, and set once', async () => {
  const topics = makeTopics()
  const schemas = makeSchemas()
  const text = 'topics: [{name: a, schema: {file: schemas/order.json, mode: dlq, draft: 7}}]'
  const applyWith = async (schema: string, file = text) =>
    applyTopicsFile({ topics, schemas }, await parseTopicsFile('topics.yml', file, order(schema)))
  expect(await applyWith('{"type":"object"}')).toEqual([
    'created topic "a" with 1 partition',
    'set schema version 1 of topic "a", mode dlq: schemas/order.json',
  ])
  expect(topics.get('a.dlq')?.partitionCount).toBe(1)
  expect(await applyWith('{"type":"object"}')).toEqual([])
  expect(await applyWith('{"type":"array"}')).toEqual([
    'set schema version 2 of topic "a", mode dlq: schemas/order.json',
  ])
  expect(await applyWith('{"type":"array"}', 'topics: [{name: a}]')).toEqual([])
  expect(schemas.get('a')).toMatchObject({ version: 2, mode: 'dlq' })
  expect(schemas.versions(topics.getExisting('a')).map(({ version, draft }) => [version, draft])).toEqual([
    [1, '7'],
    [2, '7'],
  ])
})

test.each([
  ['{file: schemas/order.json, mode: drop}', ['topics.yml:1:61: mode is "drop": it must be reject, dlq, warn']],
  ['{file: schemas/order.json}', ['topics.yml:1:28: this schema has no mode: it needs file and mode']],
  [
    '{file: ../secret, mode: warn}',
    ['topics.yml:1:35: file is "../secret": it must be a path within the folder of this file'],
  ],
  [
    '{file: /etc/passwd, mode: warn}',
    ['topics.yml:1:35: file is "/etc/passwd": it must be a path within the folder of this file'],
  ],
  ['{file: none.json, mode: warn}', ['topics.yml:1:35: cannot read the schema none.json: ENOENT: none.json']],
  [
    '{file: schemas/order.json, mode: warn, draft: 4}',
    ['topics.yml:1:74: draft is "4": it must be 7, 2019-09, 2020-12', expect.stringContaining('type must be')],
  ],
  [
    '{file: schemas/order.json, mode: warn}',
    ['schemas/order.json:2:10: type must be one or several of null, boolean, integer, number, string, array, object'],
  ],
])('schema %s is refused with its place', async (schema, expected) => {
  const text = `topics: [{name: a, schema: ${schema}}]`
  expect(await faults(parseTopicsFile('topics.yml', text, order('{\n "type": "strnig"}')))).toEqual(expected)
})
