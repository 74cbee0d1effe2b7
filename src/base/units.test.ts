import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { formatDuration, formatSize, parseDuration, parseSize } from './units.ts'

const sizes: [text: string, bytes: number][] = [
  ['0', 0],
  ['67108864', 67_108_864],
  ['007', 7],
  ['1GB', 2 ** 30],
  ['1gb', 2 ** 30],
  ['1GiB', 2 ** 30],
  ['64KiB', 65_536],
  ['512MB', 512 * 2 ** 20],
  ['512 MB', 512 * 2 ** 20],
  ['2TB', 2 ** 41],
  ['10B', 10],
  ['1.5KB', 1536],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
]

test.each(sizes)('parseSize reads %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

const badSizes = [
  '',
  ' ',
  '1G',
  '10XB',
  '1iB',
  '1 GB ',
  ' 1GB',
  '1  GB',
  '-1',
  '-5',
  '+1',
  '1e9',
  '0x10',
  '1.5',
  '.5KB',
  '1,000',
  '1GB1MB',
  'NaN',
]

test.each(badSizes)('parseSize refuses %j', (text) => {
  expect(parseSize(text)).toBeUndefined()
})

const durations: [text: string, ms: number][] = [
  ['0', 0],
  ['250', 250],
  ['250ms', 250],
  ['10s', 10_000],
  ['1h30m', 5_400_000],
  ['1h 30m', 5_400_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['2w', 1_209_600_000],
  ['1.5s', 1500],
  ['1.001s', 1001],
  ['1d2h3m4s5ms', 93_784_005],
  ['90m', 5_400_000],
]

test.each(durations)('parseDuration reads %j', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

const badDurations = [
  '',
  '7d junk',
  '7D',
  '7 d',
  '30m1h',
  '1h1h',
  '1.5',
  '-1',
  '-7d',
  '1y',
  '1month',
  '5min',
  ' 7d',
  '7d ',
  '1h  30m',
  'd',
  '1µs',
]

test.each(badDurations)('parseDuration refuses %j', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test('a long text is refused quickly', () => {
  for (const text of ['1d '.repeat(100_000), '1'.repeat(1_000_000), `${'1.1d'.repeat(100_000)}x`]) {
    expect(parseDuration(text)).toBeUndefined()
    expect(parseSize(text)).toBeUndefined()
  }
})

test('amounts that cannot be counted exactly are refused', () => {
  for (const text of ['9007199254740992', '8192TB', '0.3KB', '0.5B', '1'.repeat(400)]) {
    expect(parseSize(text)).toBeUndefined()
  }
  for (const text of ['9007199254740992', '999999999999w', '0.5ms', '0.0001s', '9007199254740991ms']) {
    expect(parseDuration(text)).toBe(text.startsWith('9007199254740991') ? Number.MAX_SAFE_INTEGER : undefined)
  }
})

test('-1 is no limit where the caller says so', () => {
  expect(parseSize('-1', { allowUnlimited: true })).toBe(-1)
  expect(parseDuration('-1', { allowUnlimited: true })).toBe(-1)
  expect(parseSize('-2', { allowUnlimited: true })).toBeUndefined()
  expect(parseDuration('-1ms', { allowUnlimited: true })).toBeUndefined()
})

const written: [text: string, expected: string][] = [
  [formatSize(0), '0B'],
  [formatSize(1), '1B'],
  [formatSize(1000), '1000B'],
  [formatSize(1536), '1536B'],
  [formatSize(67_108_864), '64MB'],
  [formatSize(-1), '-1'],
  [formatDuration(0), '0ms'],
  [formatDuration(604_800_000), '7d'],
  [formatDuration(5_400_000), '1h30m'],
  [formatDuration(61_250), '1m1s250ms'],
  [formatDuration(-1), '-1'],
]

test.each(written)('amounts are written as %s', (text, expected) => {
  expect(text).toBe(expected)
})

test('what is written is read as the same amount', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (amount) => {
      expect(parseSize(formatSize(amount))).toBe(amount)
      expect(parseDuration(formatDuration(amount))).toBe(amount)
      expect(parseSize(String(amount))).toBe(amount)
    }),
  )
})

test('any text is either an amount that can be counted, or nothing', () => {
  const nearly = fc.stringMatching(/^[-0-9. ]{0,6}[kmgtibwdhs]{0,3}[0-9]{0,2}[msdBMKG]?$/)
  fc.assert(
    fc.property(fc.oneof(fc.string(), nearly), fc.constantFrom(parseSize, parseDuration), (text, parse) => {
      const amount = parse(text)
      expect(amount === undefined || (Number.isSafeInteger(amount) && amount >= 0)).toBe(true)
    }),
  )
})
