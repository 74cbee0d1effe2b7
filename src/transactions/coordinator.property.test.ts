import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkPropertyAsync } from '../../test/support/property.ts'
import { TransactionWorld } from '../../test/support/transaction-world.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { TransactionalProducer } from './transaction.ts'

const LOGS = ['a/0', 'a/1', 'b/0']

/** One transaction as its producer sees it. */
interface Attempt {
  /** Of its records; also the offset that it commits, in a partition of its own. */
  readonly number: number
  readonly records: string[]
  /** Whether it has asked for its offset to be committed, and whether it was told that this is kept aside. */
  offset: 'none' | 'asked' | 'kept'
  /** What the producer was told. */
  told: 'committed' | 'aborted' | undefined
  /** What it has asked for. */
  wanted: 'commit' | 'abort' | undefined
}

/** A producer that does what producers do, one step at a time; several of them may use the same transactional id. */
class Client {
  readonly #world: TransactionWorld
  readonly #transactionalId: string
  readonly #attempts: Attempt[]
  #producer: TransactionalProducer | undefined
  #attempt: Attempt | undefined
  #isBusy = false
  #life: number

  constructor(world: TransactionWorld, transactionalId: string, attempts: Attempt[]) {
    this.#world = world
    this.#transactionalId = transactionalId
    this.#attempts = attempts
    this.#life = world.life
  }

  /** Does the next thing unless it still waits for an answer. Whoever loses the broker begins anew. */
  step(choice: number): void {
    if (this.#life !== this.#world.life) {
      this.#life = this.#world.life
      this.#isBusy = false
      // Half of them go on with the identity that they have, as clients do; the others were killed too.
      if (choice % 2 === 0) this.#reset()
    }
    if (this.#isBusy) return
    this.#isBusy = true
    const life = this.#life
    this.#next(choice).then(
      () => {
        if (this.#life === life) this.#isBusy = false
      },
      (error: unknown) => {
        if (this.#life !== life) return
        if (!(error instanceof BrokerError)) throw error
        this.#isBusy = false
        const isLost = ['PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING', 'INVALID_TXN_STATE']
        if (isLost.includes(error.code)) this.#reset()
      },
    )
  }

  #reset() {
    this.#producer = undefined
    this.#attempt = undefined
  }

  async #next(choice: number): Promise<void> {
    const { coordinator } = this.#world
    const transactionalId = this.#transactionalId
    if (this.#producer === undefined) {
      const producer = await coordinator.initProducer({ transactionalId, timeoutMs: 1_000 })
      this.#producer = { transactionalId, ...producer }
      return
    }
    const producer = this.#producer
    const attempt = this.#attempt
    if (attempt?.wanted !== undefined) return this.#end(producer, attempt, attempt.wanted)
    if (attempt === undefined || choice < 4) {
      const log = LOGS[choice % LOGS.length]
      const [topic, partition] = log.split('/')
      await coordinator.addPartitions(producer, [{ topic, partition: Number(partition) }])
      this.#attempt ??= this.#begin()
      const name = `${this.#attempt.number}.${this.#attempt.records.length}`
      this.#world.produce(producer, log, name)
      // Nobody will ever answer.
      if (this.#world.hasDied) return new Promise(() => {})
      this.#attempt.records.push(name)
    } else if (choice < 6 || attempt.offset === 'asked') {
      await coordinator.addGroup(producer, 'g')
      if (attempt.offset === 'none') attempt.offset = 'asked'
      await this.#world.commitOffset(producer, attempt.number, attempt.number)
      attempt.offset = 'kept'
    } else await this.#end(producer, attempt, choice === 9 ? 'abort' : 'commit')
  }

  #begin(): Attempt {
    const attempt = {
      number: this.#attempts.length,
      records: [],
      offset: 'none' as const,
      told: undefined,
      wanted: undefined,
    }
    this.#attempts.push(attempt)
    return attempt
  }

  async #end(producer: TransactionalProducer, attempt: Attempt, wanted: 'commit' | 'abort'): Promise<void> {
    attempt.wanted = wanted
    await this.#world.coordinator.end(producer, wanted === 'commit')
    attempt.told = wanted === 'commit' ? 'committed' : 'aborted'
    this.#attempt = undefined
  }
}

type Step =
  | { readonly kind: 'client'; readonly who: number; readonly choice: number; readonly turns: number }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'die soon'; readonly writes: number }
  | { readonly kind: 'restart' }
  | { readonly kind: 'fail'; readonly log: number; readonly isFailed: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 24,
    arbitrary: fc.record({
      kind: fc.constant('client' as const),
      who: fc.nat(3),
      choice: fc.nat(9),
      turns: fc.constantFrom(0, 1, 2, 5, 20),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(10, 200, 600, 1_100) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('die soon' as const), writes: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fail' as const), log: fc.nat(2), isFailed: fc.boolean() }),
  },
)

test('whatever happens and whenever the broker dies, a transaction is committed everywhere or aborted everywhere', async () => {
  await checkPropertyAsync(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 120 }), async (steps) => {
      const world = new TransactionWorld({}, LOGS)
      const attempts: Attempt[] = []
      const clients = ['t', 't', 'u', 'v'].map((id) => new Client(world, id, attempts))
      for (const each of steps) await take(world, clients, each)

      // In the end everything works, and all transactions are over.
      for (const log of world.logs.values()) log.failure = undefined
      world.restart()
      for (let second = 0; second < 20; second++) {
        world.clock.advance(1_000)
        await world.settle()
      }
      check(world, attempts)
    }),
    150,
  )
}, 60_000)

async function take(world: TransactionWorld, clients: readonly Client[], each: Step) {
  switch (each.kind) {
    case 'client':
      clients[each.who].step(each.choice)
      await world.settle(each.turns)
      break
    case 'time':
      world.clock.advance(each.ms)
      await world.settle(3)
      break
    case 'die soon':
      world.writesLeft = each.writes
      break
    case 'restart':
      world.restart()
      break
    case 'fail':
      world.log(LOGS[each.log]).failure = each.isFailed ? new BrokerError('KAFKA_STORAGE_ERROR', 'full') : undefined
  }
  // Nothing more can happen: it has died.
  if (world.hasDied) world.restart()
}

function check(world: TransactionWorld, attempts: readonly Attempt[]) {
  for (const [name, log] of world.logs) expect(log.open(), `open in ${name}`).toEqual([])
  const logs = [...world.logs.values()]
  const committed = new Set(logs.flatMap((log) => log.ended(true)))
  const aborted = new Set(logs.flatMap((log) => log.ended(false)))
  expect(world.offsets.hasPending('g')).toBe(false)
  for (const { number, records, offset: offsetState, told } of attempts) {
    const found = records.filter((record) => committed.has(record) || aborted.has(record))
    const isCommitted = found.some((record) => committed.has(record))
    for (const record of found) expect(committed.has(record), `${record} as the others`).toBe(isCommitted)
    for (const record of found) expect(aborted.has(record), `${record} once`).toBe(!isCommitted)
    if (told === 'committed') expect(found, `all of ${number}`).toEqual(records)
    if (told !== undefined && found.length > 0)
      expect(isCommitted, `${number} as it was told`).toBe(told === 'committed')
    const offset = world.offsets.get('g', 'in', number)?.offset
    if (told === 'committed' && offsetState === 'kept') expect(offset, `the offset of ${number}`).toBe(number)
    if (told !== 'committed' && !isCommitted && found.length > 0)
      expect(offset, `the offset of ${number}`).toBeUndefined()
  }
}
