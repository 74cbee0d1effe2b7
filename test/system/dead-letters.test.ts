import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { Messages } from '../../src/protocols/json/wire.ts'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

const SCHEMA = JSON.stringify({
  type: 'object',
  required: ['id', 'amount'],
  properties: { id: { type: 'integer' }, amount: { type: 'number' } },
})
const TOPICS = `topics:
  - name: orders
    partitions: 2
    schema: { file: schemas/order.json, mode: dlq }
  - name: elsewhere
`

/** What producers say; younger than any retention. */
const TIME = Date.now() - 60_000

let directory: string
let broker: WholeBroker
let json: RawClient
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
}

async function stop() {
  json.close()
  await broker.stop()
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const text = (bytes: string | null) => (bytes === null ? null : Buffer.from(bytes, 'base64').toString())

async function call<Name extends keyof Messages>(name: Name, request: object): Promise<Messages[Name]['answer']> {
  const answer = (await json.ask(FRAME_TYPES[name], request)).json as unknown as Messages[Name]['answer']
  const { error } = answer as { error?: { code: string; message: string } }
  if (error !== undefined) throw new Error(`${error.code}: ${error.message}`)
  return answer
}

async function send(topic: string, partition: number, values: readonly string[], headers: Record<string, string> = {}) {
  const list = Object.entries(headers).map(([key, value]) => ({ key, value: base64(value) }))
  const records = values.map((value, at) => ({
    key: base64(`k${at}`),
    value: base64(value),
    ts: TIME + at,
    headers: list,
  }))
  await call('PRODUCE', { topic, partition, records })
}

async function readAll(topic: string, partition = 0) {
  const { records } = await call('FETCH', { topic, partition, offset: -2, maxBytes: 5_000_000 })
  return records.map(({ key, value, ts, headers = [] }) => ({
    key: text(key),
    value: text(value),
    ts,
    headers: Object.fromEntries(headers.map((header) => [header.key, text(header.value)])),
  }))
}

async function metric(line: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text()
  const found = metrics.split('\n').find((other) => other.startsWith(`${line} `))
  return Number(found?.split(' ').at(-1) ?? NaN)
}

/** Waits until a redrive is over and returns it. */
async function whenOver({ redrive: { id } }: { redrive: { id: number } }) {
  for (;;) {
    const { redrives } = await call('LIST_REDRIVES', { id })
    if (['done', 'cancelled'].includes(redrives[0].state)) return redrives[0]
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const openOf = async (topic: string) => (await call('LIST_DEAD_LETTERS', { topic })).topics[0].open

test('an order that does not fit is listed by reason, checked, repaired and redriven', async () => {
  await send('orders', 0, ['{"id":1}', '{"id":2,"amount":5}', '{"id":3,"amt":9007199254740993}', 'nonsense'])
  await send('orders', 1, ['{"id":"x","amount":1}'])
  const { topics } = await call('LIST_DEAD_LETTERS', {})
  expect(topics).toMatchObject([{ topic: 'orders.dlq', partitions: 2, open: 4, redriven: 0, discarded: 0 }])
  const { reasons } = await call('LIST_DEAD_LETTERS', { topic: 'orders', summary: true })
  expect(reasons).toEqual([
    { reason: 'required', pointer: '/amount', count: 2 },
    { reason: 'parse', pointer: '', count: 1 },
    { reason: 'type', pointer: '/id', count: 1 },
  ])
  const { letters = [] } = await call('LIST_DEAD_LETTERS', { topic: 'orders.dlq', reasons: ['required'] })
  expect(letters.map(({ id, origin, attempts, state }) => [id, origin, attempts, state])).toEqual([
    ['0@0', 'orders/0@0', 1, 'open'],
    ['0@1', 'orders/0@2', 1, 'open'],
  ])

  const repair = [{ op: 'rename', from: '/amt', to: '/amount' }]
  const filter = { topic: 'orders', reasons: ['required'], repair }
  expect(await call('CHECK_DEAD_LETTERS', filter)).toEqual({
    sendable: 1,
    rejected: 0,
    refused: 0,
    failed: 1,
    problems: [
      {
        id: '0@0',
        reason: 'repair',
        pointer: '/amt',
        message: 'it cannot be repaired so: there is nothing to be renamed',
      },
    ],
  })
  expect(await openOf('orders')).toBe(4)
  expect(await whenOver(await call('REDRIVE', { ...filter, by: 'a test' }))).toMatchObject({
    kind: 'redrive',
    state: 'done',
    by: 'a test',
    done: 1,
    failed: 1,
    left: 0,
    filter: { reasons: ['required'] },
    problems: [{ id: '0@0', reason: 'repair' }],
  })
  const records = await readAll('orders')
  expect(records.map(({ value }) => value)).toEqual(['{"id":2,"amount":5}', '{"id":3,"amount":9007199254740993}'])
  expect(records[1]).toMatchObject({ key: 'k2', ts: TIME + 2 })
  expect(Object.keys(records[1].headers)).toEqual([
    'cafelog-dlq-attempts',
    'cafelog-dlq-first-failure',
    'cafelog-redrive-count',
    'cafelog-redrive-of',
  ])
  expect(records[1].headers).toMatchObject({ 'cafelog-redrive-count': '1', 'cafelog-redrive-of': 'orders.dlq/0@1' })
  expect(await metric('cafelog_dlq_depth{topic="orders.dlq"}')).toBe(3)
  expect(await metric('cafelog_dlq_redriven_total{topic="orders.dlq",result="ok"}')).toBe(1)
  expect(await metric('cafelog_dlq_redriven_total{topic="orders.dlq",result="failed"}')).toBe(1)

  const set = { topic: 'orders', ids: ['0@0', '1@0'], repair: [{ op: 'set', path: '/amount', value: 0.5 }] }
  expect(await whenOver(await call('REDRIVE', set))).toMatchObject({
    done: 1,
    rejected: 1,
    problems: [{ id: '1@0', reason: 'type' }],
  })
  expect((await readAll('orders')).at(-1)).toMatchObject({ value: '{"id":1,"amount":0.5}' })
  expect(await whenOver(await call('DISCARD_DEAD_LETTERS', { topic: 'orders', note: 'a probe' }))).toMatchObject({
    kind: 'discard',
    done: 2,
    note: 'a probe',
  })
  expect(await call('LIST_DEAD_LETTERS', { topic: 'orders' })).toMatchObject({
    topics: [{ open: 0, redriven: 2, discarded: 2, oldest: null }],
    letters: [],
  })
  const all = (await call('LIST_DEAD_LETTERS', { topic: 'orders', state: 'all', limit: 2 })) as { next?: string }
  expect(all.next).toBe('0@2')
  expect(
    (await call('LIST_DEAD_LETTERS', { topic: 'orders', state: 'discarded', after: all.next })).letters,
  ).toMatchObject([
    { id: '0@2', reason: 'parse', state: 'discarded' },
    { id: '1@0', state: 'discarded' },
  ])
  const shown = await call('GET_DEAD_LETTER', { topic: 'orders', partition: 0, offset: 1 })
  expect(shown).toMatchObject({
    state: 'redriven',
    redrive: 1,
    ts: TIME + 2,
    value: base64('{"id":3,"amt":9007199254740993}'),
  })
  expect(await metric('cafelog_dlq_discarded_total{topic="orders.dlq"}')).toBe(2)

  await stop()
  await start()
  expect(await metric('cafelog_dlq_depth{topic="orders.dlq"}')).toBe(0)
  expect((await call('LIST_REDRIVES', { topic: 'orders' })).redrives.map(({ kind, done }) => [kind, done])).toEqual([
    ['discard', 2],
    ['redrive', 1],
    ['redrive', 1],
  ])
})

test('what came back three times needs an override, and a redrive cannot go to dead letters', async () => {
  await call('CREATE_TOPIC', { topic: 'group.dlq', partitions: 1 })
  await send('group.dlq', 0, ['a'], { 'cafelog-redrive-count': '3', 'cafelog-dlq-origin': 'elsewhere/0@7', mine: 'x' })
  await send('group.dlq', 0, ['b'])
  await send('group.dlq', 0, ['c'], { 'cafelog-dlq-origin': 'orders.dlq/0@7' })
  expect(await call('CHECK_DEAD_LETTERS', { topic: 'group.dlq' })).toMatchObject({
    sendable: 0,
    refused: 1,
    failed: 2,
    problems: [{ reason: 'redriven_before' }, { reason: 'no_origin' }, { reason: 'loop' }],
  })
  await expect(call('REDRIVE', { topic: 'group.dlq', to: 'orders.dlq' })).rejects.toThrow(/round in circles/)
  await expect(call('REDRIVE', { topic: 'group.dlq', to: 'nowhere' })).rejects.toThrow('UNKNOWN_TOPIC_OR_PARTITION')
  await expect(call('REDRIVE', { topic: 'elsewhere' })).rejects.toThrow('there is no topic "elsewhere.dlq"')
  await expect(call('REDRIVE', { topic: 'group.dlq', repair: [{ op: 'set', path: 'x', value: 1 }] })).rejects.toThrow(
    'JSON Pointer',
  )
  await whenOver(await call('REDRIVE', { topic: 'group.dlq', to: 'elsewhere', force: true }))
  const records = await readAll('elsewhere')
  expect(records.map(({ value }) => value)).toEqual(['a', 'b', 'c'])
  expect(records[0].headers).toEqual({ mine: 'x', 'cafelog-redrive-count': '4', 'cafelog-redrive-of': 'group.dlq/0@0' })
  expect(records[1].headers).toEqual({ 'cafelog-redrive-count': '1', 'cafelog-redrive-of': 'group.dlq/0@1' })
})

test('a redrive with a rate can be cancelled, and another one goes on with what is left', async () => {
  await call('CREATE_TOPIC', { topic: 'slow.dlq', partitions: 1 })
  await send(
    'slow.dlq',
    0,
    Array.from({ length: 50 }, (_, at) => `s${at}`),
  )
  const begun = await call('REDRIVE', { topic: 'slow.dlq', to: 'elsewhere', rate: 10 })
  await expect(call('DISCARD_DEAD_LETTERS', { topic: 'slow.dlq' })).rejects.toThrow(/is under way/)
  const { redrive } = await call('CANCEL_REDRIVE', { id: begun.redrive.id })
  expect(redrive).toMatchObject({ state: 'cancelled', left: 0 })
  await expect(call('CANCEL_REDRIVE', { id: begun.redrive.id })).rejects.toThrow(/it is over/)
  expect(await openOf('slow.dlq')).toBe(50 - redrive.done)
  const rest = await whenOver(await call('REDRIVE', { topic: 'slow.dlq', to: 'elsewhere', limit: 20 }))
  expect(rest.done).toBe(20)
  await whenOver(await call('REDRIVE', { topic: 'slow.dlq', to: 'elsewhere' }))
  const values = (await readAll('elsewhere')).map(({ value }) => value).filter((value) => value?.startsWith('s'))
  expect(values).toEqual(Array.from({ length: 50 }, (_, at) => `s${at}`))
})

test('deleting records and topics takes along what was said of them', async () => {
  await call('CREATE_TOPIC', { topic: 'gone.dlq', partitions: 1 })
  await send(
    'gone.dlq',
    0,
    Array.from({ length: 10 }, () => 'x'),
  )
  await whenOver(await call('DISCARD_DEAD_LETTERS', { topic: 'gone.dlq', ids: ['0@1', '0@2', '0@3', '0@8'] }))
  expect(await metric('cafelog_dlq_depth{topic="gone.dlq"}')).toBe(6)
  await call('DELETE_RECORDS', { topic: 'gone.dlq', partition: 0, beforeOffset: 3 })
  expect(await metric('cafelog_dlq_depth{topic="gone.dlq"}')).toBe(5)
  expect(await call('LIST_DEAD_LETTERS', { topic: 'gone.dlq', limit: 1 })).toMatchObject({
    topics: [{ open: 5, discarded: 2 }],
    letters: [{ id: '0@4' }],
  })
  await call('DELETE_TOPIC', { topic: 'gone.dlq' })
  expect(await metric('cafelog_dlq_depth{topic="gone.dlq"}')).toBeNaN()
  await call('CREATE_TOPIC', { topic: 'gone.dlq', partitions: 1 })
  await send('gone.dlq', 0, ['x', 'y'])
  expect(await call('LIST_DEAD_LETTERS', { topic: 'gone.dlq' })).toMatchObject({ topics: [{ open: 2, discarded: 0 }] })
  expect((await call('LIST_REDRIVES', { topic: 'gone.dlq' })).redrives).toEqual([])
})
