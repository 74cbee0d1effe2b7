import * as fc from 'fast-check'
import { test } from 'vitest'
import { DelayWorld } from '../../test/support/delay-world.ts'
import { checkPropertyAsync } from '../../test/support/property.ts'

type Step =
  | { readonly kind: 'accept'; readonly partition: number; readonly inMs: number; readonly count: number }
  | { readonly kind: 'pass'; readonly ms: number; readonly turns: number }
  | { readonly kind: 'jump'; readonly ms: number }
  | { readonly kind: 'cancel' | 'move'; readonly which: number; readonly inMs: number }
  | { readonly kind: 'crash'; readonly afterWrites: number; readonly kept: number }

const ms = fc.integer({ min: 0, max: 3000 })
const which = fc.nat({ max: 50 })
const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('accept'),
      partition: fc.nat({ max: 2 }),
      inMs: ms,
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('pass'), ms, turns: fc.nat({ max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('jump'), ms: fc.integer({ min: -5000, max: 5000 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('cancel', 'move'), which, inMs: ms }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('crash'), afterWrites: fc.nat({ max: 6 }), kept: fc.nat({ max: 3 }) }),
  },
) as fc.Arbitrary<Step>

const PARTITIONS = ['a/0', 'a/1', 'b/0']

/** What the outside knows of a record. */
interface Known {
  readonly value: string
  id: string
  dueAtMs: number
  isStored: boolean
  /** Somebody began to cancel it; whether that was stored may not be known. */
  cancel: 'no' | 'begun' | 'done'
  /** A move was begun and not confirmed: either time may be the one. */
  otherDueAtMs: number | undefined
}

test('whatever is taken comes once and not early, unless it was cancelled, whenever the broker dies', async () => {
  const property = fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 40 }), async (steps) => {
    const world = new DelayWorld({ batchRecordsMax: 3, quietMs: 700 }, PARTITIONS)
    await world.queue.open()
    const records: Known[] = []
    const work: Promise<unknown>[] = []
    for (const step of steps) await take(world, records, work, step)
    await world.settle()
    await world.restart()
    world.clock.jump(20_000)
    await world.pass(20_000, 500)
    check(world, records)
    world.life++
    void world.queue.close()
    await world.settle(2)
  })
  await checkPropertyAsync(property, 300)
}, 120_000)

async function take(world: DelayWorld, records: Known[], work: Promise<unknown>[], step: Step): Promise<void> {
  const now = world.clock.now()
  switch (step.kind) {
    case 'accept':
      for (let i = 0; i < step.count; i++) {
        const value = `v${records.length}`
        const dueAtMs = now + step.inMs
        const { ids, stored } = world.accept(PARTITIONS[step.partition], value, dueAtMs)
        const known: Known = { value, id: ids[0], dueAtMs, isStored: false, cancel: 'no', otherDueAtMs: undefined }
        records.push(known)
        work.push(stored.then(() => (known.isStored = true)))
      }
      return
    case 'pass':
      world.clock.advance(step.ms)
      return world.settle(step.turns)
    case 'jump':
      world.clock.jump(step.ms)
      return
    case 'cancel': {
      const known = records.at(step.which)
      if (known === undefined || known.cancel !== 'no') return
      const before = known.cancel
      known.cancel = 'begun'
      const ended = world.queue.cancel(known.id).then(
        () => (known.cancel = 'done'),
        () => (known.cancel = before),
      )
      work.push(ended)
      return
    }
    case 'move': {
      const known = records.at(step.which)
      if (known === undefined || known.otherDueAtMs !== undefined) return
      const dueAtMs = now + step.inMs
      known.otherDueAtMs = dueAtMs
      const ended = world.queue.reschedule(known.id, dueAtMs).then(
        () => {
          known.dueAtMs = dueAtMs
          known.otherDueAtMs = undefined
        },
        () => (known.otherDueAtMs = undefined),
      )
      work.push(ended)
      return
    }
    case 'crash':
      world.writesLeft = step.afterWrites
      await world.settle(step.afterWrites * 3)
      return world.restart((unsynced) => Math.min(unsynced, step.kept))
  }
}

function check(world: DelayWorld, records: readonly Known[]): void {
  const all = PARTITIONS.flatMap((name) => world.delivered(name))
  for (const { value, id, dueAtMs, isStored, cancel, otherDueAtMs } of records) {
    const found = all.filter((delivered) => delivered.value === value)
    const claim = `${value} (${id}, ${cancel}, ${isStored ? 'stored' : 'unknown'}) is there ${found.length} times`
    if (found.length > 1) throw new Error(`${claim}: once at most`)
    if (found.length === 0 && isStored && cancel === 'no') throw new Error(`${claim}: it was taken`)
    if (found.length === 1 && cancel === 'done') throw new Error(`${claim}: it was cancelled`)
    for (const { atMs } of found) {
      const earliest = Math.min(dueAtMs, otherDueAtMs ?? dueAtMs)
      if (atMs < earliest) throw new Error(`${claim}: at ${atMs}, before it was due, ${earliest}`)
    }
  }
  if (world.store.count('schedules') !== 0 || world.store.count('schedules_due') !== 0) {
    throw new Error(`${world.store.count('schedules')} are left in the store`)
  }
  if (world.queue.countWaiting() !== 0) throw new Error(`${world.queue.countWaiting()} are counted as waiting`)
}
