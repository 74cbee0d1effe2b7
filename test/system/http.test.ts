import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeFileSystem } from '../../src/base/file-system.ts'
import type { FileSystem } from '../../src/base/file-system.ts'
import { parseConfig } from '../../src/config/config.ts'
import { startBroker } from '../../src/main.ts'
import type { RunningBroker } from '../../src/main.ts'
import { VERSION } from '../../src/version.ts'
import { RawClient } from '../support/raw-client.ts'

let directory = ''
let broker: RunningBroker
let client: RawClient
/** What the file system is said to have free; undefined for the truth. */
let freeBytes: number | undefined

const fileSystem: FileSystem = {
  ...nodeFileSystem,
  space: (path) => (freeBytes === undefined ? nodeFileSystem.space(path) : { freeBytes, totalBytes: 1e12 }),
}

beforeEach(async () => {
  freeBytes = undefined
  directory = mkdtempSync(join(tmpdir(), 'cafelog-http-'))
  const environment = {
    CAFELOG_DATA_DIR: join(directory, 'data'),
    CAFELOG_CONFIG_DIR: directory,
    CAFELOG_TCP_ADDR: '127.0.0.1:0',
    CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
    CAFELOG_HTTP_ADDR: '127.0.0.1:0',
  }
  broker = await startBroker(parseConfig(environment, 20_000), { fileSystem })
  client = await RawClient.connect(broker.addresses.json.port)
})
afterEach(async () => {
  client.close()
  await broker.close()
  rmSync(directory, { recursive: true, force: true })
})

function get(path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${broker.addresses.http.port}${path}`)
}

/** The samples of one metric, by their labels as they are written. */
async function scrape(name: string): Promise<Record<string, number>> {
  const text = await (await get('/metrics')).text()
  const samples = text.matchAll(/^(\w+)(\{.*\})? (\S+)$/gm)
  return Object.fromEntries(
    [...samples].filter(([, of]) => of === name).map(([, , labels, value]) => [labels ?? '', Number(value)]),
  )
}

async function produce(topic: string, partition: number, count: number): Promise<void> {
  const records = Array.from({ length: count }, () => ({ value: 'aGVsbG8=' }))
  const { json } = await client.ask(2, { topic, partition, records })
  expect(json).toMatchObject({ numRecords: count })
}

test('messages are counted in and out, by topic and partition', async () => {
  await client.ask(1, { topic: 'orders', partitions: 2 })
  await produce('orders', 1, 3)
  await client.ask(3, { topic: 'orders', partition: 1, offset: 1, maxBytes: 1024, maxWaitMs: 0 })
  expect(await scrape('cafelog_messages_total')).toMatchObject({
    '{topic="orders",partition="0",direction="in"}': 0,
    '{topic="orders",partition="1",direction="in"}': 3,
  })
  expect(
    (await scrape('cafelog_messages_total'))['{topic="orders",partition="1",direction="out"}'],
  ).toBeGreaterThanOrEqual(2)
  expect(await scrape('cafelog_log_end_offset')).toEqual({
    '{topic="orders",partition="0"}': 0,
    '{topic="orders",partition="1"}': 3,
  })
  expect(await scrape('cafelog_partitions')).toEqual({ '{topic="orders"}': 2 })
  expect(await scrape('cafelog_topics')).toEqual({ '': 1 })
  expect((await scrape('cafelog_log_size_bytes'))['{topic="orders"}']).toBeGreaterThan(61)
  expect(await scrape('cafelog_log_segments')).toEqual({ '{topic="orders"}': 1 })
})

test('lag is what a group has not committed', async () => {
  await client.ask(1, { topic: 'orders', partitions: 1 })
  await produce('orders', 0, 10)
  expect(await scrape('cafelog_consumer_lag')).toEqual({})
  await client.ask(4, { topic: 'orders', partition: 0, group: 'analytics', offset: 4 })
  const labels = '{group="analytics",topic="orders",partition="0"}'
  expect(await scrape('cafelog_consumer_lag')).toEqual({ [labels]: 6 })
  expect(await scrape('cafelog_consumer_committed_offset')).toEqual({ [labels]: 4 })
  expect(await scrape('cafelog_offset_commits_total')).toEqual({ '{result="ok"}': 1, '{result="error"}': 0 })
})

test('the series of a deleted topic and its groups are gone', async () => {
  await client.ask(1, { topic: 'orders', partitions: 2 })
  await produce('orders', 0, 1)
  await client.ask(4, { topic: 'orders', partition: 0, group: 'analytics', offset: 1 })
  await client.ask(9, { topic: 'orders' })
  const text = await (await get('/metrics')).text()
  expect(text).not.toContain('orders')
  expect(text).not.toContain('analytics')
})

test('requests, errors, latency and syncs are counted', async () => {
  await client.ask(1, { topic: 'orders', partitions: 1 })
  await produce('orders', 0, 1)
  await client.ask(3, { topic: 'orders', partition: 7, offset: 0, maxBytes: 1024, maxWaitMs: 0 })
  expect(await scrape('cafelog_requests_total')).toMatchObject({
    '{protocol="json",operation="produce",result="ok"}': 1,
    '{protocol="json",operation="fetch",result="client_error"}': 1,
  })
  expect(await scrape('cafelog_errors_total')).toMatchObject({
    '{type="UNKNOWN_TOPIC_OR_PARTITION"}': 1,
    '{type="INTERNAL_IO_ERROR"}': 0,
  })
  expect(await scrape('cafelog_publish_latency_ms_count')).toEqual({
    '{protocol="json"}': 1,
    '{protocol="kafka"}': 0,
    '{protocol="http"}': 0,
  })
  expect((await scrape('cafelog_fsync_duration_seconds_count'))['']).toBeGreaterThanOrEqual(1)
  expect((await scrape('cafelog_bytes_total'))['{protocol="json",endpoint="produce",direction="in"}']).toBeGreaterThan(
    50,
  )
  expect(await scrape('cafelog_tcp_connections_current')).toEqual({ '{protocol="json"}': 1 })
})

test('all is well on a broker that has just started', async () => {
  const health = await (await get('/healthz')).json()
  expect(health).toMatchObject({ status: 'ok', version: VERSION, flushPolicy: 'always' })
  expect((await get('/readyz')).status).toBe(200)
  expect(await scrape('cafelog_ready')).toEqual({
    '{check="recovery"}': 1,
    '{check="storage"}': 1,
    '{check="disk"}': 1,
    '{check="listeners"}': 1,
    '{check="draining"}': 1,
  })
  expect(await scrape('cafelog_flush_policy_info')).toEqual({ '{policy="always"}': 1 })
  expect(await scrape('cafelog_build_info')).toEqual({ [`{version="${VERSION}",node="${process.version}"}`]: 1 })
})

test(
  'a full disk makes the broker unready until there is room again, and never dead',
  { timeout: 30_000 },
  async () => {
    freeBytes = 1000
    await expect.poll(async () => (await get('/readyz')).status, { timeout: 5000 }).toBe(503)
    expect(await (await get('/readyz?verbose')).text()).toContain('[-]disk failed: 0.0% free (1000 bytes): ')
    expect((await get('/livez')).status).toBe(200)
    expect((await get('/healthz')).status).toBe(200)
    freeBytes = undefined
    await expect.poll(async () => (await get('/readyz')).status, { timeout: 5000 }).toBe(200)
  },
)

test('several brokers run in one process, each on its own directory and ports', async () => {
  const environment = {
    CAFELOG_DATA_DIR: join(directory, 'other'),
    CAFELOG_CONFIG_DIR: directory,
    CAFELOG_TCP_ADDR: '127.0.0.1:0',
    CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
    CAFELOG_HTTP_ADDR: '127.0.0.1:0',
  }
  const other = await startBroker(parseConfig(environment, 20_000))
  const otherClient = await RawClient.connect(other.addresses.json.port)
  await otherClient.ask(1, { topic: 'elsewhere', partitions: 1 })
  expect((await client.ask(6, {})).json.topics).toEqual([])
  otherClient.close()
  await Promise.all([other.close(), other.close()])
  await expect(fetch(`http://127.0.0.1:${other.addresses.http.port}/livez`)).rejects.toThrow('fetch failed')
})
