import { expect, test } from 'vitest'
import { Schedule, shareTargets } from './schedule.ts'

test('a schedule sends the requests of all connections at an even pace, each once', () => {
  const targetCount = 5
  const schedules = shareTargets(targetCount, 2).map((targets) => ({ targets, schedule: new Schedule(targets, 5, 2) }))
  const due = schedules.flatMap(({ targets, schedule }) =>
    Array.from({ length: schedule.countBefore(40) }, (_, own) => ({
      dueMs: schedule.getDueMs(own),
      target: targets[schedule.getTarget(own)],
    })),
  )
  expect(due.toSorted((a, b) => a.dueMs - b.dueMs)).toEqual(
    Array.from({ length: 20 }, (_, index) => ({ dueMs: index * 2, target: index % targetCount })),
  )
})

test.each([
  [0, 0],
  [1, 1],
  [2, 1],
  [2.001, 2],
  [1000, 500],
])('a schedule of one request every 2 ms has before %d ms %d of them', (endMs, count) => {
  expect(new Schedule([0], 1, 2).countBefore(endMs)).toBe(count)
})

test('a connection without targets has nothing to send', () => {
  const shares = shareTargets(2, 3)
  expect(shares).toEqual([[0], [1], []])
  expect(new Schedule(shares[2], 2, 1).countBefore(1000)).toBe(0)
})
