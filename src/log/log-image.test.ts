import { copyFileSync, mkdirSync, readdirSync, truncateSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildBatch } from '../../test/support/batches.ts'
import { append, logOf, makeDirectory, openEngine, readAll, TOPIC } from '../../test/support/log-harness.ts'
import { appendAs } from '../../test/support/producer-batches.ts'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import type { LogConfig, PartitionLog, StagedFile } from './log-engine.ts'
import type { SegmentLogEngine } from './segment-log-engine.ts'

let directory: { path: string; remove: () => void }
let images: number
beforeEach(() => {
  directory = makeDirectory()
  images = 0
})
afterEach(() => directory.remove())

const data = () => join(directory.path, 'data')

/** An empty directory on the same disk. */
function makeStaging(): string {
  const path = join(directory.path, `staged-${images++}`)
  mkdirSync(path)
  return path
}

/** What a client makes of an image: copies of what belongs to it. */
function copyImage(staged: string, files: readonly StagedFile[]): string {
  const copy = `${staged}-copy`
  for (const { path, sizeBytes } of files) {
    mkdirSync(dirname(join(copy, path)), { recursive: true })
    copyFileSync(join(staged, path), join(copy, path))
    truncateSync(join(copy, path), sizeBytes)
  }
  return copy
}

async function openImage(staged: string, files: readonly StagedFile[], config: Partial<LogConfig> = {}) {
  return openEngine(copyImage(staged, files), config)
}

test('an image has what was written when it was asked for, and the restored log goes on from there', async () => {
  const engine = await openEngine(data())
  for (let i = 0; i < 5; i++) await append(logOf(engine), [`before ${i}`])
  const staged = makeStaging()
  const staging = engine.stageImage(staged)
  const later = append(logOf(engine), ['later'])
  const files = await staging
  await later
  await append(logOf(engine), ['much later'])
  const other = await openImage(staged, files)
  expect([...(await readAll(logOf(other))).values()]).toEqual([0, 1, 2, 3, 4].map((i) => `before ${i}`))
  expect(other.recovery).toMatchObject({ wasClean: false, truncatedBytes: 0 })
  expect(other.leaderEpoch).toBe(engine.leaderEpoch + 1)
  expect(await append(logOf(other), ['another future'])).toBe(5)
  await other.close()
  await engine.close()
})

test('what is written and not synced is in an image too', async () => {
  const config = { flushPolicy: { kind: 'os' } } as const
  const engine = await openEngine(data(), config)
  for (let i = 0; i < 20; i++) await append(logOf(engine), ['x'.repeat(400)], { acks: 1 })
  const staged = makeStaging()
  const other = await openImage(staged, await engine.stageImage(staged), config)
  expect(logOf(other).highWatermark).toBe(20)
  await other.close()
  await engine.close()
})

test('retention and the deletion of a topic take nothing from an image', async () => {
  const engine = await openEngine(data(), { segmentBytes: 1000 })
  for (let i = 0; i < 8; i++) await append(logOf(engine), ['x'.repeat(600)])
  const staged = makeStaging()
  const staging = engine.stageImage(staged)
  const deletion = logOf(engine)
    .deleteRecordsBefore(6)
    .then(() => engine.deleteTopic(TOPIC))
  const files = await staging
  await deletion
  expect(readdirSync(data()).filter((name) => !name.startsWith('@'))).toEqual([])
  const other = await openImage(staged, files, { segmentBytes: 1000 })
  expect((await readAll(logOf(other))).size).toBe(8)
  await other.close()
  await engine.close()
})

test('an idempotent producer is known from an image, and its batch is not stored again', async () => {
  const engine = await openEngine(data(), {}, { options: { producerSnapshotBytes: 200 } })
  for (let sequence = 0; sequence < 30; sequence++)
    await appendAs(logOf(engine), { producerId: 7, sequence }, [`v${sequence}`])
  const staged = makeStaging()
  const files = await engine.stageImage(staged)
  expect(files.some(({ path }) => path.endsWith('.snapshot'))).toBe(true)
  const other = await openImage(staged, files)
  expect(await appendAs(logOf(other), { producerId: 7, sequence: 29 }, ['v29'])).toBe(29)
  expect(await appendAs(logOf(other), { producerId: 7, sequence: 30 }, ['v30'])).toBe(30)
  expect(logOf(other).logEndOffset).toBe(31)
  await other.close()
  await engine.close()
})

const COMPACTED: Partial<LogConfig> = {
  cleanupPolicy: 'compact',
  segmentBytes: 400,
  indexIntervalBytes: 100,
  minCleanableDirtyRatio: 0,
}

/** The newest value of each key. */
async function newest(log: PartitionLog): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const value of (await readAll(log)).values()) found.set(value.split('=')[0], value)
  return found
}

test('images that are taken in the middle of compaction have every key', async () => {
  const clock = new SimClock(1_700_000_000_000)
  const engine: SegmentLogEngine = await openEngine(data(), COMPACTED, { clock })
  const log = logOf(engine)
  const model = new Map<string, string>()
  const put = (key: string, value: string) => {
    model.set(key, `${key}=${value}`)
    const batch = buildBatch([{ key, value: `${key}=${value}`, timestamp: clock.now() }])
    return new Promise<void>((resolve, reject) => {
      log.append(batch, 1, 'all', { appended: (error) => (error === undefined ? resolve() : reject(error)) })
    })
  }
  let taken = 0
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 30; i++) await put(`k${i % 7}`, `${round}.${i}`)
    let isClean = false
    const cleaning = engine.compact().then(() => (isClean = true))
    do {
      const staged = makeStaging()
      const expected = new Map(model)
      const files = await engine.stageImage(staged)
      taken++
      const other = await openImage(staged, files, COMPACTED)
      expect(await newest(logOf(other))).toEqual(expected)
      expect(logOf(other).failure).toBeUndefined()
      await other.close()
    } while (!isClean)
    await cleaning
  }
  expect(log.cleanedOffset).toBeGreaterThan(0)
  expect(taken).toBeGreaterThanOrEqual(6)
  await engine.close()
})
