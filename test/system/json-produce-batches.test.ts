import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CODECS } from '../../src/record/record-batch.ts'
import { buildBatch, compressBatch, editBatch } from '../support/batches.ts'
import { CREATE_TOPIC, FETCH, HEARTBEAT, INIT_PRODUCER_ID, PRODUCE_BATCHES } from '../support/frame-types.ts'
import { batchesRequest, inShort, NumberedProducer, produceBatches, readMetrics } from '../support/json-batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { readPartition } from '../support/kafka-reader.ts'
import { makeProducerBatch } from '../support/producer-batches.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

// Producers that pack and number their own batches, through the JSON door.

let broker: WholeBroker
let client: RawClient
let lastName = 0
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await RawClient.connect(broker.port)
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

async function createTopic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
  const topic = `batches-${++lastName}`
  const { json } = await client.ask(CREATE_TOPIC, { topic, partitions, config })
  expect(json).toEqual({ ok: true, created: true })
  return topic
}

const batchOf = (...values: string[]) =>
  buildBatch(values.map((value) => ({ key: `key of ${value}`, value, timestamp: Date.now() })))

/** The values of a partition, as FETCH gives them. */
async function valuesOf(topic: string, partition = 0, from = client): Promise<string[]> {
  const { json } = await from.ask(FETCH, { topic, partition, offset: 0 })
  return json.records.map(({ value }: { value: string }) => Buffer.from(value, 'base64').toString())
}

test('every producer gets an id of its own, or the next epoch of the one it has', async () => {
  const ask = async (request: object) => (await client.ask(INIT_PRODUCER_ID, request)).json
  const first = await ask({})
  expect(first).toEqual({ ok: true, producerId: expect.any(Number), producerEpoch: 0 })
  const second = await ask({ producerId: null, producerEpoch: null })
  expect(second.producerId).not.toBe(first.producerId)

  const { producerId } = first
  expect(await ask({ producerId, producerEpoch: 0 })).toEqual({ ok: true, producerId, producerEpoch: 1 })
  expect(await ask({ producerId, producerEpoch: 32_765 })).toEqual({ ok: true, producerId, producerEpoch: 32_766 })
  // No epoch comes after that one, and nobody has the other ids.
  for (const request of [
    { producerId, producerEpoch: 32_766 },
    { producerId: 0, producerEpoch: 0 },
    { producerId: 1e15, producerEpoch: 3 },
  ]) {
    const { producerId: other, producerEpoch } = await ask(request)
    expect([first.producerId, second.producerId, 0, 1e15]).not.toContain(other)
    expect(producerEpoch).toBe(0)
  }
})

const REFUSED_PRODUCERS: [object, string][] = [
  [{ producerId: 7 }, 'without "producerEpoch": a whole number from 0 to 32767 is needed'],
  [{ producerEpoch: 0 }, 'without "producerId": a whole number from 0 to 9007199254740991 is needed'],
  [{ producerId: '7', producerEpoch: 0 }, 'with "producerId" "7": a whole number from 0 to'],
  [{ producerId: 7, producerEpoch: 32_768 }, 'with "producerEpoch" 32768: a whole number from 0 to 32767 is needed'],
  [{ producerId: -1, producerEpoch: -1 }, 'with "producerId" -1: a whole number from 0 to'],
]

test.each(REFUSED_PRODUCERS)('INIT_PRODUCER_ID %j is refused', async (request, message) => {
  const { json } = await client.ask(INIT_PRODUCER_ID, request)
  expect(json.error.code).toBe('INVALID_REQUEST')
  expect(json.error.message).toContain(`Cannot take INIT_PRODUCER_ID ${message}`)
})

test('batches for several partitions are answered in the order of the request', async () => {
  const [one, other] = [await createTopic(2), await createTopic()]
  const send = (...values: string[]) =>
    produceBatches(client, [
      { topic: one, partition: 1, batch: batchOf(...values) },
      { topic: other, partition: 0, batch: batchOf('z') },
      { topic: one, partition: 0, batch: batchOf('a') },
    ])
  expect(await send('b', 'c')).toEqual([0, 0, 0])
  expect(await send('d')).toEqual([2, 1, 1])
  expect(await valuesOf(one, 1)).toEqual(['b', 'c', 'd'])
  expect(await valuesOf(other)).toEqual(['z', 'z'])

  const { json } = await client.ask(
    PRODUCE_BATCHES,
    batchesRequest([{ topic: one, partition: 0, batch: batchOf('e') }]),
  )
  expect(json).toEqual({ ok: true, results: [{ topic: one, partition: 0, baseOffset: 2 }] })
})

test('a batch comes out byte for byte, with whatever codec', async () => {
  const topic = await createTopic(CODECS.length)
  const sent = CODECS.map((codec) => compressBatch(batchOf('x'.repeat(1000), 'y'.repeat(70_000)), codec))
  const batches = sent.map((batch, partition) => ({ topic, partition, batch }))
  expect(await produceBatches(client, batches)).toEqual(CODECS.map(() => 0))
  const kafka = await KafkaClient.connect(broker.kafkaPort)
  for (const [partition] of CODECS.entries()) {
    expect(await valuesOf(topic, partition)).toEqual(['x'.repeat(1000), 'y'.repeat(70_000)])
    expect((await readPartition(kafka, topic, { partition })).values).toHaveLength(2)
  }
  kafka.close()
})

test('a batch that is sent again is answered with its first offset, and a gap is refused', async () => {
  const topic = await createTopic()
  const producer = new NumberedProducer(client, topic)
  const producerId = await producer.newId()
  expect(await producer.produce(['a', 'b'], { producerId, sequence: 0 })).toBe(0)
  expect(await producer.produce(['c'], { producerId, sequence: 2 })).toBe(2)
  expect(await producer.produce(['a', 'b'], { producerId, sequence: 0 })).toBe(0)
  expect(await producer.produce(['x'], { producerId, sequence: 9 })).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect(await producer.produce(['d'], { producerId, epoch: 1, sequence: 0 })).toBe(3)
  expect(await producer.produce(['x'], { producerId, sequence: 3 })).toBe('INVALID_PRODUCER_EPOCH')
  expect(await valuesOf(topic)).toEqual(['a', 'b', 'c', 'd'])
})

test('five requests in flight and all of them again are stored once, in order', async () => {
  const topic = await createTopic()
  const producerId = await new NumberedProducer(client, topic).newId()
  const sequences = [0, 1, 2, 3, 4]
  for (const sequence of [...sequences, ...sequences]) {
    const batch = makeProducerBatch([`v${sequence}`], { producerId, sequence }, Date.now())
    client.send(rawFrame(PRODUCE_BATCHES, batchesRequest([{ topic, partition: 0, batch }])))
  }
  const answers: unknown[] = []
  while (answers.length < 10) answers.push(inShort((await client.next())?.json.results[0]))
  expect(answers).toEqual([...sequences, ...sequences])
  expect(await valuesOf(topic)).toEqual(['v0', 'v1', 'v2', 'v3', 'v4'])
})

test('each batch is taken or refused by itself', async () => {
  const topic = await createTopic(3, { 'max.message.bytes': '2000' })
  const damaged = Buffer.from(batchOf('a'))
  damaged[damaged.length - 1] ^= 1
  const withTwo = Buffer.concat([batchOf('a'), batchOf('b')])
  const check = async (batch: Buffer | string, expected: string) => {
    const results = await produceBatches(client, [
      { topic, partition: 0, batch: batchOf('before') },
      { topic, partition: 1, batch },
      { topic, partition: 2, batch: batchOf('after') },
    ])
    expect(results).toEqual([expect.any(Number), expect.stringContaining(expected), expect.any(Number)])
  }
  await check(damaged, 'CORRUPT_MESSAGE: Cannot append the batch: its CRC32C is')
  await check(batchOf('a').subarray(0, 40), 'CORRUPT_MESSAGE: Cannot append the batch: 40 bytes are no record batch')
  await check(batchOf('a').subarray(0, 70), 'CORRUPT_MESSAGE: Cannot append the batch: its length is')
  await check('', 'INVALID_REQUEST: Cannot append the batch: there is no record batch')
  await check(withTwo, 'INVALID_REQUEST: Cannot append the batch: there is more than one record batch')
  await check(
    editBatch(batchOf('a'), (bytes) => bytes.writeInt8(1, 16)),
    'INVALID_REQUEST: Cannot append the batch: its format is 1, only 2 is taken',
  )
  await check(
    editBatch(batchOf('a'), (bytes) => bytes.writeInt16BE(0x20, 21)),
    'INVALID_REQUEST: Cannot append the batch: it is a control batch',
  )
  await check(batchOf('x'.repeat(2000)), 'INVALID_REQUEST: Cannot append a batch of')
  await check(
    makeProducerBatch(['a'], { producerId: 1, sequence: 0, isTransactional: true }),
    'INVALID_REQUEST: Cannot append a transactional batch of producer 1: no transactional id has it',
  )
  expect(await valuesOf(topic, 1)).toEqual([])
  expect(new Set(await valuesOf(topic, 2))).toEqual(new Set(['after']))
})

test('one topic of three that is not there is told by itself', async () => {
  const topic = await createTopic()
  const batches = [
    { topic, partition: 0, batch: batchOf('a') },
    { topic: 'never-made', partition: 0, batch: batchOf('b') },
    { topic, partition: 9, batch: batchOf('c') },
  ]
  expect(await produceBatches(client, batches)).toEqual([
    0,
    'UNKNOWN_TOPIC_OR_PARTITION: There is no topic "never-made", create it first',
    `UNKNOWN_TOPIC_OR_PARTITION: Topic "${topic}" has no partition 9: it has 0 to 0`,
  ])
})

test('with acks 1 it is answered, with acks 0 it is not', async () => {
  const topic = await createTopic()
  const send = (value: string, acks: unknown) =>
    client.send(rawFrame(PRODUCE_BATCHES, batchesRequest([{ topic, partition: 0, batch: batchOf(value) }], acks)))
  expect(await produceBatches(client, [{ topic, partition: 0, batch: batchOf('a') }], 1)).toEqual([0])
  send('b', 0)
  client.send(rawFrame(PRODUCE_BATCHES, batchesRequest([{ topic: 'never-made', partition: 0, batch: '' }], 0)))
  expect((await client.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
  expect(await produceBatches(client, [{ topic, partition: 0, batch: batchOf('c') }], -1)).toEqual([2])
  expect(await valuesOf(topic)).toEqual(['a', 'b', 'c'])
  // What cannot be read is told all the same.
  send('d', '0')
  expect((await client.next())?.json.error.message).toContain('with "acks" "0": "all", -1, 1 or 0 is needed')
})

const PART = { topic: 'any', partition: 0, batch: 'AAAA' }
const REFUSED: [object | string, string][] = [
  [{}, 'without "batches": an array of record batches is needed'],
  [{ batches: {} }, 'with "batches" {}: an array of record batches is needed'],
  [{ batches: [] }, 'with 0 record batches in "batches": 1 to 1000 are needed'],
  [
    { batches: Array.from({ length: 1001 }, (_, partition) => ({ ...PART, partition })) },
    'with 1001 record batches in "batches": 1 to 1000 are needed',
  ],
  [{ batches: [PART, 7] }, 'with "batches[1]" 7: an object is needed'],
  [{ batches: [PART, [PART]] }, 'with "batches[1]" [{'],
  [{ batches: [{ ...PART, topic: undefined }] }, 'without "batches[0].topic": text is needed'],
  [{ batches: [{ ...PART, topic: 'a b' }] }, 'with "batches[0].topic" "a b": 1 to 249 letters, digits,'],
  [{ batches: [{ ...PART, topic: 'ü'.repeat(9) }] }, 'with "batches[0].topic" "üüüüüüüüü": 1 to 249 letters'],
  [{ batches: [{ ...PART, topic: '..' }] }, 'with "batches[0].topic" "..": 1 to 249 letters'],
  [{ batches: [{ ...PART, partition: undefined }] }, 'without "batches[0].partition": a whole number from 0'],
  [{ batches: [{ ...PART, partition: -1 }] }, 'with "batches[0].partition" -1: a whole number from 0'],
  [{ batches: [{ ...PART, partition: 0.5 }] }, 'with "batches[0].partition" 0.5: a whole number from 0'],
  [{ batches: [{ ...PART, batch: undefined }] }, 'without "batches[0].batch": text is needed'],
  [{ batches: [{ ...PART, batch: 7 }] }, 'with "batches[0].batch" 7: text is needed'],
  [{ batches: [{ ...PART, batch: 'AAA' }] }, 'with "batches[0].batch" "AAA": base64 text (standard alphabet, padded)'],
  [{ batches: [{ ...PART, batch: 'AA-_' }] }, 'with "batches[0].batch" "AA-_": base64 text'],
  [{ batches: [{ ...PART, batch: 'AB==' }] }, 'with "batches[0].batch" "AB==": base64 text'],
  [{ batches: [{ ...PART, batch: 'ŁAAA' }] }, 'with "batches[0].batch" "ŁAAA": base64 text'],
  [{ batches: [{ ...PART, batch: `${'A'.repeat(4000)}!AAA` }] }, 'with "batches[0].batch" "AAAAAAAA'],
  [{ batches: [PART, PART] }, 'with "any", partition 0 again as batches[1]: a request has one batch at most for each'],
  [{ acks: 2, batches: [PART] }, 'with "acks" 2: "all", -1, 1 or 0 is needed'],
  ['{"batches":[{"topic":"any"', 'with this payload: it is not JSON'],
]

test.each(REFUSED.map(([request, message]) => ({ request, message })))(
  'PRODUCE_BATCHES is refused $message',
  async ({ request, message }) => {
    const { json } = await client.ask(PRODUCE_BATCHES, request)
    expect(json.error.code).toBe('INVALID_REQUEST')
    expect(json.error.message).toContain(`Cannot take PRODUCE_BATCHES ${message}`)
  },
)

test('when one batch cannot be read, none of the request is stored', async () => {
  const topic = await createTopic(2)
  const batches = [
    { topic, partition: 0, batch: batchOf('a') },
    { topic, partition: 1, batch: 'rubbish!' },
  ]
  const { json } = await client.ask(PRODUCE_BATCHES, batchesRequest(batches))
  expect(json.error.message).toContain('"batches[1].batch" "rubbish!": base64 text')
  expect(await valuesOf(topic)).toEqual([])
})

test('a restart keeps what is known of producers', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  const connectTo = async ({ port }: WholeBroker) => RawClient.connect(port)
  try {
    const before = await startWholeBroker({ directory })
    const first = await connectTo(before)
    await first.ask(CREATE_TOPIC, { topic: 'kept', partitions: 1 })
    const producer = new NumberedProducer(first, 'kept')
    const producerId = await producer.newId()
    expect(await producer.produce(['a', 'b'], { producerId, sequence: 0 })).toBe(0)
    expect(await producer.produce(['c'], { producerId, sequence: 2 })).toBe(2)
    first.close()
    await before.stop()

    const after = await startWholeBroker({ directory })
    const again = await connectTo(after)
    const sameProducer = new NumberedProducer(again, 'kept')
    expect(await sameProducer.produce(['c'], { producerId, sequence: 2 })).toBe(2)
    expect(await sameProducer.produce(['x'], { producerId, sequence: 7 })).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
    expect(await sameProducer.produce(['d'], { producerId, sequence: 3 })).toBe(3)
    expect(await sameProducer.newId()).toBeGreaterThan(producerId)
    expect(await valuesOf('kept', 0, again)).toEqual(['a', 'b', 'c', 'd'])
    again.close()
    await after.stop()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('the metrics count requests, and the errors of their parts', async () => {
  const valueOf = await readMetrics(broker.httpPort)
  const operation = 'protocol="json",operation="produce_batches"'
  expect(valueOf(`cafelog_requests_total{${operation},result="ok"}`)).toBeGreaterThan(15)
  expect(valueOf(`cafelog_requests_total{${operation},result="client_error"}`)).toBeGreaterThan(25)
  expect(valueOf('cafelog_errors_total{type="CORRUPT_MESSAGE"}')).toBe(3)
  expect(valueOf('cafelog_errors_total{type="OUT_OF_ORDER_SEQUENCE_NUMBER"}')).toBe(1)
  expect(valueOf('cafelog_bytes_total{protocol="json",endpoint="produce",direction="in"}')).toBeGreaterThan(100_000)
})
