import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'

// A million records go in through the JSON door and come out as they were; after a restart in order the same again.
//
// Record n is a function of n, and its timestamp tells n. So whoever reads it makes it anew and compares, and needs to
// keep nothing but a mark for each n.

const RECORDS = 1_000_000
const PARTITIONS = 4
const PRODUCERS = 2
const RECORDS_PER_REQUEST = 100
const REQUESTS_IN_FLIGHT = 32
const FIRST_TS = 1_600_000_000_000
const TOPIC = 'million'
const KEYS = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`cléf-${index}`).toString('base64'))
const FILLER = createHash('sha512').update('filler').digest()

let home: BrokerHome
beforeAll(() => {
  home = new BrokerHome()
})
afterAll(async () => {
  await home.remove()
})

/** Base64 of the key of record n: one of many, and sometimes none or an empty one. */
function keyOf(n: number): string | null {
  if (n % 97 === 0) return null
  if (n % 89 === 0) return ''
  return KEYS[(n * 7919) % KEYS.length]
}

/** Base64 of the value of record n: bytes of no particular encoding, 4 to 67 of them, and sometimes none at all. */
function valueOf(n: number): string | null {
  if (n % 101 === 0) return null
  const bytes = 4 + (n % 64)
  const value = Buffer.allocUnsafe(bytes)
  value.writeUInt32BE(n, 0)
  FILLER.copy(value, 4, 0, bytes - 4)
  return value.toString('base64')
}

/** One PRODUCE with the records from `first` on. Every other one says the partition, the rest leave it to the keys. */
function request(first: number): Buffer {
  const records: object[] = []
  for (let n = first; n < first + RECORDS_PER_REQUEST; n++) {
    records.push({ key: keyOf(n), value: valueOf(n), ts: FIRST_TS + n })
  }
  const index = first / RECORDS_PER_REQUEST
  const partition = index % 2 === 0 ? (index / 2) % PARTITIONS : -1
  return rawFrame(PRODUCE, { topic: TOPIC, partition, records })
}

/** Sends a range of records, always with so many requests in flight; counts what was acknowledged for each partition. */
async function produceRange(client: RawClient, range: { from: number; to: number }, counts: number[]): Promise<void> {
  let next = range.from
  let inFlight = 0
  while (next < range.to || inFlight > 0) {
    while (next < range.to && inFlight < REQUESTS_IN_FLIGHT) {
      client.send(request(next))
      next += RECORDS_PER_REQUEST
      inFlight++
    }
    const answer = await client.next()
    if (answer === undefined || answer.json.error !== undefined) throw new Error(`PRODUCE: ${answer?.text}`)
    inFlight--
    for (const part of answer.json.partitions ?? [answer.json]) counts[part.partition] += part.numRecords
  }
}

interface Reading {
  readonly counts: readonly number[]
  /** Of every partition, over all of offset, key, value and timestamp in order. */
  readonly hashes: readonly string[]
}

/** Reads all partitions from their start to `ends`, and compares every record with what it must be. */
async function readAll(broker: BrokerProcess, ends: readonly number[]): Promise<Reading> {
  const seen = new Uint8Array(RECORDS)
  const hashes = await Promise.all(ends.map((end, partition) => readPartition(broker, partition, end, seen)))
  // `every` would call a million times.
  expect(seen.includes(0)).toBe(false)
  return { counts: ends, hashes }
}

async function readPartition(broker: BrokerProcess, partition: number, end: number, seen: Uint8Array): Promise<string> {
  const client = await broker.connect()
  const hash = createHash('sha256')
  /** Of each producer, the last record that came: what one sent in a row is in that row. */
  const last = Array.from({ length: PRODUCERS }, () => -1)
  let offset = 0
  while (offset < end) {
    const { json } = await client.ask(FETCH, { topic: TOPIC, partition, offset, maxBytes: 1024 * 1024, maxWaitMs: 0 })
    expect(json.records?.length, JSON.stringify(json).slice(0, 200)).toBeGreaterThan(0)
    let text = ''
    for (const record of json.records) {
      const n = record.ts - FIRST_TS
      const producer = Math.floor((n * PRODUCERS) / RECORDS)
      const isRight = record.offset === offset && record.key === keyOf(n) && record.value === valueOf(n)
      const isFirst = seen[n] === 0 && n > last[producer]
      if (!isRight || !isFirst) {
        throw new Error(`partition ${partition}, offset ${offset}: ${JSON.stringify(record)} is not record ${n}`)
      }
      seen[n] = 1
      last[producer] = n
      offset++
      text += `${record.offset},${record.key},${record.value},${record.ts};`
    }
    hash.update(text)
  }
  client.close()
  return hash.digest('hex')
}

async function endsOf(client: RawClient): Promise<number[]> {
  const { json } = await client.ask(METADATA, { topics: [TOPIC] })
  return json.topics[0].partitions.map((partition: { highWatermark: number }) => partition.highWatermark)
}

const perSecond = (ms: number) => `${(RECORDS / ms / 1000).toFixed(2)} M records/s`

test('a million records come out as they went in, and again after a restart', { timeout: 120_000 }, async () => {
  const broker = await home.start()
  const client = await broker.connect()
  await client.ask(CREATE_TOPIC, { topic: TOPIC, partitions: PARTITIONS })

  let began = performance.now()
  const counts = Array.from({ length: PARTITIONS }, () => 0)
  const share = RECORDS / PRODUCERS
  await Promise.all(
    Array.from({ length: PRODUCERS }, async (_, producer) => {
      const own = await broker.connect()
      await produceRange(own, { from: producer * share, to: (producer + 1) * share }, counts)
      own.close()
    }),
  )
  const producedMs = performance.now() - began
  expect(counts.reduce((sum, count) => sum + count)).toBe(RECORDS)
  expect(await endsOf(client)).toEqual(counts)

  began = performance.now()
  const before = await readAll(broker, counts)
  const readMs = performance.now() - began
  client.close()
  expect(await broker.stop()).toBe(0)

  const restarted = await home.start()
  const again = await restarted.connect()
  expect(await endsOf(again)).toEqual(counts)
  again.close()
  expect(await readAll(restarted, counts)).toEqual(before)
  expect(await restarted.stop()).toBe(0)
  console.info(
    `a million records: in with ${perSecond(producedMs)}, out and compared with ${perSecond(readMs)}, ` +
      `partitions of ${counts.join(', ')}, restart ${Math.round(restarted.readyMs)} ms`,
  )
})
