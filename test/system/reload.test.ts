import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerProgram } from '../support/broker-program.ts'
import { RawClient } from '../support/raw-client.ts'

let directory = ''
let broker: BrokerProgram
let client: RawClient

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-reload-'))
})
afterEach(async () => {
  client.close()
  await broker.stop('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})

function writeTopics(text: string): void {
  writeFileSync(join(directory, 'topics.yml'), text)
}

async function start(): Promise<void> {
  broker = new BrokerProgram({ CAFELOG_DATA_DIR: join(directory, 'data'), CAFELOG_CONFIG_DIR: directory })
  client = await RawClient.connect((await broker.ready()).ports.json)
}

/** Tells the broker to read its topics again, and returns the first line of log that it answers with. */
async function reload(): Promise<string> {
  const before = broker.log.length
  broker.child.kill('SIGHUP')
  const { event, msg } = await broker.logged(() => true, before)
  return `${event as string}: ${msg as string}`
}

async function listTopics(): Promise<Record<string, { partitions: number; retentionMs: string }>> {
  const { json } = await client.ask(6, {})
  const topics = json.topics as { name: string; partitions: unknown[]; config: Record<string, { value: string }> }[]
  return Object.fromEntries(
    topics.map(({ name, partitions, config }) => [
      name,
      { partitions: partitions.length, retentionMs: config['retention.ms'].value },
    ]),
  )
}

const FIRST = `
topics:
  - name: "user-events"
    partitions: 2
    retention:
      ms: "7d"
`

test('topics.yml is followed at the start, and again on SIGHUP', async () => {
  writeTopics(FIRST)
  await start()
  expect(await listTopics()).toEqual({ 'user-events': { partitions: 2, retentionMs: '604800000' } })

  writeTopics(
    FIRST.replace('partitions: 2', 'partitions: 4').replace('7d', '24h') + '  - name: orders\n    partitions: 1\n',
  )
  expect(await reload()).toMatch(/^topics-reloaded: changed topic "user-events": /)
  await broker.logged(({ msg }) => msg === 'created topic "orders" with 1 partition')
  expect(await listTopics()).toEqual({
    orders: { partitions: 1, retentionMs: '604800000' },
    'user-events': { partitions: 4, retentionMs: '86400000' },
  })

  expect(await reload()).toBe('topics-reloaded: topics.yml asks for nothing new')
})

test('a reload that asks for what cannot be done is refused with file, line and column, and changes nothing', async () => {
  writeTopics(FIRST)
  await start()
  writeTopics(`${FIRST.replace('partitions: 2', 'partitions: 1')}  - name: orders\n    partitions: 3\n`)
  expect(await reload()).toContain(`topics-refused: ${join(directory, 'topics.yml')}:4:17: `)
  expect(Object.keys(await listTopics())).toEqual(['user-events'])

  writeTopics('topics: [')
  expect(await reload()).toMatch(/^topics-refused: .*topics\.yml:1:\d+: this is not YAML/)
  expect(await listTopics()).toEqual({ 'user-events': { partitions: 2, retentionMs: '604800000' } })
})

test('without topics.yml a reload asks for nothing', async () => {
  await start()
  expect(await reload()).toBe('topics-reloaded: topics.yml asks for nothing new')
})

test('a changed schema file holds from SIGHUP on; a bad one is refused with its place, and the old one goes on', async () => {
  const schema = join(directory, 'order.json')
  const produce = async (value: string) => {
    const records = [{ value: Buffer.from(value).toString('base64') }]
    const { json } = await client.ask(2, { topic: 'orders', partition: 0, records })
    return json.records?.[0]?.message ?? json.baseOffset
  }
  writeFileSync(schema, '{"type":"object"}')
  writeTopics('topics:\n  - name: orders\n    schema: { file: order.json, mode: reject }\n')
  await start()
  expect(await produce('{}')).toBe(0)
  expect(await produce('1')).toBe('it is a number: it must be object (schema version 1)')

  writeFileSync(schema, '{"type":"number"}')
  expect(await reload()).toContain('set schema version 2 of topic "orders", mode reject')
  expect(await produce('1')).toBe(1)
  expect(await produce('{}')).toBe('it is an object: it must be number (schema version 2)')

  writeFileSync(schema, '{\n  "type": "number",\n  "maximum": "ten"\n}')
  expect(await reload()).toContain(`topics-refused: ${schema}:3:14: maximum must be a number`)
  expect(await produce('2')).toBe(2)
  expect(await produce('{}')).toBe('it is an object: it must be number (schema version 2)')
})
