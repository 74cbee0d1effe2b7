import pico from 'picocolors'
import { expect, test } from 'vitest'
import { systemClock } from '../src/base/clock.ts'
import { CliFailure } from './failure.ts'
import { localTime } from './moment.ts'
import { printerFor, type PrinterOptions } from './record-printer.ts'
import type { LogRecord } from './record.ts'
import type { Session } from './session.ts'

const NOW = systemClock.now()
const RECORD: LogRecord = {
  topic: 'orders',
  partition: 2,
  offset: 1841,
  timestamp: NOW,
  key: Buffer.from('user42'),
  value: Buffer.from('{"id": 7, "item": "flat white"}'),
  headers: [],
}

function print(record: Partial<LogRecord>, session: Partial<Session> = {}, options: PrinterOptions = {}): string {
  const terminal = { output: 'table', isTerminal: true, columns: 80, colors: pico.createColors(false), ...session }
  return printerFor(terminal as Session, options)({ ...RECORD, ...record }).toString()
}

test('a line for a person: time, place, key, value', () => {
  const time = localTime(NOW).slice(11)
  expect(print({})).toBe(`${time}  orders/2 @1841  user42  {"id":7,"item":"flat white"}\n`)
  expect(print({ key: null, value: null })).toBe(`${time}  orders/2 @1841  –  (no value)\n`)
  expect(print({ value: Buffer.from('plain text') })).toBe(`${time}  orders/2 @1841  user42  plain text\n`)
  expect(print({ key: Buffer.from([255]), value: Buffer.from([1, 255]) })).toBe(
    `${time}  orders/2 @1841  0xff  0x01ff\n`,
  )
})

test('a record of another day has its date', () => {
  const timestamp = NOW - 3 * 86_400_000
  expect(print({ timestamp })).toContain(`${localTime(timestamp)}  orders/2`)
})

test('a line is as wide as the terminal, however large the value', () => {
  const long = print({ value: Buffer.from(`{"text":"${'x'.repeat(1_000_000)}"}`) })
  expect(long).toHaveLength(81)
  expect(long).toMatch(/\{"text":"x+…\n$/)
  expect(print({ value: Buffer.from('y'.repeat(500)) }, { columns: 120 })).toHaveLength(121)
})

test('what could move the cursor is made visible', () => {
  const line = print({ key: Buffer.from('\u001b[2J'), value: Buffer.from('a\u001b[31mb\nc\u202ed') })
  expect(line).toContain('\\x1b[2J  a\\x1b[31mb\\x0ac\\u202ed\n')
  const pretty = print({ key: Buffer.from('\u001b[2J'), value: Buffer.from('{"a":"\u009b2J"}') }, {}, { pretty: true })
  expect(pretty).toContain('\\x1b[2J')
  expect(pretty).toContain('"\\x9b2J"')
})

test('colours for JSON', () => {
  const colors = pico.createColors(true)
  expect(print({}, { colors })).toContain(`{${colors.blue('"id"')}:${colors.magenta('7')},`)
})

test('a pipe, or --raw, gets the bytes of the value', () => {
  const value = Buffer.from([0, 27, 255])
  const raw = (session: Partial<Session>, options: PrinterOptions = {}) =>
    printerFor({ output: 'table', isTerminal: true, ...session } as Session, options)({ ...RECORD, value })
  expect(raw({ isTerminal: false })).toEqual(Buffer.concat([value, Buffer.from('\n')]))
  expect(raw({}, { raw: true })).toEqual(Buffer.concat([value, Buffer.from('\n')]))
})

test('forms that make no sense for records are refused', () => {
  expect(() => print({}, { output: 'yaml' })).toThrow(CliFailure)
})
