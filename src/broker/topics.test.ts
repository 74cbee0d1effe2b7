import { expect, test } from 'vitest'

import { BrokerError } from '../base/broker-error.ts'
import { systemClock } from '../base/clock.ts'
import type { TopicName } from '../base/topic-name.ts'
import { CommittedOffsets } from '../groups/committed-offsets.ts'
import type { LogConfig, LogEngine, PartitionLog } from '../log/log-engine.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { parseTopicSettings } from './topic-config.ts'
import { Topics } from './topics.ts'
import type { TopicsParts } from './topics.ts'

/** Keeps partition counts, writes down what it was asked for, and fails where it is told to. */
class FakeEngine implements LogEngine {
  onHighWatermark = () => {}
  readonly partitionCounts = new Map<string, number>()
  readonly configs = new Map<string, LogConfig>()
  readonly calls: string[] = []
  failNext: Error | undefined

  async openTopic(topic: TopicName, partitionCount: number, config: LogConfig) {
    this.calls.push(`open ${topic} ${partitionCount}`)
    await this.#turn()
    this.partitionCounts.set(topic, Math.max(partitionCount, this.partitionCounts.get(topic) ?? 0))
    this.configs.set(topic, config)
  }
  configureTopic(topic: TopicName, config: LogConfig) {
    this.calls.push(`configure ${topic}`)
    this.configs.set(topic, config)
  }
  async deleteTopic(topic: TopicName) {
    this.calls.push(`delete ${topic}`)
    await this.#turn()
    this.partitionCounts.delete(topic)
  }
  get(topic: TopicName, partition: number) {
    if (partition >= (this.partitionCounts.get(topic) ?? 0)) return undefined
    return { topic, partition } as PartitionLog
  }
  readonly isDiskFull = false
  async stageImage() {
    return []
  }
  async close() {}

  async #turn() {
    await new Promise((endOfTurn) => setImmediate(endOfTurn))
    const failure = this.failNext
    this.failNext = undefined
    if (failure !== undefined) throw failure
  }
}

const clock = { ...systemClock, now: () => 1_700_000_000_000 }

async function start(store = new MemoryStore(), parts: Partial<TopicsParts> = {}) {
  const engine = new FakeEngine()
  const committedOffsets = new CommittedOffsets(store, clock)
  let ids = 0
  const createId = () => `id-${++ids}`
  const topics = new Topics({ store, engine, committedOffsets, clock, createId, ...parts })
  await topics.load()
  return { store, engine, committedOffsets, topics }
}

const describe = (topics: Topics) =>
  topics.list().map(({ name, partitionCount, overrides }) => [name, partitionCount, Object.fromEntries(overrides)])

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return error instanceof BrokerError ? `${error.code}: ${error.message}` : String(error)
  }
  return 'none'
}

test('a topic is there after it was created, and after a new start, with its partitions open', async () => {
  const { store, engine, topics } = await start()
  expect(await topics.create({ name: 'orders', partitionCount: 4, overrides: { 'retention.ms': '1h' } })).toEqual({
    created: true,
  })
  expect(await topics.create({ name: 'events.v1', partitionCount: 1 })).toEqual({ created: true })
  expect(await topics.create({ name: 'events_v1', partitionCount: 1 })).toEqual({ created: true })
  expect(topics.get('orders')).toMatchObject({
    id: 'id-1',
    createdAtMs: 1_700_000_000_000,
    config: { retentionMs: 3_600_000 },
  })
  expect(engine.partitionCounts.get('orders')).toBe(4)

  const again = await start(new MemoryStore({ copyOf: store }))
  const all = [
    ['events.v1', 1, {}],
    ['events_v1', 1, {}],
    ['orders', 4, { 'retention.ms': '3600000' }],
  ]
  expect(describe(topics)).toEqual(all)
  expect(describe(again.topics)).toEqual(all)
  expect(again.topics.get('orders')).toEqual(topics.get('orders'))
  expect(again.engine.calls).toEqual(['open events.v1 1', 'open events_v1 1', 'open orders 4'])
})

test('creating a topic again is fine when it would be the same', async () => {
  const { topics } = await start(undefined, { brokerSettings: parseTopicSettings({ 'flush.policy': 'os' }) })
  await topics.create({ name: 'orders', partitionCount: 4, overrides: { 'retention.ms': '1h' } })
  const again = (partitionCount: number, overrides: Record<string, string> = {}) =>
    topics.create({ name: 'orders', partitionCount, overrides })
  for (const overrides of [{}, { 'retention.ms': '60m' }, { 'retention.bytes': '-1' }, { 'flush.policy': 'os' }]) {
    expect(await again(4, overrides)).toEqual({ created: false })
  }
  expect(await refusal(again(8))).toBe(
    'TOPIC_ALREADY_EXISTS: Cannot create topic "orders" with 8 partitions: it is there with 4, alter it instead',
  )
  expect(await refusal(again(4, { 'retention.ms': '2h' }))).toBe(
    'TOPIC_ALREADY_EXISTS: Cannot create topic "orders" with retention.ms=7200000: it is there with 3600000, alter it instead',
  )
  expect(describe(topics)).toEqual([['orders', 4, { 'retention.ms': '3600000' }]])
})

test('of topics created at the same time under one name there is one', async () => {
  const { topics, engine } = await start()
  const outcomes = await Promise.all([1, 2, 3].map(() => topics.create({ name: 'orders', partitionCount: 2 })))
  expect(outcomes.map(({ created }) => created)).toEqual([true, false, false])
  expect(engine.calls).toEqual(['open orders 2'])
})

test('what cannot be is refused, and nothing is touched', async () => {
  const { topics, engine } = await start()
  const refusals = [
    [topics.create({ name: '../x', partitionCount: 1 }), 'INVALID_TOPIC_EXCEPTION: Cannot use "../x" as a topic name'],
    [
      topics.create({ name: 'x', partitionCount: 0 }),
      'Cannot create topic "x" with 0 partitions: a topic has 1 to 10000',
    ],
    [topics.create({ name: 'x', partitionCount: 1.5 }), 'INVALID_PARTITIONS: '],
    [topics.create({ name: 'x', partitionCount: 10_001 }), 'INVALID_PARTITIONS: '],
    [topics.create({ name: 'x', partitionCount: 1, overrides: { retention: '1' } }), 'INVALID_CONFIG: '],
    [
      topics.alter({ name: 'x', partitionCount: 2 }),
      'UNKNOWN_TOPIC_OR_PARTITION: There is no topic "x", create it first',
    ],
    [topics.delete('__proto__'), 'UNKNOWN_TOPIC_OR_PARTITION: There is no topic "__proto__", create it first'],
  ] as const
  for (const [work, message] of refusals) expect(await refusal(work)).toContain(message)
  expect(engine.calls).toEqual([])
})

test('an unknown topic is answered with the nearest name', async () => {
  const { topics } = await start()
  await topics.create({ name: 'orders', partitionCount: 1 })
  expect(() => topics.getExisting('ordres')).toThrow('There is no topic "ordres", did you mean "orders"?')
  expect(topics.unknown('x'.repeat(1_000_000)).message.length).toBeLessThan(200)
})

test('all topics together keep the limit of partitions, also while they are being made', async () => {
  const { topics } = await start(undefined, { partitionsMax: 10 })
  const outcomes = await Promise.all(['a', 'b', 'c'].map((name) => refusal(topics.create({ name, partitionCount: 4 }))))
  expect(outcomes).toEqual([
    'none',
    'none',
    'INVALID_PARTITIONS: Cannot create topic "c": 4 partitions more than the 8 there are would pass the broker\'s limit of 10',
  ])
  for (const dryRun of [true, false]) {
    expect(await refusal(topics.alter({ name: 'a', partitionCount: 7, dryRun }))).toContain('limit of 10')
  }
  expect(topics.partitionsLeft).toBe(2)
  await topics.delete('b')
  expect(topics.partitionsLeft).toBe(6)
  await topics.alter({ name: 'a', partitionCount: 10 })
  expect(topics.partitionsLeft).toBe(0)
})

test('altering tells what has changed, opens new partitions and configures the logs', async () => {
  const { store, topics, engine } = await start()
  await topics.create({ name: 'orders', partitionCount: 2, overrides: { 'retention.ms': '1h', 'segment.ms': '1m' } })
  const alteration = {
    name: 'orders',
    partitionCount: 3,
    set: { 'retention.ms': '2h', 'retention.bytes': '-1' },
    unset: ['segment.ms', 'flush.policy'],
  }
  const changes = [
    { key: 'partitions', from: '2', to: '3' },
    { key: 'retention.ms', from: '3600000', to: '7200000' },
    { key: 'segment.ms', from: '60000', to: '1800000' },
  ]
  const before = topics.get('orders')
  expect(await topics.alter({ ...alteration, dryRun: true })).toEqual(changes)
  expect(topics.get('orders')).toBe(before)
  expect(await topics.alter(alteration)).toEqual(changes)
  expect(await topics.alter(alteration)).toEqual([])
  expect(engine.calls).toEqual(['open orders 2', 'open orders 3', 'configure orders'])
  expect(engine.configs.get('orders')).toMatchObject({ retentionMs: 7_200_000, segmentMs: 1_800_000 })
  const overrides = { 'retention.ms': '7200000', 'retention.bytes': '-1' }
  expect(describe(topics)).toEqual([['orders', 3, overrides]])
  expect(describe((await start(store)).topics)).toEqual([['orders', 3, overrides]])
  expect(topics.get('orders')?.id).toBe(before?.id)
})

test('an alteration that is refused in one point changes nothing', async () => {
  const { topics, engine } = await start()
  await topics.create({ name: 'orders', partitionCount: 2 })
  const refusals = [
    [
      { partitionCount: 1 },
      'INVALID_PARTITIONS: Cannot alter topic "orders" to 1 partition: it has 2, and they can only become more',
    ],
    [{ partitionCount: 3, set: { 'retention.ms': 'x' } }, 'INVALID_CONFIG: Cannot set retention.ms to "x"'],
    [{ partitionCount: 3, unset: ['retention'] }, 'INVALID_CONFIG: There is no topic configuration "retention"'],
    [{ set: { 'segment.ms': '1h' }, unset: ['segment.ms'] }, 'INVALID_CONFIG: Cannot both set and unset segment.ms'],
  ] as const
  for (const [alteration, message] of refusals) {
    expect(await refusal(topics.alter({ name: 'orders', ...alteration }))).toContain(message)
  }
  expect(engine.calls).toEqual(['open orders 2'])
  expect(describe(topics)).toEqual([['orders', 2, {}]])
})

test('a deleted topic is gone with its offsets, and who waits for its logs is told', async () => {
  const { store, topics, engine, committedOffsets } = await start()
  await topics.create({ name: 'orders', partitionCount: 2 })
  await topics.create({ name: 'events', partitionCount: 1 })
  await committedOffsets.commit({ group: 'g', topic: 'orders', partition: 1, offset: 5 })
  await committedOffsets.commit({ group: 'g', topic: 'events', partition: 0, offset: 6 })
  const retired: string[] = []
  topics.onRetired = (logs, error) => retired.push(`${logs.map(({ partition }) => partition).join()} ${error.code}`)
  await topics.delete('orders')
  expect(retired).toEqual(['0,1 UNKNOWN_TOPIC_OR_PARTITION'])
  expect(describe(topics)).toEqual([['events', 1, {}]])
  expect(committedOffsets.list('g')?.map(({ topic }) => topic)).toEqual(['events'])
  expect(engine.calls.at(-1)).toBe('delete orders')
  expect(await refusal(topics.delete('orders'))).toContain('There is no topic "orders"')
  expect(describe((await start(store)).topics)).toEqual([['events', 1, {}]])
})

test('a topic can be created anew while it is being deleted, and is another one', async () => {
  const { topics, engine } = await start()
  await topics.create({ name: 'orders', partitionCount: 2 })
  const deletion = topics.delete('orders')
  const creation = topics.create({ name: 'orders', partitionCount: 5 })
  await deletion
  expect(await creation).toEqual({ created: true })
  expect(topics.get('orders')).toMatchObject({ id: 'id-2', partitionCount: 5 })
  expect(engine.calls).toEqual(['open orders 2', 'delete orders', 'open orders 5'])
})

test('a deletion that failed half-way hides the topic, and is finished by the next who wants the name', async () => {
  for (const next of ['create', 'delete', 'start'] as const) {
    const { store, topics, engine, committedOffsets } = await start()
    await topics.create({ name: 'orders', partitionCount: 2 })
    await committedOffsets.commit({ group: 'g', topic: 'orders', partition: 1, offset: 5 })
    engine.failNext = new Error('EIO: i/o error, rename')
    expect(await refusal(topics.delete('orders'))).toBe(
      'KAFKA_STORAGE_ERROR: Cannot delete topic "orders": EIO: i/o error, rename',
    )
    expect(topics.get('orders')).toBeUndefined()
    expect(committedOffsets.list('g')).toHaveLength(1)
    if (next === 'start') {
      const again = await start(store)
      expect(again.engine.calls).toEqual(['delete orders'])
      expect([again.topics.list(), again.committedOffsets.list('g')]).toEqual([[], undefined])
      continue
    }
    if (next === 'delete') await topics.delete('orders')
    else await topics.create({ name: 'orders', partitionCount: 3 })
    expect(committedOffsets.list('g')).toBeUndefined()
    expect(describe((await start(store)).topics)).toEqual(next === 'delete' ? [] : [['orders', 3, {}]])
  }
})

test('a topic that could not be made is not there, and can be made later', async () => {
  const { topics, engine } = await start()
  engine.failNext = new Error('ENOSPC: no space left on device, mkdir')
  expect(await refusal(topics.create({ name: 'orders', partitionCount: 2 }))).toBe(
    'KAFKA_STORAGE_ERROR: Cannot create topic "orders": ENOSPC: no space left on device, mkdir',
  )
  expect(topics.list()).toEqual([])
  expect(engine.partitionCounts.size).toBe(0)
  expect(topics.partitionsLeft).toBe(50_000)
  expect(await topics.create({ name: 'orders', partitionCount: 2 })).toEqual({ created: true })
})

test('a crash at any commit leaves every topic either as it was or as it was to be', async () => {
  let commitsLeft = Number.POSITIVE_INFINITY
  const crashing = () =>
    new MemoryStore({
      beforeWrite: () => (commitsLeft-- > 0 ? Promise.resolve() : Promise.reject(new Error('crash'))),
    })
  const possible = [[], [['orders', 2, {}]], [['orders', 3, {}]]]
  const seen = new Set<string>()
  for (let crashAt = 0; crashAt < 6; crashAt++) {
    commitsLeft = crashAt
    const store = crashing()
    const { topics } = await start(store)
    await refusal(topics.create({ name: 'orders', partitionCount: 2 }))
    await refusal(topics.alter({ name: 'orders', partitionCount: 3 }))
    await refusal(topics.delete('orders'))
    const again = await start(new MemoryStore({ copyOf: store }))
    expect(possible).toContainEqual(describe(again.topics))
    seen.add(JSON.stringify(describe(again.topics)))
  }
  expect(seen.size).toBe(possible.length)
})

test('a row that cannot be read stops the start and is named', async () => {
  for (const [row, reason] of [
    ['', 'Unexpected end of JSON input'],
    ['{}', 'it has no version'],
    ['{"version":2}', 'it has version 2'],
    ['{"version":1}', 'a field is missing'],
  ]) {
    const store = new MemoryStore()
    await store.commit([{ table: 'topics', key: 'orders', value: Buffer.from(row) }])
    await expect(start(store)).rejects.toThrow(`Cannot read the row of topic "orders" in the store: ${reason}`)
  }
})
