import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CafeLog } from '../src/start-cafelog.ts'
import { startCafeLog } from '../src/start-cafelog.ts'
import { CafeLogClient } from './client.ts'
import type { CircuitState } from './events.ts'
import { BrokerRefusal, ConnectionFailure } from './json-connection.ts'

let directory: string
let broker: CafeLog
let client: CafeLogClient
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  broker = await startCafeLog({ directory })
  client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5, retryDelayMsMax: 20, circuitOpenMs: 50 })
})
afterEach(async () => {
  await client.close()
  await broker.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Starts the broker again where it was. */
async function restart() {
  const { ports } = broker
  await broker.close()
  broker = await startCafeLog({ directory, ports })
}

test('topics, offsets and groups are looked after', async () => {
  const admin = client.admin()
  expect(await admin.createTopic({ topic: 'orders', partitions: 2 })).toMatchObject({ created: true })
  expect(await admin.createTopic({ topic: 'orders', partitions: 2 })).toMatchObject({ created: false })
  expect(await admin.alterTopic({ topic: 'orders', partitions: 3, set: { 'retention.ms': '1h' } })).toContainEqual({
    key: 'partitions',
    from: '2',
    to: '3',
  })
  const [topic] = await admin.describeTopics(['orders'])
  expect([topic.partitions.length, topic.config['retention.ms'].value]).toEqual([3, '3600000'])
  await admin.commitOffset({ topic: 'orders', partition: 1, group: 'g', offset: 0 })
  expect(await admin.listGroups()).toMatchObject([{ group: 'g', partitions: 1 }])
  expect((await admin.describeGroup('g')).offsets).toMatchObject([{ partition: 1, offset: 0, lag: 0 }])
  expect(await admin.listOffsets({ topic: 'orders', partition: 0, timestamp: -1 })).toMatchObject([{ offset: 0 }])
  expect(await admin.deleteRecords({ topic: 'orders', partition: 0, beforeOffset: 0 })).toBe(0)
  expect(await admin.deleteOffsets({ group: 'g' })).toBe(1)
  expect((await admin.describeBroker()).addresses.json).toBe(broker.addresses.json)
  await admin.deleteTopic('orders')
  expect(await admin.describeTopics()).toEqual([])
})

test('what the broker refuses for good is refused at once', async () => {
  const retries: unknown[] = []
  client.on('retry', (retry) => retries.push(retry))
  const refusal = await client
    .admin()
    .describeTopics(['nothing'])
    .catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(BrokerRefusal)
  expect([(refusal as BrokerRefusal).code, retries]).toEqual(['UNKNOWN_TOPIC_OR_PARTITION', []])
})

test('what may pass is tried again, and told of', async () => {
  const retries: [string, number, string][] = []
  client.on('retry', ({ operation, attempt, error }) => retries.push([operation, attempt, error.name]))
  broker.faults.failNext('METADATA', 'INTERNAL_IO_ERROR', { times: 2 })
  broker.faults.dropNext('METADATA')
  expect(await client.admin().describeTopics()).toEqual([])
  expect(retries).toEqual([
    ['METADATA', 1, 'BrokerRefusal'],
    ['METADATA', 2, 'BrokerRefusal'],
    ['METADATA', 3, 'ConnectionFailure'],
  ])
})

test('a restart of the broker only takes time', async () => {
  const addresses: string[] = []
  client.on('connected', ({ address }) => addresses.push(address))
  await client.admin().createTopic({ topic: 'kept', partitions: 1 })
  const lost = once(client, 'disconnected')
  await restart()
  expect((await lost)[0].error).toBeInstanceOf(ConnectionFailure)
  expect(await client.admin().describeTopics()).toMatchObject([{ name: 'kept' }])
  expect(addresses).toEqual([broker.addresses.json, broker.addresses.json])
})

test('the circuit opens when nothing gets through, tries, and closes when something does', async () => {
  const states: CircuitState[] = []
  client.on('circuit', ({ state }) => states.push(state))
  broker.faults.failNext('METADATA', 'INTERNAL_IO_ERROR', { times: 6 })
  const described = client.admin().describeTopics()
  await once(client, 'circuit')
  expect(client.circuit).toBe('open')
  await described
  expect(states).toEqual(['open', 'half-open', 'open', 'half-open', 'closed'])
  expect(client.circuit).toBe('closed')
})

test('nothing is tried for longer than is allowed, or wanted', async () => {
  const hasty = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5, retryForMs: 100 })
  broker.faults.failNext('METADATA', 'INTERNAL_IO_ERROR', { times: 1000 })
  await expect(hasty.admin().describeTopics()).rejects.toThrow('Persistence failed')
  const reason = new Error('no time')
  await expect(client.admin().describeTopics([], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  const controller = new AbortController()
  const described = client.admin().describeTopics([], { signal: controller.signal })
  controller.abort(reason)
  await expect(described).rejects.toBe(reason)

  const waiting = client.admin().describeTopics()
  await client.close()
  await expect(waiting).rejects.toMatchObject({ kind: 'closed' })
  await expect(client.admin().describeTopics()).rejects.toMatchObject({ kind: 'closed' })
  await hasty.close()
})

test('many requests at once share one connection, also when it has to be made anew', async () => {
  let connections = 0
  client.on('connected', () => connections++)
  for (let round = 1; round <= 3; round++) {
    await Promise.all(Array.from({ length: 50 }, () => client.admin().describeTopics()))
    expect(connections).toBe(round)
    const lost = once(client, 'disconnected')
    broker.faults.dropConnections()
    await lost
  }
})

test('addresses and times that cannot be are refused', () => {
  for (const wrong of ['', 'localhost', ':7070', 'localhost:0', 'localhost:65536', 'a:b:1']) {
    expect(() => new CafeLogClient({ broker: wrong })).toThrow(JSON.stringify(wrong))
  }
  expect(() => new CafeLogClient({ broker: '[::1]:7070', retryForMs: -1 })).toThrow('retryForMs -1')
})
