import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, LIST_SCHEDULES, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { FakeTime, missingFakeTime } from './fake-time.ts'

const TOPIC = 'reminders'
const PARTITIONS = 2
const MINUTE = 60_000
const HOUR = 60 * MINUTE

let home: BrokerHome
let time: FakeTime
let broker: BrokerProcess
let client: RawClient
beforeAll(() => {
  home = new BrokerHome()
  time = new FakeTime(home.path)
})
afterAll(async () => {
  client?.close()
  await home.remove()
})

const base64 = (text: string) => Buffer.from(text).toString('base64')
const dueTimes = new Map<string, number>()

async function start(): Promise<void> {
  client?.close()
  broker = await home.start({ environment: time.environment })
  client = await broker.connect()
}

/** Records that are due as many milliseconds from now, by the broker's clock, as `inMs` says for each. */
async function send(name: string, count: number, inMs: (index: number) => number): Promise<void> {
  const now = time.now()
  const records = Array.from({ length: count }, (_, index) => {
    const value = `${name}-${index}`
    dueTimes.set(value, now + inMs(index))
    return { key: base64(value), value: base64(value), dueAt: now + inMs(index) }
  })
  const { json } = await client.ask(PRODUCE, { topic: TOPIC, partition: -1, records })
  expect(json.error).toBeUndefined()
}

async function countWaiting(): Promise<number> {
  return (await client.ask(LIST_SCHEDULES, { topic: TOPIC, limit: 1 })).json.waiting
}

/** Waits until no more than so many wait. Returns how long that took. */
async function untilWaiting(count: number): Promise<number> {
  const began = performance.now()
  while ((await countWaiting()) > count && performance.now() - began < 20_000) await sleep(20)
  expect(await countWaiting()).toBe(count)
  return performance.now() - began
}

interface Delivered {
  readonly value: string
  /** By the broker's clock, when it was appended. */
  readonly ts: number
}

async function readAll(): Promise<Delivered[]> {
  const found: Delivered[] = []
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let offset = 0; ;) {
      const { json } = await client.ask(FETCH, { topic: TOPIC, partition, offset, maxBytes: 4_000_000 })
      for (const { value, ts } of json.records) found.push({ value: Buffer.from(value, 'base64').toString(), ts })
      offset = json.nextOffset ?? (json.records.at(-1)?.offset ?? offset - 1) + 1
      if (offset >= json.highWatermark) break
    }
  }
  return found
}

const countOf = (all: readonly Delivered[], name: string) =>
  new Set(all.filter(({ value }) => value.startsWith(`${name}-`)).map(({ value }) => value)).size

test('the system clock goes an hour forward and back: nothing comes early by it, or twice, and nothing is lost', async (context) => {
  const missing = missingFakeTime()
  if (missing !== undefined) context.skip(missing)
  await start()
  // The broker's own time is then in each record.
  const config = { 'message.timestamp.type': 'LogAppendTime' }
  await client.ask(CREATE_TOPIC, { topic: TOPIC, partitions: PARTITIONS, config })
  await send('within', 300, (index) => 30_000 + index * 11_000)
  await send('soon', 50, () => 300)
  await send('beyond', 100, (index) => HOUR + 5 * MINUTE + index * 1000)
  await untilWaiting(400)

  // Forward: what was to come within the hour is due at once, the rest waits.
  time.moveTo(HOUR)
  const forwardMs = await untilWaiting(100)
  await send('forward', 40, (index) => 200 + index)
  await send('back', 60, (index) => 3000 + index)
  await untilWaiting(160)

  // Back, an hour before the true time: what was about to come has two more hours to wait.
  time.moveTo(-HOUR)
  await sleep(3200)
  expect(await countWaiting()).toBe(160)
  await send('behind', 30, () => 400)
  const behindMs = await untilWaiting(160)

  // A broker that is killed and started now knows of no other time.
  await broker.kill()
  await start()
  await sleep(600)
  expect(await countWaiting()).toBe(160)
  const before = await readAll()

  time.moveTo(0)
  await sleep(1000)
  expect(await countWaiting()).toBe(160)
  time.moveTo(2 * HOUR)
  await untilWaiting(0)

  const all = await readAll()
  const names = ['within', 'soon', 'beyond', 'forward', 'back', 'behind']
  expect(names.map((name) => countOf(before, name))).toEqual([300, 50, 0, 40, 0, 30])
  expect(names.map((name) => countOf(all, name))).toEqual([300, 50, 100, 40, 60, 30])
  expect(all).toHaveLength(580)
  const early = all.filter(({ value, ts }) => !(ts >= (dueTimes.get(value) ?? Number.NaN)))
  expect(early).toEqual([])
  console.info(
    `the clock an hour ahead: 300 that it made due were there after ${Math.round(forwardMs)} ms; behind: ${Math.round(behindMs)} ms for those due in 400`,
  )
  expect(await broker.stop()).toBe(0)
}, 120_000)
