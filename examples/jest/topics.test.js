import { afterEach, beforeEach, expect, test } from '@jest/globals'
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
  expect(await prepareTopics(client)).toEqual(['orders', 'menu'])
  expect(await prepareTopics(client)).toEqual([])
})

test('a broker that fails for a moment is asked again', async () => {
  broker.faults.failNext('CREATE_TOPIC', 'INTERNAL_IO_ERROR', { times: 2 })
  expect(await prepareTopics(client)).toEqual(['orders', 'menu'])
})
