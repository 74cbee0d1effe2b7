import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ClientWorld, listen, numbers, soon, take } from '../test/support/client-world.ts'
import type { ConsumerOptions } from './client.ts'
import type { Consumer } from './consumer.ts'

let directory: string
let world: ClientWorld
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  world = await ClientWorld.start({ directory, topics: [{ name: 'four', partitions: 4 }] })
})
afterEach(async () => {
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

const OPTIONS = { group: 'g', topics: ['four'], autoOffsetReset: 'earliest', commitIntervalMs: 10 } as const

/** A consumer that notes what it handles. */
class Worker {
  readonly consumer: Consumer
  readonly got: string[] = []
  readonly told: string[]
  readonly running: Promise<void>
  /** What handling a message waits for. */
  mayFinish: Promise<void> = Promise.resolve()

  constructor(options: ConsumerOptions = OPTIONS) {
    this.consumer = world.client().consumer(options)
    this.told = listen(this.consumer, 'assigned', 'revoked', 'lost')
    this.running = this.consumer.run({
      concurrency: 4,
      eachMessage: async ({ partition, offset }) => {
        await this.mayFinish
        this.got.push(`${partition}@${offset}`)
      },
    })
  }

  get owned(): number[] {
    return this.consumer.partitions().map(({ partition }) => partition)
  }
}

const ALL = [0, 1, 2, 3]

async function produceAll(from: number, to: number): Promise<void> {
  for (const partition of ALL) await world.produce('four', partition, numbers(from, to))
}

const expected = (from: number, to: number) =>
  ALL.flatMap((partition) => numbers(from, to).map((offset) => `${partition}@${offset}`)).toSorted()

test('consumers of a group share the partitions, and each message is processed once while nobody dies', async () => {
  const one = new Worker()
  await soon(() => expect(one.owned).toEqual(ALL))
  await produceAll(0, 50)
  await soon(() => expect(one.got).toHaveLength(200))
  const two = new Worker()
  await soon(() => expect([one.owned.length, two.owned.length]).toEqual([2, 2]))
  await produceAll(50, 100)
  await soon(() => expect(one.got.length + two.got.length).toBe(400))
  await one.consumer.close()
  await one.running
  await soon(() => expect(two.owned.toSorted((left, right) => left - right)).toEqual(ALL))
  await produceAll(100, 110)
  await soon(() => expect(one.got.length + two.got.length).toBe(440))
  expect([...one.got, ...two.got].toSorted()).toEqual(expected(0, 110))
  expect(one.told.some((line) => line.startsWith('revoked'))).toBe(true)
})

test('a partition is given away when the handler at work on it is done, and what it did is committed', async () => {
  await produceAll(0, 1)
  const one = new Worker()
  let finish: () => void = () => {}
  one.mayFinish = new Promise((resolve) => (finish = resolve))
  await soon(() => expect(one.owned).toEqual(ALL))
  const two = new Worker()
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect([one.owned.length, two.owned.length]).toEqual([4, 0])
  finish()
  await soon(() => expect([one.owned.length, two.owned.length]).toEqual([2, 2]))
  await soon(() => expect(one.got.length).toBe(4))
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(two.got).toEqual([])
})

test('who was silent for too long loses its partitions, and what it did meanwhile does not count', async () => {
  await world.produce('four', 0, numbers(0, 3))
  const one = new Worker()
  let finish: () => void = () => {}
  one.mayFinish = new Promise((resolve) => (finish = resolve))
  await soon(() => expect(one.owned).toEqual(ALL))
  await world.broker.clock.advance('10m')
  await soon(() => expect(one.told.some((line) => line.startsWith('lost'))).toBe(true))
  finish()
  await soon(() => expect(one.got).toContain('0@2'))
  // The first one was handled in vain, and comes again.
  expect(one.got.filter((place) => place === '0@0')).toHaveLength(2)
})

test('commits of what is no longer assigned are refused', async () => {
  await world.produce('four', 0, numbers(0, 3))
  const consumer = world.client().consumer({ ...OPTIONS, autoCommit: false })
  const messages = consumer.messages()
  const { value } = await messages.next()
  await consumer.close()
  await expect(consumer.commit(value)).rejects.toThrow()
})

test('a restart of the broker in the middle loses nothing', async () => {
  const one = new Worker()
  const two = new Worker()
  await soon(() => expect([one.owned.length, two.owned.length]).toEqual([2, 2]))
  await produceAll(0, 20)
  await world.restart()
  await produceAll(20, 40)
  await soon(() => expect(new Set([...one.got, ...two.got]).size).toBe(160))
  expect([one.told, two.told].flat().filter((line) => line.startsWith('lost'))).toEqual([])
})

test('a pattern takes up topics that come later', async () => {
  await world.broker.createTopic('five')
  await using consumer = world.client().consumer({ group: 'p', topicPattern: 'f.*', autoOffsetReset: 'earliest' })
  const taken = take(consumer, 2)
  await world.produce('five', 0, ['a'])
  await world.produce('four', 3, ['a'])
  expect(await taken).toEqual(['a', 'a'])
})
