import { expect, test } from 'vitest'

import { buildBatch, compressBatch, editBatch, withMaxTimestamp } from '../../test/support/batches.ts'
import type { TestRecord } from '../../test/support/batches.ts'
import type { Clock } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import {
  BATCH_HEADER_BYTES,
  decodeRecords,
  findBatchFault,
  getCodec,
  getMaxTimestamp,
  hasLogAppendTime,
} from '../record/record-batch.ts'
import { BatchIntake, RecordsRefused } from './batch-intake.ts'
import { NO_SETTINGS, parseTopicSettings, toLogConfig } from './topic-config.ts'

const NOW = 1_700_000_000_000
const clock: Clock = { ...systemClock, now: () => NOW }
const intake = new BatchIntake(clock)
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

const configOf = (settings: Readonly<Record<string, string>> = {}) =>
  toLogConfig(parseTopicSettings(settings), NO_SETTINGS)
const at = (...timestamps: number[]): TestRecord[] =>
  timestamps.map((timestamp, index) => ({ key: `key-${index}`, value: `value-${index}`, timestamp }))

/** Gives a copy of the batch to the intake, and checks that what comes out is a whole batch. */
function take(batch: Buffer, settings: Readonly<Record<string, string>> = {}, by = intake): Buffer {
  const taken = by.take(Buffer.from(batch), configOf(settings))
  expect(findBatchFault(taken, 0, taken.length)).toBeUndefined()
  return taken
}

function refusalOf(act: () => unknown): RecordsRefused {
  try {
    act()
  } catch (error) {
    if (error instanceof RecordsRefused) return error
    throw error
  }
  throw new Error('nothing was refused')
}

test('a batch for a topic without wishes stays as it is, and is not looked into', () => {
  const batch = buildBatch(at(NOW, NOW + 5))
  const own = Buffer.from(batch)
  expect(intake.take(own, configOf())).toBe(own)
  expect(own.equals(batch)).toBe(true)
  const nonsense = editBatch(batch, (bytes) => bytes.fill(0xff, BATCH_HEADER_BYTES))
  expect(take(nonsense).equals(nonsense)).toBe(true)
})

test.each(CODECS)('a largest timestamp that cannot be right is found anew: %s', (codec) => {
  // kafkajs sorts timestamps as text: 1000 comes before 999.
  const batch = compressBatch(buildBatch(at(1000, 5, 999)), codec)
  const wrong = withMaxTimestamp(batch, 999)
  expect(take(wrong).equals(batch)).toBe(true)
  expect(take(withMaxTimestamp(batch, -1)).equals(batch)).toBe(true)
  const modern = buildBatch(at(NOW + 1, NOW + 2))
  expect(getMaxTimestamp(take(withMaxTimestamp(modern, NOW)), 0)).toBe(NOW + 2)
  const none = buildBatch(at(-1, -1))
  expect(take(none).equals(none)).toBe(true)
})

test.each(CODECS)('log append time: all records have the time of the broker: %s', (codec) => {
  const taken = take(compressBatch(buildBatch(at(5, 7)), codec), { 'message.timestamp.type': 'LogAppendTime' })
  expect(hasLogAppendTime(taken, 0)).toBe(true)
  expect(getMaxTimestamp(taken, 0)).toBe(NOW)
  expect(decodeRecords(taken).map(({ timestamp }) => timestamp)).toEqual([NOW, NOW])
})

test('records that are too old or too new are refused, each by its index, and those without a time are not', () => {
  const limits = { 'message.timestamp.before.max.ms': '1000', 'message.timestamp.after.max.ms': '10' }
  take(buildBatch(at(NOW - 1000, NOW + 10, -1)), limits)
  const refused = refusalOf(() => take(compressBatch(buildBatch(at(NOW, NOW - 1001, NOW, NOW + 11)), 'lz4'), limits))
  expect(refused.code).toBe('INVALID_TIMESTAMP')
  expect(refused.message).toContain('Cannot append the batch: record 1 is refused: its timestamp is')
  expect(refused.faults).toEqual([
    { index: 1, message: expect.stringContaining('more than 1000 ms before the broker') as string },
    { index: 3, message: expect.stringContaining('more than 10 ms after the broker') as string },
  ])
  take(buildBatch(at(5)), { ...limits, 'message.timestamp.type': 'LogAppendTime' })
})

test('records without a key do not fit a compacted topic', () => {
  const records: TestRecord[] = [
    { key: 'a', value: null, timestamp: NOW },
    { value: 'b', timestamp: NOW },
  ]
  for (const policy of ['compact', 'compact,delete']) {
    const refused = refusalOf(() => take(buildBatch(records), { 'cleanup.policy': policy }))
    expect(refused).toMatchObject({ code: 'INVALID_RECORD', faults: [{ index: 1 }] })
  }
  take(buildBatch(records.slice(0, 1)), { 'cleanup.policy': 'compact' })
  take(buildBatch(records), { 'cleanup.policy': 'delete' })
  take(buildBatch([{ key: '', value: 'empty', timestamp: NOW }]), { 'cleanup.policy': 'compact' })
})

test('of very many bad records the first hundred are named', () => {
  const records = Array.from({ length: 5000 }, () => ({ value: 'x', timestamp: NOW }))
  const { faults } = refusalOf(() => take(buildBatch(records), { 'cleanup.policy': 'compact' }))
  expect(faults.map(({ index }) => index)).toEqual(Array.from({ length: 100 }, (_, index) => index))
})

const PAIRS = CODECS.flatMap((from) => CODECS.map((to) => [from, to] as const))
test.each(PAIRS)('the broker compresses anew: %s to %s', (from, to) => {
  const batch = compressBatch(buildBatch(at(NOW, NOW + 5, NOW + 1)), from)
  const taken = take(batch, { 'compression.type': to === 'none' ? 'uncompressed' : to })
  expect(getCodec(taken, 0)).toBe(to)
  expect(decodeRecords(taken)).toEqual(decodeRecords(batch))
  if (from === to) expect(taken.equals(batch)).toBe(true)
  const stamped = take(batch, { 'compression.type': 'zstd', 'message.timestamp.type': 'LogAppendTime' })
  expect(decodeRecords(stamped).map(({ timestamp }) => timestamp)).toEqual([NOW, NOW, NOW])
})

test('levels make a difference', () => {
  const text = Array.from({ length: 3000 }, (_, index) => `${(index * 7919) % 104_729} `).join('')
  const batch = buildBatch([{ value: text, timestamp: NOW }])
  const bytes = (settings: Record<string, string>) => take(batch, settings).length
  const gzip = (level: string) => bytes({ 'compression.type': 'gzip', 'compression.gzip.level': level })
  expect(gzip('9')).toBeLessThan(gzip('1'))
  const zstd = (level: string) => bytes({ 'compression.type': 'zstd', 'compression.zstd.level': level })
  expect(zstd('19')).toBeLessThan(zstd('1'))
})

test('what must be looked into and cannot be is refused: damaged, or too long', () => {
  const batch = compressBatch(buildBatch(at(NOW)), 'zstd')
  const damaged = editBatch(batch, (bytes) => bytes.fill(0x7f, BATCH_HEADER_BYTES))
  for (const settings of [{ 'cleanup.policy': 'compact' }, { 'compression.type': 'gzip' }]) {
    expect(() => take(damaged, settings)).toThrow(expect.objectContaining({ code: 'INVALID_RECORD' }) as Error)
    const small = new BatchIntake(clock, 10)
    expect(() => take(batch, settings, small)).toThrow('they grow to more than 10 bytes')
  }
})
