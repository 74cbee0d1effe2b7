import { startCafeLog } from 'cafelog'
import { CafeLogClient } from 'cafelog/client'
import { expect, test } from 'vitest'
import { prepareTopics } from './topics.ts'

test('topics are made once', async () => {
  await using broker = await startCafeLog()
  await using client = new CafeLogClient({ broker: broker.addresses.json })
  expect(await prepareTopics(client)).toEqual(['orders', 'menu'])
  expect(await prepareTopics(client)).toEqual([])
})

test('a broker that fails for a moment is asked again', async () => {
  await using broker = await startCafeLog()
  await using client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5 })
  broker.faults.failNext('CREATE_TOPIC', 'INTERNAL_IO_ERROR', { times: 2 })
  expect(await prepareTopics(client)).toEqual(['orders', 'menu'])
})

test('a connection that breaks before the answer is made anew', async () => {
  await using broker = await startCafeLog()
  await using client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5 })
  broker.faults.dropNext('CREATE_TOPIC', { when: 'after' })
  await prepareTopics(client)
  const topics = await client.admin().describeTopics(['orders', 'menu'])
  expect(topics.map(({ partitions }) => partitions.length)).toEqual([4, 1])
})
