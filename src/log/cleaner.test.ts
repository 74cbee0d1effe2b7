import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildBatch, compressBatch, editBatch, type TestRecord } from '../../test/support/batches.ts'
import { logOf, makeDirectory, makeFaultyDisk, openEngine, TOPIC } from '../../test/support/log-harness.ts'
import { appendAs, endTransaction } from '../../test/support/producer-batches.ts'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import {
  CODECS,
  decodeRecords,
  getBaseOffset,
  getBatchBytes,
  getCodec,
  getLastOffsetDelta,
  getRecordCount,
  hasDeleteHorizon,
  isControlBatch,
} from '../record/record-batch.ts'
import type { LogConfig, PartitionLog } from './log-engine.ts'
import type { EngineOptions, SegmentLogEngine } from './segment-log-engine.ts'

const COMPACTED: Partial<LogConfig> = {
  cleanupPolicy: 'compact',
  segmentBytes: 400,
  indexIntervalBytes: 100,
  minCleanableDirtyRatio: 0,
  deleteRetentionMs: 1000,
}
const START = 1_700_000_000_000

let directory: { path: string; remove: () => void }
let clock: SimClock
beforeEach(() => {
  directory = makeDirectory()
  clock = new SimClock(START)
})
afterEach(() => directory.remove())

const open = (config: Partial<LogConfig> = {}, options: Partial<EngineOptions> = {}) =>
  openEngine(directory.path, { ...COMPACTED, ...config }, { clock, options })

const files = (ending = '.log') =>
  readdirSync(join(directory.path, TOPIC, 'partition-0'))
    .filter((name) => name.endsWith(ending))
    .toSorted()
const pathOf = (name: string) => join(directory.path, TOPIC, 'partition-0', name)

function appendBatch(log: PartitionLog, batch: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const offset: number = log.append(batch, getRecordCount(batch, 0), 'all', {
      appended: (error) => (error === undefined ? resolve(offset) : reject(error)),
    })
  })
}

/** One batch of records `key=value`; `key=` is a tombstone, `=value` has no key. */
function put(log: PartitionLog, ...records: string[]): Promise<number> {
  const parsed = records.map((text): TestRecord => {
    const [key, value] = text.split('=')
    return { key: key === '' ? null : key, value: value === '' ? null : value, timestamp: clock.now() }
  })
  return appendBatch(log, buildBatch(parsed))
}

interface Found {
  readonly batches: Buffer[]
  /** `offset key=value`, as a consumer reads them. */
  readonly records: string[]
}

/** Reads as a Kafka consumer does: on behind the last batch, whether it has records or not. */
async function consume(log: PartitionLog, fromOffset = log.logStartOffset, bytesMax = 300): Promise<Found> {
  const batches: Buffer[] = []
  const records: string[] = []
  let offset = fromOffset
  while (offset < log.highWatermark) {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      log.read(offset, bytesMax, (error, found) => {
        const copy = Buffer.from(found.bytes)
        found.release()
        if (error === undefined) resolve(copy)
        else reject(error)
      })
    })
    expect(bytes.length).toBeGreaterThan(0)
    for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
      const end = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
      expect(end).toBeGreaterThan(offset)
      batches.push(bytes.subarray(at, at + getBatchBytes(bytes, at)))
      for (const { offset: found, key, value } of decodeRecords(bytes, at)) {
        if (found >= offset) records.push(`${found} ${key?.toString() ?? ''}=${value?.toString() ?? ''}`)
      }
      offset = end
    }
  }
  expect(offset).toBe(Math.max(log.highWatermark, fromOffset))
  return { batches, records }
}

/** Begins a new segment, so that all that was written can be cleaned. */
async function seal(engine: SegmentLogEngine): Promise<void> {
  await put(logOf(engine), `filler=${'x'.repeat(500)}`)
  await put(logOf(engine), `filler=${'y'.repeat(500)}`)
}

test('the newest record of every key stays, at its offset, and the log ends where it did', async () => {
  let engine = await open()
  let log = logOf(engine)
  for (let i = 0; i < 60; i++) await put(log, `a${i % 3}=${i}`, `b${i % 5}=${i}`)
  await seal(engine)
  const before = await consume(log)
  const [sizeBytes, segmentCount] = [log.sizeBytes, log.segmentCount]
  await engine.compact()
  expect(engine.cleaner.runs).toEqual({ done: 1, full: 0, failed: 0, corrupt: 0 })
  expect(log).toMatchObject({ logStartOffset: 0, highWatermark: 122, logEndOffset: 122, cleanedOffset: 121 })
  expect(log.sizeBytes).toBeLessThan(sizeBytes / 3)
  expect(log.segmentCount).toBeLessThan(segmentCount / 3)
  expect(engine.cleaner.overtakenRecords).toBe(112)
  const wanted = [...new Map(before.records.slice(0, 121).map((text) => [text.split(/[ =]/)[1], text])).values()]
  wanted.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  wanted.push(before.records[121])
  const check = async () => {
    const found = await consume(log)
    expect(found.records).toEqual(wanted)
    // From any offset, those that are left from there on.
    for (let offset = 0; offset < 122; offset++) {
      const rest = wanted.filter((text) => Number.parseInt(text, 10) >= offset)
      expect((await consume(log, offset, 70)).records).toEqual(rest)
    }
    expect(log.findOffsetByTime(START)?.offset).toBe(Number.parseInt(wanted[0], 10))
    for (let offset = 0; offset < 122; offset++) {
      await consume(log, offset, 70)
      const next = wanted.find((text) => Number.parseInt(text, 10) >= offset)
      expect(log.findFirstRecord(offset)?.offset).toBe(Number.parseInt(next ?? '', 10))
    }
    expect(engine.corruptBatches).toBe(0)
  }
  await check()
  expect(files('.cleaned')).toEqual([])
  expect(files('.idx').map((name) => name.slice(0, 20))).toEqual(files().map((name) => name.slice(0, 20)))
  // After a stop in order, without one, without indexes, and without checkpoints.
  await engine.close()
  engine = await open()
  log = logOf(engine)
  await check()
  engine = await open()
  expect(engine.recovery.wasClean).toBe(false)
  log = logOf(engine)
  await check()
  for (const name of files('.idx')) rmSync(pathOf(name))
  engine = await open()
  log = logOf(engine)
  await check()
  expect(await put(log, 'more=1')).toBe(122)
  wanted.push('122 more=1')
  for (const name of ['@checkpoint-a', '@checkpoint-b']) rmSync(join(directory.path, name))
  engine = await open()
  log = logOf(engine)
  expect(log).toMatchObject({ logStartOffset: 0, highWatermark: 123, failure: undefined })
  expect((await consume(log)).records).toEqual(wanted)
  // How far it was clean is not known any more; a new segment has begun meanwhile.
  await engine.compact()
  expect((await consume(log)).records).toEqual(wanted.filter((text) => !text.startsWith('120 ')))
  await engine.close()
})

test('a gap that compaction has not made is damage', async () => {
  const engine = await open({ cleanupPolicy: 'delete' })
  for (let i = 0; i < 3; i++) await put(logOf(engine), `a=${'x'.repeat(50)}`)
  await put(logOf(engine), `a=${'y'.repeat(600)}`)
  await engine.close()
  const bytes = readFileSync(pathOf(files()[0]))
  const batchBytes = getBatchBytes(bytes, 0)
  // The second batch is the third one, twice.
  bytes.copy(bytes, batchBytes, 2 * batchBytes, 3 * batchBytes)
  writeFileSync(pathOf(files()[0]), bytes)
  const again = await open()
  await expect(consume(logOf(again), 1)).rejects.toThrow('begins at offset 2 where 1 should follow')
  await expect(consume(logOf(again), 0, 1000)).rejects.toThrow('begins at offset 2 where 1 should follow')
  await again.close()
})

test('a tombstone stays until its time is over, then both it and what it deleted are gone', async () => {
  const engine = await open()
  const log = logOf(engine)
  await put(log, 'a=1', 'b=1')
  await put(log, 'a=')
  await put(log, 'c=1')
  await seal(engine)
  await engine.compact()
  const first = await consume(log)
  expect(first.records.slice(0, 3)).toEqual(['1 b=1', '2 a=', '3 c=1'])
  expect(first.batches.map((batch) => hasDeleteHorizon(batch, 0)).slice(0, 3)).toEqual([false, true, false])
  expect(decodeRecords(first.batches[1])[0].timestamp).toBe(START)
  clock.advance(999)
  await put(log, 'd=1')
  await seal(engine)
  await engine.compact()
  expect((await consume(log)).records.slice(0, 3)).toEqual(['1 b=1', '2 a=', '3 c=1'])
  clock.advance(1)
  await seal(engine)
  await engine.compact()
  expect((await consume(log)).records.slice(0, 3)).toEqual(['1 b=1', '3 c=1', '6 d=1'])
  expect(engine.cleaner.expiredTombstones).toBe(1)
  await engine.close()
})

test('what is left of the end of the cleaned part is at least a header', async () => {
  const engine = await open({ deleteRetentionMs: 0 })
  const log = logOf(engine)
  await put(log, 'a=1')
  await put(log, `a=`)
  await put(log, `=${'x'.repeat(500)}`)
  await put(log, `=${'x'.repeat(500)}`)
  await engine.compact()
  expect((await consume(log)).records).toEqual(['1 a=', `3 =${'x'.repeat(500)}`])
  expect(engine.cleaner.keylessRecords).toBe(1)
  await put(log, `=${'x'.repeat(500)}`)
  await engine.compact()
  const { records, batches } = await consume(log)
  expect(records).toEqual([`4 =${'x'.repeat(500)}`])
  expect(batches.map((batch) => [getBaseOffset(batch, 0), batch.length, getRecordCount(batch, 0)])).toEqual([
    [3, 61, 0],
    [4, batches[1].length, 1],
  ])
  expect(log.findOffsetByTime(0)?.offset).toBe(4)
  expect(log.findOffsetOfMaxTimestamp()?.offset).toBe(4)
  await engine.close()
})

test.each(CODECS)('batches of codec %s are thinned and stay so compressed', async (codec) => {
  const engine = await open({ segmentBytes: 2000 })
  const log = logOf(engine)
  const records = Array.from({ length: 20 }, (_, i) => ({
    key: `k${i % 7}`,
    value: i === 17 ? null : `value ${i}`,
    timestamp: START - i,
    headers: [{ key: 'h', value: Buffer.from(`${i}`) }],
  }))
  await appendBatch(log, compressBatch(buildBatch(records), codec))
  await put(log, `filler=${'x'.repeat(2000)}`)
  const { batches } = await consume(log)
  await engine.compact()
  const after = await consume(log)
  expect(decodeRecords(after.batches[0])).toEqual(decodeRecords(batches[0]).slice(13))
  expect(getCodec(after.batches[0], 0)).toBe(codec)
  expect(getLastOffsetDelta(after.batches[0], 0)).toBe(19)
  expect(hasDeleteHorizon(after.batches[0], 0)).toBe(true)
  expect(after.batches[1]).toEqual(batches[1])
  await engine.close()
})

test('a batch that cannot be read stays as it is, and tombstones behind it too', async () => {
  const engine = await open({ deleteRetentionMs: 0 })
  const log = logOf(engine)
  const broken = editBatch(buildBatch([{ key: 'a', value: '1', timestamp: START }]), (bytes) => {
    bytes.writeInt16BE(CODECS.indexOf('zstd'), 21)
  })
  await appendBatch(log, Buffer.from(broken))
  await put(log, 'a=')
  for (let round = 0; round < 3; round++) {
    await put(log, `filler=${'x'.repeat(500)}`)
    await engine.compact()
  }
  const kinds = await new Promise<number[]>((resolve) => {
    log.read(0, 10_000, (_error, batches) => {
      const { bytes } = batches
      const found = []
      for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) found.push(getBaseOffset(bytes, at))
      batches.release()
      resolve(found)
    })
  })
  expect(kinds.slice(0, 2)).toEqual([0, 1])
  expect(engine.cleaner.batchesLeftWhole).toBeGreaterThan(0)
  await engine.close()
})

test('with little memory a log is cleaned in several goes', async () => {
  const engine = await open({}, { cleanerMemoryBytes: 1 })
  const log = logOf(engine)
  for (let i = 0; i < 300; i++) await put(log, `k${i % 150}=${i}`)
  await seal(engine)
  await engine.compact()
  expect(engine.cleaner.runs.done).toBeGreaterThan(3)
  const { records } = await consume(log)
  expect(records.slice(0, 150)).toEqual(Array.from({ length: 150 }, (_, i) => `${150 + i} k${i}=${150 + i}`))
  await engine.close()
})

test('cleaned is what is dirty enough, old enough, or too old', async () => {
  const engine = await open({ minCleanableDirtyRatio: 0.5, minCompactionLagMs: 100, maxCompactionLagMs: 10_000 })
  const log = logOf(engine)
  for (let i = 0; i < 20; i++) await put(log, `a=${'x'.repeat(100)}`)
  await engine.compact()
  expect(log.cleanedOffset).toBe(0)
  clock.advance(100)
  for (let i = 0; i < 20; i++) await put(log, `b${i}=${'x'.repeat(100)}`)
  await engine.compact()
  const { cleanedOffset } = log
  expect(cleanedOffset).toBeGreaterThan(15)
  expect(cleanedOffset).toBeLessThan(21)
  clock.advance(100)
  await engine.compact()
  expect(log.cleanedOffset).toBeGreaterThan(35)
  const before = log.cleanedOffset
  await put(log, `a=1`)
  await put(log, `c=${'x'.repeat(300)}`)
  clock.advance(9_800)
  await engine.compact()
  expect(log.cleanedOffset).toBe(before)
  expect(engine.cleaner.dirtyRatio(log)).toBeLessThan(0.5)
  clock.advance(200)
  // The last segment is not written to any more and gets its turn all the same.
  await engine.compact()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await engine.compact()
  expect(log.cleanedOffset).toBe(42)
  await engine.close()
})

test('a topic becomes compacted, and is so no more', async () => {
  const engine = await open({ cleanupPolicy: 'delete' })
  const log = logOf(engine)
  for (let i = 0; i < 40; i++) await put(log, `a=${i}`, `=${i}`)
  await seal(engine)
  await engine.compact()
  expect((await consume(log)).records).toHaveLength(82)
  const { config } = log
  engine.configureTopic(TOPIC, { ...config, cleanupPolicy: 'compact' })
  await engine.compact()
  expect((await consume(log)).records.map((text) => text.slice(0, 5))).toEqual(['78 a=', '80 fi', '81 fi'])
  engine.configureTopic(TOPIC, { ...config, cleanupPolicy: 'delete', retentionBytes: 1 })
  clock.advance(100)
  await engine.compact()
  await engine.close()
  expect(log.logStartOffset).toBe(81)
})

test('a full disk leaves the log as it was, and cleaning is tried again', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  const engine = await openEngine(directory.path, COMPACTED, { clock, fileSystem })
  const log = logOf(engine)
  for (let i = 0; i < 60; i++) await put(log, `a${i % 3}=${i}`)
  await seal(engine)
  const before = await consume(log)
  faults.beforeWrite = (path, bytes) => {
    if (!path.endsWith('.cleaned')) return bytes
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  }
  await engine.compact()
  expect(engine.cleaner.runs).toEqual({ done: 0, full: 1, failed: 0, corrupt: 0 })
  expect(await consume(log)).toEqual(before)
  expect(files('.cleaned')).toEqual([])
  faults.beforeWrite = (_path, bytes) => bytes
  faults.beforeSync = (path) => (path.endsWith('.cleaned') ? Object.assign(new Error('EIO'), { code: 'EIO' }) : null)
  await engine.compact()
  expect(engine.cleaner.runs).toEqual({ done: 0, full: 1, failed: 1, corrupt: 0 })
  expect(await consume(log)).toEqual(before)
  faults.beforeSync = () => null
  await engine.compact()
  expect(engine.cleaner.runs.done).toBe(1)
  expect((await consume(log)).records).toHaveLength(5)
  expect(log.failure).toBeUndefined()
  await engine.close()
})

test('damage in what is to be cleaned is left for those who look into it', async () => {
  let engine = await open()
  for (let i = 0; i < 30; i++) await put(logOf(engine), `a=${i}`)
  await seal(engine)
  await engine.close()
  const bytes = readFileSync(pathOf(files()[1]))
  bytes[bytes.length - 1] ^= 1
  writeFileSync(pathOf(files()[1]), bytes)
  engine = await open()
  await engine.compact()
  await engine.compact()
  expect(engine.cleaner.runs).toEqual({ done: 0, full: 0, failed: 0, corrupt: 1 })
  expect(engine.cleaner.isUncleanable(logOf(engine))).toBe(true)
  expect(readFileSync(pathOf(files()[1]))).toEqual(bytes)
  await engine.close()
})

test('a consumer that is reading while segments are replaced reads on', async () => {
  const engine = await open({ segmentBytes: 600_000 })
  const log = logOf(engine)
  for (let i = 0; i < 100; i++) await put(log, `a${i % 2}=${'x'.repeat(20_000)}${i}`)
  const reading = new Promise<Buffer>((resolve, reject) => {
    log.read(0, 1_000_000, (error, batches) => {
      const bytes = Buffer.from(batches.bytes)
      batches.release()
      if (error === undefined) resolve(bytes)
      else reject(error)
    })
  })
  const cleaning = engine.compact()
  for (let turns = 0; turns < 200; turns++) await consume(log, turns % 100, 300_000)
  await cleaning
  expect(engine.cleaner.runs.done).toBe(1)
  expect(getBaseOffset(await reading, 0)).toBeLessThan(100)
  const { records } = await consume(log)
  expect(records.length).toBeLessThan(40)
  await engine.close()
})

test('stopping the broker does not wait for the end of a cleaning', async () => {
  const engine = await open({ segmentBytes: 2000 }, { cleanerBytesPerSecond: 1 })
  const log = logOf(engine)
  for (let i = 0; i < 100; i++) await put(log, `a${i % 2}=${'x'.repeat(100)}${i}`)
  const before = await consume(log)
  const cleaning = engine.compact()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const closing = engine.close()
  for (let i = 0; i < 20; i++) {
    clock.advance(200)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all([cleaning, closing])
  expect(files('.cleaned')).toEqual([])
  const again = await open()
  expect(again.recovery.wasClean).toBe(true)
  expect((await consume(logOf(again))).records.slice(-1)).toEqual(before.records.slice(-1))
  await again.close()
})

test('what is rolled back overtakes nothing and goes, markers go later, an open transaction holds everything up', async () => {
  const engine = await open({ segmentBytes: 200 })
  const log = logOf(engine)
  const seal = async () => {
    await put(log, `=${'x'.repeat(300)}`)
    await put(log, `=${'x'.repeat(300)}`)
  }
  const offsets = async () => {
    const { batches } = await consume(log)
    // Headers behind the fifth are ends of segments.
    const isWanted = (batch: Buffer) => getRecordCount(batch, 0) > 0 || getBaseOffset(batch, 0) < 5
    return batches
      .filter(isWanted)
      .map((batch) => `${getBaseOffset(batch, 0)}:${isControlBatch(batch, 0) ? 'marker' : getRecordCount(batch, 0)}`)
  }
  await appendAs(log, { producerId: 1, sequence: 0, isTransactional: true }, ['committed'])
  await endTransaction(log, 1, true)
  await appendAs(log, { producerId: 1, sequence: 1, isTransactional: true }, ['aborted'])
  await endTransaction(log, 1, false)
  await appendAs(log, { producerId: 2, sequence: 0, isTransactional: true }, ['open'])
  await seal()
  await engine.compact()
  // The last batch of producer 1 stays as a header, and with it the marker.
  expect(await offsets()).toEqual(['0:1', '1:marker', '2:0', '3:marker', '4:1', '5:1', '6:1'])
  await endTransaction(log, 2, true)
  await appendAs(log, { producerId: 1, sequence: 2, isTransactional: true }, ['newer'])
  await endTransaction(log, 1, true)
  await seal()
  await engine.compact()
  // This cleaning has still met what the first two markers are about, and the next one tells them how long they stay.
  expect((await offsets()).slice(0, 6)).toEqual(['1:marker', '3:marker', '4:0', '7:marker', '8:1', '9:marker'])
  await seal()
  await engine.compact()
  clock.advance(999)
  await seal()
  await engine.compact()
  expect((await offsets()).slice(0, 5)).toEqual(['1:marker', '3:marker', '4:0', '7:marker', '8:1'])
  clock.advance(1)
  await seal()
  await engine.compact()
  expect((await offsets()).slice(0, 4)).toEqual(['4:0', '7:marker', '8:1', '9:marker'])
  await engine.close()
})

test('a producer goes on after compaction and a crash as if nothing had been', async () => {
  let engine = await open({ segmentBytes: 200 })
  let log = logOf(engine)
  for (let sequence = 0; sequence < 10; sequence++) await appendAs(log, { producerId: 7, sequence }, ['v'])
  await put(log, `k0=${'x'.repeat(300)}`)
  await put(log, `k0=${'x'.repeat(300)}`)
  await engine.compact()
  const { batches } = await consume(log)
  expect(batches.map((batch) => [getBaseOffset(batch, 0), getRecordCount(batch, 0)])).toEqual([
    [9, 0],
    [10, 1],
    [11, 1],
  ])
  // Without a stop in order.
  engine = await open({ segmentBytes: 200 })
  log = logOf(engine)
  expect(await appendAs(log, { producerId: 7, sequence: 9 }, ['v'])).toBe(9)
  expect(await appendAs(log, { producerId: 7, sequence: 10 }, ['v'])).toBe(12)
  await expect(appendAs(log, { producerId: 7, sequence: 12 }, ['v'])).rejects.toThrow('sequence')
  await engine.close()
})
