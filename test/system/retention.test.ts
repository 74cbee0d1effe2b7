import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, DELETE_RECORDS, FETCH, LIST_OFFSETS, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'

// Retention as its user sees it: topics.yml says how much and how long, and files go from the disk of a running broker.

const MIB = 1024 * 1024

let home: BrokerHome
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(async () => {
  await home.remove()
})

/** Declares a topic with one partition, in the words of the specification. */
function declare(topic: string, retention: string): void {
  const text = `topics:\n  - name: "${topic}"\n    partitions: 1\n    retention:\n      ${retention}\n`
  writeFileSync(join(home.configDirectory, 'topics.yml'), text)
}

function partitionFiles(topic: string): string[] {
  return readdirSync(join(home.dataDirectory, topic, 'partition-0'))
}

function bytesOnDisk(topic: string): number {
  const directory = join(home.dataDirectory, topic, 'partition-0')
  let sum = 0
  for (const name of readdirSync(directory)) {
    // It may go while we look.
    sum += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0
  }
  return sum
}

/** The value of record `n`: the number, then so many bytes that it has a kibibyte. */
const valueOf = (n: number) => Buffer.from(String(n).padEnd(1024, '.')).toString('base64')
const numberIn = (value: string) => Number.parseInt(Buffer.from(value, 'base64').toString(), 10)

/** Produces records of a kibibyte, `count` of them from `first` on, a hundred to a request. */
async function produce(client: RawClient, topic: string, first: number, count: number): Promise<void> {
  for (let n = first; n < first + count; n += 100) {
    const numbers = Array.from({ length: Math.min(100, first + count - n) }, (_, index) => n + index)
    const records = numbers.map((number) => ({ value: valueOf(number) }))
    const { json } = await client.ask(PRODUCE, { topic, partition: 0, records })
    expect(json).toMatchObject({ baseOffset: n, numRecords: records.length })
  }
}

const fetch = async (client: RawClient, topic: string, offset: number, maxWaitMs = 0) =>
  (await client.ask(FETCH, { topic, partition: 0, offset, maxBytes: 64 * 1024, maxWaitMs })).json

async function bounds(client: RawClient, topic: string): Promise<{ start: number; end: number; segments: number }> {
  const { json } = await client.ask(METADATA, { topics: [topic] })
  const [{ logStartOffset, highWatermark, segments }] = json.topics[0].partitions
  return { start: logStartOffset, end: highWatermark, segments }
}

/** The log begins at `start`: what is below is refused with the range that is there, what is there can be read. */
async function expectStart(client: RawClient, topic: string, start: number): Promise<void> {
  const { end } = await bounds(client, topic)
  const range = start === end ? `the log is empty and goes on at ${end}` : `the log holds ${start} to ${end - 1}`
  for (const offset of [0, start - 1]) {
    const { error } = await fetch(client, topic, offset)
    expect(error).toEqual({
      code: 'OFFSET_OUT_OF_RANGE',
      message: `Cannot read topic "${topic}", partition 0 from offset ${offset}: ${range}`,
    })
  }
  const { records, logStartOffset } = await fetch(client, topic, -2)
  expect(logStartOffset).toBe(start)
  if (start < end) expect(records[0].offset).toBe(start)
  const { json } = await client.ask(LIST_OFFSETS, { topic, partition: 0, timestamp: -2 })
  expect(json.offsets).toMatchObject([{ partition: 0, offset: start }])
}

/** Ends the broker one way or the other, and starts it again. */
async function restarted(broker: BrokerProcess, way: 'stop' | 'kill'): Promise<BrokerProcess> {
  if (way === 'stop') expect(await broker.stop()).toBe(0)
  else await broker.kill()
  return home.start()
}

test('by size: nothing but topics.yml, and 10 MB become 1 MB', { timeout: 60_000 }, async () => {
  declare('sized', 'bytes: "1MB"')
  let broker = await home.start()
  let client = await broker.connect()
  await produce(client, 'sized', 0, 10 * 1024)
  const began = performance.now()
  // As much as the limit, and at the most one segment more: a quarter of it, unless something else is said.
  await expect.poll(() => bytesOnDisk('sized'), { timeout: 10_000, interval: 10 }).toBeLessThanOrEqual(1.3 * MIB)
  const cleanedMs = performance.now() - began
  expect(bytesOnDisk('sized')).toBeGreaterThan(0.9 * MIB)
  const { start, end, segments } = await bounds(client, 'sized')
  expect(end).toBe(10 * 1024)
  expect(end - start).toBeGreaterThan(900)
  console.info(
    `retention by size: 10 MiB written, ${(bytesOnDisk('sized') / MIB).toFixed(2)} MiB in ${segments} segments are left ` +
      `${Math.round(cleanedMs)} ms later`,
  )
  expect(await broker.metric('cafelog_retention_deleted_bytes_total', 'reason="size"')).toBeGreaterThan(8 * MIB)
  expect(await broker.metric('cafelog_log_start_offset', 'topic="sized"')).toBe(start)
  await expectStart(client, 'sized', start)
  expect(numberIn((await fetch(client, 'sized', start)).records[0].value)).toBe(start)

  for (const way of ['stop', 'kill', 'kill'] as const) {
    broker = await restarted(broker, way)
    client.close()
    client = await broker.connect()
    expect(await bounds(client, 'sized')).toMatchObject({ start, end })
    await expectStart(client, 'sized', start)
  }
  client.close()
})

test('by time: what is too old goes, and a topic that is quiet becomes empty', { timeout: 60_000 }, async () => {
  declare('timed', 'ms: "2s"')
  let broker = await home.start()
  let client = await broker.connect()
  const began = performance.now()
  await produce(client, 'timed', 0, 100)
  await expect.poll(() => bounds(client, 'timed'), { timeout: 15_000 }).toMatchObject({ start: 100, end: 100 })
  const emptyMs = performance.now() - began
  expect(emptyMs).toBeGreaterThan(1_500)
  await expect.poll(() => bytesOnDisk('timed'), { timeout: 5_000 }).toBe(0)
  console.info(`retention by time: kept for 2 s, a quiet topic was empty after ${(emptyMs / 1000).toFixed(1)} s`)
  expect(partitionFiles('timed').filter((name) => name.endsWith('.log'))).toEqual(['00000000000000000100.log'])
  await expectStart(client, 'timed', 100)

  for (const way of ['kill', 'stop', 'kill'] as const) {
    broker = await restarted(broker, way)
    client.close()
    client = await broker.connect()
    expect(await bounds(client, 'timed')).toMatchObject({ start: 100, end: 100 })
    await expectStart(client, 'timed', 100)
  }
  await produce(client, 'timed', 100, 10)
  expect((await fetch(client, 'timed', 100)).records.map(({ value }: { value: string }) => numberIn(value))).toEqual([
    100, 101, 102, 103, 104, 105, 106, 107, 108, 109,
  ])
  client.close()
})

test('records that a stopped broker would have removed go when it is back', { timeout: 60_000 }, async () => {
  declare('missed', 'ms: "2s"')
  const broker = await home.start()
  const client = await broker.connect()
  // It is the timestamp of a record that counts, so nobody has to wait for this one to be too old.
  const ts = Date.now() - 3_600_000
  await client.ask(PRODUCE, { topic: 'missed', partition: 0, records: [{ value: 'b2xk', ts }] })
  const again = await restarted(broker, 'kill')
  const reader = await again.connect()
  await expect.poll(() => bounds(reader, 'missed'), { timeout: 10_000 }).toMatchObject({ start: 1, end: 1 })
  client.close()
  reader.close()
})

test('a consumer at the end notices nothing of what goes at the start', { timeout: 60_000 }, async () => {
  declare('tailed', 'bytes: "1MB"')
  const broker = await home.start()
  const producer = await broker.connect()
  const consumer = await broker.connect()
  const total = 8_000
  // Never so far ahead that retention could take what was not read.
  const aheadMax = 200
  let read = 0
  let produced = 0
  let readMore = () => {}
  async function produceAll() {
    while (produced < total) {
      if (produced - read >= aheadMax) await new Promise<void>((resolve) => (readMore = resolve))
      await produce(producer, 'tailed', produced, 50)
      produced += 50
    }
  }
  async function consumeAll() {
    while (read < total) {
      const { records, error } = await fetch(consumer, 'tailed', read, 5_000)
      expect(error).toBeUndefined()
      for (const record of records) {
        if (record.offset !== read || numberIn(record.value) !== read) {
          throw new Error(`offset ${record.offset}, ${numberIn(record.value)}: ${read} should follow`)
        }
        read++
      }
      readMore()
    }
  }
  await Promise.all([produceAll(), consumeAll()])
  const startOfLog = async () => (await bounds(producer, 'tailed')).start
  await expect.poll(startOfLog, { timeout: 10_000 }).toBeGreaterThan(5_000)
  producer.close()
  consumer.close()
})

test('a FETCH that waits at the end of a quiet topic outlives all its records', { timeout: 60_000 }, async () => {
  declare('waited', 'ms: "1s"')
  const broker = await home.start()
  const client = await broker.connect()
  const consumer = await broker.connect()
  await produce(client, 'waited', 0, 10)
  consumer.send(rawFrame(FETCH, { topic: 'waited', partition: 0, offset: 10, maxWaitMs: 60_000 }))
  await expect.poll(() => bounds(client, 'waited'), { timeout: 15_000 }).toMatchObject({ start: 10, end: 10 })
  await expect.poll(() => bytesOnDisk('waited')).toBe(0)
  expect(consumer.pendingFrames).toBe(0)
  await produce(client, 'waited', 10, 1)
  expect((await consumer.next())?.json).toMatchObject({ records: [{ offset: 10 }], logStartOffset: 10 })
  client.close()
  consumer.close()
})

test('DELETE_RECORDS moves the log start, for good', { timeout: 60_000 }, async () => {
  let broker = await home.start()
  let client = await broker.connect()
  const topic = 'cut'
  const segments = { 'segment.bytes': '64KB' }
  expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1, config: segments })).json.ok).toBe(true)
  await produce(client, topic, 0, 1_000)
  const deleteBefore = async (beforeOffset: number) =>
    (await client.ask(DELETE_RECORDS, { topic, partition: 0, beforeOffset })).json

  expect(await deleteBefore(0)).toEqual({ logStartOffset: 0 })
  expect(await deleteBefore(777)).toEqual({ logStartOffset: 777 })
  await expectStart(client, topic, 777)
  // Whole segments below it are gone by then.
  expect(bytesOnDisk(topic)).toBeLessThan(400 * 1024)
  expect(numberIn((await fetch(client, topic, 777)).records[0].value)).toBe(777)
  for (const beforeOffset of [776, 1_001]) {
    const { error } = await deleteBefore(beforeOffset)
    expect(error.code).toBe('OFFSET_OUT_OF_RANGE')
    expect(error.message).toContain('the log holds 777 to 999')
  }
  await expectStart(client, topic, 777)

  broker = await restarted(broker, 'kill')
  client.close()
  client = await broker.connect()
  await expectStart(client, topic, 777)
  expect(await deleteBefore(-1)).toEqual({ logStartOffset: 1_000 })
  await expectStart(client, topic, 1_000)
  broker = await restarted(broker, 'kill')
  client.close()
  client = await broker.connect()
  await expectStart(client, topic, 1_000)
  await produce(client, topic, 1_000, 5)
  expect((await fetch(client, topic, 1_000)).records).toHaveLength(5)
  expect(await broker.stop()).toBe(0)
  client.close()
})
