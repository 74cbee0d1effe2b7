import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, HEARTBEAT, METADATA, PRODUCE } from '../support/frame-types.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'

// Clients that are slow, greedy or many cost the broker a bounded amount, and the others do not notice.

const MIB = 1024 * 1024

let home: BrokerHome
let clients: RawClient[]
beforeEach(() => {
  home = new BrokerHome()
  clients = []
})
afterEach(async () => {
  for (const client of clients) client.close()
  await home.remove()
})

async function connect(broker: BrokerProcess): Promise<RawClient> {
  const client = await broker.connect()
  clients.push(client)
  return client
}

/** Uses the broker as others do meanwhile; returns how long one request and its answer took at the most. */
async function useNormally(client: RawClient, topic: string, rounds: number): Promise<number> {
  let slowestMs = 0
  for (let round = 0; round < rounds; round++) {
    for (const [type, fields] of [
      [PRODUCE, { records: [{ value: 'eA==' }] }],
      [FETCH, { offset: -1 }],
      [HEARTBEAT, {}],
    ] as const) {
      const began = performance.now()
      const { json } = await client.ask(type, { topic, partition: 0, ...fields })
      expect(json.error).toBeUndefined()
      slowestMs = Math.max(slowestMs, performance.now() - began)
    }
  }
  return slowestMs
}

async function createTopic(client: RawClient, topic: string, config: Record<string, string> = {}): Promise<void> {
  expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1, config })).json.ok).toBe(true)
}

test('clients that ask for much and read nothing cost bounded memory', { timeout: 60_000 }, async () => {
  const broker = await home.start()
  const normal = await connect(broker)
  await createTopic(normal, 'large')
  await createTopic(normal, 'normal')
  const value = Buffer.alloc(256 * 1024, 'x').toString('base64')
  for (let n = 0; n < 16; n++) {
    await normal.ask(PRODUCE, { topic: 'large', partition: 0, records: [{ value }] })
  }
  await useNormally(normal, 'normal', 20)
  const before = await broker.rssBytes()

  const fetch = rawFrame(FETCH, { topic: 'large', partition: 0, offset: 0, maxBytes: 4 * MIB })
  const [slowClients, requests] = [10, 200]
  for (let n = 0; n < slowClients; n++) {
    const slow = await connect(broker)
    slow.socket.pause()
    slow.send(Buffer.concat(Array.from({ length: requests }, () => fetch)))
  }
  let peak = before
  let slowestMs = 0
  for (let look = 0; look < 10; look++) {
    slowestMs = Math.max(slowestMs, await useNormally(normal, 'normal', 20))
    peak = Math.max(peak, await broker.rssBytes())
  }
  const askedMib = (slowClients * requests * 16 * value.length) / MIB
  console.info(
    `${slowClients} clients that do not read asked for ${Math.round(askedMib)} MiB: ` +
      `the broker grew by ${Math.round((peak - before) / MIB)} MiB, others waited ${slowestMs.toFixed(1)} ms at the most`,
  )
  // Each may have the one answer that is always started, and the buffers it was read into and encoded from.
  expect(peak - before).toBeLessThan(300 * MIB)

  // One that begins to read gets all it has asked for.
  const late = clients[clients.length - 1]
  late.socket.resume()
  for (let n = 0; n < 20; n++) expect((await late.next())?.json.records.length).toBeGreaterThan(0)
})

test('500 connections that announce 10 MiB and send one byte cost next to nothing', { timeout: 60_000 }, async () => {
  const broker = await home.start()
  const normal = await connect(broker)
  await createTopic(normal, 'normal')
  await useNormally(normal, 'normal', 20)
  const before = await broker.rssBytes()
  const header = Buffer.from([PRODUCE, 0x00, 0xa0, 0x00, 0x00, 0x7b])
  for (let n = 0; n < 500; n += 50) {
    const more = await Promise.all(Array.from({ length: 50 }, () => connect(broker)))
    for (const client of more) client.send(header)
  }
  await expect.poll(() => broker.metric('cafelog_tcp_connections_current')).toBe(501)
  const slowestMs = await useNormally(normal, 'normal', 20)
  const grown = (await broker.rssBytes()) - before
  console.info(
    `500 connections that announce 10 MiB: the broker grew by ${(grown / MIB).toFixed(1)} MiB, ` +
      `others waited ${slowestMs.toFixed(1)} ms at the most`,
  )
  expect(grown).toBeLessThan(64 * MIB)
})

test('connections beyond the limit are told so, and the others go on', { timeout: 60_000 }, async () => {
  const broker = await home.start({ environment: { CAFELOG_MAX_CONNECTIONS: '10' } })
  const served = await Promise.all(Array.from({ length: 10 }, () => connect(broker)))
  await createTopic(served[0], 'normal')
  for (const client of served) await useNormally(client, 'normal', 1)
  for (let attempt = 0; attempt < 30; attempt++) {
    const tooMany = await connect(broker)
    expect((await tooMany.ask(METADATA, {})).json.error).toEqual({
      code: 'INTERNAL_IO_ERROR',
      message: 'Cannot serve another connection: 10 are open, and no more are allowed',
    })
    expect(await tooMany.next()).toBeUndefined()
  }
  for (const client of served) await useNormally(client, 'normal', 1)
  expect(await broker.metric('cafelog_connections_total', 'result="rejected"')).toBe(30)
  served[0].close()
  await expect.poll(() => broker.metric('cafelog_tcp_connections_current')).toBe(9)
  await useNormally(await connect(broker), 'normal', 1)
})

test('with few file descriptors segments still roll while clients come in crowds', { timeout: 60_000 }, async () => {
  const broker = await home.start({ prefix: ['bash', '-c', 'ulimit -n 128; exec "$@"', '--'] })
  const producer = await connect(broker)
  await createTopic(producer, 'rolling', { 'segment.bytes': '16KB' })
  const segments = async () => {
    const { json } = await producer.ask(METADATA, { topics: ['rolling'] })
    return json.topics[0].partitions[0].segments as number
  }
  const records = Array.from({ length: 10 }, () => ({ value: Buffer.alloc(1000, 'x').toString('base64') }))
  let next = 0
  async function produce(count: number) {
    for (let n = 0; n < count; n++) {
      const { json } = await producer.ask(PRODUCE, { topic: 'rolling', partition: 0, records })
      expect(json).toMatchObject({ baseOffset: next, numRecords: 10 })
      next += 10
    }
  }
  await produce(10)
  const segmentsBefore = await segments()

  // Far more than the process may have open. They are let in, told that they are too many, or closed.
  for (let n = 0; n < 60; n++) clients.push(await RawClient.connect(broker.httpPort))
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 100; n++) {
      const client = await connect(broker).catch(() => undefined)
      // Some ask and are answered; the others only are there.
      if (round % 2 === 1) client?.send(rawFrame(HEARTBEAT, {}))
    }
    await produce(10)
  }
  expect(await segments()).toBeGreaterThanOrEqual(segmentsBefore + 20)
  let offset = 0
  while (offset < next) {
    const { json } = await producer.ask(FETCH, { topic: 'rolling', partition: 0, offset, maxBytes: 64 * 1024 })
    expect(json.error).toBeUndefined()
    offset += json.records.length
  }
  expect(clients.length).toBeGreaterThan(360)
  for (const client of clients.slice(1)) client.close()

  // When the crowd is gone, everybody is served again, and the broker stops in order.
  await expect.poll(() => broker.metric('cafelog_tcp_connections_current'), { timeout: 10_000 }).toBe(1)
  const late = await connect(broker)
  expect((await late.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
  expect(await broker.stop()).toBe(0)
})

test('with few file descriptors many partitions are written at once', { timeout: 60_000 }, async () => {
  const broker = await home.start({ prefix: ['bash', '-c', 'ulimit -n 128; exec "$@"', '--'] })
  const client = await connect(broker)
  const topic = 'wide'
  const partitions = 250
  expect((await client.ask(CREATE_TOPIC, { topic, partitions })).json.ok).toBe(true)
  const payloads = Array.from({ length: partitions }, (_, partition) =>
    rawFrame(PRODUCE, { topic, partition, records: [{ value: 'eA==' }] }),
  )
  for (let round = 0; round < 3; round++) {
    client.send(Buffer.concat(payloads))
    for (const [partition] of payloads.entries()) {
      expect((await client.next())?.json).toMatchObject({ partition, baseOffset: round })
    }
  }
  expect(await broker.metric('cafelog_partitions_offline')).toBe(0)
  expect(await broker.stop()).toBe(0)
})
