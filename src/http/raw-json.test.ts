import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { findRawMember, visitRawItems } from './raw-json.ts'

function rawOf(text: string, name: string): string | undefined {
  const bytes = Buffer.from(text)
  const found = findRawMember(bytes, 0, name)
  return found === undefined ? undefined : bytes.toString('utf8', found.start, found.end)
}

test.each<[text: string, name: string, raw: string | undefined]>([
  ['{}', 'a', undefined],
  [' { "a" : 1 } ', 'a', '1'],
  ['{"a":1,"b":2}', 'b', '2'],
  ['{"a":1,"a":[2, 3]}', 'a', '[2, 3]'],
  ['{"x":{"a":1},"a":"\\"}"}', 'a', '"\\"}"'],
  ['{"\\u0061":-1.50e3}', 'a', '-1.50e3'],
  ['{"é":{"a":"]"}}', 'é', '{"a":"]"}'],
  ['{"__proto__":null}', '__proto__', 'null'],
])('in %s, the member %j is %j', (text, name, raw) => {
  expect(rawOf(text, name)).toBe(raw)
})

test('members and items of any JSON are found as JSON.parse finds them', () => {
  checkProperty(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.nat(2), (object, indent) => {
      const text = JSON.stringify(object, undefined, indent)
      for (const [name, value] of Object.entries(object)) {
        expect(JSON.parse(rawOf(text, name) ?? '')).toEqual(JSON.parse(JSON.stringify(value)))
      }
      const items = Buffer.from(JSON.stringify(Object.values(object), undefined, indent))
      const starts: number[] = []
      visitRawItems(items, 0, (at, index) => {
        expect(index).toBe(starts.length)
        starts.push(at)
      })
      expect(starts).toHaveLength(Object.keys(object).length)
    }),
    200,
  )
})
