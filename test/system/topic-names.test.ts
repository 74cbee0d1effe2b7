import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import {
  ALTER_TOPIC,
  COMMIT,
  CREATE_TOPIC,
  DELETE_RECORDS,
  DELETE_TOPIC,
  FETCH,
  FETCH_OFFSETS,
  LIST_OFFSETS,
  METADATA,
  PRODUCE,
} from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'

// A topic's name becomes the name of a folder, a key of tables, a label of metrics. None of that may take it for more.

const REFUSED = [
  '',
  '.',
  '..',
  '../x',
  '../data',
  '../../etc/passwd',
  'a/b',
  '/tmp/x',
  'a\\b',
  'a\u0000b',
  '\u0000',
  'a\nb',
  ' orders',
  'orders ',
  'a b',
  'ñandú',
  '注文',
  'or\u0064e\u0301rs',
  '\ud800',
  '%2e%2e%2fx',
  '@store',
  '@lock',
  '@checkpoint-a',
  '@deleted-orders-1',
  'a:b',
  '"quoted"',
  'x'.repeat(250),
  'x'.repeat(300),
  'x'.repeat(100_000),
]

const ACCEPTED = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'orders',
  'Orders',
  'ORDERS',
  'orders.eu.v1',
  '.hidden',
  '...',
  '-rf',
  '--help',
  '0',
  'partition-0',
  'deleted-orders-1',
  'lost_found',
  'x'.repeat(249),
]
/** On a file system that takes Orders and orders for the same name, only one of them can be a folder. */
const SPELLINGS = ['Orders', 'ORDERS']

let home: BrokerHome
let broker: BrokerProcess
let client: RawClient
beforeAll(async () => {
  home = new BrokerHome()
  mkdirSync(join(home.path, 'x'))
  writeFileSync(join(home.path, 'x', 'precious'), 'not yours')
  broker = await home.start()
  client = await broker.connect()
})
afterAll(async () => {
  client.close()
  await home.remove()
})

/** Everything beside the data directory: paths, sizes, contents. */
function listOutside(): string[] {
  return readdirSync(home.path, { recursive: true, encoding: 'utf8' })
    .filter((path) => path !== 'data' && !path.startsWith('data/'))
    .map((path) =>
      lstatSync(join(home.path, path)).isFile() ? `${path}: ${readFileSync(join(home.path, path), 'utf8')}` : path,
    )
    .toSorted()
}

/** The folders of topics. What the broker keeps for itself begins with @. */
function listTopicFolders(): string[] {
  return readdirSync(home.dataDirectory)
    .filter((name) => !name.startsWith('@'))
    .toSorted()
}

async function listTopics(): Promise<string[]> {
  const { json } = await client.ask(METADATA, {})
  return json.topics.map(({ name }: { name: string }) => name).toSorted()
}

function acceptedHere(): readonly string[] {
  mkdirSync(join(home.path, 'CASE'))
  const isCaseKept = !existsSync(join(home.path, 'case'))
  return isCaseKept ? ACCEPTED : ACCEPTED.filter((name) => !SPELLINGS.includes(name))
}

test.each(REFUSED.map((name) => [name.length > 20 ? `${name.length} × ${name[0]}` : JSON.stringify(name), name]))(
  '%s is refused, and nothing is touched',
  async (_, topic) => {
    const [outside, folders] = [listOutside(), listTopicFolders()]
    const { error } = (await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.message).toMatch(/^Cannot use ".*" as a topic name: 1 to 249 letters, digits/)
    expect(error.message.length).toBeLessThan(1_000)

    const elsewhere: [type: number, fields: object][] = [
      [PRODUCE, { partition: 0, records: [{}] }],
      [PRODUCE, { partition: -1, records: [{ key: 'aw==' }] }],
      [FETCH, { partition: 0, offset: 0 }],
      [COMMIT, { partition: 0, group: 'g', offset: 0 }],
      [LIST_OFFSETS, { timestamp: -1 }],
      [DELETE_RECORDS, { partition: 0, beforeOffset: 0 }],
      [ALTER_TOPIC, { partitions: 2 }],
      [DELETE_TOPIC, {}],
    ]
    for (const [type, fields] of elsewhere) {
      const answer = (await client.ask(type, { topic, ...fields })).json
      expect(answer.error?.code, `type ${type}`).toBe('UNKNOWN_TOPIC_OR_PARTITION')
      expect(answer.error.message.length).toBeLessThan(1_000)
    }
    expect(listOutside()).toEqual(outside)
    expect(listTopicFolders()).toEqual(folders)
  },
)

test('a name that is no text is refused', async () => {
  for (const topic of [null, 1, true, [], ['orders'], {}, { toString: 'orders' }, undefined]) {
    expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json.error.code).toBe('INVALID_REQUEST')
    expect((await client.ask(PRODUCE, { topic, partition: 0, records: [{}] })).json.error.code).toBe('INVALID_REQUEST')
    expect((await client.ask(DELETE_TOPIC, { topic })).json.error.code).toBe('INVALID_REQUEST')
  }
})

test('names that look like something else are only names, also after restarts', { timeout: 60_000 }, async () => {
  const names = acceptedHere()
  const before = listOutside()
  const groups = ['g', '__proto__', '../x', 'grüße', 'x'.repeat(200)]
  for (const topic of names) {
    const unknown = (await client.ask(FETCH, { topic, partition: 0, offset: 0 })).json
    expect(unknown.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    expect((await client.ask(CREATE_TOPIC, { topic, partitions: 2 })).json).toEqual({ ok: true, created: true })
  }
  for (const [index, topic] of names.entries()) {
    const records = Array.from({ length: index + 1 }, () => ({ value: Buffer.from(topic).toString('base64') }))
    const produced = (await client.ask(PRODUCE, { topic, partition: 1, records })).json
    expect(produced).toMatchObject({ topic, baseOffset: 0, numRecords: index + 1 })
    for (const group of groups) {
      expect((await client.ask(COMMIT, { topic, partition: 1, group, offset: index })).json).toEqual({ ok: true })
    }
  }
  expect(await listTopics()).toEqual([...names].toSorted())
  expect(listTopicFolders()).toEqual([...names].toSorted())
  expect(await broker.metric('cafelog_topics')).toBe(names.length)

  for (const way of ['stop', 'kill'] as const) {
    if (way === 'stop') expect(await broker.stop()).toBe(0)
    else await broker.kill()
    client.close()
    broker = await home.start()
    client = await broker.connect()
    expect(await listTopics()).toEqual([...names].toSorted())
    for (const [index, topic] of names.entries()) {
      const { records } = (await client.ask(FETCH, { topic, partition: 1, offset: 0 })).json
      const values = records.map(({ value }: { value: string }) => Buffer.from(value, 'base64').toString())
      expect(values).toEqual(Array.from({ length: index + 1 }, () => topic))
    }
    for (const group of groups) {
      const { offsets } = (await client.ask(FETCH_OFFSETS, { group })).json
      const committed = offsets.map((row: { topic: string; offset: number }) => [row.topic, row.offset])
      expect(Object.fromEntries(committed)).toEqual(Object.fromEntries(names.map((topic, index) => [topic, index])))
    }
  }

  // Each takes only itself.
  const left = [...names].toSorted()
  while (left.length > 0) {
    const topic = left.pop()
    expect((await client.ask(DELETE_TOPIC, { topic })).json).toEqual({ ok: true })
    expect(await listTopics()).toEqual(left)
    expect(listTopicFolders()).toEqual(left)
  }
  await broker.kill()
  client.close()
  broker = await home.start()
  client = await broker.connect()
  expect(await listTopics()).toEqual([])
  expect(readdirSync(home.dataDirectory).filter((name) => name.startsWith('@deleted-'))).toEqual([])
  expect((await client.ask(FETCH_OFFSETS, { group: '__proto__' })).json.error.code).toBe('GROUP_ID_NOT_FOUND')
  expect(listOutside()).toEqual(before)
})

test('a name in topics.yml keeps to the same rule, and says where it does not', async () => {
  expect(await broker.stop()).toBe(0)
  const outside = listOutside()
  for (const name of ['../x', 'a/b', '..', '@store', 'x'.repeat(250)]) {
    writeFileSync(join(home.configDirectory, 'topics.yml'), `topics:\n  - name: "${name}"\n    partitions: 1\n`)
    const outcome = await home.start().catch((error: unknown) => error)
    expect(outcome).toMatchObject({ exitCode: 2 })
    expect(String(outcome)).toContain('topics.yml:2:11: Cannot use ')
  }
  writeFileSync(join(home.configDirectory, 'topics.yml'), 'topics:\n  - name: "__proto__"\n')
  client.close()
  broker = await home.start()
  client = await broker.connect()
  expect(await listTopics()).toEqual(['__proto__'])
  expect(listOutside().filter((path) => !path.startsWith('configs'))).toEqual(
    outside.filter((path) => !path.startsWith('configs')),
  )
})
