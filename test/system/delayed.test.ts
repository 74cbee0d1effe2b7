import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import type { Codec } from '../../src/record/record-batch.ts'
import { CODECS } from '../../src/record/record-batch.ts'
import type { CafeLog } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import type { TestRecord } from '../support/batches.ts'
import { buildBatch, compressBatch, editBatch } from '../support/batches.ts'
import * as frames from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { errorName } from '../support/kafka-producer.ts'
import { RawClient } from '../support/raw-client.ts'

const HOUR = 3_600_000

let broker: CafeLog
let client: RawClient
let kafka: KafkaClient
let lastName = 0
beforeAll(async () => {
  broker = await startCafeLog()
  client = await RawClient.connect(broker.ports.json)
  kafka = await KafkaClient.connect(broker.ports.kafka)
})
afterAll(async () => {
  client.close()
  kafka.socket.destroy()
  await broker.close()
})

async function createTopic(config: Record<string, string> = {}, partitions = 1): Promise<string> {
  const name = `topic-${++lastName}`
  await broker.createTopic({ name, partitions, config })
  return name
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const ask = async (type: number, request: object) => (await client.ask(type, request)).json

interface Fetched {
  readonly offset: number
  readonly value: string
  readonly ts: number
  readonly headers: Readonly<Record<string, string>>
}

/** The records of a partition, once there are so many; of fewer, what there is after a while. */
async function read(topic: string, count: number, partition = 0): Promise<Fetched[]> {
  const found: Fetched[] = []
  let offset = 0
  for (let tries = 0; tries < 10 && found.length < count; tries++) {
    const answer = await ask(frames.FETCH, { topic, partition, offset, maxWaitMs: 200, minBytes: 1 })
    for (const record of answer.records) {
      const headers = (record.headers ?? []) as { key: string; value: string }[]
      found.push({
        offset: record.offset,
        value: Buffer.from(record.value ?? '', 'base64').toString(),
        ts: record.ts,
        headers: Object.fromEntries(headers.map(({ key, value }) => [key, Buffer.from(value, 'base64').toString()])),
      })
    }
    offset = answer.nextOffset ?? (found.at(-1)?.offset ?? offset - 1) + 1
  }
  return found
}
const valuesOf = (records: readonly Fetched[]) => records.map(({ value }) => value)

test('a delay of an hour takes milliseconds with a clock that is put forward', async () => {
  const topic = await createTopic()
  const startedAt = performance.now()
  const dueAt = broker.clock.now() + HOUR
  const record = {
    key: base64('k'),
    value: base64('later'),
    ts: 17,
    dueAt,
    headers: [{ key: 'h', value: base64('1') }],
  }
  const answer = await ask(frames.PRODUCE, { topic, partition: 0, records: [record] })
  expect(answer).toEqual({
    topic,
    partition: 0,
    baseOffset: -1,
    numRecords: 0,
    highWatermark: 0,
    scheduled: [{ record: 0, id: answer.scheduleId, partition: 0, dueAt }],
    scheduleId: expect.stringMatching(/^[0-9a-z]{11}$/),
  })
  await broker.clock.advance('59m')
  expect((await ask(frames.FETCH, { topic, partition: 0, offset: 0 })).records).toEqual([])
  await broker.clock.advance('1m')
  const headers = { h: '1', 'cafelog-scheduled-at': String(dueAt), 'cafelog-schedule-id': answer.scheduleId }
  expect(await read(topic, 1)).toEqual([{ offset: 0, value: 'later', ts: 17, headers }])
  expect(performance.now() - startedAt).toBeLessThan(2_000)
})

test('a request may have records for now and for later, for any partition', async () => {
  const topic = await createTopic({}, 3)
  const dueAt = broker.clock.now() + HOUR
  const records = Array.from({ length: 12 }, (_, i) => ({
    key: base64(`k${i}`),
    value: base64(`v${i}`),
    ...(i % 2 === 1 && { dueAt: i === 3 ? 1000 : dueAt + i }),
  }))
  const answer = await ask(frames.PRODUCE, { topic, partition: -1, records })
  expect(answer.scheduled.map(({ record }: { record: number }) => record)).toEqual([1, 5, 7, 9, 11])
  const stored = answer.partitions.reduce((sum: number, { numRecords }: { numRecords: number }) => sum + numRecords, 0)
  expect(stored).toBe(7)
  const all = async () => (await Promise.all([0, 1, 2].map((partition) => read(topic, 12, partition)))).flat()
  expect(valuesOf(await all()).toSorted()).toEqual(['v0', 'v10', 'v2', 'v3', 'v4', 'v6', 'v8'])
  await broker.clock.advance('61m')
  expect(await all()).toHaveLength(12)
})

test('what cannot wait is refused, and nothing of the request is stored', async () => {
  const topic = await createTopic({
    'cafelog.delay.max.ms': '1h',
    'cafelog.delay.max.records': '2',
    'cleanup.policy': 'compact',
    'max.message.bytes': '2000',
  })
  const now = broker.clock.now()
  const key = base64('k')
  const refusal = async (...records: object[]) => {
    return (await ask(frames.PRODUCE, { topic, partition: 0, records })).error?.message
  }
  expect(await refusal({ key }, { key, dueAt: now + 2 * HOUR })).toMatch(
    /^Cannot take PRODUCE with records\[1\]: it is due in \d+ ms: at most 3600000 ms ahead is taken \(cafelog.delay.max.ms\)$/,
  )
  const soon = { key, dueAt: now + HOUR / 2 }
  expect(await refusal(soon, soon, { key }, soon)).toContain('0 are waiting, at most 2 may (cafelog.delay.max.records)')
  expect(await refusal({ dueAt: soon.dueAt })).toContain('record 0 is refused: it has no key')
  expect(await refusal({ ...soon, value: base64('x'.repeat(2000)) })).toContain('max.message.bytes')
  const header = (name: string, text: string) => ({ key, headers: [{ key: name, value: base64(text) }] })
  expect(await refusal(header('cafelog-due-at', 'soon'))).toContain('"soon": milliseconds since 1970')
  expect(await refusal(header('cafelog-delay-ms', '-1'))).toContain('"-1": milliseconds from now')
  expect((await ask(frames.FETCH, { topic, partition: 0, offset: 0 })).highWatermark).toBe(0)

  const off = await createTopic({ 'cafelog.delay.enable': 'false' })
  const { error } = await ask(frames.PRODUCE, { topic: off, partition: 0, records: [soon] })
  expect(error.message).toContain('cafelog.delay.enable=false')
  await ask(frames.PRODUCE, { topic: off, partition: 0, records: [header('cafelog-delay-ms', '1000')] })
  expect(await read(off, 1)).toMatchObject([{ headers: { 'cafelog-delay-ms': '1000' } }])
})

test('schedules are listed, shown, moved, sent and cancelled', async () => {
  const topic = await createTopic()
  const dueAt = broker.clock.now() + HOUR
  const records = Array.from({ length: 5 }, (_, i) => ({ key: base64('k'), value: base64(`v${i}`), dueAt: dueAt + i }))
  const { scheduled } = await ask(frames.PRODUCE, { topic, partition: 0, records })
  const ids = scheduled.map(({ id }: { id: string }) => id)
  const first = await ask(frames.LIST_SCHEDULES, { topic, limit: 3 })
  expect(first).toMatchObject({ waiting: 5, schedules: ids.slice(0, 3).map((id: string) => ({ id, topic })) })
  const rest = await ask(frames.LIST_SCHEDULES, { topic, limit: 3, after: first.next })
  expect(rest.schedules.map(({ id }: { id: string }) => id)).toEqual(ids.slice(3))
  expect(rest.next).toBeUndefined()
  const shown = await ask(frames.GET_SCHEDULE, { id: ids[0] })
  expect(shown).toEqual({ ...first.schedules[0], value: base64('v0'), ts: shown.ts, headers: [] })
  expect(first.schedules[0]).toMatchObject({ partition: 0, dueAt, key: base64('k'), valueBytes: 2 })

  expect(await ask(frames.CANCEL_SCHEDULE, { id: ids[0] })).toEqual({ ok: true, topic, partition: 0 })
  expect(await ask(frames.SEND_SCHEDULE_NOW, { id: ids[1] })).toMatchObject({ ok: true })
  expect(await ask(frames.RESCHEDULE, { id: ids[2], dueAt: dueAt + HOUR })).toMatchObject({ dueAt: dueAt + HOUR })
  const far = (await ask(frames.RESCHEDULE, { id: ids[2], dueAt: dueAt * 2 })).error
  expect(far.message).toContain('cafelog.delay.max.ms')
  expect(valuesOf(await read(topic, 1))).toEqual(['v1'])
  const { error } = await ask(frames.CANCEL_SCHEDULE, { id: ids[1] })
  expect(error.code).toBe('SCHEDULE_NOT_FOUND')
  expect(error.message).toMatch(/it was delivered already at .+ as offset 0 of topic/)
  expect((await ask(frames.GET_SCHEDULE, { id: 'x' })).error.code).toBe('SCHEDULE_NOT_FOUND')
  await broker.clock.advance('3h')
  expect(valuesOf(await read(topic, 4))).toEqual(['v1', 'v3', 'v4', 'v2'])
})

test('metrics say what waits and what became of it', async () => {
  const topic = await createTopic()
  const dueAt = broker.clock.now() + HOUR
  await ask(frames.PRODUCE, { topic, partition: 0, records: [{ dueAt }, { dueAt }] })
  const scrape = async () => (await fetch(`http://${broker.addresses.http}/metrics`)).text()
  const before = await scrape()
  expect(before).toContain(`cafelog_scheduled_inflight{topic="${topic}"} 2`)
  expect(before).toContain(`cafelog_scheduled_total{topic="${topic}",event="accepted"} 2`)
  expect(before).toContain('cafelog_scheduled_limit 10000000')
  expect(before).toMatch(/cafelog_scheduled_next_due_timestamp_seconds \d/)
  await broker.clock.advance('2h')
  await read(topic, 2)
  const after = await scrape()
  expect(after).toContain(`cafelog_scheduled_inflight{topic="${topic}"} 0`)
  expect(after).toContain(`cafelog_scheduled_total{topic="${topic}",event="delivered"} 2`)
  expect(after).toMatch(/cafelog_scheduled_delivery_delay_seconds_count [1-9]/)
})

// -------------------------------------------------------------------------------------------------------- Kafka

const withHeader = (value: string, name?: string, text = ''): TestRecord => ({
  key: 'k',
  value,
  timestamp: broker.clock.now(),
  headers: [
    { key: 'h', value: Buffer.from('1') },
    ...(name === undefined ? [] : [{ key: name, value: Buffer.from(text) }]),
  ],
})
const delayed = (value: string) => withHeader(value, 'cafelog-delay-ms', String(HOUR))

function asProducer(batch: Buffer, producerId: number, sequence: number, attributes = 0): Buffer {
  return editBatch(batch, (bytes) => {
    bytes.writeInt16BE(bytes.readInt16BE(21) | attributes, 21)
    bytes.writeBigInt64BE(BigInt(producerId), 43)
    bytes.writeInt16BE(0, 51)
    bytes.writeInt32BE(sequence, 53)
  })
}

/** The base offset, or the name of the error with what is said of the records. */
async function produce(topic: string, records: Buffer): Promise<number | object> {
  const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }]
  const answer = await kafka.ask(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 5_000, topicData })
  const { errorCode, baseOffset, recordErrors, errorMessage } = answer.responses[0].partitionResponses[0]
  return errorCode === 0 ? baseOffset : { error: errorName(errorCode), recordErrors, errorMessage }
}

test.each<[Codec]>(CODECS.map((codec) => [codec]))('Kafka records ask for delay by a header: %s', async (codec) => {
  const topic = await createTopic()
  const dueAt = broker.clock.now() + HOUR / 2
  const records = [withHeader('now'), delayed('second'), withHeader('first', 'cafelog-due-at', String(dueAt))]
  expect(await produce(topic, compressBatch(buildBatch(records), codec))).toBe(0)
  expect(await produce(topic, compressBatch(buildBatch([delayed('third')]), codec))).toBe(-1)
  expect(await produce(topic, compressBatch(buildBatch([withHeader('past', 'cafelog-due-at', '0')]), codec))).toBe(3)
  expect(await read(topic, 2)).toMatchObject([
    { offset: 0, value: 'now' },
    { offset: 3, value: 'past' },
  ])
  await broker.clock.advance('61m')
  const found = await read(topic, 5)
  expect(found.slice(2)).toMatchObject([
    { offset: 4, value: 'first', headers: { 'cafelog-scheduled-at': String(dueAt) } },
    { value: 'second' },
    { value: 'third' },
  ])
  expect(Object.keys(found[2].headers)).toEqual(['h', 'cafelog-scheduled-at', 'cafelog-schedule-id'])
})

test('an idempotent producer goes on with its sequence, and what it sends again is not delayed again', async () => {
  const topic = await createTopic()
  const { producerId } = await kafka.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
  const all = asProducer(buildBatch([delayed('a'), delayed('b')]), producerId, 0)
  const mixed = asProducer(buildBatch([withHeader('c'), delayed('d')]), producerId, 2)
  const none = asProducer(buildBatch([withHeader('e')]), producerId, 4)
  expect(await produce(topic, all)).toBe(0)
  expect(await produce(topic, all)).toBe(0)
  expect(await produce(topic, mixed)).toBe(2)
  expect(await produce(topic, none)).toBe(4)
  expect(await produce(topic, mixed)).toBe(2)
  expect(await produce(topic, asProducer(buildBatch([delayed('x')]), producerId, 9))).toMatchObject({
    error: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  })
  expect(await read(topic, 2)).toMatchObject([
    { offset: 2, value: 'c' },
    { offset: 4, value: 'e' },
  ])
  await broker.clock.advance('61m')
  const found = await read(topic, 5)
  expect(valuesOf(found)).toEqual(['c', 'e', 'a', 'b', 'd'])
  expect(found[2].offset).toBe(5)
  // By now all of it would be due: it is still the batch that it was.
  expect(await produce(topic, mixed)).toBe(2)
  expect(await produce(topic, asProducer(buildBatch([withHeader('y', 'cafelog-due-at', '1')]), producerId, 5))).toBe(8)
  await broker.clock.advance('1s')
  expect(valuesOf(await read(topic, 6))).toEqual(['c', 'e', 'a', 'b', 'd', 'y'])
})

test('Kafka records that cannot wait are refused one by one, and the rest of their batch with them', async () => {
  const topic = await createTopic({ 'cafelog.delay.max.ms': '1m' })
  expect(await produce(topic, buildBatch([withHeader('a'), delayed('b')]))).toMatchObject({
    error: 'INVALID_TIMESTAMP',
    recordErrors: [{ batchIndex: 1, batchIndexErrorMessage: expect.stringContaining('cafelog.delay.max.ms') }],
  })
  expect(await produce(topic, buildBatch([withHeader('b', 'cafelog-due-at', 'x')]))).toMatchObject({
    error: 'INVALID_RECORD',
    errorMessage: expect.stringContaining('milliseconds since 1970'),
  })
  const { highWatermark } = await ask(frames.FETCH, { topic, partition: 0, offset: 0 })
  expect(highWatermark).toBe(0)
  const off = await createTopic({ 'cafelog.delay.enable': 'false' })
  expect(await produce(off, buildBatch([delayed('b')]))).toBe(0)
  expect(await read(off, 1)).toMatchObject([{ headers: { 'cafelog-delay-ms': String(HOUR) } }])
})

test('topics have their way with delayed records: retention, compression, timestamps, deletion', async () => {
  const short = await createTopic({ 'retention.ms': '10m', 'segment.ms': '1m' })
  const packed = await createTopic({ 'compression.type': 'zstd', 'message.timestamp.type': 'LogAppendTime' })
  const gone = await createTopic()
  const before = broker.clock.now()
  const record = { key: base64('k'), value: base64('v'), ts: before, dueAt: before + HOUR }
  for (const topic of [short, packed, gone]) await ask(frames.PRODUCE, { topic, partition: 0, records: [record] })
  await ask(frames.DELETE_TOPIC, { topic: gone })
  await broker.createTopic(gone)
  await broker.clock.advance('61m')
  await broker.clock.advance('6m')
  expect(await read(short, 1)).toMatchObject([{ value: 'v', ts: before }])
  const [inPacked] = await read(packed, 1)
  expect(inPacked.ts).toBeGreaterThanOrEqual(before + HOUR)
  expect((await ask(frames.FETCH, { topic: gone, partition: 0, offset: 0 })).highWatermark).toBe(0)
  await broker.clock.advance('30m')
  expect((await ask(frames.FETCH, { topic: short, partition: 0, offset: 0 })).error?.code).toBe('OFFSET_OUT_OF_RANGE')
})
