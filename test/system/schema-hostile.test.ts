// Schemas and records that were made to harm, against a running broker, through each door: clear answers, no connection to
// anywhere, and so little work that others hardly notice. How long others wait is measured by `npm run bench -- --only schema`;
// here it is the processor time of the broker, which does not depend on who else is at work.
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { buildBatch, compressBatch } from '../support/batches.ts'
import { CHECK_SCHEMA, CREATE_TOPIC, HEARTBEAT, PRODUCE, SET_SCHEMA } from '../support/frame-types.ts'
import { COSTLY, list } from '../support/hostile-schemas.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { errorName } from '../support/kafka-producer.ts'
import { RawClient } from '../support/raw-client.ts'

/** By the budget it is some ten milliseconds; without it, it was up to ten seconds. */
const CPU_MS_MAX = 800
const TICKS_PER_SECOND = 100

let home: BrokerHome
let broker: BrokerProcess
let json: RawClient
let kafka: KafkaClient
let somewhere: Server
let visits = 0
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start({ environment: { CAFELOG_FLUSH_POLICY: 'os' } })
  json = await RawClient.connect(broker.port)
  kafka = await KafkaClient.connect(broker.kafkaPort)
  await json.ask(CREATE_TOPIC, { topic: 't', partitions: 1, config: { 'max.message.bytes': '20000000' } })
  somewhere = createServer((socket) => {
    visits++
    socket.destroy()
  })
  await new Promise<void>((resolve) => somewhere.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  json.close()
  kafka.close()
  somewhere.close()
  await home.remove()
})

/** Processor time of the broker so far, where the system tells. */
function cpuMs(): number {
  try {
    // The name of the program, in parentheses, may hold anything; these two follow as the 12th and 13th.
    const fields = readFileSync(`/proc/${broker.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
  } catch {
    return 0
  }
}

/** Does something to the broker; fails if that took it long. */
async function cheaply<T>(work: () => Promise<T>): Promise<T> {
  const before = cpuMs()
  const result = await work()
  expect(cpuMs() - before).toBeLessThan(CPU_MS_MAX)
  return result
}

async function setSchema(schema: unknown, mode = 'reject'): Promise<string> {
  const text = typeof schema === 'string' ? schema : JSON.stringify(schema)
  const { json: answer } = await json.ask(SET_SCHEMA, { topic: 't', schema: text, mode })
  return answer.error?.message ?? 'taken'
}

async function produceJson(value: string): Promise<string> {
  const { json: answer } = await json.ask(PRODUCE, {
    topic: 't',
    partition: 0,
    records: [{ value: Buffer.from(value).toString('base64') }],
  })
  return answer.records?.[0]?.reason ?? answer.error?.message ?? 'stored'
}

async function produceKafka(value: string): Promise<string> {
  const records = compressBatch(buildBatch([{ value, timestamp: Date.now() }]), 'gzip')
  const { responses } = await kafka.ask(Produce, 9, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 5_000,
    topicData: [{ name: 't', partitionData: [{ index: 0, records }] }],
  })
  return errorName(responses[0].partitionResponses[0].errorCode)
}

async function produceHttp(value: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}/api/v1/topics/t/records`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"records":[{"value":${value}}]}`,
  })
  await response.arrayBuffer()
  return response.status
}

test.each(COSTLY)('%s: cheap through each door', async (_, schema, value) => {
  const text = JSON.stringify(value)
  expect(await cheaply(() => setSchema(schema))).toBe('taken')
  const byJson = await cheaply(() => produceJson(text))
  const byKafka = await cheaply(() => produceKafka(text))
  expect(byKafka).toBe(byJson === 'stored' ? 'NONE' : 'INVALID_RECORD')
  const status = await cheaply(() => produceHttp(text))
  if (byJson !== 'stored') expect(status).toBeGreaterThanOrEqual(400)
  expect((await json.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
})

test('schemas that are too much, or lead elsewhere, are refused with the reason, and nobody is visited', async () => {
  const elsewhere = `http://127.0.0.1:${(somewhere.address() as AddressInfo).port}/schema.json`
  const refusals: readonly (readonly [schema: unknown, message: string])[] = [
    ['['.repeat(60_000), 'nested more than 32 deep'],
    ['{"not":'.repeat(9_000), 'nested more than 32 deep'],
    [`{"title":"${'x'.repeat(9_000_000)}"}`, '65536 are the most'],
    [{ anyOf: list(2_000, (at) => ({ const: at })) }, 'more than 1000 schemas'],
    [{ enum: list(10_001, (at) => at) }, 'more than 10000 values'],
    [{ $ref: '#' }, 'leads back to itself'],
    [{ $ref: elsewhere }, 'leads out of the document'],
    [{ $schema: elsewhere }, 'drafts 7, 2019-09, 2020-12 are understood'],
    [{ $id: elsewhere, $ref: 'other.json' }, 'leads out of the document'],
    [{ $ref: 'file:///etc/passwd' }, 'leads out of the document'],
    [{ pattern: '(?=a)a' }, 'looking ahead'],
    [{ pattern: '(a{1000}){1000}' }, 'more than 5000 steps'],
    [{ allOf: list(900, (at) => ({ pattern: `(ab){1000}${at}` })) }, 'more than 100000 steps'],
    ['{"type":"object","type":"array"}', '"type" is there twice'],
  ]
  for (const [schema, message] of refusals) {
    expect(await cheaply(() => setSchema(schema))).toContain(message)
    const tried = await json.ask(CHECK_SCHEMA, {
      topic: 't',
      schema: typeof schema === 'string' ? schema : JSON.stringify(schema),
    })
    expect(tried.json.error.message).toContain(message)
  }
  expect(visits).toBe(0)
})

test('payloads that are no payloads are refused with a reason', async () => {
  expect(await setSchema({ type: 'object', required: ['id'], properties: { id: { pattern: '^(a|a)*$' } } })).toBe(
    'taken',
  )
  const payloads: readonly (readonly [value: string, reason: string])[] = [
    ['['.repeat(6 * 1024 * 1024), 'too_large'],
    ['['.repeat(100_000), 'too_deep'],
    ['{"a":'.repeat(100_000), 'too_deep'],
    [`{"id":"${'a'.repeat(900_000)}!"}`, 'too_costly'],
    ['{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}', 'pattern'],
    ['{"__proto__":{"id":"a"}}', 'required'],
    ['{"constructor":{"prototype":{"id":"a"}}}', 'required'],
    [`[${'0,'.repeat(200_000)}0]`, 'too_large'],
    [`1${'0'.repeat(900_000)}`, 'type'],
    ['-1e999999999', 'type'],
  ]
  for (const [value, reason] of payloads) {
    expect(await cheaply(() => produceJson(value))).toBe(reason)
    expect(await cheaply(() => produceKafka(value))).toBe('INVALID_RECORD')
  }
  // Ten megabytes of opening brackets where a request is expected.
  const { json: answer } = await cheaply(() => json.ask(SET_SCHEMA, '['.repeat(10 * 1024 * 1024)))
  expect(answer.error.message).toContain('it nests deeper than 64 levels')
  expect(await produceJson('{"id":"aaa"}')).toBe('stored')
})

test('trying a costly schema on many records ends, and others are answered meanwhile', async () => {
  const [, schema] = COSTLY[0]
  const values = list(3_000, () => ({ value: Buffer.from(JSON.stringify({ id: 'a' })).toString('base64') }))
  await json.ask(PRODUCE, { topic: 't', partition: 0, records: values })
  const other = await RawClient.connect(broker.port)
  let answered = 0
  let isOver = false
  const trial = other.ask(CHECK_SCHEMA, { topic: 't', schema: JSON.stringify(schema), last: 100_000 })
  void trial.then(() => (isOver = true))
  while (!isOver) {
    await json.ask(HEARTBEAT, {})
    answered++
  }
  const { json: found } = await trial
  expect(found.checked).toBeGreaterThan(0)
  expect(answered).toBeGreaterThan(1)
  other.close()
})
