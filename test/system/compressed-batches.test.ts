import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { buildBatch, compressBatch, editBatch } from '../support/batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

const CODECS = ['gzip', 'snappy', 'lz4', 'zstd'] as const
const FETCH = 3

let broker: WholeBroker
let kafka: KafkaClient
let json: RawClient
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_MAX_UNPACKED_BYTES: '1MB' } })
  kafka = await KafkaClient.connect(broker.kafkaPort)
  json = await RawClient.connect(broker.port)
})
afterAll(async () => {
  json.close()
  kafka.close()
  await broker.stop()
})

async function createTopic(name: string): Promise<void> {
  const configs = [{ name: 'retention.ms', value: '-1' }]
  const topics = [{ name, numPartitions: 1, replicationFactor: 1, configs }]
  expect((await kafka.ask(CreateTopics, 7, { topics })).topics[0]).toMatchObject({ errorCode: 0 })
}

async function produce(name: string, records: Buffer) {
  const topicData = [{ name, partitionData: [{ index: 0, records }] }]
  const { responses } = await kafka.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData })
  return responses[0].partitionResponses[0]
}

async function offsetAt(name: string, timestamp: number) {
  const topics = [{ name, partitions: [{ partitionIndex: 0, timestamp }] }]
  const [found] = (await kafka.ask(ListOffsets, 9, { replicaId: -1, topics })).topics[0].partitions
  return [found.errorCode, found.offset, found.timestamp]
}

test.each(CODECS)('%s: what was compressed is found by its time, to the record, and read as JSON', async (codec) => {
  const topic = `packed-${codec}`
  await createTopic(topic)
  const timestamps = [1000, 1010, 1005, 1030, 1020]
  const records = timestamps.map((timestamp, index) => ({
    key: index === 2 ? null : `key-${index}`,
    value: index === 3 ? null : `value-${index} `.repeat(50),
    timestamp,
    headers: [{ key: 'codec', value: Buffer.from(codec) }],
  }))
  expect(await produce(topic, compressBatch(buildBatch(records), codec))).toMatchObject({ errorCode: 0, baseOffset: 0 })
  expect(await produce(topic, compressBatch(buildBatch([{ value: 'last', timestamp: 1025 }]), codec))).toMatchObject({
    errorCode: 0,
    baseOffset: 5,
  })
  expect(await offsetAt(topic, 0)).toEqual([0, 0, 1000])
  expect(await offsetAt(topic, 1001)).toEqual([0, 1, 1010])
  expect(await offsetAt(topic, 1011)).toEqual([0, 3, 1030])
  expect(await offsetAt(topic, 1031)).toEqual([0, -1, -1])
  expect(await offsetAt(topic, -3)).toEqual([0, 3, 1030])

  const base64 = (text: string | null) => (text === null ? null : Buffer.from(text).toString('base64'))
  const expected = records.map(({ key, value, timestamp }, offset) => ({
    offset,
    key: base64(key),
    value: base64(value),
    ts: timestamp,
    headers: [{ key: 'codec', value: base64(codec) }],
  }))
  const { json: answer } = await json.ask(FETCH, { topic, partition: 0, offset: 2 })
  expect(answer).toMatchObject({
    highWatermark: 6,
    records: [...expected.slice(2), { offset: 5, value: base64('last') }],
  })
})

test.each(CODECS)(
  '%s: damaged and endless records are kept for who wants them, and refused where one looks inside',
  async (codec) => {
    const topic = `damaged-${codec}`
    const now = Date.now()
    await createTopic(topic)
    const batch = compressBatch(buildBatch([{ value: 'x'.repeat(2 ** 20), timestamp: now }]), codec)
    expect(await produce(topic, batch)).toMatchObject({ errorCode: 0 })
    expect(await offsetAt(topic, now)).toEqual([2, -1, -1])
    expect((await json.ask(FETCH, { topic, partition: 0, offset: 0 })).json).toMatchObject({
      error: {
        code: 'INTERNAL_IO_ERROR',
        message: `Cannot read the record batch at position 0: its records cannot be decompressed with ${codec}: they grow to more than 1048576 bytes`,
      },
    })
    const nonsense = editBatch(compressBatch(buildBatch([{ value: 'y', timestamp: now }]), codec), (bytes) =>
      bytes.fill(0x7f, 61),
    )
    expect(await produce(topic, nonsense)).toMatchObject({ errorCode: 0, baseOffset: 1 })
    expect((await json.ask(FETCH, { topic, partition: 0, offset: 1 })).json).toMatchObject({
      error: { code: 'INTERNAL_IO_ERROR' },
    })
    // Nothing else is the worse for it.
    expect(await offsetAt(topic, -2)).toEqual([0, 0, -1])
  },
)

/** Digits that do not compress to less than some ten thousand bytes. */
function noise(characters: number): string {
  let seed = 7
  const numbers = Array.from({ length: characters / 9 }, () => (seed = (seed * 48_271) % 2_147_483_647))
  return numbers.join().slice(0, characters)
}

test.each(CODECS)('%s: large batches come to many consumers at a time, also when some of them go', async (codec) => {
  const topic = `large-${codec}`
  await createTopic(topic)
  const value = noise(300_000)
  const timestamp = Date.now()
  for (let index = 0; index < 3; index++) {
    await produce(
      topic,
      compressBatch(
        buildBatch([
          { value, timestamp },
          { value: String(index), timestamp },
        ]),
        codec,
      ),
    )
  }
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(broker.port)))
  const answers = clients.map((client) =>
    client.ask(FETCH, { topic, partition: 0, offset: 1 }).catch(() => ({ json: {} })),
  )
  clients[0].close()
  const expected = [
    [1, '0'],
    [2, value],
    [3, '1'],
    [4, value],
    [5, '2'],
  ]
  for (const answer of (await Promise.all(answers)).slice(1)) {
    const { records } = answer.json as { records: { offset: number; value: string }[] }
    expect(records.map((record) => [record.offset, Buffer.from(record.value, 'base64').toString()])).toEqual(expected)
  }
  for (const client of clients) client.close()
})
