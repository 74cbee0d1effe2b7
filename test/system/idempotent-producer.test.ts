import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import { DescribeProducers } from '../../src/protocols/kafka/apis/61-describe-producers.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { errorName } from '../support/kafka-producer.ts'
import { readPartition } from '../support/kafka-reader.ts'
import { makeProducerBatch } from '../support/producer-batches.ts'
import type { Numbering } from '../support/producer-batches.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

let broker: WholeBroker
let client: KafkaClient
let lastName = 0
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

async function createTopic(): Promise<string> {
  const name = `topic-${++lastName}`
  await client.ask(CreateTopics, 7, { topics: [{ name, numPartitions: 1, replicationFactor: 1 }] })
  return name
}

async function newProducerId(): Promise<number> {
  const request = { transactionalId: null, transactionTimeoutMs: 60_000 }
  const { errorCode, producerId, producerEpoch } = await client.ask(InitProducerId, 4, request)
  expect({ errorCode, producerEpoch }).toEqual({ errorCode: 0, producerEpoch: 0 })
  return producerId
}

const requestOf = (topic: string, values: readonly string[], numbering: Numbering) => ({
  transactionalId: null,
  acks: -1,
  timeoutMs: 5_000,
  topicData: [
    { name: topic, partitionData: [{ index: 0, records: makeProducerBatch(values, numbering, Date.now()) }] },
  ],
})

/** The base offset, or the name of the error. */
async function takeAnswer(): Promise<number | string> {
  const { answer } = await client.answer(Produce, 9)
  const { errorCode, baseOffset } = answer.responses[0].partitionResponses[0]
  return errorCode === 0 ? baseOffset : errorName(errorCode)
}

async function produce(topic: string, values: readonly string[], numbering: Numbering): Promise<number | string> {
  client.send(Produce, 9, requestOf(topic, values, numbering))
  return takeAnswer()
}

test('every producer gets an id of its own', async () => {
  const ids = [await newProducerId(), await newProducerId(), await newProducerId()]
  expect(new Set(ids).size).toBe(3)
})

test('a retry is answered with the first offset and stores nothing', async () => {
  const topic = await createTopic()
  const producerId = await newProducerId()
  expect(await produce(topic, ['a', 'b'], { producerId, sequence: 0 })).toBe(0)
  expect(await produce(topic, ['c'], { producerId, sequence: 2 })).toBe(2)
  expect(await produce(topic, ['a', 'b'], { producerId, sequence: 0 })).toBe(0)
  expect(await produce(topic, ['x'], { producerId, sequence: 9 })).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect(await produce(topic, ['d'], { producerId, epoch: 1, sequence: 0 })).toBe(3)
  expect(await produce(topic, ['x'], { producerId, sequence: 3 })).toBe('INVALID_PRODUCER_EPOCH')
  expect((await readPartition(client, topic)).values).toEqual(['a', 'b', 'c', 'd'])
})

test('five requests in flight and all of them again are stored once, in order', async () => {
  const topic = await createTopic()
  const producerId = await newProducerId()
  const sequences = [0, 1, 2, 3, 4]
  for (const sequence of [...sequences, ...sequences]) {
    client.send(Produce, 9, requestOf(topic, [`v${sequence}`], { producerId, sequence }))
  }
  const answers: (number | string)[] = []
  while (answers.length < 10) answers.push(await takeAnswer())
  expect(answers).toEqual([...sequences, ...sequences])
  expect((await readPartition(client, topic)).values).toEqual(['v0', 'v1', 'v2', 'v3', 'v4'])
})

test('a batch of another producer does not disturb, and partitions say whom they remember', async () => {
  const topic = await createTopic()
  const [first, second] = [await newProducerId(), await newProducerId()]
  await produce(topic, ['a'], { producerId: first, sequence: 0 })
  await produce(topic, ['b', 'c'], { producerId: second, epoch: 2, sequence: 40 })
  const { topics } = await client.ask(DescribeProducers, 0, { topics: [{ name: topic, partitionIndexes: [0, 7] }] })
  const [known, unknown] = topics[0].partitions
  const common = { lastTimestamp: expect.any(Number), coordinatorEpoch: -1, currentTxnStartOffset: -1 }
  expect(known.activeProducers).toEqual([
    { producerId: first, producerEpoch: 0, lastSequence: 0, ...common },
    { producerId: second, producerEpoch: 2, lastSequence: 41, ...common },
  ])
  expect(errorName(unknown.errorCode)).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  expect(unknown.errorMessage).toContain('partition 7')
})

test('the metrics count producers, retries and gaps', async () => {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)
  const text = await response.text()
  expect(text).toMatch(/^cafelog_producers [4-9]/m)
  expect(text).toMatch(/^cafelog_producer_duplicates_total 6$/m)
  expect(text).toMatch(/^cafelog_producer_out_of_order_total 1$/m)
})
