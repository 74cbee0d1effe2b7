import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { readResponseHeader } from '../../src/protocols/kafka/headers.ts'
import { Reader } from '../../src/protocols/kafka/reader.ts'
import { NO_UUID } from '../../src/protocols/kafka/schema.ts'
import { sendAndEnd } from '../support/hostile-client.ts'
import { encodeRequest, KafkaClient, makeBatch } from '../support/kafka-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

const MIB = 1024 * 1024
const PATIENCE_MS = 50_000

let broker: WholeBroker
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_FLUSH_POLICY: 'os' } })
})
afterAll(() => broker.stop())

test('the largest record batch that a topic can be set to take is read again', { timeout: 60_000 }, async () => {
  const client = await KafkaClient.connect(broker.kafkaPort)
  const configs = [
    { name: 'max.message.bytes', value: String(100 * MIB) },
    { name: 'segment.bytes', value: String(200 * MIB) },
  ]
  const topics = [{ name: 'large', numPartitions: 1, replicationFactor: 1, configs }]
  expect((await client.ask(CreateTopics, 7, { topics })).topics[0].errorCode).toBe(0)

  const records = makeBatch(['x'.repeat(100 * MIB - 1000)])
  expect(records.length).toBeGreaterThan(99 * MIB)
  const topicData = [{ name: 'large', partitionData: [{ index: 0, records }] }]
  const produced = await client.ask(Produce, 9, { acks: -1, timeoutMs: 30_000, topicData })
  expect(produced.responses[0].partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: 0 })
  client.close()

  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: MIB }]
  const wish = { maxWaitMs: 0, minBytes: 1, topics: [{ topic: 'large', topicId: NO_UUID, partitions }] }
  // Asked for twice at once: the second answer begins when the first one has gone out.
  const request = encodeRequest(Fetch, 12, 1, wish)
  const { received } = await sendAndEnd(broker.kafkaPort, Buffer.concat([request, request]), PATIENCE_MS)
  let at = 0
  for (let answer = 0; answer < 2; answer++) {
    const end = at + 4 + received.readInt32BE(at)
    const reader = new Reader(received, at + 4, end, Infinity)
    readResponseHeader(reader, Fetch, 12)
    const read = Fetch.readResponse(reader, 12).responses[0].partitions[0].records
    // Base offset and leader epoch are the broker's.
    expect(read?.subarray(16).equals(records.subarray(16))).toBe(true)
    at = end
  }
  expect(at).toBe(received.length)
})
