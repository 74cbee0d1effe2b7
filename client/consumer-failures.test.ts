import { afterEach, beforeEach, expect, test } from 'vitest'
import { ClientWorld, listen, numbers, soon, take } from '../test/support/client-world.ts'
import type { CafeLogClient, ConsumerOptions } from './client.ts'
import { DEAD_LETTER_HEADERS } from './client.ts'
import { openConnection } from './json-connection.ts'
import type { Message } from './message.ts'
import { call } from './operations.ts'

let world: ClientWorld
let client: CafeLogClient
beforeEach(async () => {
  world = await ClientWorld.start({ topics: ['one', { name: 'four', partitions: 4 }] })
  client = world.client()
})
afterEach(() => world.close())

const OPTIONS = {
  group: 'g',
  topics: ['one'],
  autoOffsetReset: 'earliest',
  retryDelayMs: 1,
  retryDelayMsMax: 5,
} as const satisfies ConsumerOptions

async function committed(): Promise<number[]> {
  return (await client.admin().describeGroup('g')).offsets.map(({ offset }) => offset)
}

test('a message whose handler throws is tried until it works, and others of its partition wait', async () => {
  await world.produce('one', 0, numbers(0, 3))
  await using consumer = client.consumer(OPTIONS)
  const told = listen(consumer, 'retry')
  const got: string[] = []
  const running = consumer.run({
    eachMessage: async (message, { attempt }) => {
      await Promise.resolve()
      if (message.offset === 1 && attempt < 4) throw new Error('not yet')
      got.push(`${message.text()} ${attempt}`)
    },
  })
  await soon(() => expect(got).toEqual(['0 1', '1 4', '2 1']))
  expect(told).toEqual([1, 2, 3].map((attempt) => `retry one/0@1 not yet attempt=${attempt}`))
  await consumer.close()
  await running
  expect(await committed()).toEqual([3])
})

test('a partition that waits does not hold up the others', async () => {
  await world.produce('four', 0, ['bad'])
  await world.produce('four', 1, ['good'])
  await using consumer = client.consumer({
    ...OPTIONS,
    topics: ['four'],
    retryDelayMs: 60_000,
    retryDelayMsMax: 60_000,
  })
  const got: string[] = []
  const running = consumer.run({
    eachMessage: (message) => {
      if (message.text() === 'bad') throw new Error('bad')
      got.push(message.text())
    },
  })
  await soon(() => expect(got).toEqual(['good']))
  await consumer.close()
  await running
})

test('a handler that throws ends the consumer, if that is what one wants', async () => {
  await world.produce('one', 0, numbers(0, 3))
  await using consumer = client.consumer({ ...OPTIONS, onError: 'stop' })
  const running = consumer.run({
    eachMessage: ({ offset }) => {
      if (offset === 1) throw new Error('broken')
    },
  })
  await expect(running).rejects.toMatchObject({
    name: 'HandlerError',
    message: 'Cannot process one/0@1: broken',
    failedMessage: { offset: 1 },
  })
  expect(await committed()).toEqual([1])
  expect(await take(consumer, 2)).toEqual(['1', '2'])
})

test('or its message is skipped', async () => {
  await world.produce('one', 0, numbers(0, 3))
  await using consumer = client.consumer({ ...OPTIONS, onError: 'skip' })
  const told = listen(consumer, 'skipped', 'retry')
  const got: string[] = []
  const running = consumer.run({
    eachMessage: (message) => {
      if (message.offset === 1) throw new Error('broken')
      got.push(message.text())
    },
  })
  await soon(() => expect(got).toEqual(['0', '2']))
  expect(told).toEqual(['skipped one/0@1 broken'])
  await consumer.close()
  await running
  expect(await committed()).toEqual([3])
})

test('after so many attempts a message goes to the dead letter topic as it is, and the group goes on', async () => {
  await world.produce('four', 2, ['good', 'bad', 'better'])
  await using consumer = client.consumer({ ...OPTIONS, topics: ['four'], deadLetter: { attempts: 3 } })
  const told = listen(consumer, 'deadLettered')
  const got: string[] = []
  const running = consumer.run({
    eachMessage: (message) => {
      got.push(message.text())
      if (message.text() === 'bad') throw new Error('no such order')
    },
  })
  await soon(() => expect(got).toEqual(['good', 'bad', 'bad', 'bad', 'better']))
  await soon(() => expect(told).toEqual(['deadLettered four/2@1 no such order attempts=3 g.dlq/2@0']))
  await consumer.close()
  await running
  expect(await committed()).toEqual([0, 0, 3, 0])

  const [letter] = await readAll('g.dlq', 2)
  expect([letter.keyText(), letter.text()]).toEqual(['key of bad', 'bad'])
  const headers = Object.fromEntries(letter.headers.map(({ key, value }) => [key, value?.toString()]))
  const { reason, message, origin, time, attempts, firstFailure, lastFailure, group } = DEAD_LETTER_HEADERS
  expect(headers).toEqual({
    [reason]: 'handler-failed',
    [message]: 'no such order',
    [origin]: 'four/2@1',
    [time]: expect.stringMatching(/^\d{13}$/),
    [attempts]: '3',
    [firstFailure]: expect.stringMatching(/^\d{13}$/),
    [lastFailure]: expect.stringMatching(/^\d{13}$/),
    [group]: 'g',
  })
})

test('a dead letter that fails again goes on counting', async () => {
  await world.produce('one', 0, ['bad'])
  const fail = () => {
    throw new Error('bad')
  }
  await using first = client.consumer({ ...OPTIONS, deadLetter: { attempts: 2 } })
  const running = first.run({ eachMessage: fail })
  await soon(() => expect(first.partitions()[0]?.position).toBe(1))
  await soon(async () => expect(await readAll('g.dlq', 0)).toHaveLength(1))
  await first.close()
  await running
  await using second = client.consumer({ ...OPTIONS, topics: ['g.dlq'], deadLetter: { attempts: 1, topic: 'again' } })
  const again = second.run({ eachMessage: fail })
  await soon(async () => expect(await readAll('again', 0)).toHaveLength(1))
  await second.close()
  await again
  const [letter] = await readAll('again', 0)
  expect(letter.headers.filter(({ key }) => key === DEAD_LETTER_HEADERS.attempts)).toHaveLength(1)
  expect(letter.header(DEAD_LETTER_HEADERS.attempts)).toBe('3')
})

test('a dead letter that is redriven comes to its group again, and counts on when it fails again', async () => {
  await world.produce('one', 0, ['bad'])
  await using consumer = client.consumer({ ...OPTIONS, deadLetter: { attempts: 1 } })
  const seen: (string | undefined)[] = []
  const running = consumer.run({
    eachMessage: (message) => {
      seen.push(message.header('cafelog-redrive-count'))
      throw new Error('bad')
    },
  })
  await soon(async () => expect(await readAll('g.dlq', 0)).toHaveLength(1))
  const connection = await openConnection({ host: '127.0.0.1', port: world.broker.ports.json })
  await call(connection, 'REDRIVE', { topic: 'g.dlq' })
  await soon(async () => expect(await readAll('g.dlq', 0)).toHaveLength(2))
  const { topics, letters } = await call(connection, 'LIST_DEAD_LETTERS', { topic: 'g.dlq', group: 'g' })
  expect(topics).toMatchObject([{ open: 1, redriven: 1 }])
  expect(letters).toMatchObject([
    { id: '0@1', reason: 'handler-failed', origin: 'one/0@1', attempts: 2, redriveCount: 1 },
  ])
  expect(seen).toEqual([undefined, '1'])
  connection.close()
  await consumer.close()
  await running
})

test('a message whose dead letter is refused is not processed', async () => {
  await world.produce('one', 0, ['bad'])
  world.broker.faults.failNext('CREATE_TOPIC', 'INVALID_REQUEST', { times: 2 })
  await using consumer = client.consumer({ ...OPTIONS, deadLetter: { attempts: 1 } })
  const told = listen(consumer, 'trouble', 'deadLettered')
  const running = consumer.run({
    eachMessage: () => {
      throw new Error('bad')
    },
  })
  await soon(() => expect(told.at(-1)).toBe('deadLettered one/0@0 bad attempts=3 g.dlq/0@0'))
  expect(told.slice(0, 2)).toEqual(['trouble INVALID_REQUEST one/0', 'trouble INVALID_REQUEST one/0'])
  await consumer.close()
  await running
})

test('batches hold what there is, and what was processed of one does not come again', async () => {
  await world.produce('one', 0, numbers(0, 25))
  await using consumer = client.consumer(OPTIONS)
  const batches: unknown[] = []
  const controller = new AbortController()
  let attempts = 0
  await consumer.run({
    batchMessages: 10,
    signal: controller.signal,
    eachBatch: async (batch, { attempt, processed }) => {
      await Promise.resolve()
      batches.push([
        batch.firstOffset,
        batch.lastOffset,
        batch.messages.length,
        batch.highWatermark,
        batch.lag,
        attempt,
      ])
      if (batch.firstOffset === 10 && attempts++ === 0) {
        processed(batch.messages[3])
        throw new Error('in the middle')
      }
      if (batch.lastOffset === 24) controller.abort()
    },
  })
  expect(batches).toEqual([
    [0, 9, 10, 25, 15, 1],
    [10, 19, 10, 25, 5, 1],
    [14, 23, 10, 25, 1, 2],
    [24, 24, 1, 25, 0, 1],
  ])
  expect(await committed()).toEqual([25])
})

test('so many partitions are worked on at a time', async () => {
  for (const partition of [0, 1, 2, 3]) await world.produce('four', partition, numbers(0, 5))
  await using consumer = client.consumer({ ...OPTIONS, topics: ['four'] })
  const atWork = new Set<number>()
  let most = 0
  let count = 0
  const running = consumer.run({
    concurrency: 3,
    eachMessage: async ({ partition }) => {
      expect(atWork.has(partition)).toBe(false)
      atWork.add(partition)
      most = Math.max(most, atWork.size)
      await new Promise((resolve) => setTimeout(resolve, 2))
      atWork.delete(partition)
      count++
    },
  })
  await soon(() => expect(count).toBe(20))
  expect(most).toBe(3)
  await consumer.close()
  await running
})

test('closing waits for handlers at work', async () => {
  await world.produce('one', 0, ['slow', 'next'])
  const patient = client.consumer(OPTIONS)
  const got: string[] = []
  let begun = false
  const running = patient.run({
    eachMessage: async (message) => {
      begun = true
      await new Promise((resolve) => setTimeout(resolve, 100))
      got.push(message.text())
    },
  })
  await soon(() => expect(begun).toBe(true))
  await patient.close()
  await running
  expect([got, await committed()]).toEqual([['slow'], [1]])
})

test('closing does not wait for ever, and commits what other handlers have done', async () => {
  await world.produce('four', 0, ['stuck'])
  await world.produce('four', 1, numbers(0, 5))
  const consumer = client.consumer({ ...OPTIONS, topics: ['four'], closeTimeoutMs: 50, commitIntervalMs: 60_000 })
  let signal: AbortSignal | undefined
  let count = 0
  void consumer.run({
    concurrency: 2,
    eachMessage: async (message, context) => {
      if (message.text() === 'stuck') {
        signal = context.signal
        await new Promise(() => {})
      }
      count++
    },
  })
  await soon(() => expect([signal?.aborted, count]).toEqual([false, 5]))
  await consumer.close()
  expect(signal?.aborted).toBe(true)
  const { members, offsets } = await client.admin().describeGroup('g')
  expect([members, offsets.find(({ partition }) => partition === 1)?.offset]).toEqual([[], 5])
  expect(offsets.find(({ partition }) => partition === 0)?.offset).toBe(0)
})

test('passing failures of fetches and commits only take time', async () => {
  await world.produce('one', 0, numbers(0, 100))
  const { faults } = world.broker
  faults.failNext('FETCH_BATCHES', 'INTERNAL_IO_ERROR', { times: 2 })
  faults.dropNext('FETCH_BATCHES', { when: 'after', times: 2 })
  faults.dropNext('COMMIT', { times: 2 })
  await using consumer = client.consumer(OPTIONS)
  expect(await take(consumer, 100)).toEqual(numbers(0, 100))
  await consumer.close()
  expect(await committed()).toEqual([100])
})

test('what makes no sense is refused', async () => {
  await using consumer = client.consumer({ ...OPTIONS, deadLetter: { attempts: 1 } })
  await expect(consumer.run({} as never)).rejects.toThrow('either eachMessage or eachBatch is needed')
  await expect(consumer.run({ eachBatch: () => {} })).rejects.toThrow('deadLetter needs eachMessage')
  await expect(consumer.run({ eachMessage: () => {}, concurrency: 0 })).rejects.toThrow('Cannot use concurrency 0')
})

async function readAll(topic: string, partition: number): Promise<Message[]> {
  const [found] = await client
    .admin()
    .describeTopics([topic])
    .catch(() => [])
  const count = found?.partitions[partition]?.highWatermark ?? 0
  const messages: Message[] = []
  if (count === 0) return messages
  await using consumer = client.consumer({ partitions: [{ topic, partition, offset: 0 }] })
  for await (const message of consumer) {
    messages.push(message)
    if (messages.length === count) break
  }
  return messages
}
