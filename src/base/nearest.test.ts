import { expect, test } from 'vitest'

import { didYouMean, suggestNearest } from './nearest.ts'

const NAMES = ['orders', 'order-processing', 'user-events', 'payments', 'a']

const cases: [word: string, nearest: string | undefined][] = [
  ['order', 'orders'],
  ['ordres', 'orders'],
  ['ORDERS', 'orders'],
  ['user_events', 'user-events'],
  ['usr-event', 'user-events'],
  ['paymnets', 'payments'],
  ['invoices', undefined],
  ['b', 'a'],
  ['bc', undefined],
  ['', undefined],
  ['x'.repeat(65), undefined],
]

test.each(cases)('suggestNearest for %j is %j', (word, nearest) => {
  expect(suggestNearest(word, NAMES)).toBe(nearest)
})

test('suggestNearest prefers the nearer, then the first', () => {
  expect(suggestNearest('orderz', ['orderses', 'orders', 'ordery'])).toBe('orders')
})

test('suggestNearest stays quick with many names', () => {
  const names = Array.from({ length: 100_000 }, (_, index) => `topic-${'x'.repeat(40)}-${index}`)
  expect(suggestNearest(`topic-${'x'.repeat(40)}-y`, names)).toBe(names[0])
})

test('didYouMean is the end of a sentence', () => {
  expect(`There is no topic "order"${didYouMean('order', NAMES)}`).toBe(
    'There is no topic "order", did you mean "orders"?',
  )
  expect(didYouMean('invoices', NAMES)).toBe('')
})
