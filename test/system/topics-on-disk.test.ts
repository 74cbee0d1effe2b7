import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { nodeFileSystem } from '../../src/base/file-system.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { Topics } from '../../src/broker/topics.ts'
import { CommittedOffsets } from '../../src/groups/committed-offsets.ts'
import type { PartitionLog } from '../../src/log/log-engine.ts'
import { SegmentLogEngine } from '../../src/log/segment-log-engine.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { append, makeDirectory, readAll } from '../support/log-harness.ts'

let directory: { path: string; remove: () => void }
beforeEach(() => {
  directory = makeDirectory()
})
afterEach(() => directory.remove())

/** Topics on the real engine and the real store, as the broker has them. */
async function start() {
  const path = directory.path
  const store = new LmdbStore({ path: join(path, '@store'), fileSystem: nodeFileSystem })
  const engine = await SegmentLogEngine.open({
    directory: path,
    fileSystem: nodeFileSystem,
    clock: systemClock,
    logger: silentLogger,
  })
  const committedOffsets = new CommittedOffsets(store, systemClock)
  const topics = new Topics({ store, engine, committedOffsets, clock: systemClock })
  await topics.load()
  const log = (topic: string, partition: number): PartitionLog => {
    const found = engine.get(topics.getExisting(topic).name, partition)
    if (found === undefined) throw new Error(`no partition ${partition}`)
    return found
  }
  const stop = async () => {
    await engine.close()
    await store.close()
  }
  return { store, topics, committedOffsets, log, stop }
}

const folders = () => readdirSync(directory.path).filter((name) => !name.startsWith('@'))
const partitions = (topic: string) => readdirSync(join(directory.path, topic)).toSorted()

test('topics, records and offsets are there after a stop and a start', async () => {
  const first = await start()
  await first.topics.create({ name: 'orders', partitionCount: 2, overrides: { 'segment.bytes': '1KB' } })
  await first.topics.create({ name: 'events', partitionCount: 1 })
  await append(first.log('orders', 1), ['a', 'b'])
  await first.committedOffsets.commit({ group: 'g', topic: 'orders', partition: 1, offset: 1 })
  await first.topics.alter({ name: 'orders', partitionCount: 3 })
  await append(first.log('orders', 2), ['c'])
  expect(partitions('orders')).toEqual(['partition-0', 'partition-1', 'partition-2'])
  await first.stop()

  const second = await start()
  expect(second.topics.list().map(({ name, partitionCount }) => [name, partitionCount])).toEqual([
    ['events', 1],
    ['orders', 3],
  ])
  expect(await readAll(second.log('orders', 1))).toEqual(
    new Map([
      [0, 'a'],
      [1, 'b'],
    ]),
  )
  expect(await readAll(second.log('orders', 2))).toEqual(new Map([[0, 'c']]))
  expect(second.committedOffsets.get('g', 'orders', 1)?.offset).toBe(1)
  await second.stop()
})

test('a deleted topic leaves nothing, and a new one of its name starts empty', async () => {
  const first = await start()
  await first.topics.create({ name: 'orders', partitionCount: 2 })
  await append(first.log('orders', 0), ['old'])
  await first.topics.delete('orders')
  expect(folders()).toEqual([])
  await first.topics.create({ name: 'orders', partitionCount: 1 })
  expect(first.log('orders', 0).logEndOffset).toBe(0)
  await append(first.log('orders', 0), ['new'])
  await first.stop()

  const second = await start()
  expect(await readAll(second.log('orders', 0))).toEqual(new Map([[0, 'new']]))
  expect(partitions('orders')).toEqual(['partition-0'])
  await second.stop()
})

test('a deletion that a crash interrupted is finished at the next start', async () => {
  const first = await start()
  await first.topics.create({ name: 'orders', partitionCount: 2 })
  await append(first.log('orders', 0), ['old'])
  await first.committedOffsets.commit({ group: 'g', topic: 'orders', partition: 0, offset: 1 })
  const row = first.store.get('topics', 'orders')
  await first.stop()
  // What a crash leaves right after the mark: the row says so, folders and offsets are still there.
  const store = new LmdbStore({ path: join(directory.path, '@store'), fileSystem: nodeFileSystem })
  const marked = Buffer.from(JSON.stringify({ ...(JSON.parse(String(row)) as object), isDeleting: true }))
  await store.commit([{ table: 'topics', key: 'orders', value: marked }])
  await store.close()

  const second = await start()
  expect(second.topics.list()).toEqual([])
  expect(second.committedOffsets.groups()).toEqual([])
  expect(folders()).toEqual([])
  await second.stop()
})

test('folders that a crash left before the topic was on record are taken over by the next of that name', async () => {
  const first = await start()
  await first.topics.create({ name: 'orders', partitionCount: 3 })
  await first.topics.create({ name: 'other', partitionCount: 1 })
  await first.stop()
  renameSync(join(directory.path, 'other'), join(directory.path, 'unknown'))

  const second = await start()
  expect(second.topics.get('unknown')).toBeUndefined()
  await second.topics.create({ name: 'unknown', partitionCount: 2 })
  expect(await append(second.log('unknown', 0), ['a'])).toBe(0)
  expect(await append(second.log('unknown', 1), ['b'])).toBe(0)
  await second.stop()
})
