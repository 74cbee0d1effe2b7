import { rmSync } from 'node:fs'

import { afterAll, beforeAll, expect, test } from 'vitest'
import { RawClient, rawFrame } from '../support/raw-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

// The operations of the JSON door one by one, over a real socket, by a client that knows nothing but spec.md.

const [CREATE_TOPIC, PRODUCE, FETCH, COMMIT, HEARTBEAT, METADATA, LIST_OFFSETS] = [1, 2, 3, 4, 5, 6, 7]
const [FETCH_OFFSETS, DELETE_TOPIC, ALTER_TOPIC, LIST_GROUPS, DELETE_OFFSETS, DELETE_RECORDS, BROKER_INFO] = [
  8, 9, 10, 11, 12, 13, 14,
]

let broker: WholeBroker
let client: RawClient
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await RawClient.connect(broker.port)
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

const base64 = (text: string) => Buffer.from(text).toString('base64')

async function ask(type: number, payload: unknown) {
  const answer = await client.ask(type, payload)
  expect(answer.type).toBe(type)
  return answer.json
}

/** Makes a topic; its records have any age, and do not expire. */
async function createTopic(topic: string, partitions = 1, config: Record<string, string> = {}) {
  await ask(CREATE_TOPIC, { topic, partitions, config: { 'retention.ms': '-1', ...config } })
}

const produce = (topic: string, partition: number, ...values: string[]) =>
  ask(PRODUCE, { topic, partition, records: values.map((value) => ({ value: base64(value) })) })

test('CREATE_TOPIC is idempotent, and refused when it says something else', async () => {
  expect(await ask(CREATE_TOPIC, { topic: 'created', partitions: 4 })).toEqual({ ok: true, created: true })
  expect(await ask(CREATE_TOPIC, { topic: 'created', partitions: 4 })).toEqual({ ok: true, created: false })
  expect(await ask(CREATE_TOPIC, { topic: 'created', partitions: 5 })).toEqual({
    error: {
      code: 'INVALID_REQUEST',
      message: 'Cannot create topic "created" with 5 partitions: it is there with 4, alter it instead',
    },
  })
})

test('CREATE_TOPIC takes settings', async () => {
  const config = { 'retention.ms': '1d', 'retention.bytes': '1GB' }
  expect(await ask(CREATE_TOPIC, { topic: 'configured', partitions: 1, config })).toEqual({ ok: true, created: true })
  const { topics } = await ask(METADATA, { topics: ['configured'] })
  expect(topics[0].config['retention.ms']).toEqual({ value: '86400000', source: 'topic' })
  expect(topics[0].config['retention.bytes']).toEqual({ value: '1073741824', source: 'topic' })
  expect(topics[0].config['segment.bytes']).toEqual({ value: '67108864', source: 'default' })
})

test('PRODUCE stores records that FETCH gives back as they were', async () => {
  await createTopic('round-trip')
  const records = [
    { key: base64('k'), value: base64('v'), ts: 1_700_000_000_000 },
    { key: '', value: null, ts: 0 },
    {
      value: base64('\u0000\u00ff'),
      ts: 1,
      headers: [
        { key: 'tráce', value: base64('x') },
        { key: '', value: null },
      ],
    },
    { key: null, value: '', ts: 9_007_199_254_740_991 },
    { key: base64('x'.repeat(5000)), value: base64('y'.repeat(5000)), ts: 2, dueAt: 3 },
  ]
  expect(await ask(PRODUCE, { topic: 'round-trip', partition: 0, records })).toEqual({
    topic: 'round-trip',
    partition: 0,
    baseOffset: 0,
    numRecords: 5,
    highWatermark: 5,
  })
  const answer = await ask(FETCH, { topic: 'round-trip', partition: 0, offset: 0, maxBytes: 1_048_576, maxWaitMs: 0 })
  expect(answer).toEqual({
    records: [
      { offset: 0, key: base64('k'), value: base64('v'), ts: 1_700_000_000_000 },
      { offset: 1, key: '', value: null, ts: 0 },
      { offset: 2, key: null, value: records[2].value, ts: 1, headers: records[2].headers },
      { offset: 3, key: null, value: '', ts: 9_007_199_254_740_991 },
      { offset: 4, key: records[4].key, value: records[4].value, ts: 2 },
    ],
    highWatermark: 5,
    logStartOffset: 0,
  })
})

test('PRODUCE gives records without a time the time of the broker', async () => {
  await createTopic('timed')
  const before = Date.now()
  await produce('timed', 0, 'a')
  const { records } = await ask(FETCH, { topic: 'timed', partition: 0, offset: 0 })
  expect(records[0].ts).toBeGreaterThanOrEqual(before)
  expect(records[0].ts).toBeLessThanOrEqual(Date.now())
})

test('PRODUCE to partition -1 goes by key as Kafka goes, and takes turns without one', async () => {
  await createTopic('keyed', 7)
  // From the tests of Kafka's own clients: the murmur2 of these keys.
  const hashes = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536 }
  for (const [key, hash] of Object.entries(hashes)) {
    const answer = await ask(PRODUCE, { topic: 'keyed', partition: -1, records: [{ key: base64(key) }] })
    expect(answer.partition).toBe((hash & 0x7fffffff) % 7)
  }
  const turns: number[] = []
  for (let turn = 0; turn < 8; turn++) {
    const answer = await ask(PRODUCE, {
      topic: 'keyed',
      partition: -1,
      records: [{ value: 'YQ==' }, { value: 'Yg==' }],
    })
    expect(answer.partitions).toBeUndefined()
    expect(answer.numRecords).toBe(2)
    turns.push(answer.partition)
  }
  expect(new Set(turns.slice(0, 7)).size).toBe(7)
  expect(turns[7]).toBe(turns[0])
})

test('PRODUCE to partition -1 lists all partitions that got records, that of the first record first', async () => {
  await createTopic('spread', 3)
  const records = Array.from({ length: 60 }, (_, index) => ({ key: base64(`key ${index}`), value: base64(`${index}`) }))
  const answer = await ask(PRODUCE, { topic: 'spread', partition: -1, records })
  expect(answer.partitions).toHaveLength(3)
  const { partitions, topic, ...first } = answer
  expect(topic).toBe('spread')
  expect(partitions[0]).toEqual(first)
  const found: string[] = []
  for (const { partition, numRecords, baseOffset, highWatermark } of partitions) {
    expect([baseOffset, highWatermark]).toEqual([0, numRecords])
    const fetched = await ask(FETCH, { topic: 'spread', partition, offset: 0 })
    expect(fetched.records).toHaveLength(numRecords)
    const numbers = fetched.records.map((record: { value: string }) => Number(Buffer.from(record.value, 'base64')))
    expect(numbers).toEqual(numbers.toSorted((left: number, right: number) => left - right))
    found.push(...fetched.records.map((record: { key: string }) => record.key))
  }
  expect(found.toSorted()).toEqual(records.map((record) => record.key).toSorted())
})

test('PRODUCE with acks 1, -1 and all is answered, with acks 0 is not', async () => {
  await createTopic('acks')
  for (const [index, acks] of [1, -1, 'all', null].entries()) {
    const answer = await ask(PRODUCE, { topic: 'acks', partition: 0, records: [{ value: 'YQ==' }], acks })
    expect(answer.baseOffset).toBe(index)
  }
  const unanswered = (payload: object) => ({
    acks: 0,
    topic: 'acks',
    partition: 0,
    records: [{ value: 'YQ==' }],
    ...payload,
  })
  const socket = await RawClient.connect(broker.port)
  socket.send(
    Buffer.concat([
      rawFrame(PRODUCE, unanswered({})),
      rawFrame(PRODUCE, unanswered({ topic: 'no such topic' })),
      rawFrame(PRODUCE, unanswered({ partition: 17 })),
      rawFrame(HEARTBEAT, {}),
      rawFrame(PRODUCE, unanswered({ records: 'nonsense' })),
    ]),
  )
  expect(await socket.next()).toMatchObject({ type: HEARTBEAT, json: { ok: true } })
  expect(await socket.next()).toMatchObject({ type: PRODUCE, json: { error: { code: 'INVALID_REQUEST' } } })
  await expect.poll(async () => (await ask(LIST_OFFSETS, { topic: 'acks', timestamp: -1 })).offsets[0].offset).toBe(5)
  socket.close()
})

test('FETCH begins at the latest, the earliest, or any offset in between', async () => {
  await createTopic('positions')
  for (let index = 0; index < 5; index++) await produce('positions', 0, `${index} a`, `${index} b`)
  const offsets = async (offset: number) => {
    const { records } = await ask(FETCH, { topic: 'positions', partition: 0, offset })
    return records.map((record: { offset: number }) => record.offset)
  }
  expect(await offsets(0)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(await offsets(-2)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(await offsets(7)).toEqual([7, 8, 9])
  expect(await offsets(10)).toEqual([])
  expect(await offsets(-1)).toEqual([])
})

test('FETCH keeps to maxBytes, but always gives a record', async () => {
  await createTopic('sized')
  for (let index = 0; index < 10; index++) await produce('sized', 0, 'x'.repeat(10_000))
  const count = async (maxBytes: number | undefined) => {
    const { records } = await ask(FETCH, { topic: 'sized', partition: 0, offset: 0, maxBytes })
    return records.length
  }
  expect(await count(1)).toBe(1)
  expect(await count(30_500)).toBe(3)
  expect(await count(0)).toBe(10)
  expect(await count(undefined)).toBe(10)
  expect(await count(2 ** 40)).toBe(10)
})

test('FETCH outside the log says what the log holds', async () => {
  await createTopic('ranged')
  await produce('ranged', 0, 'a', 'b', 'c')
  expect(await ask(FETCH, { topic: 'ranged', partition: 0, offset: 4 })).toEqual({
    error: {
      code: 'OFFSET_OUT_OF_RANGE',
      message: 'Cannot read topic "ranged", partition 0 from offset 4: the log holds 0 to 2',
    },
  })
  expect(await ask(DELETE_RECORDS, { topic: 'ranged', partition: 0, beforeOffset: 2 })).toEqual({ logStartOffset: 2 })
  for (const offset of [0, 1]) {
    const { error } = await ask(FETCH, { topic: 'ranged', partition: 0, offset })
    expect(error.code).toBe('OFFSET_OUT_OF_RANGE')
    expect(error.message).toContain('the log holds 2 to 2')
  }
  const { records, logStartOffset } = await ask(FETCH, { topic: 'ranged', partition: 0, offset: 2 })
  expect([records.length, logStartOffset]).toEqual([1, 2])
  expect(await ask(DELETE_RECORDS, { topic: 'ranged', partition: 0, beforeOffset: -1 })).toEqual({ logStartOffset: 3 })
  expect((await ask(DELETE_RECORDS, { topic: 'ranged', partition: 0, beforeOffset: 4 })).error.code).toBe(
    'OFFSET_OUT_OF_RANGE',
  )
})

test('unknown topics and partitions are refused by every operation', async () => {
  await createTopic('known', 2)
  const requests: [type: number, payload: object][] = [
    [PRODUCE, { topic: 'known', partition: 2, records: [{ value: 'YQ==' }] }],
    [PRODUCE, { topic: 'unknown', partition: 0, records: [{ value: 'YQ==' }] }],
    [PRODUCE, { topic: 'unknown', partition: -1, records: [{ value: 'YQ==' }] }],
    [FETCH, { topic: 'known', partition: 2, offset: 0 }],
    [FETCH, { topic: 'unknown', partition: 0, offset: 0, maxWaitMs: 60_000 }],
    [COMMIT, { topic: 'known', partition: 2, group: 'g', offset: 0 }],
    [COMMIT, { topic: 'unknown', partition: 0, group: 'g', offset: 0 }],
    [METADATA, { topics: ['known', 'unknown'] }],
    [LIST_OFFSETS, { topic: 'unknown', timestamp: -1 }],
    [LIST_OFFSETS, { topic: 'known', partition: 2, timestamp: -1 }],
    [DELETE_TOPIC, { topic: 'unknown' }],
    [ALTER_TOPIC, { topic: 'unknown', partitions: 2 }],
    [DELETE_RECORDS, { topic: 'known', partition: 2, beforeOffset: 0 }],
  ]
  for (const [type, payload] of requests) {
    expect(await ask(type, payload)).toMatchObject({ error: { code: 'UNKNOWN_TOPIC_OR_PARTITION' } })
  }
})

test('COMMIT is what FETCH_OFFSETS, LIST_GROUPS and DELETE_OFFSETS speak of', async () => {
  await createTopic('committed', 2)
  await createTopic('committed-too')
  await produce('committed', 1, 'a', 'b', 'c')
  expect((await ask(FETCH_OFFSETS, { group: 'billing ñ' })).error.code).toBe('GROUP_ID_NOT_FOUND')
  const commit = (topic: string, partition: number, offset: number) =>
    ask(COMMIT, { topic, partition, group: 'billing ñ', offset })
  expect(await commit('committed', 1, 1)).toEqual({ ok: true })
  expect(await commit('committed', 1, 2)).toEqual({ ok: true })
  expect(await commit('committed-too', 0, 0)).toEqual({ ok: true })
  const common = { committedAt: expect.any(Number), logStartOffset: 0 }
  expect(await ask(FETCH_OFFSETS, { group: 'billing ñ' })).toEqual({
    group: 'billing ñ',
    state: 'Empty',
    members: [],
    offsets: [
      { topic: 'committed', partition: 1, offset: 2, logEndOffset: 3, lag: 1, lagMs: expect.any(Number), ...common },
      { topic: 'committed-too', partition: 0, offset: 0, logEndOffset: 0, lag: 0, lagMs: 0, ...common },
    ],
  })
  expect((await ask(FETCH_OFFSETS, { group: 'billing ñ', topic: 'committed-too' })).offsets).toHaveLength(1)
  expect((await ask(LIST_GROUPS, {})).groups).toContainEqual({
    group: 'billing ñ',
    state: 'Empty',
    members: 0,
    topics: ['committed', 'committed-too'],
    partitions: 2,
    lag: 1,
  })
  expect(await ask(DELETE_OFFSETS, { group: 'billing ñ', topic: 'committed' })).toEqual({ ok: true, deleted: 1 })
  expect(await ask(DELETE_OFFSETS, { group: 'billing ñ' })).toEqual({ ok: true, deleted: 1 })
  expect((await ask(DELETE_OFFSETS, { group: 'billing ñ' })).error.code).toBe('GROUP_ID_NOT_FOUND')
})

test('HEARTBEAT is answered, with and without a payload', async () => {
  for (const payload of [{}, '', { group: 'g' }]) expect(await ask(HEARTBEAT, payload)).toEqual({ ok: true })
})

test('METADATA describes one topic, several, or all', async () => {
  await createTopic('described', 2)
  await produce('described', 1, 'a')
  const { topics, ...about } = await ask(METADATA, { topics: ['described'] })
  expect(about).toEqual({ clusterId: expect.any(String), brokerId: 1, version: expect.any(String) })
  const partition = { leaderEpoch: 0, logStartOffset: 0 }
  expect(topics).toEqual([
    {
      name: 'described',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      partitions: [
        { partition: 0, ...partition, highWatermark: 0, logEndOffset: 0, sizeBytes: 0, segments: 0 },
        { partition: 1, ...partition, highWatermark: 1, logEndOffset: 1, sizeBytes: 69, segments: 1 },
      ],
      config: expect.objectContaining({ 'flush.policy': { value: 'always', source: 'default' } }),
    },
  ])
  const all = (await ask(METADATA, {})).topics.map((topic: { name: string }) => topic.name)
  expect(all).toContain('described')
  expect(all).toEqual(all.toSorted())
  expect((await ask(METADATA, { topics: [] })).topics).toEqual([])
})

test('LIST_OFFSETS finds offsets by time', async () => {
  await createTopic('by-time', 2)
  const records = [10, 30, 20].map((ts) => ({ value: 'YQ==', ts }))
  await ask(PRODUCE, { topic: 'by-time', partition: 0, records })
  const find = async (timestamp: number) => {
    const { offsets } = await ask(LIST_OFFSETS, { topic: 'by-time', partition: 0, timestamp })
    return [offsets[0].offset, offsets[0].timestamp]
  }
  expect(await find(0)).toEqual([0, 10])
  expect(await find(11)).toEqual([1, 30])
  expect(await find(31)).toEqual([-1, -1])
  expect(await find(-1)).toEqual([3, -1])
  expect(await find(-2)).toEqual([0, -1])
  expect(await find(-3)).toEqual([1, 30])
  expect(await ask(LIST_OFFSETS, { topic: 'by-time', timestamp: -1 })).toEqual({
    topic: 'by-time',
    offsets: [
      { partition: 0, offset: 3, timestamp: -1 },
      { partition: 1, offset: 0, timestamp: -1 },
    ],
  })
})

test('ALTER_TOPIC changes settings and adds partitions, or says what it would do', async () => {
  await createTopic('altered', 1, { 'index.interval.bytes': '1KB' })
  const alteration = {
    topic: 'altered',
    partitions: 3,
    set: { 'max.message.bytes': '1MB' },
    unset: ['index.interval.bytes'],
  }
  const changes = [
    { key: 'partitions', from: '1', to: '3' },
    { key: 'max.message.bytes', from: '8388608', to: '1048576' },
    { key: 'index.interval.bytes', from: '1024', to: '4096' },
  ]
  expect(await ask(ALTER_TOPIC, { ...alteration, dryRun: true })).toEqual({ ok: true, changes })
  expect((await ask(PRODUCE, { topic: 'altered', partition: 2, records: [{}] })).error.code).toBe(
    'UNKNOWN_TOPIC_OR_PARTITION',
  )
  expect(await ask(ALTER_TOPIC, alteration)).toEqual({ ok: true, changes })
  expect((await ask(PRODUCE, { topic: 'altered', partition: 2, records: [{}] })).baseOffset).toBe(0)
  expect(await ask(ALTER_TOPIC, alteration)).toEqual({ ok: true, changes: [] })
  expect((await ask(ALTER_TOPIC, { topic: 'altered', partitions: 2 })).error.code).toBe('INVALID_REQUEST')
  expect((await ask(ALTER_TOPIC, { topic: 'altered', set: { 'retention.sm': '1' } })).error.message).toContain(
    'did you mean "retention.ms"?',
  )
})

test('DELETE_TOPIC takes records and committed offsets with it', async () => {
  await createTopic('deleted')
  await produce('deleted', 0, 'a')
  await ask(COMMIT, { topic: 'deleted', partition: 0, group: 'mourners', offset: 1 })
  const waiter = await RawClient.connect(broker.port)
  const parked = waiter.ask(FETCH, { topic: 'deleted', partition: 0, offset: 1, maxWaitMs: 60_000 })
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(1)
  expect(await ask(DELETE_TOPIC, { topic: 'deleted' })).toEqual({ ok: true })
  expect((await parked).json.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  waiter.close()
  expect((await ask(FETCH_OFFSETS, { group: 'mourners' })).error.code).toBe('GROUP_ID_NOT_FOUND')
  await createTopic('deleted')
  expect((await ask(FETCH, { topic: 'deleted', partition: 0, offset: 0 })).records).toEqual([])
})

test('BROKER_INFO says what is running', async () => {
  expect(await ask(BROKER_INFO, {})).toEqual({
    version: expect.any(String),
    clusterId: expect.any(String),
    startedAt: expect.any(Number),
    dataDir: broker.directory,
    flushPolicy: 'always',
    addresses: {
      json: `127.0.0.1:${broker.port}`,
      kafka: `127.0.0.1:${broker.kafkaPort}`,
      http: `127.0.0.1:${broker.httpPort}`,
    },
    status: 'ok',
  })
})

test('records larger than the topic takes are refused', async () => {
  await createTopic('narrow', 1, { 'max.message.bytes': '2KB' })
  const { error } = await produce('narrow', 0, 'x'.repeat(3000))
  expect(error.code).toBe('INVALID_REQUEST')
  expect(error.message).toContain('max.message.bytes')
  expect((await produce('narrow', 0, 'x')).baseOffset).toBe(0)
})

test('everything is still there after the broker was started anew', async () => {
  const { directory } = broker
  const own = await startWholeBroker({ directory: `${directory}-restarted` })
  let raw = await RawClient.connect(own.port)
  await raw.ask(CREATE_TOPIC, { topic: 'kept', partitions: 2, config: { 'retention.ms': '-1' } })
  await raw.ask(PRODUCE, {
    topic: 'kept',
    partition: 1,
    records: [
      { value: 'YQ==', ts: 5 },
      { value: 'Yg==', ts: 6 },
    ],
  })
  await raw.ask(COMMIT, { topic: 'kept', partition: 1, group: 'g', offset: 1 })
  raw.close()
  await own.stop()
  const again = await startWholeBroker({ directory: `${directory}-restarted` })
  raw = await RawClient.connect(again.port)
  expect((await raw.ask(CREATE_TOPIC, { topic: 'kept', partitions: 2 })).json.created).toBe(false)
  expect((await raw.ask(FETCH, { topic: 'kept', partition: 1, offset: 0 })).json.records).toEqual([
    { offset: 0, key: null, value: 'YQ==', ts: 5 },
    { offset: 1, key: null, value: 'Yg==', ts: 6 },
  ])
  expect((await raw.ask(FETCH_OFFSETS, { group: 'g' })).json.offsets[0]).toMatchObject({ offset: 1, lag: 1 })
  raw.close()
  await again.stop()
  rmSync(`${directory}-restarted`, { recursive: true })
})

test('requests, bytes, errors and latencies are counted', async () => {
  const own = await startWholeBroker()
  const raw = await RawClient.connect(own.port)
  await raw.ask(CREATE_TOPIC, { topic: 'counted', partitions: 1 })
  await raw.ask(PRODUCE, { topic: 'counted', partition: 0, records: [{ value: 'YQ==' }] })
  await raw.ask(PRODUCE, { topic: 'uncounted', partition: 0, records: [{ value: 'YQ==' }] })
  await raw.ask(FETCH, { topic: 'counted', partition: 0, offset: 9 })
  await raw.ask(COMMIT, { topic: 'counted', partition: 0, group: 'g', offset: 0 })
  await raw.ask(BROKER_INFO, {})
  await raw.ask(99, {})
  const { metrics } = own
  const requests = (operation: string, result: string) => metrics.requests.child('json', operation, result).value
  expect(requests('produce', 'ok')).toBe(1)
  expect(requests('produce', 'client_error')).toBe(1)
  expect(requests('fetch', 'client_error')).toBe(1)
  expect(requests('broker_info', 'ok')).toBe(1)
  expect(requests('other', 'client_error')).toBe(1)
  expect(metrics.errors.child('UNKNOWN_TOPIC_OR_PARTITION').value).toBe(1)
  expect(metrics.errors.child('OFFSET_OUT_OF_RANGE').value).toBe(1)
  expect(metrics.publishLatencyMs.child('json').count).toBe(1)
  expect(metrics.requestDurationSeconds.child('json', 'produce').count).toBe(2)
  expect(metrics.offsetCommits.child('ok').value).toBe(1)
  expect(metrics.bytes.child('json', 'commit', 'out').value).toBe(5 + '{"ok":true}'.length)
  expect(metrics.bytes.child('json', 'commit', 'in').value).toBe(
    5 + JSON.stringify({ topic: 'counted', partition: 0, group: 'g', offset: 0 }).length,
  )
  expect(metrics.tcpConnections.child('json').value).toBe(1)
  raw.close()
  await own.stop()
})
