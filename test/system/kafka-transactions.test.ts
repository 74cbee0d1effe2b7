import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { OffsetFetch } from '../../src/protocols/kafka/apis/09-offset-fetch.ts'
import { FindCoordinator } from '../../src/protocols/kafka/apis/10-find-coordinator.ts'
import { ApiVersions } from '../../src/protocols/kafka/apis/18-api-versions.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { DeleteTopics } from '../../src/protocols/kafka/apis/20-delete-topics.ts'
import { DescribeTransactions } from '../../src/protocols/kafka/apis/65-describe-transactions.ts'
import { ListTransactions } from '../../src/protocols/kafka/apis/66-list-transactions.ts'
import { FETCH } from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { errorName, KafkaProducer } from '../support/kafka-producer.ts'
import type { ProducerVersions } from '../support/kafka-producer.ts'
import { READ_COMMITTED, readPartition } from '../support/kafka-reader.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

let broker: WholeBroker
let client: KafkaClient
const producers: KafkaProducer[] = []
let lastName = 0
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_TRANSACTION_MAX_TIMEOUT: '2m' } })
  client = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(async () => {
  for (const producer of producers) producer.close()
  client.close()
  await broker.stop()
})

const NO_ID = '00000000-0000-0000-0000-000000000000'

async function createTopic(numPartitions = 1): Promise<string> {
  const name = `topic-${++lastName}`
  const { topics } = await client.ask(CreateTopics, 7, { topics: [{ name, numPartitions, replicationFactor: 1 }] })
  expect(topics[0].errorCode).toBe(0)
  return name
}

async function connect(transactionalId = `producer-${++lastName}`, versions: ProducerVersions = {}) {
  const producer = await KafkaProducer.connect(broker.kafkaPort, transactionalId, versions)
  producers.push(producer)
  return producer
}

/** A producer that has its identity. */
async function makeProducer(versions: ProducerVersions = {}): Promise<KafkaProducer> {
  const producer = await connect(undefined, versions)
  expect(await producer.init()).toBe('NONE')
  return producer
}

const read = (topic: string, options: Parameters<typeof readPartition>[2] = {}) => readPartition(client, topic, options)

async function committedOffset(groupId: string, topic: string, requireStable: boolean) {
  const groups = [{ groupId, memberId: null, memberEpoch: -1, topics: [{ name: topic, partitionIndexes: [0] }] }]
  const answer = await client.ask(OffsetFetch, 8, { groups, requireStable })
  const { committedOffset: offset, errorCode } = answer.groups[0].topics[0].partitions[0]
  return errorCode === 0 ? offset : errorName(errorCode)
}

test('the APIs of transactions are advertised, without the versions that only brokers speak', async () => {
  const { apiKeys } = await client.ask(ApiVersions, 0, {})
  const versions = [22, 24, 25, 26, 28, 65, 66].map((key) => apiKeys.find(({ apiKey }) => apiKey === key))
  expect(versions.map((row) => `${row?.apiKey}: ${row?.minVersion}-${row?.maxVersion}`)).toEqual([
    '22: 0-5',
    '24: 0-3',
    '25: 0-4',
    '26: 0-4',
    '28: 0-4',
    '65: 0-0',
    '66: 0-1',
  ])
  const found = await client.ask(FindCoordinator, 1, { key: 'some-id', keyType: 1 })
  expect(found).toMatchObject({ errorCode: 0, port: broker.kafkaPort })
  const many = await client.ask(FindCoordinator, 4, { coordinatorKeys: ['a', 'b'], keyType: 1 })
  expect(many.coordinators).toMatchObject([
    { key: 'a', errorCode: 0, port: broker.kafkaPort },
    { key: 'b', errorCode: 0, port: broker.kafkaPort },
  ])
})

test('committed records are read once they are committed, aborted ones never', async () => {
  const topic = await createTopic(2)
  const producer = await makeProducer()
  expect(await producer.addPartitions([topic, 0, 1])).toBe('NONE NONE')
  expect(await producer.produce(topic, 0, ['a', 'b'])).toBe('NONE')
  expect(await producer.produce(topic, 1, ['c'])).toBe('NONE')
  expect(await read(topic)).toMatchObject({ values: [], lastStableOffset: 0, highWatermark: 2 })
  expect((await read(topic, { isolationLevel: 0 })).values).toEqual(['a', 'b'])
  expect(await producer.end(true)).toBe('NONE')
  expect(await read(topic)).toMatchObject({ values: ['a', 'b'], markers: 1, lastStableOffset: 3, highWatermark: 3 })
  expect((await read(topic, { partition: 1 })).values).toEqual(['c'])

  expect(await producer.addPartitions([topic, 0])).toBe('NONE')
  expect(await producer.produce(topic, 0, ['lost'])).toBe('NONE')
  expect(await producer.end(false)).toBe('NONE')
  expect(await producer.addPartitions([topic, 0])).toBe('NONE')
  expect(await producer.produce(topic, 0, ['d'])).toBe('NONE')
  expect(await producer.end(true)).toBe('NONE')
  const all = await read(topic)
  expect(all).toMatchObject({ values: ['a', 'b', 'd'], markers: 3 })
  expect(all.abortedTransactions).toEqual([{ producerId: producer.producerId, firstOffset: 3 }])
  expect((await read(topic, { isolationLevel: 0 })).values).toEqual(['a', 'b', 'lost', 'd'])
  expect((await read(topic, { isolationLevel: 0 })).abortedTransactions).toBeNull()
  // From behind the aborted records on there is nothing that a consumer would have to leave out.
  expect((await read(topic, { fetchOffset: 5 })).abortedTransactions).toEqual([])
})

test('an open transaction holds committed readers back, and nobody else', async () => {
  const topic = await createTopic()
  const [one, other] = [await makeProducer(), await makeProducer()]
  for (const producer of [one, other]) expect(await producer.addPartitions([topic, 0])).toBe('NONE')
  await one.produce(topic, 0, ['one'])
  await other.produce(topic, 0, ['other'])
  expect(await other.end(true)).toBe('NONE')
  expect(await read(topic)).toMatchObject({ values: [], lastStableOffset: 0, highWatermark: 3 })
  const ends = async (isolationLevel: number) => {
    const topics = [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -1, currentLeaderEpoch: -1 }] }]
    const answer = await client.ask(ListOffsets, 5, { replicaId: -1, isolationLevel, topics })
    return answer.topics[0].partitions[0].offset
  }
  expect([await ends(0), await ends(READ_COMMITTED)]).toEqual([3, 0])
  expect(await one.end(false)).toBe('NONE')
  expect(await read(topic)).toMatchObject({ values: ['other'], lastStableOffset: 4 })
  expect(await ends(READ_COMMITTED)).toBe(4)
})

test('a reader that waits is woken when a transaction commits', async () => {
  const topic = await createTopic()
  const producer = await makeProducer()
  await producer.addPartitions([topic, 0])
  await producer.produce(topic, 0, ['a'])
  const reader = await KafkaClient.connect(broker.kafkaPort)
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }]
  const topics = [{ topic, topicId: NO_ID, partitions }]
  const waiting = reader.ask(Fetch, 11, { maxWaitMs: 60_000, minBytes: 1, isolationLevel: READ_COMMITTED, topics })
  await producer.end(true)
  const { responses } = await waiting
  expect(responses[0].partitions[0].records?.length).toBeGreaterThan(0)
  reader.close()
})

test('the JSON door shows what was committed, and never markers', async () => {
  const topic = await createTopic()
  const producer = await makeProducer()
  await producer.addPartitions([topic, 0])
  await producer.produce(topic, 0, ['a'])
  await producer.end(true)
  await producer.addPartitions([topic, 0])
  await producer.produce(topic, 0, ['b'])
  await producer.end(false)
  const json = await RawClient.connect(broker.port)
  const fetch = async (offset: number) => {
    const { json: answer } = await json.ask(FETCH, { topic, partition: 0, offset, maxBytes: 1_000_000, maxWaitMs: 0 })
    return answer as { records: { offset: number; value: string }[]; highWatermark: number }
  }
  const { records, highWatermark } = await fetch(0)
  expect(records.map(({ offset, value }) => [offset, Buffer.from(value, 'base64').toString()])).toEqual([[0, 'a']])
  expect(highWatermark).toBe(4)
  // A marker is all there is: nothing to show. Who waits behind the last record gets the next one, past the marker.
  expect(await fetch(3)).toMatchObject({ records: [] })
  const waiting = json.ask(FETCH, { topic, partition: 0, offset: 3, maxBytes: 1, maxWaitMs: 60_000 })
  await producer.addPartitions([topic, 0])
  await producer.produce(topic, 0, ['c'])
  await producer.end(true)
  expect((await waiting).json).toMatchObject({ records: [{ offset: 4, value: 'Yw==' }] })
  json.close()
})

test('offsets of a transaction count when it commits, and meanwhile they are unstable', async () => {
  const topic = await createTopic()
  const group = `group-${++lastName}`
  const producer = await makeProducer()
  expect(await producer.commitOffset(group, topic, 0, 5)).toBe('INVALID_TXN_STATE')
  expect(await producer.addGroup(group)).toBe('NONE')
  expect(await producer.commitOffset(group, topic, 0, 5)).toBe('NONE')
  expect(await committedOffset(group, topic, true)).toBe('UNSTABLE_OFFSET_COMMIT')
  expect(await committedOffset(group, topic, false)).toBe(-1)
  expect(await producer.end(true)).toBe('NONE')
  expect(await committedOffset(group, topic, true)).toBe(5)

  expect(await producer.addGroup(group)).toBe('NONE')
  expect(await producer.commitOffset(group, topic, 0, 9)).toBe('NONE')
  expect(await producer.end(false)).toBe('NONE')
  expect(await committedOffset(group, topic, true)).toBe(5)
})

test('offsets of a transaction are refused like others', async () => {
  const topic = await createTopic()
  const producer = await makeProducer()
  const old = await makeProducer({ commit: 1 })
  const group = `group-${++lastName}`
  for (const each of [producer, old]) expect(await each.addGroup(group)).toBe('NONE')
  expect(await producer.addGroup('')).toBe('INVALID_GROUP_ID')
  expect(await producer.commitOffset(group, 'no-such-topic', 0, 5)).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  expect(await producer.commitOffset(group, topic, 7, 5)).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  const member = { generationId: 3, memberId: 'm' }
  expect(await producer.commitOffset(group, topic, 0, 5, member)).toBe('ILLEGAL_GENERATION')
  expect(await old.commitOffset(group, topic, 0, 5)).toBe('NONE')
  expect(await old.end(true)).toBe('NONE')
  expect(await producer.commitOffset(group, topic, 0, 5, member)).toBe('UNKNOWN_MEMBER_ID')
})

test('a second producer locks out the first', async () => {
  const topic = await createTopic()
  const first = await makeProducer()
  await first.addPartitions([topic, 0])
  await first.produce(topic, 0, ['lost'])
  const second = await connect(first.transactionalId)
  expect(await second.init()).toBe('NONE')
  expect(second.producerId).toBe(first.producerId)
  expect(second.producerEpoch).toBeGreaterThan(first.producerEpoch)
  expect(await first.produce(topic, 0, ['x'])).toBe('INVALID_PRODUCER_EPOCH')
  expect(await first.addPartitions([topic, 0])).toBe('PRODUCER_FENCED')
  expect(await first.addGroup('g')).toBe('PRODUCER_FENCED')
  expect(await first.commitOffset('g', topic, 0, 1)).toBe('INVALID_PRODUCER_EPOCH')
  expect(await first.end(true)).toBe('PRODUCER_FENCED')
  expect(await first.init({ expected: first })).toBe('PRODUCER_FENCED')
  expect((await read(topic)).values).toEqual([])

  await second.addPartitions([topic, 0])
  expect(await second.produce(topic, 0, ['kept'])).toBe('NONE')
  expect(await second.end(true)).toBe('NONE')
  expect((await read(topic)).values).toEqual(['kept'])
})

test('versions that do not know PRODUCER_FENCED are told INVALID_PRODUCER_EPOCH', async () => {
  const first = await makeProducer({ init: 3, addPartitions: 1, addOffsets: 1, end: 1 })
  const second = await connect(first.transactionalId)
  expect(await second.init()).toBe('NONE')
  const topic = await createTopic()
  expect(await first.addPartitions([topic, 0])).toBe('INVALID_PRODUCER_EPOCH')
  expect(await first.addGroup('g')).toBe('INVALID_PRODUCER_EPOCH')
  expect(await first.end(true)).toBe('INVALID_PRODUCER_EPOCH')
  expect(await first.init({ expected: first })).toBe('INVALID_PRODUCER_EPOCH')
})

test('partitions are added all together or not at all', async () => {
  const topic = await createTopic()
  const producer = await makeProducer()
  expect(await producer.addPartitions([topic, 0], ['no-such-topic', 0])).toBe(
    'OPERATION_NOT_ATTEMPTED UNKNOWN_TOPIC_OR_PARTITION',
  )
  expect(await producer.addPartitions([topic, 0, 1])).toBe('OPERATION_NOT_ATTEMPTED UNKNOWN_TOPIC_OR_PARTITION')
  expect(await producer.produce(topic, 0, ['x'])).toBe('INVALID_TXN_STATE')
  expect(await producer.addPartitions()).toBe('')
  expect(await producer.end(true)).toBe('INVALID_TXN_STATE')
})

test('what is not in the open transaction is refused', async () => {
  const topic = await createTopic(2)
  const producer = await makeProducer()
  expect(await producer.produce(topic, 0, ['x'])).toBe('INVALID_TXN_STATE')
  await producer.addPartitions([topic, 0])
  expect(await producer.produce(topic, 1, ['x'])).toBe('INVALID_TXN_STATE')
  expect(await producer.produce(topic, 0, ['a'])).toBe('NONE')
  expect(await producer.produce(topic, 0, ['outside'], false)).toBe('INVALID_TXN_STATE')
  expect(await producer.end(true)).toBe('NONE')
  expect(await producer.produce(topic, 0, ['late'])).toBe('INVALID_TXN_STATE')
  expect((await read(topic)).values).toEqual(['a'])

  const unknown = await connect()
  unknown.producerId = 999_999
  unknown.producerEpoch = 0
  expect(await unknown.produce(topic, 0, ['x'])).toBe('INVALID_PRODUCER_ID_MAPPING')
  expect(await unknown.addPartitions([topic, 0])).toBe('INVALID_PRODUCER_ID_MAPPING')
  expect(await unknown.addGroup('g')).toBe('INVALID_PRODUCER_ID_MAPPING')
  expect(await unknown.commitOffset('g', topic, 0, 1)).toBe('INVALID_PRODUCER_ID_MAPPING')
  expect(await unknown.end(true)).toBe('INVALID_PRODUCER_ID_MAPPING')
})

test('ending again comes to the same, and to nothing else', async () => {
  const topic = await createTopic()
  const producer = await makeProducer()
  expect(await producer.end(true)).toBe('INVALID_TXN_STATE')
  expect(await producer.end(false)).toBe('INVALID_TXN_STATE')
  await producer.addPartitions([topic, 0])
  expect([await producer.end(true), await producer.end(true), await producer.end(false)]).toEqual([
    'NONE',
    'NONE',
    'INVALID_TXN_STATE',
  ])
  await producer.addPartitions([topic, 0])
  expect([await producer.end(false), await producer.end(false), await producer.end(true)]).toEqual([
    'NONE',
    'NONE',
    'INVALID_TXN_STATE',
  ])
})

test('an identity is refused to whoever asks for it wrongly', async () => {
  const nameless = await connect('')
  expect(await nameless.init()).toBe('INVALID_REQUEST')
  expect(await nameless.addPartitions(['x', 0])).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  expect(await nameless.end(true)).toBe('INVALID_REQUEST')
  const producer = await connect()
  expect(await producer.init({ timeoutMs: 120_001 })).toBe('INVALID_TRANSACTION_TIMEOUT')
  expect(await producer.init({ timeoutMs: 0 })).toBe('INVALID_TRANSACTION_TIMEOUT')
  expect(await producer.init({ expected: { producerId: 5, producerEpoch: -1 } })).toBe('INVALID_REQUEST')
  expect(await producer.init()).toBe('NONE')
  expect(await producer.init({ expected: { producerId: producer.producerId, producerEpoch: 7 } })).toBe(
    'PRODUCER_FENCED',
  )
  // Some clients mean that they have none.
  expect(await producer.init({ expected: { producerId: 0, producerEpoch: 0 } })).toBe('NONE')
  const before = { producerId: producer.producerId, producerEpoch: producer.producerEpoch }
  expect(await producer.init({ expected: before })).toBe('NONE')
  expect(producer.producerEpoch).toBe(before.producerEpoch + 1)
  expect(await producer.init({ expected: before })).toBe('NONE')
  expect(producer.producerEpoch).toBe(before.producerEpoch + 1)
})

test('a topic that is deleted does not keep a transaction from ending', async () => {
  const [gone, kept] = [await createTopic(), await createTopic()]
  const producer = await makeProducer()
  await producer.addPartitions([gone, 0], [kept, 0])
  await producer.produce(gone, 0, ['x'])
  await producer.produce(kept, 0, ['y'])
  const deleted = await client.ask(DeleteTopics, 4, { topicNames: [gone], timeoutMs: 5_000 })
  expect(deleted.responses[0].errorCode).toBe(0)
  expect(await producer.end(true)).toBe('NONE')
  expect((await read(kept)).values).toEqual(['y'])
})

test('transactions can be listed and described', async () => {
  const topic = await createTopic(3)
  const [open, idle] = [await makeProducer(), await makeProducer()]
  await open.addPartitions([topic, 0, 2])
  const { transactionStates } = await client.ask(DescribeTransactions, 0, {
    transactionalIds: [open.transactionalId, idle.transactionalId, 'no-such-id', '', open.transactionalId],
  })
  expect(transactionStates).toMatchObject([
    {
      errorCode: 0,
      transactionState: 'Ongoing',
      transactionTimeoutMs: 60_000,
      producerId: open.producerId,
      producerEpoch: 0,
      topics: [{ topic, partitions: [0, 2] }],
    },
    { errorCode: 0, transactionState: 'Empty', transactionStartTimeMs: -1, topics: [] },
    { transactionalId: 'no-such-id' },
    { transactionalId: '' },
  ])
  expect(Math.abs(transactionStates[0].transactionStartTimeMs - Date.now())).toBeLessThan(60_000)
  expect(transactionStates.slice(2).map(({ errorCode }) => errorName(errorCode))).toEqual([
    'TRANSACTIONAL_ID_NOT_FOUND',
    'INVALID_REQUEST',
  ])

  const list = async (filters: { stateFilters?: string[]; producerIdFilters?: number[]; durationFilter?: number }) => {
    const request = { stateFilters: [], producerIdFilters: [], ...filters }
    const answer = await client.ask(ListTransactions, 1, request)
    const mine = answer.transactionStates.filter(({ transactionalId }) => {
      return transactionalId === open.transactionalId || transactionalId === idle.transactionalId
    })
    return { ...answer, states: mine.map(({ transactionState }) => transactionState) }
  }
  expect((await list({})).states.toSorted()).toEqual(['Empty', 'Ongoing'])
  expect((await list({ stateFilters: ['Ongoing'] })).states).toEqual(['Ongoing'])
  expect((await list({ producerIdFilters: [idle.producerId] })).states).toEqual(['Empty'])
  expect((await list({ durationFilter: 60_000 })).states).toEqual([])
  expect(await list({ stateFilters: ['Dead', 'Lost'] })).toMatchObject({ states: [], unknownStateFilters: ['Lost'] })
  expect(await open.end(false)).toBe('NONE')
  const scraped = broker.metrics
  expect(scraped.transactionsEnded.child('abort').value).toBeGreaterThan(0)
  expect(scraped.transactionDurationSeconds.count).toBeGreaterThan(0)
  expect(scraped.producersFenced.value).toBeGreaterThan(0)
})

test('a transaction that takes too long is aborted', async () => {
  const topic = await createTopic()
  const producer = await connect()
  expect(await producer.init({ timeoutMs: 50 })).toBe('NONE')
  await producer.addPartitions([topic, 0])
  const produced = await producer.produce(topic, 0, ['late'])
  const watching = await KafkaClient.connect(broker.kafkaPort)
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }]
  const topics = [{ topic, topicId: NO_ID, partitions }]
  if (produced === 'NONE') {
    await watching.ask(Fetch, 11, { maxWaitMs: 30_000, minBytes: 1, isolationLevel: READ_COMMITTED, topics })
  }
  expect((await read(topic)).values).toEqual([])
  expect(await producer.end(true)).toBe('PRODUCER_FENCED')
  expect(await producer.produce(topic, 0, ['x'])).toBe('INVALID_PRODUCER_EPOCH')
  expect(broker.metrics.transactionsEnded.child('timeout').value).toBeGreaterThan(0)
  watching.close()
})
