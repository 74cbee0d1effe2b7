import { assert, dictionary, jsonValue, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { EditRefused, editJson, parsePointer } from './json-edit.ts'
import type { JsonEdit } from './json-edit.ts'

const set = (path: string, json: string): JsonEdit => ({ op: 'set', path, json })
const rename = (from: string, to: string): JsonEdit => ({ op: 'rename', from, to })
const remove = (path: string): JsonEdit => ({ op: 'remove', path })

function check(text: string, edits: readonly JsonEdit[], expected: string) {
  expect(editJson(text, edits)).toBe(expected)
}

test('set replaces, adds, appends', () => {
  check('{"a":1}', [set('/a', '2')], '{"a":2}')
  check('{ "a" : 1 }', [set('/b', '"x"')], '{ "a" : 1,"b":"x" }')
  check('{}', [set('/b', 'null')], '{"b":null}')
  check('{"a":{"b":[1,2]}}', [set('/a/b/1', '{}'), set('/a/b/-', '3'), set('/a/b/3', '4')], '{"a":{"b":[1,{},3,4]}}')
  check(' "x" ', [set('', '{"a":1}')], '{"a":1}')
  check('{"a~/b":1}', [set('/a~0~1b', '2')], '{"a~/b":2}')
  check('{"":1}', [set('/', '2')], '{"":2}')
  check('{"a":1,"a":2}', [set('/a', '3')], '{"a":1,"a":3}')
})

test('remove takes the comma along, and every member of that name', () => {
  check('{"a":1,"b":2,"c":3}', [remove('/a')], '{"b":2,"c":3}')
  check('{"a":1,"b":2,"c":3}', [remove('/b')], '{"a":1,"c":3}')
  check('{"a":1, "b":2, "c":3}', [remove('/c')], '{"a":1, "b":2}')
  check('{"a":1}', [remove('/a')], '{}')
  check('[1,1,1]', [remove('/1')], '[1,1]')
  check('{"a":1,"b":2,"a":3}', [remove('/a')], '{"b":2}')
})

test('rename keeps the place within an object, and moves elsewhere', () => {
  check('{"x":1,"amt":12.50,"y":2}', [rename('/amt', '/amount')], '{"x":1,"amount":12.50,"y":2}')
  check('{"a":{"b":1},"c":{}}', [rename('/a/b', '/c/b')], '{"a":{},"c":{"b":1}}')
  check('{"a":1,"a":2}', [rename('/a', '/b')], '{"b":2}')
  check('[1,2]', [rename('/0', '/-')], '[2,1]')
})

test('what is not changed stays as it was written', () => {
  const text = '{"id":9007199254740993, "note":"\\u00e9 \\"}{\\\\", "list":[ 1e400 , {"a":[]} ],"n":null}'
  check(text, [set('/new', '1'), remove('/new')], text)
  check(text, [set('/n', 'true')], text.replace('null', 'true'))
})

test('what cannot be done is refused, and says where', () => {
  const refused = (text: string, edit: JsonEdit, pointer: string, message: string) => {
    let error: unknown
    try {
      editJson(text, [edit])
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(EditRefused)
    expect(error).toMatchObject({ pointer, message })
  }
  refused('{}', set('/a/b', '1'), '/a/b', 'there is no "a" on the way')
  refused('{"a":1}', set('/a/b', '1'), '/a/b', 'what it is in is neither an object nor an array')
  refused('[1]', set('/5', '1'), '/5', 'the array has 1 items: there is no place "5"')
  refused('[1]', set('/01', '1'), '/01', 'the array has 1 items: there is no place "01"')
  refused('{}', remove('/a'), '/a', 'there is nothing to be removed')
  refused('{}', remove(''), '', 'the whole value cannot be removed')
  refused('{"a":1,"b":2}', rename('/a', '/b'), '/b', 'there is something already')
  refused('{}', rename('/a', '/b'), '/a', 'there is nothing to be renamed')
  refused('7', rename('/a', '/b'), '/a', 'what it is in is neither an object nor an array')
  refused('{}', set('a', '1'), 'a', 'that is no JSON Pointer')
  expect(parsePointer('/~2')).toBeUndefined()
})

test('any value: what was set is found again, and removing it gives the text back', () => {
  assert(
    property(dictionary(string(), jsonValue()), string(), jsonValue(), (object, name, value) => {
      const text = JSON.stringify(object)
      const path = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      const changed = editJson(text, [set(path, JSON.stringify(value))])
      const parsed = JSON.parse(changed) as Record<string, unknown>
      expect(Object.getOwnPropertyDescriptor(parsed, name)?.value).toEqual(JSON.parse(JSON.stringify(value)))
      if (!Object.hasOwn(object, name)) expect(editJson(changed, [remove(path)])).toBe(text)
    }),
  )
})
