import { expect, test } from 'vitest'
import { CliFailure } from './failure.ts'
import { locate, locateWithin, parseOffsetRange, parsePlace, type PartitionBounds } from './offset-range.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')
const time = (text: string) => ({ kind: 'time', timestamp: Date.parse(text) })

test.each([
  ['start', { kind: 'start' }, undefined],
  ['end', { kind: 'end' }, undefined],
  ['17', { kind: 'offset', offset: 17 }, undefined],
  ['+5', { kind: 'after', count: 5 }, undefined],
  ['-10', { kind: 'beforeEnd', count: 10 }, undefined],
  [':end', { kind: 'start' }, { kind: 'end' }],
  [':100', { kind: 'start' }, { kind: 'offset', offset: 100 }],
  ['10:20', { kind: 'offset', offset: 10 }, { kind: 'offset', offset: 20 }],
  ['10:+5', { kind: 'offset', offset: 10 }, { kind: 'after', count: 5 }],
  ['-10:end', { kind: 'beforeEnd', count: 10 }, { kind: 'end' }],
  ['10:', { kind: 'offset', offset: 10 }, undefined],
  ['@-1h', time('2026-11-24T11:00:00Z'), undefined],
  ['@-1h:end', time('2026-11-24T11:00:00Z'), { kind: 'end' }],
  ['@-1h:-30m', time('2026-11-24T11:00:00Z'), time('2026-11-24T11:30:00Z')],
  ['@-1h:@-30m', time('2026-11-24T11:00:00Z'), time('2026-11-24T11:30:00Z')],
  ['@-1h:now', time('2026-11-24T11:00:00Z'), time('2026-11-24T12:00:00Z')],
  ['@-1h:2000', time('2026-11-24T11:00:00Z'), { kind: 'offset', offset: 2000 }],
  ['@1764000000', time('2025-11-24T16:00:00Z'), undefined],
  ['@1764000000000', time('2025-11-24T16:00:00Z'), undefined],
  ['@2026-11-24T10:30:00Z', time('2026-11-24T10:30:00Z'), undefined],
  ['@2026-11-24T10:30:00+02:00', time('2026-11-24T08:30:00Z'), undefined],
  ['@2026-11-24T10:30:00Z:end', time('2026-11-24T10:30:00Z'), { kind: 'end' }],
  ['@2026-11-24T10:30:00Z:2026-11-24T11:30:00Z', time('2026-11-24T10:30:00Z'), time('2026-11-24T11:30:00Z')],
  ['0:@-5m', { kind: 'offset', offset: 0 }, time('2026-11-24T11:55:00Z')],
])('the range %s', (text, from, until) => {
  expect(parseOffsetRange(text, NOW)).toEqual({ from, until })
})

test('a time of day is the most recent one, in local time', () => {
  const noon = new Date(2026, 10, 24, 12, 0, 0).getTime()
  const at = (day: number, hour: number, minute: number, second = 0) =>
    new Date(2026, 10, day, hour, minute, second).getTime()
  expect(parseOffsetRange('@10:30', noon).from).toEqual({ kind: 'time', timestamp: at(24, 10, 30) })
  expect(parseOffsetRange('@23:15:30', noon).from).toEqual({ kind: 'time', timestamp: at(23, 23, 15, 30) })
  expect(parseOffsetRange('@10:30:end', noon)).toEqual({
    from: { kind: 'time', timestamp: at(24, 10, 30) },
    until: { kind: 'end' },
  })
  expect(parseOffsetRange('@2026-11-23', noon).from).toEqual({ kind: 'time', timestamp: at(23, 0, 0) })
})

test.each([
  '',
  ':',
  'x',
  '1.5',
  '--3',
  '@',
  '@yesterday',
  '@25:00',
  '@-1x',
  '5:x',
  '1:2:3',
  '@-1h:',
  '99999999999999999999',
])('the range %j is refused and the forms are named', (text) => {
  expect(() => parseOffsetRange(text, NOW)).toThrow(CliFailure)
  expect(() => parseOffsetRange(text, NOW)).toThrow(/@-1h:end/)
})

test('a place of consumer reset takes no range', () => {
  expect(parsePlace('-5', NOW)).toEqual({ kind: 'beforeEnd', count: 5 })
  expect(() => parsePlace('1:2', NOW)).toThrow(CliFailure)
})

test('places mean offsets of a partition', () => {
  const bounds: PartitionBounds = { logStartOffset: 40, highWatermark: 100, offsetAtTime: 70 }
  const at = (text: string) => locateWithin(parsePlace(text, NOW), bounds)
  expect([at('start'), at('end'), at('+5'), at('-5'), at('60'), at('@-1h')]).toEqual([40, 100, 45, 95, 60, 70])
  expect([at('0'), at('5000'), at('-5000'), at('+5000')]).toEqual([40, 100, 40, 100])
  expect(locate(parsePlace('5000', NOW), bounds)).toBe(5000)
  expect(locate(parsePlace('+5', NOW), bounds, 60)).toBe(65)
  expect(locateWithin(parsePlace('@-1h', NOW), { ...bounds, offsetAtTime: -1 })).toBe(100)
})
