import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerError } from '../../src/base/broker-error.ts'
import type { RawFrame } from '../support/raw-client.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'
import type { TestBroker } from '../support/start-broker.ts'
import { startTestBroker } from '../support/start-broker.ts'

// Frames, order, waiting and limits of the JSON door, over real sockets, by a client that knows nothing but spec.md.

const [CREATE_TOPIC, PRODUCE, FETCH, COMMIT, HEARTBEAT, METADATA, FETCH_OFFSETS, DELETE_TOPIC] = [
  1, 2, 3, 4, 5, 6, 8, 9,
]
const MIB = 1024 * 1024

let broker: TestBroker
const logged: { fields: { err?: Error }; sentence: string }[] = []
beforeAll(async () => {
  const log = (fields: object, sentence: string) => void logged.push({ fields, sentence })
  broker = await startTestBroker({ logger: { debug() {}, info() {}, warn: log, error: log } })
})
afterAll(() => broker.stop())

async function connect(own = broker): Promise<RawClient> {
  return RawClient.connect(own.port)
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const text = (value: string) => Buffer.from(value, 'base64').toString()

async function createTopic(topic: string, partitions = 1) {
  await broker.broker.topics.create({ name: topic, partitionCount: partitions })
}

async function take(client: RawClient, count: number): Promise<RawFrame[]> {
  const frames: RawFrame[] = []
  for (let index = 0; index < count; index++) {
    const frame = await client.next()
    if (frame === undefined) throw new Error(`the connection closed after ${index} of ${count} answers`)
    frames.push(frame)
  }
  return frames
}

test('frames may be cut anywhere', async () => {
  const requests = (topic: string) =>
    Buffer.concat([
      rawFrame(CREATE_TOPIC, { topic, partitions: 1 }),
      rawFrame(PRODUCE, { topic, partition: 0, records: [{ value: base64('héllo'), ts: 1 }] }),
      rawFrame(FETCH, { topic, partition: 0, offset: 0, maxBytes: 1000, maxWaitMs: 0 }),
      rawFrame(COMMIT, { topic, partition: 0, group: 'g', offset: 1 }),
      rawFrame(HEARTBEAT, ''),
    ])
  const { length } = requests('cut-000')
  const client = await connect()
  for (let cut = 1; cut < length; cut++) {
    const bytes = requests(`cut-${String(cut).padStart(3, '0')}`)
    client.send(bytes.subarray(0, cut))
    // Let the first part be read on its own.
    await new Promise((resolve) => setImmediate(resolve))
    client.send(bytes.subarray(cut))
    const answers = await take(client, 5)
    expect(answers.map(({ type }) => type)).toEqual([1, 2, 3, 4, 5])
    expect(answers.map(({ json }) => json.error)).toEqual(Array(5).fill(undefined))
    expect(answers[2].json.records).toEqual([{ offset: 0, key: null, value: base64('héllo'), ts: 1 }])
  }
  const bytes = requests('cut-all')
  for (const byte of bytes) {
    client.send(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect((await take(client, 5)).map(({ type }) => type)).toEqual([1, 2, 3, 4, 5])
  client.close()
}, 60_000)

test('a hundred requests in one write take effect and are answered in their order', async () => {
  const client = await connect()
  const requests: [type: number, payload: unknown, check: (json: RawFrame['json']) => void][] = []
  const add = (type: number, payload: unknown, check: (json: RawFrame['json']) => void) =>
    requests.push([type, payload, check])
  for (let round = 0; round < 10; round++) {
    const topic = `pipelined-${round}`
    const produce = (value: string) => ({ topic, partition: 0, records: [{ value: base64(value) }] })
    add(CREATE_TOPIC, { topic, partitions: 1 }, (json) => expect(json).toEqual({ ok: true, created: true }))
    add(PRODUCE, produce('a'), (json) => expect(json.baseOffset).toBe(0))
    add(PRODUCE, produce('b'), (json) => expect(json.baseOffset).toBe(1))
    add(FETCH, { topic, partition: 0, offset: 0 }, (json) =>
      expect(json.records.map((record: { value: string }) => text(record.value))).toEqual(['a', 'b']),
    )
    add(COMMIT, { topic, partition: 0, group: 'g', offset: 1 }, (json) => expect(json).toEqual({ ok: true }))
    add(COMMIT, { topic, partition: 0, group: 'g', offset: 2 }, (json) => expect(json).toEqual({ ok: true }))
    add(FETCH_OFFSETS, { group: 'g', topic }, (json) => expect(json.offsets[0].offset).toBe(2))
    add(PRODUCE, { ...produce('c'), partition: 9 }, (json) => expect(json.error.code).toMatch(/^UNKNOWN_TOPIC/))
    add(200, {}, (json) => expect(json.error.code).toBe('INVALID_REQUEST'))
    const isDeleted = round % 2 === 1
    if (isDeleted) add(DELETE_TOPIC, { topic }, (json) => expect(json).toEqual({ ok: true }))
    else add(HEARTBEAT, {}, (json) => expect(json).toEqual({ ok: true }))
  }
  expect(requests).toHaveLength(100)
  client.send(Buffer.concat(requests.map(([type, payload]) => rawFrame(type, payload))))
  const answers = await take(client, 100)
  for (const [index, [type, , check]] of requests.entries()) {
    expect(answers[index].type).toBe(type)
    check(answers[index].json)
  }
  const left = (await client.ask(METADATA, {})).json.topics.map((topic: { name: string }) => topic.name)
  expect(left).toContain('pipelined-8')
  expect(left).not.toContain('pipelined-9')
  client.close()
})

test('many PRODUCEs in flight keep their order and share syncs', async () => {
  await createTopic('in-flight')
  const client = await connect()
  const requests = Array.from({ length: 3000 }, (_, index) =>
    rawFrame(PRODUCE, { topic: 'in-flight', partition: 0, records: [{ value: base64(String(index)) }] }),
  )
  const syncsBefore = broker.metrics.fsyncDurationSeconds.count
  client.send(Buffer.concat(requests))
  const answers = await take(client, 3000)
  expect(answers.map(({ json }) => json.baseOffset)).toEqual(Array.from({ length: 3000 }, (_, index) => index))
  const syncs = broker.metrics.fsyncDurationSeconds.count - syncsBefore
  expect(syncs).toBeGreaterThan(0)
  expect(syncs).toBeLessThan(500)
  const { json } = await client.ask(FETCH, { topic: 'in-flight', partition: 0, offset: 0 })
  const values = json.records.map((record: { value: string }) => text(record.value))
  expect(values).toEqual(Array.from({ length: values.length }, (_, index) => String(index)))
  client.close()
})

test('a FETCH that waits holds up answers, not effects', async () => {
  await createTopic('overtaken')
  const client = await connect()
  client.send(
    Buffer.concat([
      rawFrame(FETCH, { topic: 'overtaken', partition: 0, offset: 0, maxWaitMs: 60_000 }),
      rawFrame(HEARTBEAT, {}),
      rawFrame(PRODUCE, { topic: 'overtaken', partition: 0, records: [{ value: base64('x') }] }),
      rawFrame(FETCH, { topic: 'overtaken', partition: 0, offset: 0 }),
    ]),
  )
  const answers = await take(client, 4)
  expect(answers.map(({ type }) => type)).toEqual([FETCH, HEARTBEAT, PRODUCE, FETCH])
  expect(answers[0].json.records).toHaveLength(1)
  expect(answers[3].json.records).toHaveLength(1)
  client.close()
})

test('a frame over 10 MiB is refused and its connection closed, while others go on', async () => {
  await createTopic('beside')
  for (const type of [PRODUCE, FETCH, 99]) {
    const client = await connect()
    const other = await connect()
    const header = Buffer.from([type, 0, 0, 0, 0])
    header.writeUInt32BE(10 * MIB + 1, 1)
    client.send(Buffer.concat([rawFrame(HEARTBEAT, {}), header]))
    for (let sent = 0; sent < 10; sent++) client.send(Buffer.alloc(MIB, 'x'))
    const answers = await take(client, 2)
    expect(answers.map((answer) => answer.type)).toEqual([HEARTBEAT, type])
    expect(answers[1].json).toEqual({
      error: {
        code: 'INVALID_REQUEST',
        message: 'Cannot take a frame with a payload of 10485761 bytes: at most 10485760 are allowed',
      },
    })
    await expect.poll(() => client.isEnded).toBe(true)
    expect(client.error).toBeUndefined()
    expect((await other.ask(PRODUCE, { topic: 'beside', partition: 0, records: [{}] })).json.error).toBeUndefined()
    client.close()
    other.close()
  }
})

test('a length of 2^32 - 1 costs nothing', async () => {
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect()))
  const before = process.memoryUsage().rss
  for (const client of clients) client.send(Buffer.from([PRODUCE, 0xff, 0xff, 0xff, 0xff, 0x7b]))
  for (const client of clients) expect((await client.next())?.json.error.code).toBe('INVALID_REQUEST')
  const announcing = await Promise.all(Array.from({ length: 200 }, () => connect()))
  for (const client of announcing) client.send(Buffer.from([PRODUCE, 0x00, 0xa0, 0x00, 0x00, 0x7b]))
  const other = await connect()
  await other.ask(HEARTBEAT, {})
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB)
  for (const client of [...clients, ...announcing, other]) client.close()
})

test('a frame of exactly 10 MiB goes in, and its record comes out', async () => {
  await createTopic('largest')
  const client = await connect()
  const wrap = (value: string) => `{"topic":"largest","partition":0,"records":[{"value":"${value}","ts":1}]}`
  const room = 10 * MIB - 512
  const value = Buffer.alloc(Math.floor(room / 4) * 3, 'v').toString('base64')
  const payload = wrap(value).padEnd(10 * MIB, ' ')
  expect(Buffer.byteLength(payload)).toBe(10 * MIB)
  const produced = await client.ask(PRODUCE, payload)
  expect(produced.json).toMatchObject({ baseOffset: 0, numRecords: 1 })
  const fetched = await client.ask(FETCH, { topic: 'largest', partition: 0, offset: 0, maxBytes: 1000 })
  expect(fetched.json.records).toHaveLength(1)
  expect(fetched.json.records[0].value === value).toBe(true)
  expect(Buffer.byteLength(fetched.text)).toBeLessThanOrEqual(10 * MIB)
  client.close()
})

test('FETCH of many small records stays within a frame and goes on from there', async () => {
  await createTopic('tiny')
  const client = await connect()
  const records = Array.from({ length: 50_000 }, () => ({ ts: 1_700_000_000_000 }))
  for (let batch = 0; batch < 4; batch++) await client.ask(PRODUCE, { topic: 'tiny', partition: 0, records })
  let offset = 0
  let answers = 0
  while (offset < 200_000) {
    const answer = await client.ask(FETCH, { topic: 'tiny', partition: 0, offset, maxBytes: 100 * MIB })
    expect(Buffer.byteLength(answer.text)).toBeLessThanOrEqual(10 * MIB)
    for (const record of answer.json.records) {
      if (record.offset !== offset++) throw new Error(`offset ${record.offset} where ${offset - 1} should be`)
    }
    answers++
  }
  expect(answers).toBeGreaterThan(1)
  client.close()
})

test('FETCH waits for the PRODUCE, no longer than it said, and not at all if there is something', async () => {
  await createTopic('awaited')
  const client = await connect()
  const producer = await connect()
  const fetch = { topic: 'awaited', partition: 0, offset: 0, maxBytes: 1000 }
  const began = performance.now()
  expect((await client.ask(FETCH, { ...fetch, maxWaitMs: 50 })).json).toEqual({
    records: [],
    highWatermark: 0,
    logStartOffset: 0,
  })
  expect(performance.now() - began).toBeGreaterThanOrEqual(45)
  const parked = client.ask(FETCH, { ...fetch, maxWaitMs: 60_000 })
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(1)
  await producer.ask(PRODUCE, { topic: 'awaited', partition: 0, records: [{ value: base64('x') }] })
  expect((await parked).json.records).toHaveLength(1)
  expect((await client.ask(FETCH, { ...fetch, maxWaitMs: 60_000 })).json.records).toHaveLength(1)
  const latest = client.ask(FETCH, { ...fetch, offset: -1, maxWaitMs: 60_000 })
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(1)
  await producer.ask(PRODUCE, { topic: 'awaited', partition: 0, records: [{ value: base64('y') }] })
  expect((await latest).json.records.map((record: { offset: number }) => record.offset)).toEqual([1])
  client.close()
  producer.close()
})

test('FETCH with minBytes waits until so much is there', async () => {
  await createTopic('awaited-bytes')
  const client = await connect()
  const producer = await connect()
  const produce = () =>
    producer.ask(PRODUCE, { topic: 'awaited-bytes', partition: 0, records: [{ value: base64('x'.repeat(1000)) }] })
  const parked = client.ask(FETCH, {
    topic: 'awaited-bytes',
    partition: 0,
    offset: 0,
    minBytes: 2500,
    maxWaitMs: 60_000,
  })
  await produce()
  await produce()
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(1)
  await produce()
  expect((await parked).json.records).toHaveLength(3)
  client.close()
  producer.close()
})

test('a thousand waiting FETCHes are answered by one PRODUCE', async () => {
  await createTopic('crowded')
  const fetch = rawFrame(FETCH, { topic: 'crowded', partition: 0, offset: 0, maxWaitMs: 60_000 })
  const clients = await Promise.all(Array.from({ length: 500 }, () => connect()))
  for (const client of clients) client.send(fetch)
  const pipelining = await connect()
  pipelining.send(Buffer.concat(Array.from({ length: 500 }, () => fetch)))
  await expect.poll(() => broker.metrics.fetchWaiting.value, { timeout: 10_000 }).toBe(1000)
  const producer = await connect()
  const began = performance.now()
  await producer.ask(PRODUCE, { topic: 'crowded', partition: 0, records: [{ value: base64('x') }] })
  const answers = [...(await Promise.all(clients.map((client) => client.next()))), ...(await take(pipelining, 500))]
  expect(performance.now() - began).toBeLessThan(10_000)
  for (const answer of answers) expect(answer?.json.records).toHaveLength(1)
  expect(broker.metrics.fetchWaiting.value).toBe(0)
  for (const client of [...clients, pipelining, producer]) client.close()
}, 30_000)

test('a connection that goes takes its waiting FETCHes with it', async () => {
  await createTopic('abandoned')
  const fetch = rawFrame(FETCH, { topic: 'abandoned', partition: 0, offset: 0, maxWaitMs: 60_000 })
  const reset = await connect()
  const finished = await connect()
  for (const client of [reset, finished]) client.send(Buffer.concat([fetch, fetch]))
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(4)
  reset.socket.resetAndDestroy()
  await expect.poll(() => broker.metrics.fetchWaiting.value).toBe(2)
  finished.socket.end()
  const answers = await take(finished, 2)
  expect(answers.map(({ json }) => json.records)).toEqual([[], []])
  expect(broker.metrics.fetchWaiting.value).toBe(0)
  await expect.poll(() => finished.isClosed).toBe(true)
})

test('a client that sends all and finishes its side gets all answers', async () => {
  await createTopic('half-open')
  const client = await connect()
  const produce = rawFrame(PRODUCE, { topic: 'half-open', partition: 0, records: [{ value: base64('x') }] })
  client.socket.end(
    Buffer.concat([
      ...Array.from({ length: 20 }, () => produce),
      rawFrame(FETCH, { topic: 'half-open', partition: 0, offset: 19 }),
      rawFrame(COMMIT, { topic: 'half-open', partition: 0, group: 'half-open', offset: 20 }),
      rawFrame(FETCH_OFFSETS, { group: 'half-open' }),
      rawFrame(HEARTBEAT, {}),
    ]),
  )
  const answers = await take(client, 24)
  expect(answers[20].json.records).toHaveLength(1)
  expect(answers[22].json.offsets[0].offset).toBe(20)
  expect(answers[23].json).toEqual({ ok: true })
  await expect.poll(() => client.isClosed).toBe(true)
  expect(client.error).toBeUndefined()
})

test('clients that do not read what they fetch cost bounded memory', async () => {
  await createTopic('slow')
  const producer = await connect()
  const records = Array.from({ length: 8 }, () => ({ value: Buffer.alloc(128 * 1024, 'x').toString('base64') }))
  for (let batch = 0; batch < 4; batch++) await producer.ask(PRODUCE, { topic: 'slow', partition: 0, records })
  const fetch = rawFrame(FETCH, { topic: 'slow', partition: 0, offset: 0, maxBytes: 4 * MIB })
  const before = process.memoryUsage().rss
  const slow = await Promise.all(Array.from({ length: 40 }, () => connect()))
  for (const client of slow) {
    client.socket.pause()
    client.send(Buffer.concat(Array.from({ length: 50 }, () => fetch)))
  }
  // Once these are answered, everything before them was taken or made to wait.
  for (let round = 0; round < 20; round++) {
    expect((await producer.ask(FETCH, { topic: 'slow', partition: 0, offset: 0 })).json.records.length).toBeGreaterThan(
      0,
    )
  }
  // 40 clients asked for 11 GB. Of each, one answer is started whatever the others do.
  expect(process.memoryUsage().rss - before).toBeLessThan(700 * MIB)
  for (const client of slow) client.close()
  await expect.poll(() => broker.listener.connectionCount).toBe(1)
  producer.close()
}, 60_000)

test('names that look like paths or like parts of objects do no harm', async () => {
  const client = await connect()
  const long = 'x'.repeat(300)
  for (const topic of ['../x', 'a/b', '..', '.', '', long, 'a\u0000b', 'ñ', '@store', 'a b', '%2e%2e', 'C:\\x']) {
    expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json.error.code).toBe('INVALID_REQUEST')
    const produced = await client.ask(PRODUCE, { topic, partition: 0, records: [{}] })
    expect(produced.json.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    const fetched = await client.ask(FETCH, { topic, partition: 0, offset: 0 })
    expect(fetched.json.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  }
  for (const topic of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const unknown = await client.ask(FETCH, { topic, partition: 0, offset: 0 })
    expect(unknown.json.error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json).toEqual({ ok: true, created: true })
    const produced = await client.ask(PRODUCE, { topic, partition: -1, records: [{ value: base64(topic) }] })
    expect(produced.json).toMatchObject({ topic, baseOffset: 0 })
    expect((await client.ask(COMMIT, { topic, partition: 0, group: '__proto__', offset: 1 })).json).toEqual({
      ok: true,
    })
    const fetched = await client.ask(FETCH, { topic, partition: 0, offset: 0 })
    expect(text(fetched.json.records[0].value)).toBe(topic)
  }
  const { json } = await client.ask(FETCH_OFFSETS, { group: '__proto__' })
  expect(json.offsets.map((offset: { topic: string }) => offset.topic)).toEqual([
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toString',
  ])
  client.close()
})

test('a mistake of the broker fails one request, is logged, and nothing else', async () => {
  const client = await connect()
  const { topics } = broker.broker
  const create = topics.create.bind(topics)
  topics.create = () => {
    throw new TypeError('secret')
  }
  try {
    const answer = await client.ask(CREATE_TOPIC, { topic: 'mistaken', partitions: 1 })
    expect(answer.json).toEqual({
      error: { code: 'INTERNAL_IO_ERROR', message: 'The broker made a mistake; its log says more' },
    })
  } finally {
    topics.create = create
  }
  expect(logged.at(-1)?.fields.err?.stack).toContain('secret')
  expect((await client.ask(CREATE_TOPIC, { topic: 'mistaken', partitions: 1 })).json.ok).toBe(true)
  client.close()
})

test('a disk that refuses is INTERNAL_IO_ERROR, at once or later', async () => {
  await createTopic('refused')
  const client = await connect()
  const produce = () => client.ask(PRODUCE, { topic: 'refused', partition: 0, records: [{ value: base64('x') }] })
  const original = broker.broker.produce.bind(broker.broker)
  const full = new BrokerError('KAFKA_STORAGE_ERROR', 'Cannot append to topic "refused", partition 0: the disk is full')
  try {
    broker.broker.produce = () => {
      throw full
    }
    expect((await produce()).json).toEqual({ error: { code: 'INTERNAL_IO_ERROR', message: full.message } })
    broker.broker.produce = (_log, _batch, _count, _acks, waiter) => {
      queueMicrotask(() => waiter?.appended(full))
      return 0
    }
    expect((await produce()).json).toEqual({ error: { code: 'INTERNAL_IO_ERROR', message: full.message } })
  } finally {
    broker.broker.produce = original
  }
  expect((await produce()).json.baseOffset).toBe(0)
  client.close()
})

test('a PRODUCE that some partitions refuse says which', async () => {
  await createTopic('partly', 3)
  const client = await connect()
  const records = Array.from({ length: 30 }, (_, index) => ({ key: base64(`key ${index}`) }))
  const original = broker.broker.produce.bind(broker.broker)
  try {
    broker.broker.produce = (log, batch, count, acks, waiter) => {
      if (log.partition === 1) throw new BrokerError('KAFKA_STORAGE_ERROR', 'no room')
      return original(log, batch, count, acks, waiter)
    }
    const { json } = await client.ask(PRODUCE, { topic: 'partly', partition: -1, records })
    expect(json.error.code).toBe('INTERNAL_IO_ERROR')
    expect(json.error.message).toMatch(/^Cannot store all records in topic "partly": no room; those for partitions/)
    const byPartition = json.partitions.toSorted(
      (left: { partition: number }, right: { partition: number }) => left.partition - right.partition,
    )
    expect(byPartition).toEqual([
      { partition: 0, baseOffset: 0, numRecords: expect.any(Number), highWatermark: expect.any(Number) },
      { partition: 1, error: { code: 'INTERNAL_IO_ERROR', message: 'no room' } },
      { partition: 2, baseOffset: 0, numRecords: expect.any(Number), highWatermark: expect.any(Number) },
    ])
    broker.broker.produce = () => {
      throw new BrokerError('MESSAGE_TOO_LARGE', 'too large')
    }
    const refused = await client.ask(PRODUCE, { topic: 'partly', partition: -1, records })
    expect(refused.json).toEqual({ error: { code: 'INVALID_REQUEST', message: 'too large' } })
  } finally {
    broker.broker.produce = original
  }
  client.close()
})

test('a broker that stops answers what is in flight and what waits', async () => {
  const own = await startTestBroker()
  await own.broker.topics.create({ name: 'stopping', partitionCount: 1 })
  const client = await connect(own)
  client.send(
    Buffer.concat([
      rawFrame(PRODUCE, { topic: 'stopping', partition: 0, records: [{ value: base64('x') }] }),
      rawFrame(FETCH, { topic: 'stopping', partition: 0, offset: 1, maxWaitMs: 60_000 }),
    ]),
  )
  await expect.poll(() => own.metrics.fetchWaiting.value).toBe(1)
  const stopped = own.stop()
  const answers = await take(client, 2)
  expect(answers[0].json.baseOffset).toBe(0)
  expect(answers[1].json).toEqual({ records: [], highWatermark: 1, logStartOffset: 0 })
  await stopped
  expect(client.isEnded).toBe(true)
  client.close()
})

test('a broker with too many connections says so', async () => {
  const own = await startTestBroker({ connectionsMax: 1 })
  const first = await connect(own)
  await first.ask(HEARTBEAT, {})
  const second = await connect(own)
  expect((await second.ask(METADATA, {})).json).toEqual({
    error: {
      code: 'INTERNAL_IO_ERROR',
      message: 'Cannot serve another connection: 1 are open, and no more are allowed',
    },
  })
  await expect.poll(() => second.isEnded).toBe(true)
  expect((await first.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
  first.close()
  second.close()
  await own.stop()
})
