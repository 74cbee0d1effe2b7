import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { BrokerError } from '../../src/base/broker-error.ts'
import { parseConfig } from '../../src/config/config.ts'
import { startBroker } from '../../src/main.ts'
import type { LetterRepair, Messages } from '../../src/protocols/json/wire.ts'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { RawClient } from '../support/raw-client.ts'
import { RestartedBroker, tryAsk } from '../support/restarted-broker.ts'

// An order that does not fit goes all the way: into the dead letter topic, repaired, and back, while the broker is killed.

const SCHEMA = '{"type":"object","required":["id","amount"]}'
const TOPICS = `topics:
  - name: orders
    partitions: 2
    schema: { file: schemas/order.json, mode: dlq }
`
const PARTITIONS = [0, 1]
const REPAIR: readonly LetterRepair[] = [{ op: 'rename', from: '/amt', to: '/amount' }]

let home: BrokerHome | undefined
let directory: string | undefined
afterEach(async () => {
  await home?.remove()
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
})

const base64 = (text: string) => Buffer.from(text).toString('base64')

function writeConfigs(configs: string) {
  mkdirSync(join(configs, 'schemas'), { recursive: true })
  writeFileSync(join(configs, 'schemas', 'order.json'), SCHEMA)
  writeFileSync(join(configs, 'topics.yml'), TOPICS)
}

async function call<Name extends keyof Messages>(
  client: RawClient,
  name: Name,
  request: Messages[Name]['request'],
): Promise<Messages[Name]['answer']> {
  const answer = (await client.ask(FRAME_TYPES[name], request)).json as unknown as Messages[Name]['answer']
  expect(answer).not.toHaveProperty('error')
  return answer
}

const makeOrder = (id: number, isValid: boolean) => ({
  key: base64(`k${id}`),
  value: base64(isValid ? `{"id":${id},"amount":1}` : `{"id":${id},"amt":1}`),
})

/** The ids of all orders in a topic, as often as they are there. */
async function readIds(client: RawClient, topic: string): Promise<number[]> {
  const ids: number[] = []
  for (const partition of PARTITIONS) {
    for (let offset = 0; ;) {
      const answer = await call(client, 'FETCH', { topic, partition, offset, maxBytes: 4 * 1024 * 1024 })
      for (const { value } of answer.records) {
        ids.push((JSON.parse(Buffer.from(value ?? '', 'base64').toString()) as { id: number }).id)
      }
      const next = answer.nextOffset ?? (answer.records.at(-1)?.offset ?? answer.highWatermark - 1) + 1
      if (next >= answer.highWatermark || next === offset) break
      offset = next
    }
  }
  return ids.toSorted((one, other) => one - other)
}

/** What a redrive would do. */
async function checkAll(client: RawClient, order: Pick<Messages['CHECK_DEAD_LETTERS']['request'], 'repair'>) {
  const sum = { sendable: 0, rejected: 0 }
  let after: string | undefined
  do {
    const page = after === undefined ? {} : { after }
    const { sendable, rejected, next } = await call(client, 'CHECK_DEAD_LETTERS', {
      topic: 'orders',
      ...order,
      ...page,
    })
    sum.sendable += sendable
    sum.rejected += rejected
    after = next
  } while (after !== undefined)
  return sum
}

/** Who asks without a pause takes the processor from the broker. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 5))

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at)

async function whenOver(client: RawClient, id: number) {
  for (;;) {
    const { redrives } = await call(client, 'LIST_REDRIVES', { id })
    if (redrives[0].state === 'done') return redrives[0]
    await pause()
  }
}

test('invalid orders are listed, checked, repaired and redriven at a rate, over three kills: each is in its topic once', async () => {
  home = new BrokerHome()
  writeConfigs(home.configDirectory)
  const broker = new RestartedBroker(home)
  const invalid = 2_000
  let client = await broker.connect()
  for (const partition of PARTITIONS) {
    const records = range(0, invalid + 100)
      .map((id) => makeOrder(id, id >= invalid))
      .filter((_, id) => id % 2 === partition)
    await call(client, 'PRODUCE', { topic: 'orders', partition, records })
  }
  const { topics, reasons } = await call(client, 'LIST_DEAD_LETTERS', { topic: 'orders', summary: true })
  expect(topics[0].open).toBe(invalid)
  expect(reasons).toMatchObject([{ reason: 'required', pointer: '/amount' }])
  expect(await checkAll(client, {})).toEqual({ sendable: 0, rejected: invalid })
  expect(await checkAll(client, { repair: REPAIR })).toEqual({ sendable: invalid, rejected: 0 })

  const request = { topic: 'orders', repair: REPAIR, rate: 3_000, by: 'a test' }
  const { id } = (await call(client, 'REDRIVE', request)).redrive
  for (let kill = 1; kill <= 3; kill++) {
    for (;;) {
      const { redrives } = await call(client, 'LIST_REDRIVES', { id })
      if (redrives[0].state === 'done' || redrives[0].done >= kill * 450) break
      await pause()
    }
    await broker.restart('kill')
    client = await broker.connect()
  }
  const job = await whenOver(client, id)
  expect(job).toMatchObject({ done: invalid, rejected: 0, failed: 0, left: 0, by: 'a test' })
  expect(await readIds(client, 'orders')).toEqual(range(0, invalid + 100))
  const after = await call(client, 'LIST_DEAD_LETTERS', { topic: 'orders' })
  expect(after).toMatchObject({ topics: [{ open: 0, redriven: invalid, discarded: 0 }], letters: [] })
  const { httpPort } = await broker.current()
  const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text()
  expect(metrics).toContain('cafelog_dlq_depth{topic="orders.dlq"} 0\n')
  client.close()
  expect(await (await broker.current()).stop()).toBe(0)
}, 120_000)

test('no order is lost that was acknowledged: it is in its topic or among the dead letters, over three kills', async () => {
  home = new BrokerHome()
  writeConfigs(home.configDirectory)
  const broker = new RestartedBroker(home)
  const acknowledged: number[] = []
  let next = 0
  for (let life = 0; life < 4; life++) {
    const client = await broker.connect()
    let restarted: Promise<void> | undefined
    for (let batch = 0; restarted === undefined || !client.isClosed; batch++) {
      const ids = range(next, next + 20)
      next += ids.length
      const records = ids.map((id) => makeOrder(id, id % 3 > 0))
      const answer = await tryAsk(client, FRAME_TYPES.PRODUCE, { topic: 'orders', partition: batch % 2, records })
      if (answer === undefined) break
      if (!('error' in answer.json)) acknowledged.push(...ids)
      if (batch === 15) restarted = life < 3 ? broker.restart('kill') : Promise.resolve()
      if (life === 3 && batch === 15) break
    }
    await restarted
    client.close()
  }
  const client = await broker.connect()
  const [valid, dead] = [await readIds(client, 'orders'), await readIds(client, 'orders.dlq')]
  const found = new Set([...valid, ...dead])
  expect(acknowledged.length).toBeGreaterThan(1_000)
  expect(acknowledged.filter((id) => !found.has(id))).toEqual([])
  expect(valid.filter((id) => id % 3 === 0)).toEqual([])
  expect(dead.filter((id) => id % 3 > 0)).toEqual([])
  expect((await call(client, 'LIST_DEAD_LETTERS', { topic: 'orders' })).topics[0].open).toBe(dead.length)
  client.close()
  expect(await (await broker.current()).stop()).toBe(0)
}, 120_000)

test('whichever commit of a redrive is the last, the next start sends what is left and nothing twice', async () => {
  const letters = 8
  let commits = 0
  for (let last = 1; ; last++) {
    directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
    writeConfigs(directory)
    // Dies of the commit behind the `last` one; what was appended before stays, as it does when a process is killed.
    let left = Number.POSITIVE_INFINITY
    const beforeWrite = async () => {
      if (left-- <= 0) throw new Error('the store is gone')
    }
    const store = new MemoryStore({ beforeWrite })
    const first = await start(store)
    for (const partition of PARTITIONS) {
      const records = range(0, letters)
        .map((id) => makeOrder(id, false))
        .filter((_, id) => id % 2 === partition)
      await call(first.client, 'PRODUCE', { topic: 'orders', partition, records })
    }
    left = last
    const request = { topic: 'orders', repair: REPAIR, rate: 30 }
    const begun = await first.client.ask(FRAME_TYPES.REDRIVE, request)
    const isBegun = begun.json.error === undefined
    while (isBegun && left > 0) {
      const { redrives } = await call(first.client, 'LIST_REDRIVES', {})
      if (redrives[0].state === 'done') break
      await pause()
    }
    // The append that follows the last commit is on its way: it is waited for by reading until nothing more comes.
    await settled(first.client)
    const isAll = left > 0
    commits = last - left
    first.client.close()
    await first.broker.close().catch((error: unknown) => expect(error).toBeInstanceOf(BrokerError))

    const second = await start(new MemoryStore({ copyOf: store }))
    if (isBegun) await whenOver(second.client, 1)
    expect(await readIds(second.client, 'orders'), `after ${last} commits`).toEqual(isBegun ? range(0, letters) : [])
    const { topics } = await call(second.client, 'LIST_DEAD_LETTERS', { topic: 'orders' })
    expect(topics[0]).toMatchObject(isBegun ? { open: 0, redriven: letters } : { open: letters, redriven: 0 })
    second.client.close()
    await second.broker.close()
    rmSync(directory, { recursive: true, force: true })
    if (isAll) break
  }
  expect(commits).toBeGreaterThan(6)
}, 120_000)

async function start(store: MemoryStore) {
  const path = String(directory)
  const environment = {
    CAFELOG_TCP_ADDR: '127.0.0.1:0',
    CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
    CAFELOG_HTTP_ADDR: '127.0.0.1:0',
    CAFELOG_DATA_DIR: join(path, 'data'),
    CAFELOG_CONFIG_DIR: path,
    CAFELOG_FLUSH_POLICY: 'os',
  }
  const broker = await startBroker(parseConfig(environment, 4096), { store })
  return { broker, client: await RawClient.connect(broker.addresses.json.port) }
}

async function settled(client: RawClient) {
  let before = -1
  for (let calm = 0; calm < 5;) {
    const { length } = await readIds(client, 'orders')
    calm = length === before ? calm + 1 : 0
    before = length
  }
}
