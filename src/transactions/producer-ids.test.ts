import { expect, test } from 'vitest'

import { BrokerError } from '../base/broker-error.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { ProducerIds } from './producer-ids.ts'

async function take(ids: ProducerIds, count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, () => ids.next()))
}

test('no producer id is given out twice, not even after a restart', async () => {
  const store = new MemoryStore()
  const ids = new ProducerIds(store)
  const given = [...(await take(ids, 2_500)), ...(await take(ids, 1))]
  expect(new Set(given).size).toBe(2_501)

  const after = await take(new ProducerIds(new MemoryStore({ copyOf: store })), 10)
  expect(Math.min(...after)).toBeGreaterThan(Math.max(...given))
})

test('an id is given out only when its block is durable', async () => {
  let isFull = true
  const store = new MemoryStore({
    beforeWrite: () => {
      if (isFull) throw new BrokerError('KAFKA_STORAGE_ERROR', 'the disk is full')
      return Promise.resolve()
    },
  })
  const ids = new ProducerIds(store)
  await expect(ids.next()).rejects.toThrow('the disk is full')
  isFull = false
  expect(await ids.next()).toBe(1)
})
