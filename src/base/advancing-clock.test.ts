import { expect, test } from 'vitest'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import { AdvancingClock } from './advancing-clock.ts'

test('time passes by itself, and by as much as one likes', async () => {
  const base = new SimClock(1_000_000)
  const clock = new AdvancingClock(base)
  base.advance(10)
  expect(clock.now()).toBe(1_000_010)
  const before = clock.monotonic()
  await clock.advance(3_600_000)
  expect([clock.now(), clock.monotonic() - before]).toEqual([4_600_010, 3_600_000])
  base.advance(5)
  expect(clock.now()).toBe(4_600_015)
})

test('timers are called in their order, each at its own moment, also those that timers set', async () => {
  const base = new SimClock(0)
  const clock = new AdvancingClock(base)
  const calls: [string, number][] = []
  const note = (name: string) => calls.push([name, clock.now()])
  clock.setTimer(300, () => note('late'))
  clock.setTimer(100, () => {
    note('first')
    clock.setTimer(50, () => note('set by the first'))
  })
  const cancelled = clock.setTimer(200, () => note('cancelled'))
  cancelled.cancel()
  await clock.advance(299)
  expect(calls).toEqual([
    ['first', 100],
    ['set by the first', 150],
  ])
  // What is left of a wait passes by itself.
  base.advance(1)
  expect(calls.at(-1)).toEqual(['late', 300])
  expect(base.pendingTimers).toBe(0)
})

test('two that put it forward do so one after the other', async () => {
  const clock = new AdvancingClock(new SimClock(0))
  await Promise.all([clock.advance(10), clock.advance(20)])
  expect(clock.now()).toBe(30)
  expect(() => clock.advance(-1)).toThrow('-1 ms')
  expect(() => clock.advance(Infinity)).toThrow('Infinity ms')
})
