import { expect, test } from 'vitest'
import { humanBytes, humanDuration, groupDigits } from './numbers.ts'
import { cutToWidth, visible } from './terminal-text.ts'

test('text of others cannot move the cursor or turn the reading direction', () => {
  expect(visible('a\u001b[2Jb\r\n\u202ec\u009b')).toBe('a\\x1b[2Jb\\x0d\\x0a\\u202ec\\x9b')
  expect(visible('käse 日本 🙂')).toBe('käse 日本 🙂')
})

test.each([
  ['hello', 5, 'hello'],
  ['hello!', 5, 'hell…'],
  ['日本語', 6, '日本語'],
  ['日本語', 5, '日本…'],
  ['🙂🙂🙂', 4, '🙂…'],
  ['', 3, ''],
])('%j in %i columns', (text, columns, expected) => {
  expect(cutToWidth(text, columns)).toBe(expected)
})

test('numbers for people', () => {
  expect([0, 999, 1000, 1234567].map(groupDigits)).toEqual(['0', '999', '1,000', '1,234,567'])
  expect([0, 1023, 1024, 1536, 222298112, 2 ** 40].map(humanBytes)).toEqual([
    '0 B',
    '1023 B',
    '1 KB',
    '1.5 KB',
    '212 MB',
    '1 TB',
  ])
  expect([3, 999, 1500, 41_000, 5_412_345].map(humanDuration)).toEqual(['3ms', '999ms', '1.5s', '41.0s', '1h30m12s'])
})
