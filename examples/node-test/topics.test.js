import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { startCafeLog } from 'cafelog'
import { CafeLogClient } from 'cafelog/client'
import { prepareTopics } from './topics.js'

let broker
let client
beforeEach(async () => {
  broker = await startCafeLog()
  client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5 })
})
afterEach(async () => {
  await client.close()
  await broker.close()
})

test('topics are made once', async () => {
  assert.deepEqual(await prepareTopics(client), ['orders', 'menu'])
  assert.deepEqual(await prepareTopics(client), [])
})

test('a broker that fails for a moment is asked again', async () => {
  broker.faults.failNext('CREATE_TOPIC', 'INTERNAL_IO_ERROR', { times: 2 })
  assert.deepEqual(await prepareTopics(client), ['orders', 'menu'])
})

test('a connection that breaks before the answer is made anew', async () => {
  broker.faults.dropNext('CREATE_TOPIC', { when: 'after' })
  await prepareTopics(client)
  const topics = await client.admin().describeTopics(['orders', 'menu'])
  assert.deepEqual(
    topics.map(({ partitions }) => partitions.length),
    [4, 1],
  )
})
