import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CafeLogClient } from '../../client/client.ts'
import type { CafeLog } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'

// The examples of docs/client.md do what they say: each is run as it stands, with the names that a reader's program would have.

const page = readFileSync(new URL('../../docs/client.md', import.meta.url), 'utf8')
const consumerPart = page.slice(page.indexOf('## Consumer'))

/** The example that begins so. */
function example(begin: string, part = consumerPart): string {
  const found = [...part.matchAll(/^```ts\n([^]*?)^```$/gm)]
    .map(([, text]) => text)
    .find((text) => text.startsWith(begin))
  if (found === undefined) throw new Error(`docs/client.md has no example that begins with ${begin}`)
  return found
}

/** Runs it; `await using` is not in every version of Node that is supported. */
async function run(code: string, names: Readonly<Record<string, unknown>>): Promise<unknown> {
  const AsyncFunction = (async () => {}).constructor as new (
    ...texts: string[]
  ) => (...values: unknown[]) => Promise<unknown>
  const body = code.replaceAll('await using', 'const').replaceAll(/^import .*$/gm, '')
  return await new AsyncFunction(...Object.keys(names), body)(...Object.values(names))
}

let broker: CafeLog
let client: CafeLogClient
beforeAll(async () => {
  broker = await startCafeLog({ topics: ['orders'] })
  client = new CafeLogClient({ broker: broker.addresses.json })
})
afterAll(async () => {
  await client.close()
  await broker.close()
})

async function sendOrders(count: number): Promise<void> {
  const producer = client.producer()
  for (let total = 0; total < count; total++)
    await producer.send({ topic: 'orders', key: `customer-${total}`, value: JSON.stringify({ total }) })
  await producer.close()
}

test('a loop', async () => {
  await sendOrders(3)
  const billed: unknown[] = []
  const bill = async (...order: unknown[]) => {
    billed.push(order)
    if (billed.length === 3) throw new Error('enough')
  }
  await expect(run(example('await using consumer = client.consumer({ group'), { client, bill })).rejects.toThrow(
    'enough',
  )
  expect(billed).toEqual([0, 1, 2].map((total) => [`customer-${total}`, { total }]))
})

test('handlers of messages and of batches', async () => {
  const [byMessage, byBatch] = example('await consumer.run').split('\n\n')
  const partitions = [{ topic: 'orders', partition: 0, offset: 0 }]
  const one = client.consumer({ partitions })
  let count = 0
  const bill = async (_order: unknown, { signal }: { signal: AbortSignal }) => {
    expect(signal.aborted).toBe(false)
    if (++count === 3) void one.close()
  }
  await run(byMessage, { consumer: one, bill })
  expect(count).toBe(3)
  const two = client.consumer({ partitions })
  const database = {
    insert: async (orders: unknown[]) => {
      expect(orders).toHaveLength(3)
      void two.close()
    },
  }
  await run(byBatch, { consumer: two, database })
})

test('going elsewhere, and what is told', async () => {
  const told: unknown[] = []
  const log = { info: (text: unknown) => told.push(text), debug() {}, warn() {}, error() {} }
  const consumer = client.consumer({ group: 'elsewhere', topics: ['orders'], autoOffsetReset: 'earliest' })
  await run(example("consumer.on('assigned'"), { consumer, log })
  const messages = consumer.messages()
  await messages.next()
  expect(told).toEqual([[{ topic: 'orders', partition: 0 }], 'orders/0 begins at 0'])
  await run(example('consumer.seek('), { consumer })
  expect(consumer.partitions()).toMatchObject([{ position: 3, isPaused: true }])
  await consumer.close()
})
