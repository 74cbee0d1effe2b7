import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromEnvelope, toEnvelope } from './envelope.ts'
import type { Header, LogRecord } from './record.ts'

function record(fields: {
  key?: Buffer | string | null
  value?: Buffer | string | null
  headers?: Header[]
  timestamp?: number
}): LogRecord {
  const bytes = (data: Buffer | string | null | undefined) =>
    typeof data === 'string' ? Buffer.from(data) : (data ?? null)
  return {
    topic: 'orders',
    partition: 2,
    offset: 1841,
    timestamp: fields.timestamp ?? 1769855400123,
    key: bytes(fields.key),
    value: bytes(fields.value),
    headers: fields.headers ?? [],
  }
}

test('the envelope of a JSON value, with the integer as it stands', () => {
  const line = toEnvelope(record({ key: 'user42', value: '{"id":12345678901234567890,"pi":3.10}' }))
  expect(line).toBe(
    '{"v":1,"topic":"orders","partition":2,"offset":"1841","timestamp":"2026-01-31T10:30:00.123Z","key":"user42",' +
      '"value":{"id":12345678901234567890,"pi":3.10},"valueType":"json","headers":{},"dueAt":null}',
  )
})

test.each([
  ['text', 'hello', '"value":"hello","valueType":"string"'],
  ['a JSON string', '"hello"', '"value":"hello","valueType":"json"'],
  ['a number', '9007199254740993', '"value":9007199254740993,"valueType":"json"'],
  ['JSON null', 'null', '"value":null,"valueType":"json"'],
  ['no value', null, '"value":null,"valueType":"null"'],
  ['an empty value', '', '"value":"","valueType":"string"'],
  ['bytes', Buffer.from([0xff, 0]), '"value":"/wA=","valueType":"base64"'],
  [
    'JSON over lines',
    '{\n  "a": 1\n}\n',
    '"value":{   "a": 1 },"valueType":"json","valueText":"{\\n  \\"a\\": 1\\n}\\n"',
  ],
])('%s in the envelope', (_name, value, expected) => {
  expect(toEnvelope(record({ value }))).toContain(expected)
})

test.each([
  [
    'one each',
    [
      { key: 'a', value: Buffer.from('x') },
      { key: 'b', value: null },
    ],
    '{"a":"x","b":null}',
  ],
  [
    'a name twice',
    [
      { key: 'a', value: Buffer.from('x') },
      { key: 'a', value: Buffer.from('y') },
    ],
    '[{"key":"a","value":"x"},{"key":"a","value":"y"}]',
  ],
  ['bytes', [{ key: 'a', value: Buffer.from([255]) }], '[{"key":"a","value":"/w==","valueType":"base64"}]'],
  [
    'names that look like integers',
    [
      { key: '2', value: null },
      { key: '1', value: null },
    ],
    '[{"key":"2","value":null},{"key":"1","value":null}]',
  ],
])('headers: %s', (_name, headers, expected) => {
  expect(toEnvelope(record({ headers }))).toContain(`"headers":${expected}`)
})

test('a record without a time, and one later than dates go', () => {
  expect(toEnvelope(record({ timestamp: -1 }))).toContain('"timestamp":null')
  const late = toEnvelope(record({ timestamp: 9_000_000_000_000_000 }))
  expect(fromEnvelope(late).timestamp).toBe(9_000_000_000_000_000)
})

test('any record comes back from its envelope as it was', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)),
    fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => Buffer.from(text)),
    fc.json().map((text) => Buffer.from(text)),
    fc
      .tuple(fc.json(), fc.constantFrom('', ' ', '\n', '\r\n', '\t'))
      .map(([text, space]) => Buffer.from(space + JSON.stringify(JSON.parse(text), null, 2) + space)),
    fc
      .constantFrom('null', '{"a":1e400,"a":2}', '"\\u0041"', '12345678901234567890', '-0', '1.10')
      .map((text) => Buffer.from(text)),
  )
  const header = fc.record({ key: fc.oneof(fc.string(), fc.constantFrom('__proto__', '1')), value: fc.option(bytes) })
  const any = fc.record({
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.array(header, { maxLength: 4 }),
    timestamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  })
  fc.assert(
    fc.property(any, (fields) => {
      const line = toEnvelope(record(fields))
      expect(line).not.toMatch(/[\r\n]/)
      const { key, value, headers, timestamp, partition } = fromEnvelope(line)
      expect({ key, value, headers, timestamp, partition }).toEqual({ ...fields, partition: 2 })
    }),
  )
})

test.each([
  ['{"value":"text"}', 'text'],
  ['{"value": {"id": 12345678901234567890} }', '{"id": 12345678901234567890}'],
  ['{"x":{"value":1},"value":[1, 2.50]}', '[1, 2.50]'],
  ['{"value":"a \\"quoted\\" text","valueType":"string"}', 'a "quoted" text'],
  ['{"value":"aGk=","valueType":"base64"}', 'hi'],
  ['{"value":{"a":2},"valueType":"json","valueText":"{\\n\\"a\\": 1}"}', '{"a":2}'],
  ['{"value":{"a":1},"valueType":"json","valueText":"{\\n\\"a\\": 1}"}', '{\n"a": 1}'],
  ['{"value":null,"valueType":"json"}', 'null'],
  ['{"va\\u006cue":7}', '7'],
])('the line %s', (line, expected) => {
  expect(fromEnvelope(line).value?.toString()).toBe(expected)
})

test('what a line may say besides', () => {
  const line =
    '{"key":"k","value":null,"headers":{"a":"x"},"timestamp":1000,"partition":3,"dueAt":"2027-01-01T00:00:00Z","other":1}'
  expect(fromEnvelope(line)).toEqual({
    key: Buffer.from('k'),
    value: null,
    headers: [{ key: 'a', value: Buffer.from('x') }],
    timestamp: 1000,
    partition: 3,
    dueAt: Date.parse('2027-01-01T00:00:00Z'),
  })
})

test.each([
  ['{', /not valid JSON/],
  ['[1]', /not a JSON object/],
  ['{"userId":1}', /--input jsonl/],
  ['{"value":"x!","valueType":"base64"}', /not base64/],
  ['{"value":1,"valueType":"string"}', /a string or null/],
  ['{"value":"x","valueType":"xml"}', /xml/],
  ['{"key":7,"value":"x"}', /as key/],
  ['{"value":"x","partition":1.5}', /whole number/],
  ['{"value":"x","timestamp":"soon"}', /timestamp "soon"/],
  ['{"value":"x","headers":"a"}', /headers/],
  ['{"value":"x","headers":[{"value":"a"}]}', /no "key"/],
])('the line %s is refused', (line, expected) => {
  expect(() => fromEnvelope(line)).toThrow(expected)
})
