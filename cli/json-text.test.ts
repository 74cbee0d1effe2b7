import { expect, test } from 'vitest'
import { compactJson, indentJson, isJsonText, memberTexts, paintJson } from './json-text.ts'

const plain = (token: string) => token

test.each([
  ['{}', true],
  [' [1, 2] ', true],
  ['"x"', true],
  ['-1.5e9', true],
  ['null', true],
  ['nul', false],
  ['hello', false],
  ['{"a":}', false],
  ['', false],
  ['NaN', false],
  ['{} {}', false],
])('whether %j is JSON', (text, expected) => {
  expect(isJsonText(text)).toBe(expected)
})

test('compacting leaves strings and numbers as they stand', () => {
  expect(compactJson(' { "a b" : [ 1.10 , "x \\" y" ] ,\n "n": 12345678901234567890 } ')).toBe(
    '{"a b":[1.10,"x \\" y"],"n":12345678901234567890}',
  )
})

test('indenting', () => {
  expect(indentJson('{"a":[1,{"b":"x, y"}],"c":{},"d":[]}', plain)).toBe(
    ['{', '  "a": [', '    1,', '    {', '      "b": "x, y"', '    }', '  ],', '  "c": {},', '  "d": []', '}'].join(
      '\n',
    ),
  )
  expect(indentJson('12345678901234567890', plain)).toBe('12345678901234567890')
})

test('painting knows names from strings, also in a text that was cut', () => {
  const mark = (token: string, kind: string) => (kind === 'mark' ? token : `<${kind} ${token}>`)
  expect(paintJson('{"id": 7, "on":true,"s":"x"}', mark)).toBe(
    '{<key "id">:<number 7>,<key "on">:<word true>,<key "s">:<string "x">}',
  )
  expect(paintJson('{"id":7,"na…', mark)).toBe('{<key "id">:<number 7>,<string "na…>')
})

test('the members of an object as text', () => {
  const text = '{ "a" : 1.10, "b":{"a":2,"x":[1,"}"]},"c\\n":"a,b" , "a":[ ] }'
  expect([...memberTexts(text)]).toEqual([
    ['a', '[ ]'],
    ['b', '{"a":2,"x":[1,"}"]}'],
    ['c\n', '"a,b"'],
  ])
  expect([...memberTexts('{}')]).toEqual([])
})
