import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CafeLog } from '../src/start-cafelog.ts'
import { startCafeLog } from '../src/start-cafelog.ts'
import type { ProducerMessage } from './client.ts'
import { openConnection } from './json-connection.ts'
import { call } from './operations.ts'
import { CafeLogClient, DeliveryFailure, SendBatchFailure } from './client.ts'

let broker: CafeLog
let client: CafeLogClient
beforeEach(async () => {
  broker = await startCafeLog({ topics: ['plain', { name: 'orders', partitions: 4 }] })
  client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5, retryDelayMsMax: 20, circuitOpenMs: 50 })
})
afterEach(async () => {
  await client.close()
  await broker.close()
})

/** All records of a partition as text, read by the JSON protocol's own FETCH. */
async function readAll(topic: string, partition = 0) {
  const [host, port] = broker.addresses.json.split(':')
  const connection = await openConnection({ host, port: Number(port) })
  const values: string[] = []
  for (let offset = 0; ;) {
    const { records } = await call(connection, 'FETCH', { topic, partition, offset, maxBytes: 7_000_000 })
    if (records.length === 0) break
    values.push(...records.map(({ value }) => String(value === null ? null : Buffer.from(value, 'base64'))))
    offset = records[records.length - 1].offset + 1
  }
  connection.close()
  return values
}

const numbered = (count: number): ProducerMessage[] =>
  Array.from({ length: count }, (_, index) => ({ topic: 'plain', value: `${index}` }))
const texts = (count: number) => numbered(count).map(({ value }) => value)

test('a message is sent, and told where it is', async () => {
  const producer = client.producer()
  expect(await producer.send({ topic: 'plain', value: 'a' })).toEqual({ topic: 'plain', partition: 0, offset: 0 })
  expect(await producer.send({ topic: 'orders', value: Buffer.from('b'), partition: 3 })).toMatchObject({
    partition: 3,
    offset: 0,
  })
  expect(await producer.send({ topic: 'plain', key: 'k', value: null })).toMatchObject({ offset: 1 })
  expect(await readAll('plain')).toEqual(['a', 'null'])
  expect(producer.bufferedBytes).toBe(0)
  await producer.close()
  await expect(producer.send({ topic: 'plain', value: 'late' })).rejects.toMatchObject({ kind: 'closed' })
})

test.each(['none', 'gzip'] as const)('many messages keep their order, with compression %s', async (compression) => {
  await using producer = client.producer({ compression, batchBytes: 1000 })
  const sent = await Promise.all(numbered(5000).map((message) => producer.send(message)))
  expect(sent.map(({ offset }) => offset)).toEqual(Array.from({ length: 5000 }, (_, index) => index))
  expect(await readAll('plain')).toEqual(texts(5000))
})

test('acks 0 and 1', async () => {
  for (const acks of [0, 1] as const) {
    const producer = client.producer({ acks })
    const sent = await producer.sendBatch(numbered(100))
    expect(sent[99]).toEqual({ topic: 'plain', partition: 0, offset: acks === 0 ? -1 : 199 })
    await producer.close()
    await expect.poll(() => readAll('plain')).toHaveLength(100 * (acks + 1))
  }
})

test('what is lost on the way is sent again, and stored once', async () => {
  const retries: string[] = []
  client.on('retry', ({ operation }) => retries.push(operation))
  await using producer = client.producer({ batchBytes: 200 })
  await producer.send({ topic: 'plain', value: 'first' })
  broker.faults.dropNext('PRODUCE_BATCHES', { when: 'after', times: 2 })
  broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 2 })
  await Promise.all(numbered(500).map((message) => producer.send(message)))
  expect(await readAll('plain')).toEqual(['first', ...texts(500)])
  expect(retries).toContain('PRODUCE_BATCHES')
})

test('a key has the partition that Kafka gives it, and keeps its order', async () => {
  await using producer = client.producer({ batchBytes: 500 })
  // By Java's Utils.murmur2: toPositive(-973932308) % 4 and toPositive(-790332482) % 4.
  expect(await producer.send({ topic: 'orders', key: '21', value: '' })).toMatchObject({ partition: 0 })
  expect(await producer.send({ topic: 'orders', key: Buffer.from('foobar'), value: '' })).toMatchObject({
    partition: 2,
  })
  const keyed = Array.from({ length: 1000 }, (_, index) => ({
    topic: 'orders',
    key: `k${index % 7}`,
    value: `${index}`,
  }))
  const sent = await producer.sendBatch(keyed)
  const places = new Map<string, Set<number>>()
  keyed.forEach(({ key }, index) => places.set(key, (places.get(key) ?? new Set()).add(sent[index].partition)))
  expect([...places.values()].every((partitions) => partitions.size === 1)).toBe(true)
  const values = (await readAll('orders', sent[0].partition)).filter((value) => Number(value) % 7 === 0 && value !== '')
  expect(values).toEqual(keyed.filter(({ key }) => key === 'k0').map(({ value }) => value))
})

test('messages without a key fill a batch of one partition, then of the next', async () => {
  await using producer = client.producer()
  const first = await Promise.all([1, 2, 3].map((value) => producer.send({ topic: 'orders', value: `${value}` })))
  expect(new Set(first.map(({ partition }) => partition)).size).toBe(1)
  const each: number[] = []
  for (let turn = 0; turn < 4; turn++) each.push((await producer.send({ topic: 'orders', value: '' })).partition)
  expect(each.toSorted((left, right) => left - right)).toEqual([0, 1, 2, 3])
})

test('headers and times', async () => {
  await using producer = client.producer()
  await producer.send({
    topic: 'plain',
    value: new Uint8Array([104, 105]),
    timestamp: 1_700_000_000_000,
    headers: { a: 'text', b: new Uint8Array([1]), c: null },
  })
  await producer.send({ topic: 'plain', value: '', headers: [1, 2].map((n) => ({ key: 'twice', value: `${n}` })) })
  const { port } = new URL(`tcp://${broker.addresses.json}`)
  const connection = await openConnection({ host: '127.0.0.1', port: Number(port) })
  const { records } = await call(connection, 'FETCH', { topic: 'plain', partition: 0, offset: 0 })
  connection.close()
  const headers = records.map((record) =>
    record.headers?.map(({ key, value }) => [key, value === null ? null : Buffer.from(value, 'base64').toString()]),
  )
  expect(records[0].ts).toBe(1_700_000_000_000)
  const expected = [
    ['a', 'text'],
    ['b', '\u0001'],
    ['c', null],
  ]
  expect(headers[0]).toEqual(expected)
  expect(headers[1]).toEqual([
    ['twice', '1'],
    ['twice', '2'],
  ])
})

test('a message with a due time is delivered then', async () => {
  await using producer = client.producer()
  await producer.send({ topic: 'plain', value: 'later', dueAt: new Date(broker.clock.now() + 3_600_000) })
  await producer.send({ topic: 'plain', value: 'now' })
  expect(await readAll('plain')).toEqual(['now'])
  await broker.clock.advance('61m')
  await expect.poll(() => readAll('plain')).toEqual(['now', 'later'])
})

test('what cannot be sent is refused by its own promise', async () => {
  await using producer = client.producer()
  const check = (message: object, error: string) =>
    expect(producer.send(message as ProducerMessage)).rejects.toThrow(error)
  await check({ topic: 'nothing', value: '' }, 'topic "nothing"')
  await check({ topic: '', value: '' }, 'its name is needed')
  await check({ topic: 'plain' }, 'Cannot send the value')
  await check({ topic: 'plain', value: 5 }, 'Cannot send the value 5: a string')
  await check({ topic: 'plain', value: '', key: {} }, 'Cannot send the key {}')
  await check({ topic: 'plain', value: '', partition: 1 }, 'Cannot send to topic "plain", partition 1: it has 0 to 0')
  await check({ topic: 'plain', value: '', timestamp: -1 }, 'Cannot send the timestamp -1')
  await check({ topic: 'plain', value: '', dueAt: Number.NaN }, 'Cannot send the dueAt NaN')
  await check({ topic: 'plain', value: '', headers: { a: 1 } }, 'Cannot send the header "a" 1')
  await check({ topic: 'plain', value: Buffer.alloc(8_000_000) }, 'Cannot send a message of 8000040 bytes')
  await broker.createTopic({ name: 'narrow', config: { 'max.message.bytes': '1KB' } })
  await check({ topic: 'narrow', value: Buffer.alloc(2000) }, 'max.message.bytes')
  // Batches keep to that by themselves.
  await Promise.all(numbered(200).map((message) => producer.send({ ...message, topic: 'narrow' })))
  expect(await producer.send({ topic: 'plain', value: 'fine' })).toMatchObject({ offset: 0 })
  expect(producer.bufferedBytes).toBe(0)
})

test('options that cannot be are refused', () => {
  const check = (options: object, error: string) => expect(() => client.producer(options)).toThrow(error)
  check({ acks: 2 }, 'Cannot use acks 2')
  check({ compression: 'snappy' }, 'Cannot use compression "snappy"')
  check({ lingerMs: -1 }, 'Cannot use lingerMs -1')
  check({ requestsInFlightMax: 6 }, 'Cannot use requestsInFlightMax 6: a whole number from 1 to 5')
  check({ batchBytes: 1.5 }, 'Cannot use batchBytes 1.5')
  check({ acks: 0, idempotent: true }, 'Cannot use idempotent true with acks 0')
})

test('of a sendBatch that is stored in part, every message is told of', async () => {
  await using producer = client.producer()
  const messages = [
    { topic: 'plain', value: 'a' },
    { topic: 'nothing', value: 'b' },
    { topic: 'plain', value: 'c' },
  ]
  const failure = await producer.sendBatch(messages).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SendBatchFailure)
  const { results, message } = failure as SendBatchFailure
  expect(message).toContain('Cannot deliver 1 of 3 messages')
  expect(results).toMatchObject([{ offset: 0 }, { code: 'UNKNOWN_TOPIC_OR_PARTITION' }, { offset: 1 }])
})

test('memory is bounded: send refuses, room waits, sendBatch waits by itself', async () => {
  await using producer = client.producer({ bufferBytesMax: 10_000, batchBytes: 1000 })
  await producer.send({ topic: 'plain', value: 'first' })
  const value = 'x'.repeat(1000)
  const sending = Array.from({ length: 12 }, () => producer.send({ topic: 'plain', value }))
  const outcomes = Promise.allSettled(sending)
  expect(producer.hasRoom).toBe(false)
  await producer.room()
  expect(producer.hasRoom).toBe(true)
  const full = (await outcomes).filter(({ status }) => status === 'rejected')
  expect(full).toHaveLength(2)
  await expect(sending[11]).rejects.toMatchObject({ name: 'DeliveryFailure', kind: 'full' })
  let most = 0
  const generated = function* () {
    for (let index = 0; index < 300; index++) {
      most = Math.max(most, producer.bufferedBytes)
      yield { topic: 'plain', value }
    }
  }
  expect(await producer.sendBatch(generated())).toHaveLength(300)
  expect(most).toBeLessThan(12_000)
  const waiting = producer.send({ topic: 'plain', value: 'y'.repeat(20_000) })
  await expect(producer.room({ signal: AbortSignal.abort(new Error('no time')) })).rejects.toThrow('no time')
  await waiting
})

test('a batch waits for more messages as long as it may, or until it is flushed', async () => {
  await using producer = client.producer({ lingerMs: 60_000 })
  let count = 0
  const sent = Promise.all(numbered(3).map((message) => producer.send(message).then(() => count++)))
  await client.admin().describeTopics()
  expect(count).toBe(0)
  await producer.flush()
  await sent
  await using quick = client.producer({ lingerMs: 5 })
  expect(await quick.send({ topic: 'plain', value: '' })).toMatchObject({ offset: 3 })
})

test('a message that cannot be delivered in time is given up, and the next ones are not held up by that', async () => {
  await using producer = client.producer({ deliveryTimeoutMs: 100, batchBytes: 1 })
  await producer.send({ topic: 'plain', value: 'first' })
  broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 1000 })
  const failure = await producer.send({ topic: 'plain', value: 'lost' }).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(DeliveryFailure)
  expect(failure).toMatchObject({ kind: 'timeout', cause: { code: 'INTERNAL_IO_ERROR' } })
  broker.faults.clear()
  // The broker misses a sequence, and says so: the next epoch begins.
  const sent = await Promise.all(numbered(20).map((message) => producer.send(message)))
  expect(sent.map(({ offset }) => offset)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
  expect(await readAll('plain')).toEqual(['first', ...texts(20)])
})

test('a signal ends the waiting, the producer, or its closing', async () => {
  const reason = new Error('enough')
  const controller = new AbortController()
  const producer = client.producer({ lingerMs: 60_000, signal: controller.signal })
  const message = { topic: 'plain', value: 'a' }
  await expect(producer.send(message, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  const sent = producer.send(message).catch((error: unknown) => error)
  const one = new AbortController()
  const waiting = producer.send(message, { signal: one.signal })
  one.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  controller.abort(reason)
  expect(await sent).toBe(reason)
  await expect(producer.send(message)).rejects.toBe(reason)

  const slow = client.producer()
  await slow.send(message)
  broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 1000 })
  const stuck = slow.send(message).catch((error: unknown) => error)
  await slow.close({ signal: AbortSignal.abort(reason) })
  expect(await stuck).toBe(reason)
})

test('a client that is closed fails what is under way', async () => {
  const producer = client.producer()
  await producer.send({ topic: 'plain', value: 'a' })
  broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 1000 })
  const stuck = producer.send({ topic: 'plain', value: 'b' })
  await client.close()
  await expect(stuck).rejects.toMatchObject({ kind: 'closed' })
  await producer.close()
})

test('partitions that are added, and a topic that is made anew, are found', async () => {
  await using producer = client.producer()
  await producer.send({ topic: 'plain', value: 'a' })
  await client.admin().alterTopic({ topic: 'plain', partitions: 3 })
  expect(await producer.send({ topic: 'plain', value: 'b', partition: 2 })).toMatchObject({ partition: 2 })
  await client.admin().deleteTopic('plain')
  await expect
    .poll(() => producer.send({ topic: 'plain', value: 'b' }).catch(({ code }) => code as string))
    .toBe('UNKNOWN_TOPIC_OR_PARTITION')
  await client.admin().createTopic({ topic: 'plain', partitions: 1 })
  expect(await producer.send({ topic: 'plain', value: 'new' })).toMatchObject({ partition: 0, offset: 0 })
})
