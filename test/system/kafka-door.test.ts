import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ResponseOf } from '../../src/protocols/kafka/api.ts'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { Metadata } from '../../src/protocols/kafka/apis/03-metadata.ts'
import { ApiVersions } from '../../src/protocols/kafka/apis/18-api-versions.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { DeleteTopics } from '../../src/protocols/kafka/apis/20-delete-topics.ts'
import { DeleteRecords } from '../../src/protocols/kafka/apis/21-delete-records.ts'
import { OffsetForLeaderEpoch } from '../../src/protocols/kafka/apis/23-offset-for-leader-epoch.ts'
import { DescribeAcls } from '../../src/protocols/kafka/apis/29-describe-acls.ts'
import { DescribeConfigs } from '../../src/protocols/kafka/apis/32-describe-configs.ts'
import { AlterConfigs } from '../../src/protocols/kafka/apis/33-alter-configs.ts'
import { DescribeLogDirs } from '../../src/protocols/kafka/apis/35-describe-log-dirs.ts'
import { CreatePartitions } from '../../src/protocols/kafka/apis/37-create-partitions.ts'
import { IncrementalAlterConfigs } from '../../src/protocols/kafka/apis/44-incremental-alter-configs.ts'
import { DescribeCluster } from '../../src/protocols/kafka/apis/60-describe-cluster.ts'
import { DescribeTopicPartitions } from '../../src/protocols/kafka/apis/75-describe-topic-partitions.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { decodeRecords, getBatchBytes } from '../../src/record/record-batch.ts'
import { encodeRequest, KafkaClient, makeBatch } from '../support/kafka-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

let broker: WholeBroker
let client: KafkaClient
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_DEFAULT_PARTITIONS: '3' } })
  client = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

const NO_ID = '00000000-0000-0000-0000-000000000000'

/** Makes a topic, and returns its id. */
async function createTopic(name: string, numPartitions = 1, configs: Record<string, string> = {}): Promise<string> {
  const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  const topics = [{ name, numPartitions, replicationFactor: 1, configs: entries }]
  const answer = await client.ask(CreateTopics, 7, { topics })
  expect(answer.topics[0]).toMatchObject({ name, errorCode: 0 })
  return answer.topics[0].topicId
}

function produceRequest(name: string, records: Buffer | null, { acks = -1, index = 0 } = {}) {
  return { acks, timeoutMs: 1000, topicData: [{ name, partitionData: [{ index, records }] }] }
}

async function produce(name: string, records: Buffer | null, index = 0, version = 9) {
  const { responses } = await client.ask(Produce, version, produceRequest(name, records, { index }))
  return responses[0].partitionResponses[0]
}

function fetchRequest(topic: string, fetchOffset: number, more: object = {}) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1_000_000 }]
  return { maxWaitMs: 0, minBytes: 1, topics: [{ topic, topicId: NO_ID, partitions }], ...more }
}

function valuesOf(records: Buffer | null): string[] {
  const values: string[] = []
  const batches = records ?? Buffer.alloc(0)
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) {
    for (const { value } of decodeRecords(batches, at)) values.push(String(value))
  }
  return values
}

test('ApiVersions lists what is served, and a version that nobody knows is answered in the first one', async () => {
  const { errorCode, apiKeys } = await client.ask(ApiVersions, 3, {
    clientSoftwareName: 'test',
    clientSoftwareVersion: '1.0',
  })
  expect(errorCode).toBe(0)
  expect(apiKeys.find(({ apiKey }) => apiKey === Produce.key)).toMatchObject({ minVersion: 0, maxVersion: 11 })

  const unknown = encodeRequest(ApiVersions, 3, 7, { clientSoftwareName: 'test', clientSoftwareVersion: '1' })
  unknown.writeInt16BE(99, 6)
  client.socket.write(unknown)
  const { correlationId, answer } = await client.answer(ApiVersions, 0)
  expect(correlationId).toBe(7)
  expect(answer).toMatchObject({
    errorCode: ERROR_CODES.UNSUPPORTED_VERSION,
    apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }],
  })
  const nameless = await client.ask(ApiVersions, 4, { clientSoftwareName: '-', clientSoftwareVersion: '' })
  expect(nameless.errorCode).toBe(ERROR_CODES.INVALID_REQUEST)
})

test.each<[name: string, bytes: () => Buffer]>([
  ['an unknown API', () => Buffer.from('0000000a7fff00000000000100000000', 'hex').subarray(0, 14)],
  [
    'a version that is not served',
    () => {
      const frame = encodeRequest(Produce, 3, 1, produceRequest('x', null))
      frame.writeInt16BE(2, 6)
      return frame
    },
  ],
  ['a frame of 2^31 - 1 bytes', () => Buffer.from('7fffffff00000000', 'hex')],
  ['a negative length', () => Buffer.from('ffffffff00000000', 'hex')],
  ['a frame without a header', () => Buffer.from('000000020003', 'hex')],
  ['an array without end', () => Buffer.from('0000000e000300010000000100007fffffff', 'hex')],
  ['HTTP', () => Buffer.from('GET / HTTP/1.1\r\n\r\n')],
])('%s closes the connection, and only that', async (_name, bytes) => {
  const other = await KafkaClient.connect(broker.kafkaPort)
  other.socket.write(bytes())
  expect(await other.next()).toBe(undefined)
  expect((await client.ask(ApiVersions, 0, {})).errorCode).toBe(0)
})

test('random bytes in the body of every API close the connection or are answered, and nothing else happens', async () => {
  const { apiKeys } = await client.ask(ApiVersions, 0, {})
  let seed = 1
  const random = () => (seed = (seed * 48_271) % 0x7fffffff)
  for (const { apiKey, minVersion, maxVersion } of apiKeys) {
    for (let round = 0; round < 10; round++) {
      const body = Buffer.from(Array.from({ length: random() % 60 }, () => random() % (round < 5 ? 256 : 4)))
      const header = Buffer.alloc(14)
      header.writeInt32BE(10 + body.length, 0)
      header.writeInt16BE(apiKey, 4)
      header.writeInt16BE(minVersion + (random() % (maxVersion - minVersion + 1)), 6)
      header.writeInt16BE(-1, 12)
      const other = await KafkaClient.connect(broker.kafkaPort)
      other.socket.end(Buffer.concat([header, body]))
      await other.next()
      other.close()
    }
  }
  expect((await client.ask(ApiVersions, 0, {})).errorCode).toBe(0)
})

test('pipelined requests are answered in their order, and take effect in it', async () => {
  await createTopic('pipelined')
  const other = await KafkaClient.connect(broker.kafkaPort)
  const sent: number[] = []
  for (let index = 0; index < 50; index++) {
    sent.push(other.send(Produce, 7, produceRequest('pipelined', makeBatch([`v${index}`]))))
    sent.push(other.send(Fetch, 11, fetchRequest('pipelined', index)))
  }
  const seen: number[] = []
  for (let index = 0; index < 50; index++) {
    const produced = await other.answer(Produce, 7)
    expect(produced.answer.responses[0].partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: index })
    const fetched = await other.answer(Fetch, 11)
    expect(valuesOf(fetched.answer.responses[0].partitions[0].records)).toEqual([`v${index}`])
    seen.push(produced.correlationId, fetched.correlationId)
  }
  expect(seen).toEqual(sent)
  other.close()
})

test('a producer that does not wait gets its answers in order, good and bad, and other requests after them', async () => {
  await createTopic('hurried')
  const other = await KafkaClient.connect(broker.kafkaPort)
  const sent: number[] = []
  for (let index = 0; index < 30; index++) {
    const topic = index % 5 === 4 ? 'no-such-topic' : 'hurried'
    const acks = index % 7 === 3 && topic === 'hurried' ? 0 : -1
    const id = other.send(Produce, 9, produceRequest(topic, makeBatch([`v${index}`]), { acks }))
    if (acks !== 0) sent.push(id)
  }
  const last = other.send(Fetch, 12, fetchRequest('hurried', 0))
  for (const id of sent) {
    const { correlationId, answer } = await other.answer(Produce, 9)
    expect(correlationId).toBe(id)
    const expected = answer.responses[0].name === 'hurried' ? 0 : ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION
    expect(answer.responses[0].partitionResponses[0].errorCode).toBe(expected)
  }
  const { correlationId, answer } = await other.answer(Fetch, 12)
  expect(correlationId).toBe(last)
  const expected = Array.from({ length: 30 }, (_, index) => `v${index}`).filter((_, index) => index % 5 !== 4)
  expect(valuesOf(answer.responses[0].partitions[0].records)).toEqual(expected)
  other.close()
})

test('batches that span reads are stored as they were sent', async () => {
  await createTopic('large')
  const values = Array.from({ length: 30 }, (_, index) => String.fromCharCode(97 + (index % 26)).repeat(50_000 + index))
  const frames = values.map((value, index) =>
    encodeRequest(Produce, 9, index, produceRequest('large', makeBatch([value]))),
  )
  const other = await KafkaClient.connect(broker.kafkaPort)
  // All at once, in pieces that end anywhere.
  const bytes = Buffer.concat(frames)
  for (let at = 0; at < bytes.length; at += 77_777) other.socket.write(bytes.subarray(at, at + 77_777))
  for (const index of values.keys()) {
    const { answer } = await other.answer(Produce, 9)
    expect(answer.responses[0].partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: index })
  }
  const read: string[] = []
  while (read.length < values.length) {
    const { responses } = await other.ask(Fetch, 12, fetchRequest('large', read.length))
    expect(responses[0].partitions[0].errorCode).toBe(0)
    read.push(...valuesOf(responses[0].partitions[0].records))
  }
  expect(read).toEqual(values)
  other.close()
})

test('a batch is stored before the rest of what was read with it takes its place', async () => {
  await createTopic('kept')
  const values = ['a'.repeat(50_000), 'b'.repeat(50_000)]
  const [first, second] = values.map((value) =>
    encodeRequest(Produce, 9, 1, produceRequest('kept', makeBatch([value]))),
  )
  const other = await KafkaClient.connect(broker.kafkaPort)
  other.socket.write(first.subarray(0, 100))
  // Once this is answered the broker has read what came before, and keeps it.
  await client.ask(ApiVersions, 0, {})
  other.socket.write(Buffer.concat([first.subarray(100), second.subarray(0, 45_000)]))
  await other.answer(Produce, 9)
  other.socket.write(second.subarray(45_000))
  await other.answer(Produce, 9)
  const { responses } = await other.ask(Fetch, 12, fetchRequest('kept', 0, { maxWaitMs: 60_000 }))
  expect(responses[0].partitions[0].errorCode).toBe(0)
  expect(valuesOf(responses[0].partitions[0].records)).toEqual(values)
  other.close()
})

test('acks=0 has no answer; what goes wrong then closes the connection', async () => {
  await createTopic('unanswered')
  const other = await KafkaClient.connect(broker.kafkaPort)
  other.send(Produce, 9, produceRequest('unanswered', makeBatch(['a', 'b']), { acks: 0 }))
  const { topics } = await other.ask(ListOffsets, 1, {
    replicaId: -1,
    topics: [{ name: 'unanswered', partitions: [{ partitionIndex: 0, timestamp: -2 }] }],
  })
  expect(topics[0].partitions[0]).toMatchObject({ errorCode: 0, offset: 0 })
  other.send(Produce, 9, produceRequest('no-such-topic', makeBatch(['a']), { acks: 0 }))
  expect(await other.next()).toBe(undefined)
  const { responses } = await client.ask(Fetch, 12, fetchRequest('unanswered', 0, { maxWaitMs: 60_000 }))
  expect(valuesOf(responses[0].partitions[0].records)).toEqual(['a', 'b'])
})

/** A batch with a change that its checksum covers. */
function changed(change: (batch: Buffer) => void): Buffer {
  const batch = makeBatch(['x'])
  change(batch)
  return batch
}

test('what a producer must not send is refused for its partition', async () => {
  await createTopic('strict', 2, { 'max.message.bytes': '2048' })
  const refused = async (records: Buffer | null, version?: number) =>
    (await produce('strict', records, 0, version)).errorCode
  expect(await refused(null)).toBe(ERROR_CODES.INVALID_RECORD)
  expect(await refused(Buffer.concat([makeBatch(['a']), makeBatch(['b'])]))).toBe(ERROR_CODES.INVALID_RECORD)
  expect(await refused(changed((batch) => batch.writeInt8(1, 16)))).toBe(ERROR_CODES.INVALID_RECORD)
  expect(await refused(changed((batch) => batch.writeInt32BE(7, 3 + 1)))).toBe(ERROR_CODES.INVALID_RECORD)
  expect(await refused(changed((batch) => batch.writeInt8(9, batch.length - 1)))).toBe(ERROR_CODES.CORRUPT_MESSAGE)
  expect(await refused(makeBatch(['x'.repeat(3000)]))).toBe(ERROR_CODES.MESSAGE_TOO_LARGE)
  expect((await produce('strict', makeBatch(['a']), 2)).errorCode).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  const { responses } = await client.ask(Produce, 9, produceRequest('strict', makeBatch(['a']), { acks: 2 }))
  expect(responses[0].partitionResponses[0]).toMatchObject({
    errorCode: ERROR_CODES.INVALID_REQUIRED_ACKS,
    baseOffset: -1,
  })
  expect(await produce('strict', makeBatch(['a']))).toMatchObject({ errorCode: 0, baseOffset: 0, logStartOffset: 0 })
})

test('a fetch waits for data and is woken by it, from the other door too', async () => {
  const topicId = await createTopic('woken', 1)
  const other = await KafkaClient.connect(broker.kafkaPort)
  other.send(Fetch, 17, fetchRequest('', 0, { maxWaitMs: 60_000, topics: byId(topicId) }))
  const json = await RawClient.connect(broker.port)
  await json.ask(2, { topic: 'woken', partition: 0, records: [{ value: Buffer.from('hello').toString('base64') }] })
  const { answer } = await other.answer(Fetch, 17)
  expect(answer.responses[0]).toMatchObject({ topicId, partitions: [{ errorCode: 0, highWatermark: 1 }] })
  expect(valuesOf(answer.responses[0].partitions[0].records)).toEqual(['hello'])
  json.close()
  other.close()

  function byId(id: string) {
    return [{ topicId: id, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] }]
  }
})

test('a fetch waits until there are minBytes in all its partitions together, or its time is over', async () => {
  await createTopic('patient', 2)
  const partitions = [0, 1].map((partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 10_000 }))
  const topics = [{ topic: 'patient', topicId: NO_ID, partitions }]
  const other = await KafkaClient.connect(broker.kafkaPort)
  other.send(Fetch, 11, { maxWaitMs: 60_000, minBytes: 200, topics })
  await produce('patient', makeBatch(['x'.repeat(50)]), 1)
  expect(other.pendingFrames).toBe(0)
  await produce('patient', makeBatch(['y'.repeat(50)]), 0)
  const { answer } = await other.answer(Fetch, 11)
  expect(answer.responses[0].partitions.map(({ records }) => valuesOf(records)[0][0])).toEqual(['y', 'x'])

  const { responses } = await other.ask(Fetch, 11, { maxWaitMs: 30, minBytes: 100_000, topics })
  expect(responses[0].partitions.map(({ records }) => valuesOf(records).length)).toEqual([1, 1])
  const limited = await other.ask(Fetch, 11, { maxWaitMs: 0, minBytes: 1, maxBytes: 10, topics })
  expect(limited.responses[0].partitions.map(({ records }) => valuesOf(records).length)).toEqual([1, 0])
  other.close()
})

test('errors of a fetch: offsets, topics, epochs, sessions', async () => {
  await createTopic('bounded')
  await produce('bounded', makeBatch(['a']))
  const errorOf = async (version: number, request: object) => {
    const { errorCode, responses } = await client.ask(Fetch, version, fetchRequest('bounded', 0, request))
    return errorCode || responses[0].partitions[0].errorCode
  }
  const topics = (more: object, topic = 'bounded') => [
    { topic, topicId: NO_ID, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000, ...more }] },
  ]
  const wait = { maxWaitMs: 60_000 }
  expect(await errorOf(11, { ...wait, topics: topics({ fetchOffset: 2 }) })).toBe(ERROR_CODES.OFFSET_OUT_OF_RANGE)
  expect(await errorOf(11, { ...wait, topics: topics({}, 'none') })).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await errorOf(13, { ...wait, topics: topics({}) })).toBe(ERROR_CODES.UNKNOWN_TOPIC_ID)
  expect(await errorOf(11, { topics: topics({ currentLeaderEpoch: 99 }) })).toBe(ERROR_CODES.UNKNOWN_LEADER_EPOCH)
  expect(await errorOf(11, { sessionId: 5, sessionEpoch: 1 })).toBe(ERROR_CODES.FETCH_SESSION_ID_NOT_FOUND)
  const empty = await client.ask(Fetch, 11, fetchRequest('bounded', 1))
  expect(empty.responses[0].partitions[0]).toMatchObject({ errorCode: 0, records: Buffer.alloc(0) })
})

test('a fetch that waits is answered when its topic is deleted, and forgotten when its client goes', async () => {
  await createTopic('short-lived')
  const request = fetchRequest('short-lived', 0, { maxWaitMs: 60_000 })
  const [stays, goes] = [await KafkaClient.connect(broker.kafkaPort), await KafkaClient.connect(broker.kafkaPort)]
  goes.send(Fetch, 11, request)
  stays.send(Fetch, 11, request)
  await expect.poll(() => waitingFetches()).toBe(2)
  goes.close()
  await expect.poll(() => waitingFetches()).toBe(1)
  const deleted = await client.ask(DeleteTopics, 5, { topicNames: ['short-lived'], timeoutMs: 1000 })
  expect(deleted.responses).toMatchObject([{ name: 'short-lived', errorCode: 0 }])
  const { answer } = await stays.answer(Fetch, 11)
  expect(answer.responses[0].partitions[0].errorCode).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  stays.close()

  function waitingFetches(): number {
    return broker.metrics.fetchWaiting.value
  }
})

test('Metadata makes topics that are asked for, unless the request says not to', async () => {
  const asked = (name: string, allowAutoTopicCreation: boolean) =>
    client.ask(Metadata, 9, { topics: [{ name }, { name }], allowAutoTopicCreation })
  const { brokers, controllerId, clusterId, topics } = await asked('made', true)
  expect(brokers).toMatchObject([{ nodeId: 1, host: '127.0.0.1', port: broker.kafkaPort }])
  expect([controllerId, clusterId]).toEqual([1, expect.stringMatching(/^[\w-]{22}$/)])
  expect(topics).toHaveLength(1)
  expect(topics[0]).toMatchObject({ name: 'made', errorCode: 0 })
  expect(topics[0].partitions.map(({ partitionIndex, leaderId }) => [partitionIndex, leaderId])).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
  ])
  const errorOf = async (name: string, allow: boolean) => (await asked(name, allow)).topics[0].errorCode
  expect(await errorOf('not-made', false)).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await errorOf('no/name', true)).toBe(ERROR_CODES.INVALID_TOPIC_EXCEPTION)

  const none = await client.ask(Metadata, 1, { topics: [] })
  const all = await client.ask(Metadata, 0, { topics: [] })
  expect(none.topics).toEqual([])
  expect(all.topics.map(({ name }) => name)).toContain('made')
  const { topicId } = (await client.ask(Metadata, 12, { topics: [{ name: 'made' }] })).topics[0]
  const found = await client.ask(Metadata, 12, {
    topics: [
      { topicId, name: null },
      { topicId: NO_ID, name: null },
    ],
  })
  expect(found.topics).toMatchObject([
    { name: 'made', topicId, errorCode: 0 },
    { name: null, errorCode: ERROR_CODES.UNKNOWN_TOPIC_ID },
  ])
})

test('topics are described a page of partitions at a time', async () => {
  const paged = [await createTopic('paged-a', 3), await createTopic('paged-b', 2)]
  const names = [{ name: 'paged-b' }, { name: 'paged-a' }, { name: 'paged-b' }, { name: 'paged-none' }, { name: '?' }]
  const pages: unknown[][] = []
  let cursor: { topicName: string; partitionIndex: number } | null = null
  do {
    const request = { topics: names, responsePartitionLimit: 2, cursor }
    const answer: ResponseOf<typeof DescribeTopicPartitions> = await client.ask(DescribeTopicPartitions, 0, request)
    pages.push(answer.topics.map(({ name, errorCode, partitions }) => [name, errorCode, partitions.length]))
    cursor = answer.nextCursor ?? null
  } while (cursor !== null)
  expect(pages).toEqual([
    [
      ['?', ERROR_CODES.INVALID_TOPIC_EXCEPTION, 0],
      ['paged-a', 0, 2],
    ],
    [
      ['paged-a', 0, 1],
      ['paged-b', 0, 1],
    ],
    [
      ['paged-b', 0, 1],
      ['paged-none', ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION, 0],
    ],
  ])
  const { topics } = await client.ask(DescribeTopicPartitions, 0, { topics: names, cursor: null })
  expect(topics.slice(1, 3).map(({ topicId }) => topicId)).toEqual(paged)
  expect(topics[1].partitions[2]).toMatchObject({ partitionIndex: 2, leaderId: 1, isrNodes: [1], lastKnownElr: [] })
  const all = await client.ask(DescribeTopicPartitions, 0, { topics: [] })
  expect(all.topics.map(({ name }) => name)).toContain('paged-b')
})

test('a broker that makes no topics by itself, with an address of its own for clients', async () => {
  const own = await startWholeBroker({
    environment: { CAFELOG_AUTO_CREATE_TOPICS: 'false', CAFELOG_KAFKA_ADVERTISED: 'kafka.example:19092' },
  })
  const other = await KafkaClient.connect(own.kafkaPort)
  const { brokers, topics } = await other.ask(Metadata, 4, { topics: [{ name: 'orders' }] })
  expect(brokers).toMatchObject([{ host: 'kafka.example', port: 19_092 }])
  expect(topics).toMatchObject([{ name: 'orders', errorCode: ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION }])
  other.close()
  await own.stop()
})

test('ListOffsets knows all special timestamps, and finds records by time', async () => {
  await createTopic('timed', 1, { 'retention.ms': '-1' })
  for (const timestamp of [1000, 3000, 2000]) await produce('timed', makeBatch(['a', 'b'], timestamp))
  const offsetAt = async (timestamp: number) => {
    const topics = [{ name: 'timed', partitions: [{ partitionIndex: 0, timestamp }] }]
    const {
      offset,
      timestamp: found,
      errorCode,
    } = (await client.ask(ListOffsets, 9, { replicaId: -1, topics })).topics[0].partitions[0]
    return [errorCode, offset, found]
  }
  expect(await offsetAt(-1)).toEqual([0, 6, -1])
  expect(await offsetAt(-2)).toEqual([0, 0, -1])
  expect(await offsetAt(-3)).toEqual([0, 2, 3000])
  expect(await offsetAt(-4)).toEqual([0, 0, -1])
  expect(await offsetAt(-5)).toEqual([0, -1, -1])
  expect(await offsetAt(1500)).toEqual([0, 2, 3000])
  expect(await offsetAt(3001)).toEqual([0, -1, -1])

  const epochs = await client.ask(OffsetForLeaderEpoch, 4, {
    topics: [{ topic: 'timed', partitions: [0, 99].map((leaderEpoch) => ({ partition: 0, leaderEpoch })) }],
  })
  expect(epochs.topics[0].partitions).toMatchObject([
    { errorCode: 0, leaderEpoch: 0, endOffset: 6 },
    { errorCode: 0, leaderEpoch: -1, endOffset: -1 },
  ])
})

test('topics are made, grown and deleted, each with its own answer', async () => {
  const wish = { numPartitions: -1, replicationFactor: -1 }
  const created = await client.ask(CreateTopics, 7, {
    topics: [
      { ...wish, name: 'admin-1' },
      { ...wish, name: 'admin-2', numPartitions: 0 },
      { ...wish, name: 'admin-3', replicationFactor: 3 },
      { ...wish, name: 'admin-4', configs: [{ name: 'cleanup.policy', value: 'compress' }] },
      { ...wish, name: 'admin-5', assignments: [{ partitionIndex: 0, brokerIds: [2] }] },
      { ...wish, name: 'made-twice' },
      { ...wish, name: 'made-twice' },
    ],
  })
  expect(created.topics.map(({ errorCode }) => errorCode)).toEqual([
    0,
    ERROR_CODES.INVALID_PARTITIONS,
    ERROR_CODES.INVALID_REPLICATION_FACTOR,
    ERROR_CODES.INVALID_CONFIG,
    ERROR_CODES.INVALID_REPLICA_ASSIGNMENT,
    ERROR_CODES.INVALID_REQUEST,
  ])
  const [{ topicId, numPartitions }] = created.topics
  expect(numPartitions).toBe(3)
  const again = await client.ask(CreateTopics, 5, { topics: [{ ...wish, name: 'admin-1' }] })
  expect(again.topics[0].errorCode).toBe(ERROR_CODES.TOPIC_ALREADY_EXISTS)
  const checked = await client.ask(CreateTopics, 5, { topics: [{ ...wish, name: 'admin-6' }], validateOnly: true })
  expect(checked.topics[0].errorCode).toBe(0)

  const grow = async (count: number, name = 'admin-1') => {
    const request = { topics: [{ name, count, assignments: null }], timeoutMs: 1000, validateOnly: false }
    return (await client.ask(CreatePartitions, 3, request)).results[0].errorCode
  }
  expect(await grow(5)).toBe(0)
  expect(await grow(5)).toBe(ERROR_CODES.INVALID_PARTITIONS)
  expect(await grow(5, 'admin-6')).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)

  const topics = [
    { topicId, name: null },
    { topicId, name: null },
  ]
  const deleted = await client.ask(DeleteTopics, 6, { topics, timeoutMs: 1000 })
  expect(deleted.responses).toMatchObject([
    { name: 'admin-1', topicId, errorCode: 0 },
    { name: null, errorCode: ERROR_CODES.UNKNOWN_TOPIC_ID },
  ])
})

test('records are deleted up to an offset', async () => {
  await createTopic('shortened')
  await produce('shortened', makeBatch(['a', 'b', 'c']))
  const deleteBefore = async (offset: number) => {
    const topics = [{ name: 'shortened', partitions: [{ partitionIndex: 0, offset }] }]
    const { topics: answers } = await client.ask(DeleteRecords, 2, { topics, timeoutMs: 1000 })
    return answers[0].partitions[0]
  }
  expect(await deleteBefore(2)).toMatchObject({ errorCode: 0, lowWatermark: 2 })
  expect(await deleteBefore(1)).toMatchObject({ errorCode: 0, lowWatermark: 2 })
  expect(await deleteBefore(4)).toMatchObject({ errorCode: ERROR_CODES.OFFSET_OUT_OF_RANGE, lowWatermark: -1 })
  expect(await deleteBefore(-1)).toMatchObject({ errorCode: 0, lowWatermark: 3 })
})

test('settings are listed with their sources, and changed', async () => {
  await createTopic('configured', 1, { 'retention.ms': '1000', 'segment.bytes': '2048' })
  const resource = { resourceType: 2, resourceName: 'configured' }
  const describe = async () => {
    const { results } = await client.ask(DescribeConfigs, 4, { resources: [{ ...resource, configurationKeys: null }] })
    return Object.fromEntries(results[0].configs.map(({ name, value, configSource }) => [name, [value, configSource]]))
  }
  expect(await describe()).toMatchObject({
    'retention.ms': ['1000', 1],
    'retention.bytes': ['-1', 5],
    'cleanup.policy': ['delete', 5],
    'max.compaction.lag.ms': ['9223372036854775807', 5],
  })
  const incremental = await client.ask(IncrementalAlterConfigs, 1, {
    resources: [
      {
        ...resource,
        configs: [
          { name: 'retention.ms', configOperation: 0, value: '2000' },
          { name: 'segment.bytes', configOperation: 1, value: null },
        ],
      },
      { resourceType: 4, resourceName: '1', configs: [] },
    ],
    validateOnly: false,
  })
  expect(incremental.responses.map(({ errorCode }) => errorCode)).toEqual([0, ERROR_CODES.INVALID_REQUEST])
  expect(await describe()).toMatchObject({ 'retention.ms': ['2000', 1], 'segment.bytes': ['67108864', 5] })
  const configs = [{ name: 'max.message.bytes', value: '4096' }]
  const replaced = await client.ask(AlterConfigs, 2, { resources: [{ ...resource, configs }], validateOnly: false })
  expect(replaced.responses[0].errorCode).toBe(0)
  expect(await describe()).toMatchObject({ 'retention.ms': ['604800000', 5], 'max.message.bytes': ['4096', 1] })

  const ofBroker = await client.ask(DescribeConfigs, 1, {
    resources: [{ resourceType: 4, resourceName: '1', configurationKeys: ['num.partitions'] }],
  })
  expect(ofBroker.results[0].configs).toMatchObject([{ name: 'num.partitions', value: '3', readOnly: true }])
})

test('the cluster, its directory, and what it refuses', async () => {
  const cluster = await client.ask(DescribeCluster, 1, { includeClusterAuthorizedOperations: false })
  expect(cluster).toMatchObject({ errorCode: 0, controllerId: 1, brokers: [{ brokerId: 1, host: '127.0.0.1' }] })
  await createTopic('measured')
  await produce('measured', makeBatch(['a']))
  const { results } = await client.ask(DescribeLogDirs, 4, { topics: [{ topic: 'measured', partitions: [0, 9] }] })
  expect(results).toMatchObject([{ errorCode: 0, logDir: broker.directory, topics: [{ name: 'measured' }] }])
  expect(results[0].topics[0].partitions).toMatchObject([{ partitionIndex: 0, partitionSize: makeBatch(['a']).length }])
  const filter = { resourceTypeFilter: 1, resourceNameFilter: null, principalFilter: null, hostFilter: null }
  const acls = await client.ask(DescribeAcls, 3, { ...filter, operation: 1, permissionType: 1 })
  expect(acls.errorCode).toBe(ERROR_CODES.SECURITY_DISABLED)
})
