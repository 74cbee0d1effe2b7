import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkProperty } from '../../test/support/property.ts'
import { TopicPattern } from './topic-pattern.ts'

test.each<[pattern: string, matching: string[], others: string[]]>([
  ['orders', ['orders'], ['order', 'orders2', 'xorders', '']],
  ['orders-.*', ['orders-', 'orders-eu'], ['orders', 'x-orders-eu']],
  ['^orders$', ['orders'], ['orders2']],
  ['(orders|events)[.-]v[0-9]+', ['orders.v1', 'events-v20'], ['orders.v', 'orders_v1', 'ordersevents.v1']],
  ['a|b|', ['a', 'b', ''], ['c', 'ab']],
  ['(?i)Orders[a-c]', ['ORDERSA', 'ordersC'], ['ordersd']],
  ['a{2,3}', ['aa', 'aaa'], ['a', 'aaaa']],
  ['a{2}b{0}', ['aa'], ['aab', 'a']],
  ['(ab){1,}c?', ['ab', 'ababc'], ['c', 'abcc']],
  ['a+?b*?', ['a', 'aab'], ['b']],
  ['\\d{3}\\w\\W', ['123x-', '000_.'], ['12xx-', '123--']],
  ['[^a-c.]+', ['xyz', '-'], ['xaz', 'x.z', '']],
  ['[]a-]+', ['a-', ']'], ['b']],
  ['[\\d_]\\.', ['1.', '_.'], ['1x', 'a.']],
  ['\\Qa.b*\\E.', ['a.b*x'], ['aXbbx']],
  ['\\x61\\x{62}', ['ab'], ['x61b']],
  ['(?:a)(?P<name>b)(?<other>c)', ['abc'], ['ab']],
  ['x{a}', ['x{a}'], ['xa']],
  ['(a*)*b', ['b', 'aab'], ['aa']],
  ['ñ|a', ['a'], ['n', 'ñ']],
  ['', [''], ['a']],
])('the pattern %s matches whole names', (text, matching, others) => {
  const pattern = new TopicPattern(text)
  expect(matching.filter((name) => !pattern.matches(name))).toEqual([])
  expect(others.filter((name) => pattern.matches(name))).toEqual([])
})

test.each<[pattern: string, reason: string]>([
  ['(a', '"(" without ")"'],
  ['a)', '")" without "("'],
  ['[a', '"[" without "]"'],
  ['[b-a]', 'a range in a class'],
  ['[[:alpha:]]', 'a class by name'],
  ['*a', 'nothing before "*"'],
  ['a**', 'a repetition of a repetition'],
  ['a{3,2}', 'repetitions are 0 to 1000'],
  ['a{1001}', 'repetitions are 0 to 1000'],
  ['(a)\\1', 'the escape "\\1"'],
  ['a\\b', 'the escape "\\b"'],
  ['\\pL', 'the escape "\\p"'],
  ['(?=a)', '"(?" with anything but ":" or a name'],
  ['a\\', 'the escape "\\"'],
  ['\\xg0', '"\\x" without two hexadecimal digits'],
  ['(a{1000}){1000}', 'more than 2000 steps'],
  ['((((){1000}){1000}){1000}){1000}', 'more than 2000 steps'],
])('the pattern %s is refused: %s', expectRefusal)

test('patterns that are too deep or too long are refused', () => {
  expectRefusal('('.repeat(101), 'more than 100 groups within each other')
  expectRefusal('a'.repeat(4_001), 'it has 4001 characters')
})

function expectRefusal(text: string, reason: string) {
  expect(() => new TopicPattern(text)).toThrow(
    expect.objectContaining({ code: 'INVALID_REGULAR_EXPRESSION', message: expect.stringContaining(reason) }),
  )
}

test('no name takes more than its length times the size of the pattern', () => {
  const pattern = new TopicPattern(`(${'(.*a)+'.repeat(50)})+x`)
  expect(pattern.matches('a'.repeat(249))).toBe(false)
  expect(pattern.work).toBeLessThan(249 * 1_000)
})

test('patterns match what regular expressions of the language match', () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\d', '-')
  const { pattern } = fc.letrec<{ pattern: string; piece: string }>((tie) => ({
    piece: fc.oneof(
      { depthSize: 'small' },
      atom,
      fc
        .tuple(
          fc.oneof(
            atom,
            tie('pattern').map((inner) => `(${inner})`),
          ),
          fc.constantFrom('', '*', '+', '?', '{1,2}', '{2}'),
        )
        .map(([inner, repeat]) => inner + repeat),
    ),
    pattern: fc
      .array(fc.array(tie('piece'), { maxLength: 4 }), { minLength: 1, maxLength: 3 })
      .map((choices) => choices.map((pieces) => pieces.join('')).join('|')),
  }))
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '1', '-'), maxLength: 8 })
  checkProperty(
    fc.property(pattern, fc.array(name, { minLength: 1, maxLength: 5 }), (text, names) => {
      const ours = new TopicPattern(text)
      const theirs = new RegExp(`^(?:${text})$`)
      expect(names.map((each) => [each, ours.matches(each)])).toEqual(names.map((each) => [each, theirs.test(each)]))
    }),
    500,
  )
})
