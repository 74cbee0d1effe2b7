import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import type { Codec } from '../../src/record/record-batch.ts'
import { buildBatch, compressBatch } from '../support/batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { errorName } from '../support/kafka-producer.ts'
import { makeProducerBatch } from '../support/producer-batches.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

const SCHEMA = JSON.stringify({
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'integer' }, note: { pattern: '^(a|a)*$' } },
})
const TOPICS = `topics:
  - name: strict
    partitions: 3
    schema: { file: schemas/order.json, mode: reject }
  - name: sorted
    partitions: 2
    schema: { file: schemas/order.json, mode: dlq }
  - name: loose
    schema: { file: schemas/order.json, mode: warn, draft: 7 }
  - name: free
`

let directory: string
let broker: WholeBroker
let json: RawClient
let kafka: KafkaClient
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  mkdirSync(join(directory, 'schemas'))
  writeFileSync(join(directory, 'schemas', 'order.json'), SCHEMA)
  writeFileSync(join(directory, 'topics.yml'), TOPICS)
  await start()
})
afterAll(async () => {
  await stop()
  rmSync(directory, { recursive: true, force: true })
})

async function start() {
  broker = await startWholeBroker({ directory })
  json = await RawClient.connect(broker.port)
  kafka = await KafkaClient.connect(broker.kafkaPort)
}

async function stop() {
  json.close()
  kafka.close()
  await broker.stop()
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const text = (bytes: string | null) => (bytes === null ? null : Buffer.from(bytes, 'base64').toString())

interface Fetched {
  readonly records: {
    offset: number
    key: string | null
    value: string | null
    headers?: { key: string; value: string }[]
  }[]
}

/** Every record of a partition: its offset, value, and headers as an object. */
async function readAll(topic: string, partition = 0) {
  const { json: answer } = await json.ask(3, { topic, partition, offset: -2 })
  return (answer as unknown as Fetched).records.map(({ offset, key, value, headers = [] }) => ({
    offset,
    key: text(key),
    value: text(value),
    headers: Object.fromEntries(headers.map((header) => [header.key, text(header.value)])),
  }))
}

const valuesOf = async (topic: string, partition = 0) =>
  (await readAll(topic, partition)).map(({ offset, value }) => [offset, value])

async function produceJson(topic: string, values: readonly string[], partition = 0, keys: readonly string[] = []) {
  const records = values.map((value, at) => ({
    value: base64(value),
    ...(keys[at] !== undefined && { key: base64(keys[at]) }),
  }))
  return (await json.ask(2, { topic, partition, records })).json
}

async function produceKafka(topic: string, records: Buffer, version = 9) {
  const { responses } = await kafka.ask(Produce, version, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 5_000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
  })
  const { errorCode, baseOffset, recordErrors, errorMessage } = responses[0].partitionResponses[0]
  return { error: errorName(errorCode), baseOffset, recordErrors, errorMessage }
}

async function metric(line: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text()
  return Number(
    metrics
      .split('\n')
      .find((other) => other.startsWith(`${line} `))
      ?.split(' ')
      .at(-1) ?? 0,
  )
}

test('reject, JSON door: nothing of a request is stored, and the answer says which records and why', async () => {
  const keys = ['a', 'b', 'c', 'd', 'e', 'f']
  const values = ['{"id":1}', '{"id":2}', '{}', '{"id":3}', '{"id":"x"}', 'nonsense']
  const answer = await produceJson('strict', values, -1, keys)
  const { error, records } = answer as unknown as {
    error: { code: string; message: string }
    records: { index: number }[]
  }
  expect(error.code).toBe('SCHEMA_VALIDATION_FAILED')
  expect(records.length).toBeGreaterThan(0)
  const faults = new Map([
    [2, { index: 2, pointer: '/id', reason: 'required', message: '/id: it is missing (schema version 1)' }],
    [
      4,
      {
        index: 4,
        pointer: '/id',
        reason: 'type',
        message: '/id: it is a string: it must be integer (schema version 1)',
      },
    ],
    [5, { index: 5, pointer: '', reason: 'parse', message: 'it is not JSON (schema version 1)' }],
  ])
  for (const record of records) expect(record).toEqual(faults.get(record.index))
  for (const partition of [0, 1, 2]) expect(await valuesOf('strict', partition)).toEqual([])
  expect(await produceJson('strict', ['{"id":1}', '{"id":2}'])).toMatchObject({ baseOffset: 0, numRecords: 2 })
})

test('reject, Kafka door: INVALID_RECORD with the record errors, in every codec', async () => {
  const batch = buildBatch(
    ['{"id":1}', '{"id":1.5}', '{"id":1}', '['].map((value) => ({ value, timestamp: Date.now() })),
  )
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as Codec[]) {
    const before = await valuesOf('strict')
    const { error, baseOffset, recordErrors, errorMessage } = await produceKafka('strict', compressBatch(batch, codec))
    expect({ error, baseOffset }).toEqual({ error: 'INVALID_RECORD', baseOffset: -1 })
    expect(recordErrors).toEqual([
      { batchIndex: 1, batchIndexErrorMessage: '/id: it is a number: it must be integer (schema version 1)' },
      { batchIndex: 3, batchIndexErrorMessage: 'it is not JSON (schema version 1)' },
    ])
    expect(errorMessage).toBe(
      'Cannot append the batch: record 1 does not fit the schema: /id: it is a number: it must be integer (schema version 1)',
    )
    expect(await valuesOf('strict')).toEqual(before)
  }
})

test('dlq: what fits goes through with its offset, the rest becomes dead letters', async () => {
  const answer = await produceJson('sorted', ['{"id":1}', '{}', '{"id":2}'], 0, ['k1', 'k2', 'k3'])
  expect(answer).toEqual({
    topic: 'sorted',
    partition: 0,
    baseOffset: 0,
    numRecords: 2,
    highWatermark: 3,
    deadLetters: 1,
  })
  expect(await valuesOf('sorted')).toEqual([
    [0, '{"id":1}'],
    [2, '{"id":2}'],
  ])
  const [letter] = await readAll('sorted.dlq')
  expect(letter).toMatchObject({ key: 'k2', value: '{}' })
  expect(letter.headers).toEqual({
    'cafelog-dlq-reason': 'required',
    'cafelog-dlq-message': '/id: it is missing',
    'cafelog-dlq-pointer': '/id',
    'cafelog-dlq-origin': 'sorted/0@1',
    'cafelog-dlq-time': expect.stringMatching(/^\d{13}$/),
    'cafelog-dlq-schema-version': '1',
    'cafelog-dlq-attempts': '1',
    'cafelog-dlq-first-failure': expect.stringMatching(/^\d{13}$/),
    'cafelog-dlq-last-failure': expect.stringMatching(/^\d{13}$/),
  })
  // Nothing is left: nothing is appended, and the answer says so.
  expect(await produceJson('sorted', ['1', '2'], 1)).toMatchObject({ baseOffset: -1, numRecords: 0, deadLetters: 2 })
  expect(await valuesOf('sorted', 1)).toEqual([])
  expect((await readAll('sorted.dlq', 1)).map(({ headers }) => headers['cafelog-dlq-origin'])).toEqual([
    'sorted/1',
    'sorted/1',
  ])
})

test('dlq, Kafka door: compressed batches are taken apart, original headers stay', async () => {
  const timestamp = Date.now()
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as Codec[]) {
    const before = { sorted: (await readAll('sorted')).length, letters: (await readAll('sorted.dlq')).length }
    const batch = buildBatch([
      { value: '{"id":1}', timestamp },
      { value: 'x', timestamp, headers: [{ key: 'trace', value: Buffer.from('t') }] },
      { value: '{"id":"1"}', timestamp },
      { value: '{"id":4}', timestamp },
    ])
    const { error, baseOffset } = await produceKafka('sorted', compressBatch(batch, codec))
    expect(error).toBe('NONE')
    const after = await readAll('sorted')
    expect(after.slice(before.sorted).map(({ offset, value }) => [offset - baseOffset, value])).toEqual([
      [0, '{"id":1}'],
      [3, '{"id":4}'],
    ])
    const letters = (await readAll('sorted.dlq')).slice(before.letters)
    expect(letters.map(({ value, headers }) => [value, headers.trace, headers['cafelog-dlq-origin']])).toEqual([
      ['x', 't', `sorted/0@${baseOffset + 1}`],
      ['{"id":"1"}', undefined, `sorted/0@${baseOffset + 2}`],
    ])
  }
})

test('dlq: an idempotent producer goes on counting, and what it sends again is not stored again', async () => {
  const { producerId } = await kafka.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
  const send = (values: readonly string[], sequence: number) =>
    produceKafka('sorted', makeProducerBatch(values, { producerId, sequence }, Date.now()))
  const before = (await readAll('sorted.dlq')).length
  const first = await send(['{"id":1}', 'bad'], 0)
  const allBad = await send(['bad', 'bad', 'bad'], 2)
  const last = await send(['{"id":7}'], 5)
  expect([first, allBad, last].map(({ error }) => error)).toEqual(['NONE', 'NONE', 'NONE'])
  expect([allBad.baseOffset, last.baseOffset]).toEqual([first.baseOffset + 2, first.baseOffset + 5])
  expect(await send(['{"id":1}', 'bad'], 0)).toMatchObject({ error: 'NONE', baseOffset: first.baseOffset })
  expect(await send(['bad', 'bad', 'bad'], 2)).toMatchObject({ error: 'NONE', baseOffset: allBad.baseOffset })
  expect((await readAll('sorted.dlq')).length - before).toBe(4)
  expect((await valuesOf('sorted')).filter(([offset]) => Number(offset) >= first.baseOffset)).toEqual([
    [first.baseOffset, '{"id":1}'],
    [last.baseOffset, '{"id":7}'],
  ])
})

test('warn: everything is stored and counted', async () => {
  expect(await produceJson('loose', ['{"id":1}', 'bad', '{}'])).toMatchObject({ baseOffset: 0, numRecords: 3 })
  expect(await metric('cafelog_schema_validations_total{topic="loose",result="valid"}')).toBe(1)
  expect(await metric('cafelog_schema_validations_total{topic="loose",result="invalid"}')).toBe(2)
})

test('counts add up: what was sent is in the topic or among the dead letters', async () => {
  const sum = async (topic: string) => (await readAll(topic, 0)).length + (await readAll(topic, 1)).length
  const before = { sorted: await sum('sorted'), letters: await sum('sorted.dlq') }
  let sent = 0
  for (let round = 0; round < 20; round++) {
    const values = Array.from({ length: 50 }, (_, at) => (at % 7 === round % 7 ? `bad ${at}` : `{"id":${at}}`))
    await produceJson('sorted', values, round % 2)
    sent += values.length
  }
  const after = { sorted: await sum('sorted'), letters: await sum('sorted.dlq') }
  expect(after.sorted - before.sorted + after.letters - before.letters).toBe(sent)
  const letters = await metric('cafelog_dlq_messages_total{topic="sorted",reason="parse"}')
  expect(letters).toBeGreaterThanOrEqual(after.letters - before.letters)
})

test('delayed records are checked when they are taken', async () => {
  const produce = async (topic: string, values: readonly string[]) => {
    const records = values.map((value) => ({ value: base64(value), dueAt: Date.now() + 3_600_000 }))
    return (await json.ask(2, { topic, partition: 0, records })).json
  }
  expect(await produce('strict', ['{"id":1}', '{}'])).toMatchObject({
    error: { code: 'SCHEMA_VALIDATION_FAILED' },
    records: [{ index: 1, reason: 'required' }],
  })
  const before = (await readAll('sorted.dlq')).length
  expect(await produce('sorted', ['{"id":1}', '{}'])).toMatchObject({ deadLetters: 1, scheduled: [{ record: 0 }] })
  const [letter] = (await readAll('sorted.dlq')).slice(before)
  expect(letter.headers).toMatchObject({ 'cafelog-dlq-reason': 'required', 'cafelog-dlq-origin': 'sorted/0' })
})

test('hostile payloads are refused, and the broker answers others meanwhile', async () => {
  const deep = '['.repeat(100_000)
  const proto = '{"__proto__":{"id":1}}'
  expect(await produceJson('strict', [deep])).toMatchObject({
    error: { code: 'SCHEMA_VALIDATION_FAILED' },
    records: [{ reason: 'too_deep' }],
  })
  expect(await produceJson('strict', [proto])).toMatchObject({ records: [{ reason: 'required' }] })
  expect(await produceJson('strict', [`{"id":1,"note":"${'a'.repeat(500_000)}!"}`])).toMatchObject({
    records: [{ reason: 'too_costly' }],
  })
  expect(await produceJson('strict', ['['.repeat(6 * 1024 * 1024)])).toMatchObject({
    records: [{ reason: 'too_large' }],
  })
  const many = Array.from({ length: 40 }, () => `{"id":1,"note":"${'a'.repeat(100_000)}!"}`)
  expect(await produceJson('strict', many)).toMatchObject({
    error: { code: 'INVALID_REQUEST', message: expect.stringContaining('send smaller batches') },
  })
})

test('topics without a schema take anything, and after a restart all is as before', async () => {
  expect(await produceJson('free', ['{', ''])).toMatchObject({ numRecords: 2 })
  const before = [await valuesOf('sorted'), await valuesOf('sorted', 1), (await readAll('sorted.dlq')).length]
  await stop()
  await start()
  expect([await valuesOf('sorted'), await valuesOf('sorted', 1), (await readAll('sorted.dlq')).length]).toEqual(before)
  expect(await produceJson('strict', ['{}'])).toMatchObject({
    records: [{ message: '/id: it is missing (schema version 1)' }],
  })
})
