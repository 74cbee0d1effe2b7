import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, LIST_OFFSETS, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'

// Compaction as its user sees it: a topic of offsets, with few keys and very many writes.

const TOPIC = 'offsets'
const KEYS = 100
const WRITES = 100_000
const RECORDS_PER_REQUEST = 500
const WAIT_MS_MAX = 30_000
const environment = { CAFELOG_CLEANER_INTERVAL: '50ms', CAFELOG_FLUSH_POLICY: 'interval:10ms' }
const hasKcat = spawnSync('kcat', ['-V']).status === 0

let home: BrokerHome
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(async () => {
  await home.remove()
})

const base64 = (text: string) => Buffer.from(text).toString('base64')
const text = (encoded: string | null) => (encoded === null ? null : Buffer.from(encoded, 'base64').toString())
const keyOf = (n: number) => `group-${n % KEYS}`

/** Writes `n` = `from` to before `to`, each to its key; returns the slowest answer in milliseconds. */
async function write(client: RawClient, from: number, to: number): Promise<number> {
  let slowest = 0
  for (let n = from; n < to; n += RECORDS_PER_REQUEST) {
    const records = Array.from({ length: RECORDS_PER_REQUEST }, (_, index) => {
      return { key: base64(keyOf(n + index)), value: base64(`offset ${n + index}`) }
    })
    const startedAt = performance.now()
    const { json } = await client.ask(PRODUCE, { topic: TOPIC, partition: 0, records })
    slowest = Math.max(slowest, performance.now() - startedAt)
    expect(json).toMatchObject({ baseOffset: n, numRecords: RECORDS_PER_REQUEST })
  }
  return slowest
}

/** Reads all of the topic as a client that knows only records: on behind the last one. */
async function readAll(
  client: RawClient,
): Promise<{ records: Map<number, [key: string, value: string]>; end: number }> {
  const records = new Map<number, [string, string]>()
  let offset = 0
  for (;;) {
    const { json } = await client.ask(FETCH, { topic: TOPIC, partition: 0, offset, maxBytes: 65_536, maxWaitMs: 0 })
    for (const record of json.records) {
      expect(record.offset).toBeGreaterThanOrEqual(offset)
      records.set(record.offset, [String(text(record.key)), String(text(record.value))])
      offset = record.offset + 1
    }
    if (offset >= json.highWatermark || json.records.length === 0) return { records, end: json.highWatermark }
  }
}

function bytesOnDisk(): number {
  const directory = join(home.dataDirectory, TOPIC, 'partition-0')
  let sum = 0
  for (const name of readdirSync(directory))
    sum += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0
  return sum
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await holds()); waited += 50) {
    if (waited > WAIT_MS_MAX) throw new Error(`Waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function metric(broker: BrokerProcess, name: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text()
  const line = page.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

function brokerctl(...args: string[]): string {
  const program = join(import.meta.dirname, '../../dist/bin/brokerctl.js')
  const { stdout, stderr, status } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`brokerctl ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`)
  return stdout
}

test('100,000 writes to 100 keys shrink to about the keys, and every door gives the newest of each', async () => {
  let broker = await home.start({ environment })
  let client = await broker.connect()
  await client.ask(CREATE_TOPIC, {
    topic: TOPIC,
    partitions: 1,
    config: { 'cleanup.policy': 'compact', 'segment.bytes': '256KB', 'min.cleanable.dirty.ratio': '0.3' },
  })
  await write(client, 0, WRITES / 2)
  await until('something is compacted', async () => (await metric(broker, 'cafelog_compaction_after_bytes_total')) > 0)
  // In the middle of it all.
  client.close()
  await broker.kill()
  broker = await home.start({ environment })
  client = await broker.connect()
  const slowest = await write(client, WRITES / 2, WRITES)
  await until('little is left', () => bytesOnDisk() < 768 * 1024)

  const { records, end } = await readAll(client)
  expect(end).toBe(WRITES)
  expect(records.size).toBeLessThan(WRITES / 4)
  const newest = new Map(records.values())
  expect(newest).toEqual(new Map(Array.from({ length: KEYS }, (_, i) => [keyOf(i), `offset ${WRITES - KEYS + i}`])))
  for (const [offset, [key, value]] of records) expect([key, value]).toEqual([keyOf(offset), `offset ${offset}`])
  const latest = await client.ask(LIST_OFFSETS, { topic: TOPIC, timestamp: -1 })
  expect(latest.json.offsets[0].offset).toBe(WRITES)

  expect(await metric(broker, 'cafelog_compaction_runs_total{outcome="done"}')).toBeGreaterThan(0)
  expect(await metric(broker, 'cafelog_compaction_removed_records_total{reason="overtaken"}')).toBeGreaterThan(10_000)
  expect(await metric(broker, 'cafelog_compaction_uncleanable_partitions')).toBe(0)
  expect(await metric(broker, 'cafelog_compaction_dirty_ratio_max')).toBeLessThanOrEqual(1)
  console.info(`the slowest PRODUCE of ${RECORDS_PER_REQUEST} records beside compaction took ${slowest.toFixed(1)} ms`)

  if (hasKcat) {
    const args = [
      '-C',
      '-b',
      `127.0.0.1:${broker.kafkaPort}`,
      '-t',
      TOPIC,
      '-o',
      'beginning',
      '-e',
      '-q',
      '-f',
      '%o %k=%s\n',
    ]
    const { stdout } = spawnSync('kcat', args, { encoding: 'utf8', timeout: 20_000, maxBuffer: 64 * 1024 * 1024 })
    const seen = stdout.trimEnd().split('\n')
    const byKey = new Map(seen.map((line) => line.replace(/^\d+ /, '').split('=') as [string, string]))
    expect(byKey).toEqual(newest)
  } else process.stderr.write('kcat does not look at a compacted topic: it is missing (apt-get install kcat)\n')
  client.close()
  await broker.stop()

  brokerctl('log', 'verify', '--data-dir', home.dataDirectory)
  const dump = brokerctl('log', 'dump', TOPIC, '--data-dir', home.dataDirectory, '-j')
  expect(dump).toMatch(/"crc":"gap: no offsets \d+ to \d+"/)
}, 120_000)
