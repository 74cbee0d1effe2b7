import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, DELETE_TOPIC, FETCH, HEARTBEAT, PRODUCE } from '../support/frame-types.ts'
import { type RawClient, rawFrame } from '../support/raw-client.ts'

// A FETCH that finds nothing waits, and costs nothing while it does.

let home: BrokerHome
let broker: BrokerProcess
let client: RawClient
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start()
  client = await broker.connect()
})
afterAll(async () => {
  client.close()
  await home.remove()
})

const base64 = (text: string) => Buffer.from(text).toString('base64')
const fetchOf = (topic: string, fields: object = {}) =>
  rawFrame(FETCH, { topic, partition: 0, offset: 0, maxWaitMs: 60_000, ...fields })
const produceOf = (topic: string, value: string) =>
  rawFrame(PRODUCE, { topic, partition: 0, records: [{ value: base64(value) }] })

async function createTopic(topic: string): Promise<void> {
  expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json).toEqual({ ok: true, created: true })
}

/** Waits until exactly so many fetches wait. */
async function parked(count: number): Promise<void> {
  await expect.poll(() => broker.metric('cafelog_fetch_waiting'), { timeout: 10_000, interval: 5 }).toBe(count)
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((left, right) => left - right)[Math.ceil(values.length * share) - 1]
}

const shown = (ms: number) => `${ms.toFixed(1)} ms`

test('a thousand waiting FETCHes leave the processor alone, and one PRODUCE answers them all', async () => {
  await createTopic('crowd')
  await client.ask(PRODUCE, { topic: 'crowd', partition: 0, records: [{}] })
  const [connections, pipelined, rounds] = [100, 10, 5]
  const clients = await Promise.all(Array.from({ length: connections }, () => broker.connect()))
  const lasts: number[] = []
  let cpuShare = 0
  for (let round = 1; round <= rounds; round++) {
    const fetch = fetchOf('crowd', { offset: round, maxWaitMs: 5000 })
    for (const waiting of clients) waiting.send(Buffer.concat(Array.from({ length: pipelined }, () => fetch)))
    await parked(connections * pipelined)
    if (round === 1) cpuShare = await cpuShareDuring(2_000)
    const latencies = await wakeAll(clients, pipelined, round)
    lasts.push(percentile(latencies, 1))
  }
  console.info(
    `1,000 waiting FETCHes: ${(cpuShare * 100).toFixed(1)} % of a processor while they wait; after a PRODUCE all were ` +
      `answered in ${lasts.map((ms) => ms.toFixed(1)).join(', ')} ms`,
  )
  // The scrapes alone cost a few milliseconds; a broker that looks every 10 ms would use it up.
  expect(cpuShare).toBeLessThan(0.2)
  // What waits out its time would come after seconds.
  expect(percentile(lasts, 1)).toBeLessThan(1_000)
  await parked(0)
  // Each got every record, though the broker has read them once for all.
  const delivered = await broker.metric('cafelog_messages_total', 'topic="crowd",partition="0",direction="out"')
  expect(delivered).toBe(connections * pipelined * rounds)
  for (const waiting of clients) waiting.close()
})

/** The share of one processor that the broker uses while nothing is asked of it. */
async function cpuShareDuring(ms: number): Promise<number> {
  const before = await broker.cpuSeconds()
  const began = performance.now()
  await setTimeout(ms)
  return (((await broker.cpuSeconds()) - before) * 1000) / (performance.now() - began)
}

/** Produces the record that all wait for; returns the milliseconds until each answer was here. */
async function wakeAll(clients: readonly RawClient[], pipelined: number, offset: number): Promise<number[]> {
  const producedAt = performance.now()
  const value = `hello ${offset}`
  client.send(produceOf('crowd', value))
  const answers = await Promise.all(
    clients.flatMap((waiting) =>
      Array.from({ length: pipelined }, async () => {
        const frame = await waiting.next()
        return { frame, latency: performance.now() - producedAt }
      }),
    ),
  )
  expect((await client.next())?.json).toMatchObject({ baseOffset: offset })
  for (const { frame } of answers) {
    expect(frame?.json).toMatchObject({ records: [{ offset, value: base64(value) }], highWatermark: offset + 1 })
  }
  return answers.map(({ latency }) => latency)
}

test('a waiting FETCH is answered as soon as the PRODUCE is', async () => {
  await createTopic('single')
  const waiting = await broker.connect()
  const gaps: number[] = []
  for (let offset = 0; offset < 50; offset++) {
    waiting.send(fetchOf('single', { offset }))
    await parked(1)
    const answer = waiting.next().then((frame) => ({ frame, at: performance.now() }))
    await client.ask(PRODUCE, { topic: 'single', partition: 0, records: [{ value: base64(`n ${offset}`) }] })
    const acknowledgedAt = performance.now()
    const { frame, at } = await answer
    expect(frame?.json.records).toMatchObject([{ offset, value: base64(`n ${offset}`) }])
    gaps.push(Math.max(0, at - acknowledgedAt))
  }
  console.info(
    `a waiting FETCH: answered ${shown(percentile(gaps, 0.5))} (median), ${shown(percentile(gaps, 1))} (worst of 50) ` +
      `after the PRODUCE was`,
  )
  expect(percentile(gaps, 0.5)).toBeLessThan(20)
  waiting.close()
})

test('maxWaitMs 0 does not wait, and another one no longer than it says', async () => {
  await createTopic('empty')
  const nothing = { records: [], highWatermark: 0, logStartOffset: 0 }
  async function timed(maxWaitMs: number | undefined): Promise<number> {
    const began = performance.now()
    const { json } = await client.ask(FETCH, { topic: 'empty', partition: 0, offset: 0, maxWaitMs })
    expect(json).toEqual(nothing)
    return performance.now() - began
  }
  expect(await timed(0)).toBeLessThan(250)
  expect(await timed(undefined)).toBeLessThan(250)
  const waitedMs = await timed(300)
  expect(waitedMs).toBeGreaterThanOrEqual(295)
  expect(waitedMs).toBeLessThan(1_300)
  await parked(0)
})

test("a later PRODUCE of its own connection wakes a FETCH, and the answers come in the requests' order", async () => {
  await createTopic('own')
  const own = await broker.connect()
  own.send(
    Buffer.concat([fetchOf('own'), fetchOf('own', { offset: -1 }), produceOf('own', 'x'), rawFrame(HEARTBEAT, {})]),
  )
  const answers = [await own.next(), await own.next(), await own.next(), await own.next()]
  expect(answers.map((answer) => answer?.type)).toEqual([FETCH, FETCH, PRODUCE, HEARTBEAT])
  expect(answers[0]?.json.records).toMatchObject([{ offset: 0, value: base64('x') }])
  expect(answers[1]?.json.records).toMatchObject([{ offset: 0, value: base64('x') }])
  expect(answers[2]?.json).toMatchObject({ baseOffset: 0, numRecords: 1 })
  own.close()
})

test('a PRODUCE wakes only those who wait for its partition', async () => {
  await createTopic('wanted')
  await createTopic('other')
  const waiting = await broker.connect()
  const elsewhere = await broker.connect()
  waiting.send(fetchOf('wanted'))
  elsewhere.send(fetchOf('other', { maxWaitMs: 800 }))
  await parked(2)
  client.send(produceOf('wanted', 'x'))
  expect((await waiting.next())?.json.records).toHaveLength(1)
  await client.next()
  await parked(1)
  expect((await elsewhere.next())?.json.records).toEqual([])
  waiting.close()
  elsewhere.close()
})

test('deleting the topic answers those who wait for it', async () => {
  await createTopic('doomed')
  const clients = await Promise.all(Array.from({ length: 10 }, () => broker.connect()))
  for (const waiting of clients) waiting.send(fetchOf('doomed'))
  await parked(10)
  expect((await client.ask(DELETE_TOPIC, { topic: 'doomed' })).json).toEqual({ ok: true })
  for (const waiting of clients) {
    const answer = await waiting.next()
    expect(answer?.json.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    expect(answer?.json.error.message).toContain('"doomed"')
    waiting.close()
  }
  await parked(0)
})

test('a client that goes leaves nothing waiting', async () => {
  await createTopic('left')
  const clients = await Promise.all(Array.from({ length: 20 }, () => broker.connect()))
  for (const waiting of clients) waiting.send(Buffer.concat([fetchOf('left'), fetchOf('left')]))
  await parked(40)
  for (const [index, waiting] of clients.entries()) {
    if (index % 2 === 0) waiting.socket.resetAndDestroy()
    else waiting.close()
  }
  await parked(0)
})

test('a broker that stops answers those who wait, and stops at once', async () => {
  const own = new BrokerHome()
  try {
    const stopping = await own.start()
    const waiting = await stopping.connect()
    await waiting.ask(CREATE_TOPIC, { topic: 'waited-for', partitions: 1 })
    waiting.send(fetchOf('waited-for'))
    await expect.poll(() => stopping.metric('cafelog_fetch_waiting')).toBe(1)
    const began = performance.now()
    const stopped = stopping.stop()
    expect((await waiting.next())?.json).toMatchObject({ records: [], highWatermark: 0 })
    expect(await stopped).toBe(0)
    console.info(`a broker with a waiting FETCH stopped in ${shown(performance.now() - began)}`)
    expect(performance.now() - began).toBeLessThan(3_000)
    waiting.close()
  } finally {
    await own.remove()
  }
})
