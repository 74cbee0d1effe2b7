import { expect, test } from 'vitest'
import { CliFailure } from './failure.ts'
import { compileFormat } from './record-format.ts'
import type { LogRecord } from './record.ts'

const RECORD: LogRecord = {
  topic: 'orders',
  partition: 2,
  offset: 1841,
  timestamp: Date.parse('2026-01-31T10:30:00.123Z'),
  key: Buffer.from('käse'),
  value: Buffer.from('{"id": 12345678901234567890}'),
  headers: [
    { key: 'trace', value: Buffer.from('abc') },
    { key: 'empty', value: null },
  ],
}

test.each([
  ['%t/%p @%o', 'orders/2 @1841'],
  ['%k=%v\\n', 'käse={"id": 12345678901234567890}\n'],
  [
    '%k{hex} %k{base64} %k{json}',
    '6bc3a47365 a8Okc2U= "käse"'.replace('a8Okc2U=', Buffer.from('käse').toString('base64')),
  ],
  ['%v{json}', '{"id": 12345678901234567890}'],
  ['%T %K %V', '6 5 28'],
  ['%d %d{ms} %d{s} %d{iso}', '1769855400123 1769855400123 1769855400 2026-01-31T10:30:00.123Z'],
  ['%h|%h{json}', 'trace=abc,empty=|{"trace":"abc","empty":null}'],
  ['100%%\\t\\x41\\\\', '100%\tA\\'],
  ['%p%o', '21841'],
  ['', ''],
  ['no escapes', 'no escapes'],
])('the format %s', (format, expected) => {
  expect(compileFormat(format)(RECORD).toString()).toBe(expected)
})

test('keys and values come out byte for byte, and null as nothing', () => {
  const value = Buffer.from([0, 255, 10, 128])
  expect(compileFormat('%V %v')({ ...RECORD, value })).toEqual(Buffer.concat([Buffer.from('4 '), value]))
  expect(compileFormat('[%k]%K[%v]%V%v{json}')({ ...RECORD, key: null, value: null }).toString()).toBe('[]0[]0null')
  expect(compileFormat('%v{json}')({ ...RECORD, value }).toString()).toBe(`"${value.toString('base64')}"`)
  expect(compileFormat('%v{json}')({ ...RECORD, value: Buffer.from('{\n"a": 1}\n') }).toString()).toBe('{ "a": 1}')
})

test.each([
  ['%x', /%x/],
  ['%', /percent/],
  ['50% off', /percent/],
  ['%k{upper}', /\{hex\}, \{base64\} or \{json\}/],
  ['%o{hex}', /no modifier/],
  ['%d{rfc}', /\{iso\}/],
  ['\\q', /\\q/],
])('the format %s is refused', (format, expected) => {
  expect(() => compileFormat(format)).toThrow(CliFailure)
  expect(() => compileFormat(format)).toThrow(expected)
})
