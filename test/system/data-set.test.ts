import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { COMMIT, CREATE_TOPIC, FETCH, FETCH_OFFSETS, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'
import { RestartedBroker, tryAsk } from '../support/restarted-broker.ts'

// Public data goes through a topic by key while the broker is restarted, in order and by kill -9, in the middle of
// producing and of consuming. The producer sends again what was not acknowledged; a consumer of the group goes on from
// the committed offset. Every row must come out, none altered, and the rows of one key in their order.

const PARTITIONS = 4
const ROWS_PER_REQUEST = 50
const REQUESTS_IN_FLIGHT = 8
const GROUP = 'análisis'

/** A row of the data set as a record of the JSON door. */
interface Row {
  readonly key: string | null
  readonly value: string | null
  readonly ts: number
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
}

interface FetchedRow extends Row {
  readonly offset: number
}

let home: BrokerHome
let broker: RestartedBroker
beforeEach(() => {
  home = new BrokerHome()
  broker = new RestartedBroker(home)
})
afterEach(async () => {
  await home.remove()
})

const base64 = (text: string) => Buffer.from(text).toString('base64')
const orNull = (text: string | null) => (text === null ? null : base64(text))

function readDataSet<Item>(file: string): Item[] {
  const url = new URL(`../../node_modules/vega-datasets/data/${file}`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Item[]
}

/** Which row a record is: its first header says so. */
const rowHeader = (index: number) => ({ key: 'row', value: base64(String(index)) })
const rowOf = (record: Row) => Number(Buffer.from(record.headers[0].value ?? '', 'base64').toString())

/** Sends all rows in order; after a lost connection again from the first that was not acknowledged. */
async function produceAll(topic: string, rows: readonly Row[], progress: (share: number) => void): Promise<void> {
  const requests: Buffer[] = []
  for (let at = 0; at < rows.length; at += ROWS_PER_REQUEST) {
    requests.push(rawFrame(PRODUCE, { topic, partition: -1, records: rows.slice(at, at + ROWS_PER_REQUEST) }))
  }
  let acknowledged = 0
  while (acknowledged < requests.length) {
    const client = await broker.connect()
    let sent = acknowledged
    while (acknowledged < requests.length) {
      while (sent < requests.length && sent < acknowledged + REQUESTS_IN_FLIGHT) client.send(requests[sent++])
      const answer = await client.next()
      if (answer === undefined) break
      expect(answer.json.error).toBeUndefined()
      acknowledged++
      progress(acknowledged / requests.length)
    }
    client.close()
  }
}

/** What a consumer of one partition has seen, and what it knows of its commits. */
class PartitionConsumer {
  readonly partition: number
  readonly topic: string
  /** The row at each offset. Reading an offset again must give the same. */
  readonly rowAt: number[] = []
  redelivered = 0
  resumed = 0
  #committed = 0
  #committing = 0

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** Reads and commits until everything below the end is committed, once the end is known. */
  async run(rows: readonly Row[], end: () => number | undefined, progress: () => void): Promise<void> {
    while (this.#committed !== end()) {
      const client = await broker.connect()
      let offset = await this.#resume(client)
      while (offset !== undefined && this.#committed !== end()) {
        offset = await this.#readAndCommit(client, offset, rows)
        progress()
      }
      client.close()
    }
  }

  /** The committed offset: the last that was acknowledged, or the one whose answer the crash has swallowed. */
  async #resume(client: RawClient): Promise<number | undefined> {
    const answer = await tryAsk(client, FETCH_OFFSETS, { group: GROUP, topic: this.topic })
    if (answer === undefined) return undefined
    if (answer.json.error !== undefined) expect(answer.json.error.code).toBe('GROUP_ID_NOT_FOUND')
    const offsets: { partition: number; offset: number }[] = answer.json.offsets ?? []
    const offset = offsets.find(({ partition }) => partition === this.partition)?.offset ?? 0
    expect([this.#committed, this.#committing]).toContain(offset)
    if (offset > 0) this.resumed++
    this.#committed = offset
    return offset
  }

  async #readAndCommit(client: RawClient, offset: number, rows: readonly Row[]): Promise<number | undefined> {
    const { topic, partition } = this
    const request = { topic, partition, offset, maxBytes: 16 * 1024, maxWaitMs: 100 }
    const answer = await tryAsk(client, FETCH, request)
    if (answer === undefined) return undefined
    expect(answer.json.error).toBeUndefined()
    const records: FetchedRow[] = answer.json.records
    let next = offset
    for (const { offset: at, ...record } of records) {
      if (at !== next) throw new Error(`partition ${partition}: offset ${at} where ${next} should be`)
      const row = rowOf(record)
      expect(record).toEqual(rows[row])
      if (this.rowAt[at] !== undefined) this.redelivered++
      if ((this.rowAt[at] ?? row) !== row) throw new Error(`partition ${partition}, offset ${at}: another record now`)
      this.rowAt[at] = row
      next++
    }
    if (next === offset) return offset
    this.#committing = next
    const committed = await tryAsk(client, COMMIT, { topic, partition, group: GROUP, offset: next })
    if (committed === undefined) return undefined
    expect(committed.json).toEqual({ ok: true })
    this.#committed = next
    return next
  }
}

async function stream(topic: string, rows: readonly Row[]): Promise<void> {
  const admin = await broker.connect()
  // The rows have the time of their event, which is long ago.
  await admin.ask(CREATE_TOPIC, { topic, partitions: PARTITIONS, config: { 'retention.ms': '-1' } })
  admin.close()

  const consumers = Array.from({ length: PARTITIONS }, (_, partition) => new PartitionConsumer(topic, partition))
  const plan = [
    { of: 'produced', at: 0.3, way: 'stop' },
    { of: 'produced', at: 0.6, way: 'kill' },
    { of: 'consumed', at: 0.7, way: 'stop' },
    { of: 'consumed', at: 0.9, way: 'kill' },
  ] as const
  let restarts = 0
  let restarting = Promise.resolve()
  const share = { produced: 0, consumed: 0 }
  function progress() {
    const step = plan.at(restarts)
    if (step === undefined || share[step.of] < step.at) return
    restarts++
    restarting = broker.restart(step.way)
  }

  let ends: number[] | undefined
  const producing = produceAll(topic, rows, (produced) => {
    share.produced = produced
    progress()
  }).then(async () => {
    ends = await endsOf(topic)
  })
  const consuming = consumers.map((consumer) =>
    consumer.run(
      rows,
      () => ends?.[consumer.partition],
      () => {
        // Duplicates count too: this is only about when.
        share.consumed = consumers.reduce((sum, { rowAt }) => sum + rowAt.length, 0) / rows.length
        progress()
      },
    ),
  )
  await Promise.all([producing, ...consuming])
  await restarting
  expect(restarts).toBe(plan.length)

  const stored = consumers.flatMap(({ rowAt }) => rowAt)
  expect(new Set(stored).size).toBe(rows.length)
  for (const consumer of consumers) expectOrderOfKeys(consumer, rows)
  await expectNothingLeft(topic, consumers)
  const sum = (count: (consumer: PartitionConsumer) => number) => consumers.reduce((all, one) => all + count(one), 0)
  console.info(
    `${topic}: ${rows.length} rows came through ${restarts} restarts; ${stored.length - rows.length} were stored twice, ` +
      `${sum(({ redelivered }) => redelivered)} delivered again, ${sum(({ resumed }) => resumed)} times a consumer went on ` +
      `from its committed offset`,
  )
}

/** Without the repetitions, the rows of a key are in this partition, in their order. */
function expectOrderOfKeys({ partition, rowAt }: PartitionConsumer, rows: readonly Row[]): void {
  const last = new Map<string, number>()
  const seen = new Set<number>()
  for (const row of rowAt) {
    if (seen.has(row)) continue
    seen.add(row)
    const { key } = rows[row]
    if (key === null) continue
    if ((last.get(key) ?? -1) > row) throw new Error(`partition ${partition}: row ${row} of key ${key} is late`)
    last.set(key, row)
  }
  const ofKeys = rows.filter(({ key }) => key !== null && last.has(key)).length
  expect([...seen].filter((row) => rows[row].key !== null)).toHaveLength(ofKeys)
}

async function endsOf(topic: string): Promise<number[]> {
  for (;;) {
    const client = await broker.connect()
    const answer = await tryAsk(client, METADATA, { topics: [topic] })
    client.close()
    if (answer === undefined) continue
    return answer.json.topics[0].partitions.map(({ highWatermark }: { highWatermark: number }) => highWatermark)
  }
}

/** After one more crash, the group is where it was: at the end. */
async function expectNothingLeft(topic: string, consumers: readonly PartitionConsumer[]): Promise<void> {
  await broker.restart('kill')
  const client = await broker.connect()
  const { json } = await client.ask(FETCH_OFFSETS, { group: GROUP, topic })
  const expected = consumers
    .map(({ partition, rowAt }) => ({ topic, partition, offset: rowAt.length, logEndOffset: rowAt.length, lag: 0 }))
    .filter(({ offset }) => offset > 0)
  expect(json.offsets).toMatchObject(expected)
  for (const { partition, offset } of expected) {
    expect((await client.ask(FETCH, { topic, partition, offset, maxBytes: 1000 })).json.records).toEqual([])
  }
  client.close()
}

test('20,000 flights by airport: every one comes out, in order for each airport', { timeout: 60_000 }, async () => {
  const flights = readDataSet<{ date: string; origin: string }>('flights-20k.json')
  expect(flights).toHaveLength(20_000)
  const rows = flights.map((flight, index) => ({
    key: base64(flight.origin),
    value: base64(JSON.stringify(flight)),
    ts: Date.parse(`${flight.date.replaceAll('/', '-').replace(' ', 'T')}Z`),
    headers: [rowHeader(index)],
  }))
  await stream('flights', rows)
})

test('3,201 films by director, many of whom nobody knows', { timeout: 60_000 }, async () => {
  const films = readDataSet<{ [field: string]: string | number | null }>('movies.json')
  const rows = films.map((film, index) => ({
    key: orNull(film['Director'] as string | null),
    value: film['US Gross'] === 0 ? null : base64(JSON.stringify(film)),
    ts: 1_000_000_000_000 + index,
    headers: [
      rowHeader(index),
      { key: 'título', value: base64(String(film['Title'])) },
      { key: 'Major Genre', value: orNull(film['Major Genre'] as string | null) },
    ],
  }))
  expect(rows.filter(({ key }) => key === null).length).toBeGreaterThan(1_000)
  expect(rows.some(({ value }) => value === null)).toBe(true)
  expect(films.some((film) => Array.from(String(film['Title'])).some((letter) => letter > '~'))).toBe(true)
  await stream('films', rows)
})
