import { array, asyncProperty, boolean, constant, nat, oneof, tuple } from 'fast-check'
import { expect, test } from 'vitest'
import { silentLogger } from '../../base/logger.ts'
import type { PartitionLog } from '../../log/log-engine.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { append, logOf, makeDirectory, openEngine } from '../../../test/support/log-harness.ts'
import { appendAs, endTransaction } from '../../../test/support/producer-batches.ts'
import { checkPropertyAsync } from '../../../test/support/property.ts'
import type { LetterState } from './letter-rows.ts'
import { LetterStates } from './letter-states.ts'
import { readLetters } from './read-letters.ts'

type Step =
  | readonly ['append', number]
  | readonly ['transaction', boolean]
  | readonly ['settle', boolean, readonly number[]]
  | readonly ['delete', number]
  | readonly ['restart']

const STEPS = array(
  oneof(
    tuple(constant('append' as const), nat(9)),
    tuple(constant('transaction' as const), boolean()),
    tuple(constant('settle' as const), boolean(), array(nat(30), { maxLength: 8 })),
    tuple(constant('delete' as const), nat(6)),
    tuple(constant('restart' as const)),
  ),
  { maxLength: 25 },
)

const statesOn = (store: MemoryStore, log: PartitionLog) => {
  return new LetterStates({ store, logger: silentLogger, findLog: () => log })
}

/** Every dead letter with its state, by offset. */
async function readAll(log: PartitionLog, states: LetterStates): Promise<Map<number, LetterState>> {
  const found = new Map<number, LetterState>()
  for (let from = 0; from < log.highWatermark;) {
    const part = await readLetters(log, states, { from, end: log.highWatermark, filter: {}, max: 3 })
    for (const { offset, state } of part.letters) found.set(offset, state)
    from = part.next
  }
  return found
}

/** Does the steps to a log, and to a map in which each dead letter has its state. */
async function check(steps: readonly Step[]): Promise<void> {
  const directory = makeDirectory()
  const engine = await openEngine(directory.path, { flushPolicy: { kind: 'os' } })
  const log = logOf(engine)
  const store = new MemoryStore()
  const model = new Map<number, LetterState>()
  let states = statesOn(store, log)
  let producerId = 0
  try {
    for (const step of steps) {
      if (step[0] === 'append') {
        const base = await append(
          log,
          Array.from({ length: step[1] + 1 }, () => 'v'),
        )
        for (let offset = base; offset <= base + step[1]; offset++) model.set(offset, 'open')
      } else if (step[0] === 'transaction') {
        const base = await appendAs(log, { producerId: ++producerId, sequence: 0, isTransactional: true }, ['v', 'w'])
        await endTransaction(log, producerId, step[1])
        if (step[1]) model.set(base, 'open').set(base + 1, 'open')
      } else if (step[0] === 'settle') {
        const state = step[1] ? 'redriven' : 'discarded'
        const open = [...model].filter(([, of]) => of === 'open').map(([offset]) => offset)
        const offsets = [...new Set(step[2])].map((at) => open[at]).filter((offset) => offset !== undefined)
        offsets.sort((one, other) => one - other)
        await states.settle(log.topic, state, 1, [{ partition: 0, offsets }])
        for (const offset of offsets) model.set(offset, state)
      } else if (step[0] === 'delete') {
        const start = Math.min(log.logStartOffset + step[1], log.highWatermark)
        await log.deleteRecordsBefore(start)
        for (const offset of model.keys()) if (offset < start) model.delete(offset)
      } else {
        states = statesOn(store, log)
      }
      const inState = (state: LetterState) => [...model.values()].filter((of) => of === state).length
      const expected = { open: inState('open'), redriven: inState('redriven'), discarded: inState('discarded') }
      // Only offsets without a record are not known before they were looked for.
      expect({ ...states.count(log), open: 0 }).toEqual({ ...expected, open: 0 })
      await states.refresh(log)
      expect(states.count(log)).toEqual(expected)
      expect(await readAll(log, states)).toEqual(model)
      let before = -1
      for (const { first, last } of states.ranges(log.topic, 0, 0)) {
        expect(first).toBeGreaterThan(before)
        expect(last).toBeGreaterThanOrEqual(first)
        before = last
      }
    }
    await states.removeTopic(log.topic)
    expect([store.count('dead_letters'), store.count('dead_letter_partitions')]).toEqual([0, 0])
  } finally {
    await engine.close()
    directory.remove()
  }
}

test('whatever is appended, settled and removed: counts, states and rows say the same', async () => {
  await checkPropertyAsync(asyncProperty(STEPS, check), 40)
}, 60_000)

test('what follows on one another is one row, and more rows than a commit takes are removed', async () => {
  const directory = makeDirectory()
  const engine = await openEngine(directory.path, { flushPolicy: { kind: 'os' } })
  const log = logOf(engine)
  const store = new MemoryStore()
  const states = statesOn(store, log)
  const count = 10_000
  await append(
    log,
    Array.from({ length: count }, () => 'v'),
  )
  const settle = (offsets: readonly number[]) => states.settle(log.topic, 'redriven', 1, [{ partition: 0, offsets }])
  const all = Array.from({ length: count }, (_, offset) => offset)
  await settle(all.slice(0, 100))
  await settle(all.slice(100, 150))
  expect(store.count('dead_letters')).toBe(1)
  await settle(all.slice(150).filter((offset) => offset % 2 === 1))
  expect(states.count(log)).toEqual({ open: 4925, redriven: 5075, discarded: 0 })
  await log.deleteRecordsBefore(9_500)
  expect(states.count(log)).toEqual({ open: 250, redriven: 250, discarded: 0 })
  await states.refresh(log)
  expect(store.count('dead_letters')).toBe(250)
  expect(states.count(log)).toEqual({ open: 250, redriven: 250, discarded: 0 })
  await engine.close()
  directory.remove()
})
