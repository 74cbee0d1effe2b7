import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  append,
  logOf,
  makeBatch,
  makeDirectory,
  makeFaultyDisk,
  openEngine,
  read,
  readAll,
  TOPIC,
} from '../../test/support/log-harness.ts'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import type { File, FileSystem } from '../base/file-system.ts'
import { parseTopicName } from '../base/topic-name.ts'

let directory: { path: string; remove: () => void }
beforeEach(() => {
  directory = makeDirectory()
})
afterEach(() => directory.remove())

const segmentFiles = (partition = 0, ending = '.log') =>
  readdirSync(join(directory.path, TOPIC, `partition-${partition}`))
    .filter((name) => name.endsWith(ending))
    .toSorted()
    .map((name) => join(directory.path, TOPIC, `partition-${partition}`, name))

test('a log gives back what was appended, also after a clean stop', async () => {
  let engine = await openEngine(directory.path, { segmentBytes: 2000 })
  for (let i = 0; i < 100; i++) expect(await append(logOf(engine), [`a${i}`, `b${i}`])).toBe(2 * i)
  expect(logOf(engine).highWatermark).toBe(200)
  expect(logOf(engine).segmentCount).toBeGreaterThan(3)
  const before = await readAll(logOf(engine))
  expect(before.size).toBe(200)
  await engine.close()
  expect(segmentFiles(0, '.idx')).toHaveLength(segmentFiles().length)

  engine = await openEngine(directory.path, { segmentBytes: 2000 })
  expect(engine.recovery.wasClean).toBe(true)
  expect(await readAll(logOf(engine))).toEqual(before)
  expect(await append(logOf(engine), ['next'])).toBe(200)
  expect(await read(logOf(engine), 200)).toEqual(new Map([[200, 'next']]))
  await engine.close()
})

test('a log that was not stopped in order is recovered, and its leader epoch goes up', async () => {
  let engine = await openEngine(directory.path)
  for (let i = 0; i < 50; i++) await append(logOf(engine, 1), [`v${i}`])
  engine = await openEngine(directory.path)
  expect(engine.recovery.wasClean).toBe(false)
  expect(engine.leaderEpoch).toBe(1)
  expect((await readAll(logOf(engine, 1))).size).toBe(50)
  expect(await append(logOf(engine, 1), ['more'])).toBe(50)
  const ends = [-1, 0, 1, 2].map((epoch) => logOf(engine, 1).epochEndOffset(epoch))
  expect(ends).toEqual([undefined, { epoch: 0, endOffset: 50 }, { epoch: 1, endOffset: 51 }, undefined])
  await engine.close()
})

test.each([
  ['half a batch', makeBatch(['torn']).subarray(0, 40)],
  ['zeros', Buffer.alloc(5000)],
  ['a batch of another offset', makeBatch(['stranger'])],
  ['noise', Buffer.from('noise '.repeat(100))],
])('recovery cuts %s behind the last batch and keeps what is before it', async (_name, tail) => {
  let engine = await openEngine(directory.path)
  await append(logOf(engine), ['a', 'b'])
  await append(logOf(engine), ['c'])
  const [path] = segmentFiles()
  const bytes = readFileSync(path)
  appendFileSync(path, tail)
  engine = await openEngine(directory.path)
  expect(engine.recovery.truncatedBytes).toBe(tail.length)
  expect(readFileSync(path).length).toBe(bytes.length)
  expect([...(await readAll(logOf(engine))).values()]).toEqual(['a', 'b', 'c'])
  expect(await append(logOf(engine), ['d'])).toBe(3)
  await engine.close()
})

test('a reader behind what a failed recovery could show is not sent back to the beginning', async () => {
  let engine = await openEngine(directory.path)
  for (const value of ['a', 'b', 'c']) await append(logOf(engine), [value])
  const { fileSystem, faults } = makeFaultyDisk()
  faults.beforeWrite = (path, bytes) => {
    if (path.endsWith('.log')) throw Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' })
    return bytes
  }
  engine = await openEngine(directory.path, {}, { fileSystem })
  const recovered = logOf(engine).highWatermark
  expect(recovered).toBeLessThan(3)
  await expect(read(logOf(engine), 3)).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
  await expect(read(logOf(engine), 3)).rejects.toThrow(`what there is from ${recovered} on is not known`)
  await engine.close()
  engine = await openEngine(directory.path)
  expect([...(await readAll(logOf(engine))).values()]).toEqual(['a', 'b', 'c'])
  await engine.close()
})

test('damage below the recovery point is reported to whoever reads there, and nowhere else', async () => {
  let engine = await openEngine(directory.path, { indexIntervalBytes: 1 })
  for (const value of ['first', 'second', 'third']) await append(logOf(engine), [value])
  await engine.close()
  const [path] = segmentFiles()
  const bytes = readFileSync(path)
  bytes[bytes.indexOf('second')] ^= 1
  writeFileSync(path, bytes)
  engine = await openEngine(directory.path, { indexIntervalBytes: 1 })
  const log = logOf(engine)
  expect(await read(log, 0)).toEqual(new Map([[0, 'first']]))
  await expect(read(log, 1)).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
  expect(await read(log, 2)).toEqual(new Map([[2, 'third']]))
  expect(engine.corruptBatches).toBe(1)
  expect(await append(log, ['fourth'])).toBe(3)
  expect(readFileSync(path).subarray(0, bytes.length)).toEqual(bytes)
  await engine.close()
})

test('a segment that lost synced bytes closes its partition for writes and says so', async () => {
  let engine = await openEngine(directory.path)
  await append(logOf(engine), ['a'])
  await append(logOf(engine), ['b'])
  await engine.close()
  const [path] = segmentFiles()
  writeFileSync(path, readFileSync(path).subarray(0, -5))
  engine = await openEngine(directory.path)
  expect([...(await read(logOf(engine), 0)).values()]).toEqual(['a'])
  await expect(append(logOf(engine), ['c'])).rejects.toThrow(/has \d+ bytes: it should have \d+/)
  await engine.close()
})

test('indexes and checkpoints are only caches', async () => {
  let engine = await openEngine(directory.path, { segmentBytes: 3000, indexIntervalBytes: 200 })
  for (let i = 0; i < 200; i++) await append(logOf(engine), [`v${i}`], { timestamp: 10 * i })
  const before = await readAll(logOf(engine))
  await engine.close()
  const spoil = [
    () => segmentFiles(0, '.idx').forEach((path) => rmSync(path)),
    () => segmentFiles(0, '.idx').forEach((path) => writeFileSync(path, 'nonsense')),
    () => writeFileSync(join(directory.path, '@checkpoint-a'), 'nonsense'),
    () => ['a', 'b'].forEach((slot) => rmSync(join(directory.path, `@checkpoint-${slot}`))),
  ]
  for (const damage of spoil) {
    damage()
    engine = await openEngine(directory.path, { segmentBytes: 3000, indexIntervalBytes: 200 })
    expect(await readAll(logOf(engine))).toEqual(before)
    expect([...(await read(logOf(engine), 123)).keys()][0]).toBe(123)
    expect(logOf(engine).findOffsetByTime(1495)).toEqual({ offset: 150, timestamp: 1500 })
    await engine.close()
  }
})

test('a read outside the log says what the log holds', async () => {
  const engine = await openEngine(directory.path)
  const log = logOf(engine)
  await expect(read(log, 1)).rejects.toThrow('from offset 1: the log is empty and goes on at 0')
  await append(log, ['a', 'b', 'c'])
  await expect(read(log, 4)).rejects.toThrow(
    'Cannot read topic "orders", partition 0 from offset 4: the log holds 0 to 2',
  )
  expect(await read(log, 3)).toEqual(new Map())
  await log.deleteRecordsBefore(2)
  await expect(read(log, 1)).rejects.toThrow('the log holds 2 to 2')
  await engine.close()
})

test('a batch larger than was asked for is read whole', async () => {
  const engine = await openEngine(directory.path)
  await append(logOf(engine), ['x'.repeat(300_000)])
  await append(logOf(engine), ['small'])
  expect([...(await read(logOf(engine), 0, 10)).keys()]).toEqual([0])
  expect([...(await read(logOf(engine), 0, 200_000)).keys()]).toEqual([0])
  expect([...(await read(logOf(engine), 0, 310_000)).keys()]).toEqual([0, 1])
  await engine.close()
})

test('a record is found by its time', async () => {
  const engine = await openEngine(directory.path, { segmentBytes: 3000, indexIntervalBytes: 200 })
  const log = logOf(engine)
  for (let i = 0; i < 200; i++) await append(log, ['x', 'y'], { timestamp: 10_000 + i * 10 })
  await append(log, ['last'])
  expect(log.findOffsetByTime(0)).toEqual({ offset: 0, timestamp: 10_000 })
  expect(log.findOffsetByTime(10_501)).toEqual({ offset: 101, timestamp: 10_501 })
  expect(log.findOffsetByTime(10_502)).toEqual({ offset: 102, timestamp: 10_510 })
  expect(log.findOffsetByTime(99_999)).toBeUndefined()
  expect(log.findOffsetOfMaxTimestamp()).toEqual({ offset: 399, timestamp: 11_991 })
  await engine.close()
})

test('retention by size keeps at least that much and moves the log start for good', async () => {
  const config = { segmentBytes: 2000, retentionBytes: 5000 }
  let engine = await openEngine(directory.path, config)
  for (let i = 0; i < 200; i++) await append(logOf(engine), [`value ${i}`])
  // At most one segment more than the limit when the last pass was made; since then the newest may have filled up.
  await vi.waitFor(() => expect(logOf(engine).sizeBytes).toBeLessThan(9000), { timeout: 5_000 })
  expect(logOf(engine).sizeBytes).toBeGreaterThanOrEqual(5000)
  const start = logOf(engine).logStartOffset
  expect(start).toBeGreaterThan(0)
  await vi.waitFor(() => expect(segmentFiles()).toHaveLength(logOf(engine).segmentCount))
  await expect(read(logOf(engine), start - 1)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })

  engine = await openEngine(directory.path, { segmentBytes: 2000 })
  expect(logOf(engine).logStartOffset).toBe(start)
  await engine.close()
})

test('retention by size keeps up with a log that rolls all the time', async () => {
  const clock = new SimClock()
  const engine = await openEngine(directory.path, { segmentBytes: 1000, retentionBytes: 3000 }, { clock })
  for (let i = 0; i < 100; i++) {
    await append(logOf(engine), ['x'.repeat(900)])
    clock.advance(10)
  }
  await vi.waitFor(() => expect(logOf(engine).segmentCount).toBeLessThan(20))
  await engine.close()
})

test('retention that came before the newest segments were durable comes again', async () => {
  const clock = new SimClock()
  const held: (() => void)[] = []
  let isHolding = true
  const disk = makeFaultyDisk().fileSystem
  const fileSystem: FileSystem = {
    ...disk,
    open(path, mode) {
      const file = disk.open(path, mode)
      const sync: File['sync'] = (done) => {
        if (isHolding && path.endsWith('.log')) held.push(() => file.sync(done))
        else file.sync(done)
      }
      return { ...file, sync }
    },
  }
  const engine = await openEngine(directory.path, { segmentBytes: 1000, retentionBytes: 3000 }, { clock, fileSystem })
  for (let i = 0; i < 20; i++) await append(logOf(engine), ['x'.repeat(900)], { acks: 1 })
  clock.advance(100)
  await new Promise((resolve) => setImmediate(resolve))
  expect(logOf(engine).segmentCount).toBe(20)
  isHolding = false
  for (const release of held) release()
  await logOf(engine).flush()
  clock.advance(2000)
  await vi.waitFor(() => expect(logOf(engine).segmentCount).toBeLessThan(6))
  await engine.close()
})

test('retention by time empties a quiet topic, and its offsets go on', async () => {
  let engine = await openEngine(directory.path, { retentionMs: 300 })
  await append(logOf(engine), ['a', 'b'], { timestamp: Date.now() })
  await vi.waitFor(() => expect(logOf(engine).logStartOffset).toBe(2), 5000)
  await vi.waitFor(() => expect(segmentFiles().map((path) => statSync(path).size)).toEqual([0]))
  await expect(read(logOf(engine), 0)).rejects.toThrow('the log is empty and goes on at 2')
  await engine.close()
  engine = await openEngine(directory.path)
  expect(await append(logOf(engine), ['c'])).toBe(2)
  await engine.close()
})

test('few descriptors are enough for many partitions', async () => {
  const engine = await openEngine(directory.path, { flushPolicy: { kind: 'os' } }, { options: { openFilesMax: 4 } })
  await engine.openTopic(TOPIC, 40, logOf(engine).config)
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 40 }, (_, p) => append(logOf(engine, p), [`${p}-${round}`])))
  }
  for (let p = 0; p < 40; p++) expect([...(await readAll(logOf(engine, p))).values()]).toContain(`${p}-2`)
  // Files that are being synced stay open until that is over.
  await vi.waitFor(() => expect(engine.files.count).toBeLessThanOrEqual(4))
  await engine.close()
})

test('a failed sync closes the partition, is not tried again, and nothing is acknowledged', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  let engine = await openEngine(directory.path, {}, { fileSystem })
  await append(logOf(engine), ['safe'])
  let syncs = 0
  faults.beforeSync = (path) => {
    if (!path.endsWith('.log')) return null
    syncs++
    return Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
  }
  await expect(append(logOf(engine), ['lost?'])).rejects.toThrow('whether the records are stored is not known')
  await expect(append(logOf(engine), ['no'])).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
  expect(syncs).toBe(1)
  expect([...(await readAll(logOf(engine))).values()]).toEqual(['safe'])
  expect(await append(logOf(engine, 1), ['other partition']).catch((error: Error) => error.name)).toBe('BrokerError')
  await engine.close()
  faults.beforeSync = () => null
  engine = await openEngine(directory.path)
  expect(engine.recovery.wasClean).toBe(false)
  expect((await readAll(logOf(engine))).get(0)).toBe('safe')
  await engine.close()
})

test('short writes are completed', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  faults.beforeWrite = (path, bytes) => (path.endsWith('.log') ? Math.min(bytes, 7) : bytes)
  const engine = await openEngine(directory.path, {}, { fileSystem })
  await append(logOf(engine), ['a', 'b'])
  await append(logOf(engine), ['c'])
  expect([...(await readAll(logOf(engine))).values()]).toEqual(['a', 'b', 'c'])
  await engine.close()
})

test('a full disk refuses produce, leaves nothing half written, and produce goes on when there is room', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  const engine = await openEngine(directory.path, {}, { fileSystem })
  const log = logOf(engine)
  await append(log, ['before'])
  let room = 10
  faults.beforeWrite = (path, bytes) => {
    if (!path.endsWith('.log')) return bytes
    if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const taken = Math.min(room, bytes)
    room -= taken
    return taken
  }
  await expect(append(log, ['too much'])).rejects.toThrow('the disk is full')
  await expect(append(log, ['again'])).rejects.toThrow('the disk is full')
  expect([...(await readAll(log)).values()]).toEqual(['before'])
  faults.beforeWrite = (_path, bytes) => bytes
  await vi.waitFor(() => expect(engine.isDiskFull).toBe(false), 5000)
  expect(await append(log, ['after'])).toBe(1)
  expect([...(await readAll(log)).values()]).toEqual(['before', 'after'])
  await engine.close()
})

test('a deleted topic takes its records with it, and a new one of that name begins at 0', async () => {
  let engine = await openEngine(directory.path)
  const log = logOf(engine)
  await append(log, ['old'])
  await engine.deleteTopic(TOPIC)
  expect(engine.get(TOPIC, 0)).toBeUndefined()
  expect(existsSync(join(directory.path, TOPIC))).toBe(false)
  await expect(append(log, ['late'])).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
  await engine.openTopic(TOPIC, 1, log.config)
  expect(await append(logOf(engine), ['new'])).toBe(0)
  await engine.openTopic(parseTopicName('orders.v2'), 1, log.config)
  engine = await openEngine(directory.path)
  expect([...(await readAll(logOf(engine))).values()]).toEqual(['new'])
  await engine.close()
})
