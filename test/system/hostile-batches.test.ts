import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { NO_UUID } from '../../src/protocols/kafka/schema.ts'
import { BATCH_HEADER_BYTES, CODECS } from '../../src/record/record-batch.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import { buildBatch, compressBatch, editBatch } from '../support/batches.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { FETCH } from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import type { RawClient } from '../support/raw-client.ts'

// Batches that were made to harm: their checksum is right, and anything else may not be. What of them is taken must not
// hurt whoever reads it, through either door or by time; each batch has a topic of its own, since one may hide the next.

const SEED = Number(process.env['CAFELOG_TEST_SEED'] ?? 11)
const BATCHES_PER_CODEC = 30

let home: BrokerHome
let broker: BrokerProcess
let kafka: KafkaClient
let json: RawClient
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start({ environment: { CAFELOG_FLUSH_POLICY: 'os', CAFELOG_MAX_UNPACKED_BYTES: '1MB' } })
  kafka = await KafkaClient.connect(broker.kafkaPort)
  json = await broker.connect()
})
afterAll(async () => {
  kafka.close()
  json.close()
  await home.remove()
})

/** A batch with a few bytes of it changed: its header behind the checksum, what it says of its records, or those. */
function damage(batch: Buffer, random: SeededRandom): Buffer {
  return editBatch(batch, (bytes) => {
    // Of the header: attributes, last offset delta, timestamps, producer, epoch, sequence, count of records.
    const [from, until] = random.chance(0.4) ? [21, BATCH_HEADER_BYTES] : [BATCH_HEADER_BYTES, bytes.length]
    for (let left = 1 + random.below(4); left > 0; left--) {
      bytes[from + random.below(until - from)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])
    }
  })
}

async function tryBatch(topic: string, records: Buffer): Promise<boolean> {
  const configs = [{ name: 'retention.ms', value: '-1' }]
  await kafka.ask(CreateTopics, 7, { topics: [{ name: topic, numPartitions: 1, replicationFactor: 1, configs }] })
  const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }]
  const produced = await kafka.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData })
  const isTaken = produced.responses[0].partitionResponses[0].errorCode === 0

  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }]
  const fetched = await kafka.ask(Fetch, 12, {
    maxWaitMs: 0,
    minBytes: 1,
    topics: [{ topic, topicId: NO_UUID, partitions }],
  })
  const read = fetched.responses[0].partitions[0]
  // The records of what was taken come out as they went in. In the header some things are the broker's to write.
  if (isTaken) {
    expect(read.records?.subarray(BATCH_HEADER_BYTES).equals(records.subarray(BATCH_HEADER_BYTES))).toBe(true)
  } else expect(read.records?.length).toBe(0)
  const answer = await json.ask(FETCH, { topic, partition: 0, offset: 0 })
  expect(Array.isArray(answer.json.records) || typeof answer.json.error?.code === 'string').toBe(true)
  for (const timestamp of [-3, 0, 1500, Number.MAX_SAFE_INTEGER]) {
    const wish = { partitionIndex: 0, timestamp }
    await kafka.ask(ListOffsets, 7, { replicaId: -1, topics: [{ name: topic, partitions: [wish] }] })
  }
  return isTaken
}

test.each(CODECS)('%s', { timeout: 120_000 }, async (codec) => {
  const random = new SeededRandom(SEED + CODECS.indexOf(codec))
  const headers = [{ key: 'n', value: Buffer.from('1') }]
  const good = compressBatch(
    buildBatch(
      Array.from({ length: 20 }, (_, index) => ({
        key: `k${index}`,
        value: 'v'.repeat(index),
        timestamp: 1000 + index * 50,
        headers,
      })),
    ),
    codec,
  )
  expect(await tryBatch(`good-${codec}`, good)).toBe(true)
  let taken = 0
  for (let round = 0; round < BATCHES_PER_CODEC; round++) {
    if (await tryBatch(`${codec}-${round}`, damage(good, random))) taken++
  }
  // Whoever would refuse all of them would not be tested.
  expect(taken).toBeGreaterThan(0)
})

test('none of that was a mistake of ours, and the broker stops in order', async () => {
  const mistakes = broker.log.filter(({ level, msg }) => level === 'fatal' || msg.includes('mistake'))
  expect(mistakes).toEqual([])
  expect(await broker.stop()).toBe(0)
})
