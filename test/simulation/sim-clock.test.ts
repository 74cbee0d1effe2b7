import { expect, test } from 'vitest'
import { SimClock } from './sim-clock.ts'

test('timers fire in the order in which they are due, each at its own moment', () => {
  const clock = new SimClock(1_000_000, 0)
  const fired: [name: string, at: number][] = []
  const note = (name: string) => () => fired.push([name, clock.monotonic()])
  clock.setTimer(30, note('third'))
  clock.setTimer(10, note('first'))
  clock.setTimer(10, note('second'))
  clock.setTimer(99, note('never'))
  clock.setTimer(20, note('cancelled')).cancel()
  clock.advance(50)
  expect(fired).toEqual([
    ['first', 10],
    ['second', 10],
    ['third', 30],
  ])
  expect(clock.monotonic()).toBe(50)
  expect(clock.now()).toBe(1_000_050)
  expect(clock.nextTimerInMs).toBe(49)
})

test('a timer that sets another one within the same stretch sees it fire', () => {
  const clock = new SimClock()
  const fired: number[] = []
  const tick = () => {
    fired.push(clock.monotonic())
    if (fired.length < 3) clock.setTimer(10, tick)
  }
  clock.setTimer(10, tick)
  clock.advance(100)
  expect(fired.map((at) => at - fired[0])).toEqual([0, 10, 20])
})

test('the wall clock jumps both ways without disturbing timers or the monotonic time', () => {
  const clock = new SimClock(1_000_000, 0)
  let isFired = false
  clock.setTimer(10, () => (isFired = true))
  clock.jump(3_600_000)
  clock.advance(5)
  expect([clock.now(), clock.monotonic(), isFired]).toEqual([4_600_005, 5, false])
  clock.jump(-7_200_000)
  clock.advance(5)
  expect([clock.now(), clock.monotonic(), isFired]).toEqual([-2_599_990, 10, true])
})

test('a stopped clock calls nobody', () => {
  const clock = new SimClock()
  let calls = 0
  clock.setTimer(10, () => (calls += 1))
  clock.stop()
  clock.setTimer(10, () => (calls += 1))
  clock.advance(100)
  expect([calls, clock.pendingTimers]).toEqual([0, 0])
})
