import { expect, test } from 'vitest'
import { isKept, rotate, type Floor } from './experiments/experiment.ts'
import { formatTable } from './format.ts'
import { median, medianRatio, spread } from './statistics.ts'

test('the median is the value in the middle, and the input stays as it is', () => {
  const values = [5, 1, 9, 3]
  expect(median([7])).toBe(7)
  expect(median([9, 1, 5])).toBe(5)
  expect(median(values)).toBe(4)
  expect(values).toEqual([5, 1, 9, 3])
  expect(median([])).toBeNaN()
  expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 })
})

test('the ratio of interleaved runs pairs those of the same round', () => {
  // A disturbed second round slows both sides; the ratio does not see it.
  expect(medianRatio([400, 40, 390], [100, 10, 130])).toBe(4)
})

test.each<[measured: number | undefined, bound: Floor['bound'], kept: boolean | undefined]>([
  [3, { atLeast: 3 }, true],
  [2.99, { atLeast: 3 }, false],
  [299, { below: 300 }, true],
  [300, { below: 300 }, false],
  [NaN, { atLeast: 3 }, false],
  [NaN, { below: 3 }, false],
  [undefined, { below: 3 }, undefined],
])('a floor that measured %s and must be %o is kept: %s', (measured, bound, kept) => {
  expect(isKept({ name: 'x', measured, bound, unit: 's' })).toBe(kept)
})

test('every round begins with the next contender', () => {
  expect([0, 1, 2, 3].map((round) => rotate(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc'])
})

test('a table aligns figures right and lets a short row run on', () => {
  const table = formatTable(
    ['server', 'records/s', 'what'],
    [
      ['one', '5', 'fast'],
      ['three', '1,000', 'slow'],
      ['two', 'skipped: not installed, and this is long'],
    ],
  )
  expect(table.split('\n')).toEqual([
    'server  records/s  what',
    '──────  ─────────  ────',
    'one             5  fast',
    'three       1,000  slow',
    'two     skipped: not installed, and this is long',
  ])
})
