import { afterEach, beforeEach, expect, test } from 'vitest'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import { silentLogger } from '../base/logger.ts'
import { MemoryFileSystem } from '../base/memory-file-system.ts'
import type { LogEngine, StagedFile } from '../log/log-engine.ts'
import { Metrics } from '../metrics/metrics.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { SNAPSHOT_IDLE_MS, Snapshots } from './snapshots.ts'

const DATA = '/data'
const LOG = 'orders/partition-0/00000000000000000000.log'

/** An engine with one segment of twenty bytes, of which ten belong to the image. */
class FakeEngine implements Pick<LogEngine, 'isDiskFull' | 'stageImage'> {
  isDiskFull = false
  failure: Error | undefined
  readonly #files: MemoryFileSystem

  constructor(files: MemoryFileSystem) {
    this.#files = files
  }

  async stageImage(directory: string): Promise<StagedFile[]> {
    this.#files.makeDirectory(`${directory}/orders/partition-0`)
    this.#files.link(`${DATA}/segment`, `${directory}/${LOG}`)
    await Promise.resolve()
    if (this.failure !== undefined) throw this.failure
    return [{ path: LOG, sizeBytes: 10 }]
  }
}

class FakeStore extends MemoryStore {
  readonly #files: MemoryFileSystem

  constructor(files: MemoryFileSystem) {
    super()
    this.#files = files
  }

  override async copyTo(directory: string): Promise<void> {
    this.#files.makeDirectory(directory)
    this.#files.open(`${directory}/data.mdb`, 'create').write([Buffer.from('rows')], 0)
    await Promise.resolve()
  }
}

let files: MemoryFileSystem
let engine: FakeEngine
let clock: SimClock
let metrics: Metrics
let snapshots: Snapshots
const start = () => {
  const store = new FakeStore(files)
  const origin = { dataDirectory: DATA, version: '1.2.3', clusterId: 'a cluster' }
  const parts = { machineClock: clock, clock, fileSystem: files, logger: silentLogger, metrics, store, ...origin }
  return new Snapshots({ ...parts, engine: engine as unknown as LogEngine })
}
beforeEach(() => {
  files = new MemoryFileSystem()
  files.makeDirectory(DATA)
  files.open(`${DATA}/segment`, 'create').write([Buffer.from('0123456789 and later')], 0)
  engine = new FakeEngine(files)
  clock = new SimClock()
  metrics = new Metrics()
  snapshots = start()
})
afterEach(() => snapshots.close())

const isStaged = () => files.sizeOf(`${DATA}/@snapshot`) !== undefined
const read = async (id: string, file: number, position = 0, bytesMax = 1000) =>
  (await snapshots.read(id, { file, position, bytesMax })).toString()
const settle = () => new Promise((resolve) => setImmediate(resolve))

test('a snapshot is read file by file, and nothing is left of it', async () => {
  const { id, fileCount, sizeBytes } = await snapshots.begin()
  const manifest = await read(id, 0)
  expect(JSON.parse(manifest)).toEqual({
    format: 1,
    version: '1.2.3',
    clusterId: 'a cluster',
    createdAt: new Date(clock.now()).toISOString(),
    files: [
      { path: LOG, sizeBytes: 10 },
      { path: '@store/data.mdb', sizeBytes: 4 },
    ],
  })
  expect([fileCount, sizeBytes]).toEqual([3, manifest.length + 14])
  expect(await read(id, 1)).toBe('0123456789')
  expect(await read(id, 1, 8, 1)).toBe('8')
  expect(await read(id, 1, 10)).toBe('')
  expect(await read(id, 1, 1_000_000)).toBe('')
  expect(await read(id, 2)).toBe('rows')
  clock.advance(2_000)
  await snapshots.end(id, true)
  expect(isStaged()).toBe(false)
  expect(files.readWhole(`${DATA}/segment`).toString()).toBe('0123456789 and later')
  expect(metrics.snapshotLastSuccess.value).toBe(clock.now() / 1000)
  expect(metrics.snapshotLastSizeBytes.value).toBe(sizeBytes)
  expect(metrics.snapshotLastDurationSeconds.value).toBe(2)
})

test('what is not there is refused', async () => {
  await expect(read('nobody', 0)).rejects.toThrow('Cannot read snapshot "nobody": there is none of that id')
  await expect(snapshots.end('nobody', true)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  const { id } = await snapshots.begin()
  await expect(read(id, 3)).rejects.toThrow(`Cannot read file 3 of snapshot "${id}": it has 3`)
  await expect(snapshots.begin()).rejects.toThrow('another one is under way')
  await snapshots.end(id, false)
  await snapshots.end((await snapshots.begin()).id, false)
})

test('one that nobody reads is given up after a minute, one that is read is not', async () => {
  const { id } = await snapshots.begin()
  for (let i = 0; i < 3; i++) {
    clock.advance(SNAPSHOT_IDLE_MS - 1)
    await read(id, 1)
  }
  clock.advance(SNAPSHOT_IDLE_MS)
  await settle()
  expect(isStaged()).toBe(false)
  await expect(read(id, 1)).rejects.toThrow('or no longer')
  expect(metrics.snapshots.child('error').value).toBe(1)
})

test('a full disk refuses a snapshot, and ends one that is under way', async () => {
  const { id } = await snapshots.begin()
  engine.isDiskFull = true
  await expect(read(id, 1)).rejects.toThrow('Cannot go on with the snapshot: the disk is full')
  expect(isStaged()).toBe(false)
  await expect(snapshots.begin()).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
  engine.isDiskFull = false
  await snapshots.end((await snapshots.begin()).id, true)
})

test('one that cannot be begun leaves nothing and says why', async () => {
  engine.failure = Object.assign(new Error("EPERM: operation not permitted, link 'a' -> 'b'"), { code: 'EPERM' })
  await expect(snapshots.begin()).rejects.toThrow('Cannot begin a snapshot: EPERM: operation not permitted, link')
  expect(isStaged()).toBe(false)
  engine.failure = undefined
  await snapshots.end((await snapshots.begin()).id, true)
})

test('a stop gives it up, and a start removes what a kill has left', async () => {
  const { id } = await snapshots.begin()
  await snapshots.close()
  expect(isStaged()).toBe(false)
  await expect(read(id, 1)).rejects.toThrow('or no longer')
  snapshots = start()
  await snapshots.begin()
  // The process dies here.
  snapshots = start()
  expect(isStaged()).toBe(false)
  await snapshots.begin()
})
