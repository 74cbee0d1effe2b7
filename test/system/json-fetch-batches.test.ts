import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { buildBatch, compressBatch } from '../support/batches.ts'
import {
  ALTER_TOPIC,
  CREATE_TOPIC,
  DELETE_RECORDS,
  DELETE_TOPIC,
  FETCH_BATCHES,
  HEARTBEAT,
  METADATA,
} from '../support/frame-types.ts'
import { fetchBatches, produceBatches, readBatches, readMetrics } from '../support/json-batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { KafkaProducer } from '../support/kafka-producer.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

// Consumers that take record batches as they are, of many partitions at once, through the JSON door.

let broker: WholeBroker
let client: RawClient
let kafka: KafkaClient
let lastName = 0
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await RawClient.connect(broker.port)
  kafka = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(async () => {
  client.close()
  kafka.close()
  await broker.stop()
})

async function createTopic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
  const topic = `fetched-${++lastName}`
  const { json } = await client.ask(CREATE_TOPIC, { topic, partitions, config })
  expect(json).toEqual({ ok: true, created: true })
  return topic
}

const batchOf = (...values: string[]) => buildBatch(values.map((value) => ({ value, timestamp: Date.now() })))
const produce = (topic: string, partition: number, ...values: string[]) =>
  produceBatches(client, [{ topic, partition, batch: batchOf(...values) }])

async function produceByKafka(topic: string, partition: number, ...values: string[]): Promise<void> {
  const topicData = [{ name: topic, partitionData: [{ index: partition, records: batchOf(...values) }] }]
  const { responses } = await kafka.ask(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 5_000, topicData })
  expect(responses[0].partitionResponses[0].errorCode).toBe(0)
}

const ask = async (request: object) => (await client.ask(FETCH_BATCHES, request)).json

test('partitions come with their batches and bounds, in the order of the request, without those that have no news', async () => {
  const [one, other] = [await createTopic(2), await createTopic()]
  await produce(one, 1, 'a', 'b')
  await produce(one, 1, 'c')
  await produce(other, 0, 'z')
  const { partitions } = await ask({
    partitions: [
      { topic: other, partition: 0, offset: 0 },
      { topic: one, partition: 0, offset: 0 },
      { topic: one, partition: 1, offset: 1 },
    ],
  })
  const batches = expect.any(String)
  expect(partitions).toEqual([
    { topic: other, partition: 0, highWatermark: 1, logStartOffset: 0, batches },
    { topic: one, partition: 1, highWatermark: 3, logStartOffset: 0, batches },
  ])
  expect(readBatches(partitions[0].batches, 0)).toMatchObject({ values: ['z'], nextOffset: 1 })
  // The first batch begins before the offset that was asked for.
  expect(readBatches(partitions[1].batches, 1)).toMatchObject({ values: ['b', 'c'], nextOffset: 3 })
  expect(await ask({ partitions: [{ topic: one, partition: 1, offset: 3 }] })).toEqual({ partitions: [] })
})

test('batches come as they were sent, byte for byte, whatever their codec', async () => {
  const topic = await createTopic()
  const sent = (['none', 'gzip', 'zstd'] as const).map((codec) => compressBatch(batchOf('x'.repeat(500)), codec))
  for (const batch of sent) await produceBatches(client, [{ topic, partition: 0, batch }])
  const { partitions } = await ask({ partitions: [{ topic, partition: 0, offset: 0 }] })
  const bytes = Buffer.from(partitions[0].batches, 'base64')
  let at = 0
  for (const batch of sent) {
    // What the broker sets lies before the magic byte.
    expect(bytes.subarray(at + 16, at + batch.length)).toEqual(batch.subarray(16))
    at += batch.length
  }
  expect(at).toBe(bytes.length)
})

test('errors stand at their partitions, and nobody waits with them', async () => {
  const topic = await createTopic(2)
  await produce(topic, 0, 'a', 'b', 'c')
  await client.ask(DELETE_RECORDS, { topic, partition: 0, beforeOffset: 2 })
  const wishes = [
    { topic, partition: 0, offset: 2 },
    { topic: 'never-made', partition: 0, offset: 0 },
    { topic, partition: 7, offset: 0 },
    { topic, partition: 1, offset: 5 },
  ]
  const { partitions } = await ask({ partitions: wishes, maxWaitMs: 60_000, minBytes: 1_000_000 })
  expect(partitions[0]).toMatchObject({ topic, partition: 0, highWatermark: 3, logStartOffset: 2 })
  const refused = (partition: number, code: string, message: string, name = topic) => ({
    topic: name,
    partition,
    error: { code, message },
  })
  expect(partitions.slice(1)).toEqual([
    refused(0, 'UNKNOWN_TOPIC_OR_PARTITION', 'There is no topic "never-made", create it first', 'never-made'),
    refused(7, 'UNKNOWN_TOPIC_OR_PARTITION', `Topic "${topic}" has no partition 7: it has 0 to 1`),
    refused(
      1,
      'OFFSET_OUT_OF_RANGE',
      `Cannot read topic "${topic}", partition 1 from offset 5: the log is empty and goes on at 0`,
    ),
  ])
  const early = await ask({ partitions: [{ topic, partition: 0, offset: 0 }], maxWaitMs: 60_000 })
  expect(early.partitions).toEqual([
    refused(0, 'OFFSET_OUT_OF_RANGE', `Cannot read topic "${topic}", partition 0 from offset 0: the log holds 2 to 2`),
  ])
})

test('aborted transactions look like control batches, and an open one ends the answer', async () => {
  const topic = await createTopic()
  const producer = await KafkaProducer.connect(broker.kafkaPort, `of ${topic}`)
  await producer.init()
  const transact = async (value: string) => {
    expect(await producer.addPartitions([topic, 0])).toBe('NONE')
    expect(await producer.produce(topic, 0, [value])).toBe('NONE')
  }
  await transact('committed')
  await producer.end(true)
  await transact('aborted')
  await producer.end(false)
  await produce(topic, 0, 'between')
  await transact('open')
  await produce(topic, 0, 'behind')
  // Offsets: committed 0, its marker 1, aborted 2, its marker 3, between 4.
  expect(await fetchBatches(client, topic)).toMatchObject({ values: ['committed', 'between'], nextOffset: 5 })
  expect(await fetchBatches(client, topic, { offset: 2 })).toMatchObject({ values: ['between'], nextOffset: 5 })

  const waiting = fetchBatches(await waiter(), topic, { offset: 5, maxWaitMs: 60_000 })
  await producer.end(true)
  expect(await waiting).toMatchObject({ values: ['open', 'behind'], nextOffset: 8 })
  producer.close()
})

const waiters: RawClient[] = []
afterAll(() => waiters.forEach((one) => one.close()))

/** Another connection, for what waits. */
async function waiter(): Promise<RawClient> {
  const connected = await RawClient.connect(broker.port)
  waiters.push(connected)
  return connected
}

test('a fetch of several partitions waits, and news of any of them wakes it, from whatever door', async () => {
  const topic = await createTopic(3)
  await produce(topic, 1, 'old')
  const wishes = [0, 1, 2].map((partition) => ({ topic, partition, offset: partition === 1 ? 1 : 0 }))
  const fetching = await waiter()
  for (const [index, send] of [produceByKafka, produce].entries()) {
    const partitions = wishes.map((wish) => ({ ...wish, offset: wish.offset + (wish.partition === 2 ? index : 0) }))
    const answered = fetching.ask(FETCH_BATCHES, { partitions, maxWaitMs: 60_000 })
    await isWaiting(1)
    await send(topic, 2, `news ${index}`)
    const { json } = await answered
    expect(json.partitions).toHaveLength(1)
    expect(json.partitions[0]).toMatchObject({ topic, partition: 2, highWatermark: index + 1 })
    expect(readBatches(json.partitions[0].batches, index).values).toEqual([`news ${index}`])
  }
})

/** Waits until so many fetches wait. */
async function isWaiting(count: number, { httpPort } = broker): Promise<void> {
  const countWaiting = async () => (await readMetrics(httpPort))('cafelog_fetch_waiting ')
  await expect.poll(countWaiting, { interval: 5, timeout: 5_000 }).toBe(count)
}

test('it waits for minBytes, and answers with less when the time is over', async () => {
  const topic = await createTopic(2)
  const fetching = await waiter()
  const partitions = [0, 1].map((partition) => ({ topic, partition, offset: 0 }))
  const answered = fetching.ask(FETCH_BATCHES, { partitions, minBytes: 600, maxWaitMs: 60_000 })
  await isWaiting(1)
  await produce(topic, 0, 'x'.repeat(300))
  await isWaiting(1)
  expect(fetching.pendingFrames).toBe(0)
  await produce(topic, 1, 'y'.repeat(300))
  expect((await answered).json.partitions).toHaveLength(2)
  expect(
    (await fetching.ask(FETCH_BATCHES, { partitions, minBytes: 6_000, maxWaitMs: 20 })).json.partitions,
  ).toHaveLength(2)
  const atEnd = partitions.map((wish) => ({ ...wish, offset: 1 }))
  expect((await fetching.ask(FETCH_BATCHES, { partitions: atEnd, maxWaitMs: 20 })).json).toEqual({ partitions: [] })
})

test('a topic that is deleted ends the wait, and other requests go on meanwhile', async () => {
  const topic = await createTopic()
  const fetching = await waiter()
  fetching.send(rawFrame(FETCH_BATCHES, { partitions: [{ topic, partition: 0, offset: 0 }], maxWaitMs: 60_000 }))
  // Its answer has to wait, its effect does not.
  fetching.send(rawFrame(ALTER_TOPIC, { topic, partitions: 2 }))
  await isWaiting(1)
  await expect
    .poll(async () => (await client.ask(METADATA, { topics: [topic] })).json.topics[0].partitions.length)
    .toBe(2)
  await client.ask(DELETE_TOPIC, { topic })
  expect((await fetching.next())?.json.partitions[0].error.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  expect((await fetching.next())?.json.ok).toBe(true)
})

test('a client that goes away while it waits leaves nothing behind', async () => {
  const topic = await createTopic()
  const gone = await RawClient.connect(broker.port)
  gone.send(rawFrame(FETCH_BATCHES, { partitions: [{ topic, partition: 0, offset: 0 }], maxWaitMs: 60_000 }))
  await isWaiting(1)
  gone.close()
  await isWaiting(0)
  await produce(topic, 0, 'a')
  expect((await fetchBatches(client, topic)).values).toEqual(['a'])
})

test('maxBytes cuts between batches, of the whole and of each partition, and the first batch always comes', async () => {
  const topic = await createTopic(3)
  for (const partition of [0, 1, 2])
    for (const value of ['a', 'b', 'c']) await produce(topic, partition, value.repeat(1000))
  const wishes = [0, 1, 2].map((partition) => ({ topic, partition, offset: 0 }))
  const sizesOf = async (request: object): Promise<number[]> =>
    (await ask(request)).partitions.map(({ batches }: { batches: string }) => readBatches(batches, 0).sizes.length)
  expect(await sizesOf({ partitions: wishes })).toEqual([3, 3, 3])
  expect(await sizesOf({ partitions: wishes.map((wish) => ({ ...wish, maxBytes: 2_500 })) })).toEqual([2, 2, 2])
  expect(await sizesOf({ partitions: wishes, maxBytes: 5_500 })).toEqual([3, 2])
  expect(await sizesOf({ partitions: wishes, maxBytes: 1 })).toEqual([1])
  expect(await sizesOf({ partitions: wishes, maxBytes: 0, minBytes: 0, maxWaitMs: null })).toEqual([3, 3, 3])
})

test('an answer fits into a frame, and what cannot is told', { timeout: 30_000 }, async () => {
  const topic = await createTopic(3, { 'max.message.bytes': '20000000' })
  const values = Array.from({ length: 6 }, (_, index) => String(index).repeat(1_500_000))
  for (const value of values) await produce(topic, 0, value)
  await produceByKafka(topic, 1, 'x'.repeat(9_000_000))
  await produce(topic, 2, 'small')
  const wishes = [0, 1, 2].map((partition) => ({ topic, partition, offset: 0, maxBytes: 100_000_000 }))
  const first = await client.ask(FETCH_BATCHES, { partitions: wishes, maxBytes: 100_000_000 })
  expect(first.text.length).toBeLessThan(10 * 1024 * 1024)
  const { values: read, nextOffset } = readBatches(first.json.partitions[0].batches, 0)
  expect(nextOffset).toBe(4)
  expect(read).toEqual(values.slice(0, 4))
  const rest = await ask({ partitions: [{ ...wishes[0], offset: nextOffset }] })
  expect(readBatches(rest.partitions[0].batches, nextOffset).values[0]).toBe(values[4])

  const { partitions } = await ask({ partitions: [wishes[1], wishes[2]] })
  expect(partitions[0].error.code).toBe('INVALID_REQUEST')
  expect(partitions[0].error.message).toMatch(
    /^Cannot give the batch of topic "fetched-\d+", partition 1 from offset 0, which has 90\d+ bytes: at most 6815744 fit/,
  )
})

const WISH = { topic: 'any', partition: 0, offset: 0 }
const REFUSED: [object, string][] = [
  [{}, 'without "partitions": an array of partitions is needed'],
  [{ partitions: 'all' }, 'with "partitions" "all": an array of partitions is needed'],
  [{ partitions: [] }, 'with 0 partitions in "partitions": 1 to 1000 are needed'],
  [
    { partitions: Array.from({ length: 1001 }, (_, partition) => ({ ...WISH, partition })) },
    'with 1001 partitions in "partitions": 1 to 1000 are needed',
  ],
  [{ partitions: [WISH, null] }, 'with "partitions[1]" null: an object is needed'],
  [{ partitions: [{ ...WISH, topic: 7 }] }, 'with "partitions[0].topic" 7: text is needed'],
  [{ partitions: [{ ...WISH, topic: '' }] }, 'with "partitions[0].topic" "": 1 to 249 letters, digits,'],
  [{ partitions: [{ ...WISH, partition: -1 }] }, 'with "partitions[0].partition" -1: a whole number from 0'],
  [{ partitions: [{ ...WISH, offset: -1 }] }, 'with "partitions[0].offset" -1: a whole number from 0'],
  [{ partitions: [{ ...WISH, offset: undefined }] }, 'without "partitions[0].offset": a whole number from 0'],
  [{ partitions: [{ ...WISH, maxBytes: '1' }] }, 'with "partitions[0].maxBytes" "1": a whole number from 0'],
  [{ partitions: [WISH], maxBytes: -1 }, 'with "maxBytes" -1: a whole number from 0'],
  [{ partitions: [WISH], minBytes: 1.5 }, 'with "minBytes" 1.5: a whole number from 0'],
  [{ partitions: [WISH], maxWaitMs: 'x' }, 'with "maxWaitMs" "x": a whole number from 0'],
  [{ partitions: [WISH, WISH] }, 'with "any", partition 0 again as partitions[1]: a request has each partition once'],
]

test.each(REFUSED.map(([request, message]) => ({ request, message })))(
  'FETCH_BATCHES is refused $message',
  async ({ request, message }) => {
    const json = await ask(request)
    expect(json.error.code).toBe('INVALID_REQUEST')
    expect(json.error.message).toContain(`Cannot take FETCH_BATCHES ${message}`)
  },
)

test('a thousand partitions that are not there are answered in one frame', async () => {
  const topic = 'n'.repeat(249)
  const partitions = Array.from({ length: 1000 }, (_, partition) => ({ topic, partition, offset: 0 }))
  const json = await ask({ partitions })
  expect(json.partitions).toHaveLength(1000)
  expect(new Set(json.partitions.map(({ error }: any) => error.code))).toEqual(new Set(['UNKNOWN_TOPIC_OR_PARTITION']))
  expect((await client.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
})

test('many fetches in a row are answered in order, and the memory for answers is given back', async () => {
  const topic = await createTopic()
  for (const value of ['a', 'b', 'c', 'd']) await produce(topic, 0, value.repeat(500_000))
  const many = await RawClient.connect(broker.port)
  const count = 60
  for (let index = 0; index < count; index++) {
    many.send(rawFrame(FETCH_BATCHES, { partitions: [{ topic, partition: 0, offset: index % 4 }] }))
  }
  for (let index = 0; index < count; index++) {
    const { json } = (await many.next()) ?? {}
    expect(readBatches(json.partitions[0].batches, index % 4).values[0]?.[0]).toBe('abcd'[index % 4])
  }
  many.close()
})

test('a broker that stops answers what waits', async () => {
  const other = await startWholeBroker()
  const fetching = await RawClient.connect(other.port)
  await fetching.ask(CREATE_TOPIC, { topic: 'quiet', partitions: 1 })
  const answered = fetching.ask(FETCH_BATCHES, {
    partitions: [{ topic: 'quiet', partition: 0, offset: 0 }],
    maxWaitMs: 60_000,
  })
  await isWaiting(1, other)
  const stopped = other.stop()
  expect((await answered).json).toEqual({ partitions: [] })
  await stopped
  fetching.close()
})

test('the metrics count requests, errors and bytes', async () => {
  const valueOf = await readMetrics(broker.httpPort)
  const operation = 'protocol="json",operation="fetch_batches"'
  expect(valueOf(`cafelog_requests_total{${operation},result="ok"}`)).toBeGreaterThan(60)
  expect(valueOf(`cafelog_requests_total{${operation},result="client_error"}`)).toBeGreaterThan(15)
  expect(valueOf('cafelog_errors_total{type="OFFSET_OUT_OF_RANGE"}')).toBe(2)
  expect(valueOf('cafelog_bytes_total{protocol="json",endpoint="fetch",direction="out"}')).toBeGreaterThan(1e7)
})
