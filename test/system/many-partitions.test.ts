import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'

// Ten thousand partitions are a start of a second and not of a minute, and need a few hundred file descriptors and not
// twenty thousand.

const TOPICS = Array.from({ length: 10 }, (_, index) => `topic-${index}`)
const PARTITIONS_PER_TOPIC = 1_000
const TOUCHED_PER_TOPIC = 200
const OPEN_FILES_MAX = 256
/** What a broker has open besides segments: Node's own, the store, the doors, a few connections and syncs under way. */
const OTHER_DESCRIPTORS_MAX = 128
const MIB = 1024 * 1024

let home: BrokerHome
beforeAll(() => {
  home = new BrokerHome()
})
afterAll(async () => {
  await home.remove()
}, 120_000)

const start = () => home.start({ environment: { CAFELOG_MAX_OPEN_FILES: String(OPEN_FILES_MAX) } })

/** Open files and sockets of a process; undefined where the system does not say. */
function countDescriptors(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}

/** Sends all requests at once and returns their answers. */
async function askAll(client: RawClient, type: number, payloads: readonly object[]) {
  client.send(Buffer.concat(payloads.map((payload) => rawFrame(type, payload))))
  const answers = []
  for (const _ of payloads) answers.push((await client.next())?.json)
  return answers
}

interface Place {
  readonly topic: string
  readonly partition: number
}

const touched: readonly Place[] = TOPICS.flatMap((topic) =>
  Array.from({ length: TOUCHED_PER_TOPIC }, (_, index) => ({
    topic,
    partition: index * Math.floor(PARTITIONS_PER_TOPIC / TOUCHED_PER_TOPIC),
  })),
)
const valueOf = (topic: string, partition: number, life: number) =>
  Buffer.from(`${topic}/${partition}/${life}`).toString('base64')

/** Appends one record to each of these partitions, that of their life `life`. */
async function touch(client: RawClient, partitions: readonly Place[], life: number): Promise<void> {
  const payloads = partitions.map(({ topic, partition }) => ({
    topic,
    partition,
    records: [{ value: valueOf(topic, partition, life) }],
  }))
  const answers = await askAll(client, PRODUCE, payloads)
  for (const answer of answers) expect(answer).toMatchObject({ baseOffset: life, numRecords: 1 })
}

/** Reads these partitions: a record of every life so far. */
async function check(client: RawClient, partitions: readonly Place[], lives: number): Promise<void> {
  const answers = await askAll(
    client,
    FETCH,
    partitions.map(({ topic, partition }) => ({ topic, partition, offset: 0 })),
  )
  for (const [index, { topic, partition }] of partitions.entries()) {
    const values = answers[index].records.map(({ value }: { value: string }) => value)
    expect(values).toEqual(Array.from({ length: lives }, (_, life) => valueOf(topic, partition, life)))
  }
}

/** Waits until the broker has saved how far its logs are; it does so every five seconds while there is something new. */
async function checkpointedSince(time: number): Promise<void> {
  const latest = () => {
    const slots = readdirSync(home.dataDirectory).filter((name) => name.startsWith('@checkpoint'))
    return Math.max(...slots.map((name) => statSync(join(home.dataDirectory, name)).mtimeMs))
  }
  await expect.poll(latest, { timeout: 20_000 }).toBeGreaterThan(time)
}

interface Figures {
  readonly what: string
  readonly readyMs: number
  readonly rssMib: number
  readonly descriptors: number | undefined
  readonly scrapeMs: number
}

/** What the broker costs after all touched partitions were read and written. */
async function measure(what: string, broker: BrokerProcess): Promise<Figures> {
  const rssMib = Math.round((await broker.rssBytes()) / MIB)
  const began = performance.now()
  const text = await broker.scrape()
  const scrapeMs = Math.round(performance.now() - began)
  const series = text.match(/^cafelog_log_end_offset\{/gm)?.length
  expect(series).toBe(TOPICS.length * PARTITIONS_PER_TOPIC)
  return { what, readyMs: Math.round(broker.readyMs), rssMib, descriptors: countDescriptors(broker.pid), scrapeMs }
}

function expectBounded({ descriptors, rssMib, readyMs }: Figures): void {
  // Generous: what is to be told apart is work that grows with every partition's files.
  expect(readyMs).toBeLessThan(15_000)
  expect(rssMib).toBeLessThan(512)
  if (descriptors !== undefined) expect(descriptors).toBeLessThan(OPEN_FILES_MAX + OTHER_DESCRIPTORS_MAX)
}

const format = ({ what, readyMs, rssMib, descriptors, scrapeMs }: Figures) =>
  `${what}: ready in ${readyMs} ms, ${rssMib} MiB, ${descriptors ?? 'unknown'} descriptors, scrape ${scrapeMs} ms`

test('ten thousand partitions, 2,000 of them in use', { timeout: 120_000 }, async () => {
  let broker = await start()
  let client = await broker.connect()
  let began = performance.now()
  for (const topic of TOPICS) {
    expect((await client.ask(CREATE_TOPIC, { topic, partitions: PARTITIONS_PER_TOPIC })).json.ok).toBe(true)
  }
  const createdMs = Math.round(performance.now() - began)
  began = performance.now()
  await touch(client, touched, 0)
  const touchedMs = Math.round(performance.now() - began)
  const figures = [await measure('new', broker)]
  began = performance.now()
  expect(await broker.stop()).toBe(0)
  const stoppedMs = Math.round(performance.now() - began)
  client.close()

  broker = await start()
  client = await broker.connect()
  const { json } = await client.ask(METADATA, { topics: ['topic-7'] })
  expect(json.topics[0].partitions).toHaveLength(PARTITIONS_PER_TOPIC)
  await check(client, touched, 1)
  await touch(client, touched, 1)
  const touchedAt = Date.now()
  await check(client, touched, 2)
  figures.push(await measure(`after a stop of ${stoppedMs} ms`, broker))

  await checkpointedSince(touchedAt)
  const few = touched.slice(0, 50)
  await touch(client, few, 2)
  await broker.kill()
  client.close()
  broker = await start()
  client = await broker.connect()
  await check(client, few, 3)
  await check(client, touched.slice(50), 2)
  figures.push(await measure('after kill -9', broker))
  client.close()
  console.info(
    `10,000 partitions made in ${createdMs} ms, first record into 2,000 of them in ${touchedMs} ms; ` +
      figures.map(format).join('; '),
  )
  for (const each of figures) expectBounded(each)
  expect(await broker.stop()).toBe(0)
})

test('the descriptors of a process can be counted here', (context) => {
  if (countDescriptors(process.pid) === undefined)
    context.skip('this system has no /proc: descriptors were not counted')
})
