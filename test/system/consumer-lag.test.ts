// How far groups are behind, in records and in time: as metrics and as the JSON door tells it, for groups of every door.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CafeLog } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import { DOOR_MEMBERS } from '../support/door-members.ts'
import { COMMIT, DELETE_RECORDS, DELETE_TOPIC, FETCH_OFFSETS, PRODUCE } from '../support/frame-types.ts'
import { KafkaProducer } from '../support/kafka-producer.ts'
import { RawClient } from '../support/raw-client.ts'

const topics = [{ name: 'orders', partitions: 2, config: { 'retention.ms': '-1' } }]

let directory: string
let broker: CafeLog
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-lag-'))
  broker = await startCafeLog({ directory, topics })
})
afterEach(async () => {
  await broker.close()
  rmSync(directory, { recursive: true, force: true })
})

async function restart() {
  await broker.close()
  broker = await startCafeLog({ directory })
}

async function ask(type: number, payload: object) {
  const client = await RawClient.connect(broker.ports.json)
  try {
    return (await client.ask(type, payload)).json
  } finally {
    client.close()
  }
}

/** Appends one batch whose records were written so long ago. */
async function produce(partition: number, ages: readonly number[]): Promise<number[]> {
  const times = ages.map((age) => broker.clock.now() - age)
  const records = times.map((ts) => ({ value: null, ts }))
  expect(await ask(PRODUCE, { topic: 'orders', partition, records })).toHaveProperty('baseOffset')
  return times
}

const commit = (group: string, partition: number, offset: number) =>
  ask(COMMIT, { group, topic: 'orders', partition, offset })

/** The samples of the two metrics: lags by partition, seconds by topic. */
async function scrape(group: string) {
  const text = await (await fetch(`http://${broker.addresses.http}/metrics`)).text()
  const samples = (name: string, label: string) => {
    const lines = text.matchAll(new RegExp(`^${name}\\{group="${group}",.*${label}="([^"]*)"\\} (\\S+)$`, 'gm'))
    return Object.fromEntries([...lines].map(([, key, value]) => [key, Number(value)]))
  }
  return {
    lag: samples('cafelog_consumer_lag', 'partition'),
    seconds: samples('cafelog_consumer_lag_seconds', 'topic'),
  }
}

/**
 * Expects these lags by partition, and that the oldest record that the group wants next was written at this time;
 * undefined: that it wants none.
 */
async function expectLag(group: string, lag: Readonly<Record<string, number>>, oldest: number | undefined) {
  const before = broker.clock.now()
  const metrics = await scrape(group)
  const { offsets } = await ask(FETCH_OFFSETS, { group })
  const after = broker.clock.now()
  expect(metrics.lag).toEqual(lag)
  const rows = offsets as { partition: number; lag: number; lagMs: number }[]
  expect(Object.fromEntries(rows.map((row) => [row.partition, row.lag]))).toEqual(lag)
  const lagMs = Math.max(...rows.map((row) => row.lagMs))
  for (const age of [metrics.seconds['orders'] * 1000, lagMs]) {
    expect(age).toBeGreaterThanOrEqual(oldest === undefined ? 0 : before - oldest - 1)
    expect(age).toBeLessThanOrEqual(oldest === undefined ? 0 : after - oldest + 1)
  }
}

test.each(Object.keys(DOOR_MEMBERS))('a group of %s: records and the exact age of the next one', async (door) => {
  const times = await produce(0, [50_000, 40_000, 30_000, 20_000, 10_000])
  const join = () => DOOR_MEMBERS[door](broker.ports, { group: 'g', topic: 'orders', partitions: 2 })
  const member = await join()
  expect(await scrape('g')).toEqual({ lag: {}, seconds: {} })
  await member.commit(0, 2)
  await expectLag('g', { 0: 3 }, times[2])
  const [newer] = await produce(1, [35_000])
  await member.commit(1, 0)
  await expectLag('g', { 0: 3, 1: 1 }, newer)
  await member.commit(1, 1)
  await expectLag('g', { 0: 3, 1: 0 }, times[2])

  await broker.clock.advance('5s')
  await expectLag('g', { 0: 3, 1: 0 }, times[2])
  await member.leave()
  await expectLag('g', { 0: 3, 1: 0 }, times[2])
  await restart()
  await expectLag('g', { 0: 3, 1: 0 }, times[2])

  const again = await join()
  await again.commit(0, 5)
  await expectLag('g', { 0: 0, 1: 0 }, undefined)
  await again.leave()
})

test('a lag is never negative, whatever was committed', async () => {
  await produce(0, [1_000, 1_000])
  await commit('ahead', 0, 99)
  await expectLag('ahead', { 0: 0 }, undefined)
  await restart()
  await expectLag('ahead', { 0: 0 }, undefined)
  // A clock that went ahead writes records of the future.
  await produce(1, [-60_000])
  await commit('future', 1, 0)
  await expectLag('future', { 1: 1 }, undefined)
})

test('what has expired unread is no lag', async () => {
  const times = await produce(0, [40_000, 30_000, 20_000, 10_000])
  await commit('slow', 0, 1)
  await expectLag('slow', { 0: 3 }, times[1])
  await ask(DELETE_RECORDS, { topic: 'orders', partition: 0, beforeOffset: 3 })
  await expectLag('slow', { 0: 1 }, times[3])
  await ask(DELETE_RECORDS, { topic: 'orders', partition: 0, beforeOffset: 4 })
  await expectLag('slow', { 0: 0 }, undefined)
})

test('the mark behind a transaction is not what a group wants next', async () => {
  const producer = await KafkaProducer.connect(broker.ports.kafka, 'till-1')
  expect(await producer.init()).toBe('NONE')
  expect(await producer.addPartitions(['orders', 0])).toBe('NONE')
  expect(await producer.produce('orders', 0, ['a', 'b'])).toBe('NONE')
  expect(await producer.end(true)).toBe('NONE')
  producer.close()
  // Offsets 0 and 1 are records, 2 is the mark.
  await commit('readers', 0, 2)
  await broker.clock.advance('10m')
  await expectLag('readers', { 0: 1 }, undefined)
  const [next] = await produce(0, [5_000])
  await expectLag('readers', { 0: 2 }, next)
})

test('the lag goes with the topic, and does not come back with another one of its name', async () => {
  await produce(0, [1_000])
  await commit('gone', 0, 0)
  expect((await scrape('gone')).lag).toEqual({ 0: 1 })
  await ask(DELETE_TOPIC, { topic: 'orders' })
  expect(await scrape('gone')).toEqual({ lag: {}, seconds: {} })
  await broker.createTopic('orders')
  await produce(0, [1_000])
  expect(await scrape('gone')).toEqual({ lag: {}, seconds: {} })
})
