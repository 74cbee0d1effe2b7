import { afterAll, beforeAll, expect, test } from 'vitest'
import { HttpClient } from '../support/http-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

let broker: WholeBroker
let client: HttpClient
beforeAll(async () => {
  broker = await startWholeBroker()
  client = new HttpClient(broker.httpPort)
  await ask('POST', '/topics', { name: 'orders', partitions: 1 })
  const schema = { type: 'object', required: ['amount'], properties: { amount: { type: 'number' } } }
  await ask('PUT', '/topics/orders/schema', { schema, mode: 'dlq' })
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

async function ask(method: string, path: string, body?: unknown) {
  const { status, json, text } = await client.ask(method, `/api/v1${path}`, { body })
  return { status, json, text }
}

async function whenOver(id: number) {
  for (;;) {
    const { json } = await ask('GET', `/redrives/${id}`)
    if (json.state === 'done') return json
  }
}

test('dead letters over HTTP: counted, listed, shown, checked, redriven, discarded', async () => {
  const records = [{ key: 'a', value: { amt: 9 } }, { value: { amount: 'x' } }, { value: { amount: 1 } }]
  await ask('POST', '/topics/orders/records', { records })
  expect((await ask('GET', '/dlq')).json).toMatchObject({ topics: [{ topic: 'orders.dlq', open: 2 }] })
  expect((await ask('GET', '/dlq/orders')).json).toMatchObject({
    topic: 'orders.dlq',
    open: 2,
    reasons: [
      { reason: 'required', pointer: '/amount', count: 1 },
      { reason: 'type', pointer: '/amount', count: 1 },
    ],
    next: null,
  })
  const page = (await ask('GET', '/dlq/orders/letters?limit=1')).json
  expect(page).toMatchObject({ letters: [{ id: '0@0', reason: 'required', key: 'a', valueBytes: 9 }], next: '0@1' })
  const rest = (await ask('GET', `/dlq/orders/letters?reasons=type,enum&state=all&cursor=${page.next}`)).json
  expect(rest).toMatchObject({ letters: [{ id: '0@1', state: 'open', key: null }], next: null })
  expect((await ask('GET', '/dlq/orders.dlq/letters/0@0')).json).toMatchObject({
    id: '0@0',
    origin: 'orders/0@0',
    redrive: null,
    value: { amt: 9 },
  })

  const repair = [{ op: 'rename', from: '/amt', to: '/amount' }]
  expect((await ask('POST', '/dlq/orders/check', { reasons: ['required'], repair })).json).toMatchObject({
    sendable: 1,
    problems: [],
  })
  const begun = await ask('POST', '/dlq/orders/redrive', { ids: ['0@0'], repair, rate: 100, by: 'a test' })
  expect(begun).toMatchObject({ status: 202, json: { kind: 'redrive', by: 'a test', filter: { ids: ['0@0'] } } })
  expect(await whenOver(begun.json.id)).toMatchObject({ done: 1, left: 0 })
  expect((await ask('GET', '/topics/orders/records?offset=0')).text).toContain('"value":{"amount":9}')
  const discarded = await ask('POST', '/dlq/orders/discard', { note: 'a probe' })
  expect(await whenOver(discarded.json.id)).toMatchObject({ kind: 'discard', done: 1, note: 'a probe', by: 'HTTP' })
  expect((await ask('GET', '/redrives?topic=orders')).json.redrives).toHaveLength(2)
  expect((await ask('GET', '/dlq/orders')).json).toMatchObject({ open: 0, redriven: 1, discarded: 1, reasons: [] })
})

test('what cannot be is refused', async () => {
  expect(await ask('GET', '/dlq/nowhere')).toMatchObject({ status: 404 })
  expect(await ask('GET', '/dlq/orders/letters/17')).toMatchObject({
    status: 404,
    json: { error: { code: 'NOT_FOUND' } },
  })
  expect(await ask('GET', '/dlq/orders/letters/0@99')).toMatchObject({ status: 416 })
  expect(await ask('POST', '/dlq/orders/redrive', { to: 'orders.dlq' })).toMatchObject({ status: 400 })
  const wrong = await ask('POST', '/dlq/orders/redrive', { repair: [{ op: 'set', path: 'amount', value: 1 }] })
  expect(wrong.status).toBe(400)
  expect(wrong.json.error.message).toMatch(
    /^Cannot redrive dead letters with "repair" .*: change 0 needs a JSON Pointer as "path"$/,
  )
  expect(await ask('POST', '/redrives/1/cancel', {})).toMatchObject({ status: 400 })
  expect(await ask('GET', '/redrives/x')).toMatchObject({ status: 404 })
})
