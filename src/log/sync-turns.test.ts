import { expect, test } from 'vitest'
import { SyncTurns } from './sync-turns.ts'

test('turns are handed out at once up to the limit, and then in order', () => {
  const turns = new SyncTurns(2)
  const begun: number[] = []
  for (let n = 0; n < 5; n++) turns.take(() => begun.push(n))
  expect(begun).toEqual([0, 1])
  turns.giveBack()
  expect(begun).toEqual([0, 1, 2])
  turns.giveBack()
  turns.giveBack()
  turns.giveBack()
  turns.giveBack()
  expect(begun).toEqual([0, 1, 2, 3, 4])
  for (let n = 5; n < 8; n++) turns.take(() => begun.push(n))
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6])
})

test('who gives back at once, and who takes another turn, does so a hundred thousand times', () => {
  const turns = new SyncTurns(1)
  let count = 0
  const begin = () => {
    count++
    if (count < 100_000) turns.take(() => begin())
    turns.giveBack()
  }
  turns.take(() => begin())
  expect(count).toBe(100_000)
  let last = 0
  turns.take(() => {})
  for (let n = 1; n <= 100_000; n++) {
    turns.take(() => {
      last = n
      turns.giveBack()
    })
  }
  expect(last).toBe(0)
  turns.giveBack()
  expect(last).toBe(100_000)
})
