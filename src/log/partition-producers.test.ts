import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  append,
  logOf,
  makeDirectory,
  makeFaultyDisk,
  openEngine,
  read,
  TOPIC,
} from '../../test/support/log-harness.ts'
import { appendAs, endTransaction, makeProducerBatch } from '../../test/support/producer-batches.ts'
import type { PartitionLog } from './log-engine.ts'

let directory: { path: string; remove: () => void }
beforeEach(() => {
  directory = makeDirectory()
})
afterEach(() => directory.remove())

const codeOf = async (work: Promise<unknown> | (() => unknown)) => {
  try {
    await (typeof work === 'function' ? work() : work)
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

/** What a partition says of its producers, without what depends on the clock. */
const stateOf = (log: PartitionLog) => ({
  producers: log
    .describeProducers()
    .toSorted((a, b) => a.producerId - b.producerId)
    .map((producer) => ({ ...producer })),
  lastStableOffset: log.lastStableOffset,
  aborted: log.abortedTransactions(0, Number.MAX_SAFE_INTEGER),
})

test('a batch that is sent again is not appended again, before and after it is written', async () => {
  const engine = await openEngine(directory.path)
  const log = logOf(engine)
  const first = appendAs(log, { producerId: 7, sequence: 0 }, ['a', 'b'])
  const again = appendAs(log, { producerId: 7, sequence: 0 }, ['a', 'b'])
  const unanswered = log.append(makeProducerBatch(['a', 'b'], { producerId: 7, sequence: 0 }), 2, 0, undefined)
  expect([await first, await again, unanswered]).toEqual([0, 0, 0])
  expect(await appendAs(log, { producerId: 7, sequence: 2 }, ['c'])).toBe(2)
  expect(await appendAs(log, { producerId: 7, sequence: 0 }, ['a', 'b'])).toBe(0)
  expect(await appendAs(log, { producerId: 7, sequence: 0 }, ['a', 'b'], 1)).toBe(0)
  expect(await codeOf(() => appendAs(log, { producerId: 7, sequence: 9 }))).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect([...(await read(log, 0)).values()]).toEqual(['a', 'b', 'c'])
  expect(log.producers.duplicates).toBe(4)
  expect(log.producers.outOfOrder).toBe(1)
  await engine.close()
})

test('five batches in flight that a full disk refuses may all be sent again', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  const engine = await openEngine(directory.path, {}, { fileSystem })
  const log = logOf(engine)
  await appendAs(log, { producerId: 7, sequence: 0 })
  let left = 200
  faults.beforeWrite = (path, bytes) => {
    if (!path.endsWith('.log')) return bytes
    const taken = Math.min(left, bytes)
    left -= taken
    if (taken === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    return taken
  }
  const send = () =>
    Promise.allSettled(
      [1, 2, 3, 4, 5].map((sequence) => appendAs(log, { producerId: 7, sequence, isTransactional: true })),
    )
  const outcomes = await send()
  // Two whole batches of about 75 bytes fit; of the last three nothing is left, and nobody may think otherwise.
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected'])
  expect(stateOf(log).producers).toMatchObject([{ lastSequence: 2, currentTransactionStartOffset: 1 }])
  faults.beforeWrite = (_path, bytes) => bytes
  Object.assign(engine, { isDiskFull: false })
  const values = (await send()).map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined))
  expect(values).toEqual([1, 2, 3, 4, 5])
  expect(log.logEndOffset).toBe(6)
  const before = stateOf(log)
  await engine.close()

  const next = await openEngine(directory.path)
  expect(stateOf(logOf(next))).toEqual(before)
  await next.close()
})

test('a failed sync leaves the state of what is written, and a duplicate of it is not acknowledged', async () => {
  const { fileSystem, faults } = makeFaultyDisk()
  const engine = await openEngine(directory.path, {}, { fileSystem })
  const log = logOf(engine)
  await appendAs(log, { producerId: 7, sequence: 0 })
  faults.beforeSync = () => Object.assign(new Error('bad disk'), { code: 'EIO' })
  const first = codeOf(appendAs(log, { producerId: 7, sequence: 1 }))
  const again = codeOf(appendAs(log, { producerId: 7, sequence: 1 }))
  expect([await first, await again]).toEqual(['KAFKA_STORAGE_ERROR', 'KAFKA_STORAGE_ERROR'])
  expect(await codeOf(() => appendAs(log, { producerId: 7, sequence: 1 }))).toBe('KAFKA_STORAGE_ERROR')
  faults.beforeSync = () => null
  await engine.close()
})

test.each(['clean', 'killed'])('producers and transactions are the same after a stop that was %s', async (stop) => {
  const engine = await openEngine(directory.path, { segmentBytes: 500 })
  const log = logOf(engine)
  for (let i = 0; i < 10; i++) {
    await append(log, ['plain'])
    await appendAs(log, { producerId: 7, sequence: i })
    await appendAs(log, { producerId: 8, sequence: i, isTransactional: true }, ['x'])
    if (i % 3 === 0) await endTransaction(log, 8, i % 2 === 0)
    await appendAs(log, { producerId: 9, sequence: i, isTransactional: true }, ['y'])
  }
  expect(log.segmentCount).toBeGreaterThan(3)
  await endTransaction(log, 8, false)
  await endTransaction(log, 12, true, { epoch: 4, coordinatorEpoch: 2 })
  const before = stateOf(log)
  expect(before.lastStableOffset).toBe(4)
  expect(before.aborted).toHaveLength(2)
  if (stop === 'clean') await engine.close()

  const next = await openEngine(directory.path, { segmentBytes: 500 })
  expect(next.recovery.wasClean).toBe(stop === 'clean')
  expect(stateOf(logOf(next))).toEqual(before)
  expect(await appendAs(logOf(next), { producerId: 7, sequence: 9 })).toBe(40)
  expect(await codeOf(() => appendAs(logOf(next), { producerId: 7, sequence: 11 }))).toBe(
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
  )
  await next.close()
})

test('consumers of committed records stop where a transaction is open, and learn what was aborted', async () => {
  const engine = await openEngine(directory.path)
  const log = logOf(engine)
  const committed = () =>
    new Promise<number>((resolve) => {
      const done = (_error: Error | undefined, { bytes, release }: { bytes: Buffer; release: () => void }) => {
        resolve(bytes.length)
        release()
      }
      log.read(0, 1 << 20, done, 'read_committed')
    })
  await append(log, ['plain'])
  const plain = await committed()
  await appendAs(log, { producerId: 8, sequence: 0, isTransactional: true }, ['x'])
  await append(log, ['plain'])
  expect([log.lastStableOffset, log.highWatermark]).toEqual([1, 3])
  expect(await committed()).toBe(plain)
  expect(log.hasOpenTransaction(8)).toBe(true)
  // Until its marker is durable a transaction is open for everyone who reads.
  const ending = endTransaction(log, 8, false)
  expect([log.hasOpenTransaction(8), log.lastStableOffset]).toEqual([false, 1])
  await ending
  expect([log.lastStableOffset, log.highWatermark]).toEqual([4, 4])
  expect(log.abortedTransactions(0, 4)).toEqual([{ producerId: 8, firstOffset: 1 }])
  expect(log.abortedTransactions(2, 4)).toEqual([])
  await engine.close()
})

test('a log start beyond the beginning of an open transaction holds nobody back below it', async () => {
  const engine = await openEngine(directory.path)
  const log = logOf(engine)
  await appendAs(log, { producerId: 8, sequence: 0, isTransactional: true }, ['x', 'y'])
  await append(log, ['plain'])
  await log.deleteRecordsBefore(1)
  expect(log.lastStableOffset).toBe(1)
  await log.deleteRecordsBefore(3)
  expect(log.lastStableOffset).toBe(3)
  await endTransaction(log, 8, false)
  expect(log.lastStableOffset).toBe(4)
  await engine.close()
})

test('a partition without producers is not read for them', async () => {
  let engine = await openEngine(directory.path)
  for (let i = 0; i < 20; i++) await append(logOf(engine), [`v${i}`])
  await engine.close()
  const { fileSystem } = makeFaultyDisk()
  let opened = 0
  const open = (path: string, mode: 'read' | 'write' | 'create') => {
    if (path.endsWith('.log')) opened++
    return fileSystem.open(path, mode)
  }
  engine = await openEngine(directory.path, {}, { fileSystem: { ...fileSystem, open } })
  expect(logOf(engine).lastStableOffset).toBe(20)
  expect(logOf(engine).describeProducers()).toEqual([])
  expect(opened).toBe(0)
  await engine.close()
})

/** Files of snapshots of partition 0. */
const snapshots = () =>
  readdirSync(join(directory.path, TOPIC, 'partition-0')).filter((name) => name.endsWith('.snapshot'))

/** Many batches of a few producers, in segments of a few hundred bytes. */
async function fill(log: PartitionLog, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    await appendAs(log, { producerId: 7, sequence: i })
    await appendAs(log, { producerId: 8, sequence: i, isTransactional: true })
    if (i % 4 === 0) await endTransaction(log, 8, i % 8 === 0)
  }
}

test('a snapshot bounds what a start has to walk, and a damaged one is not believed', async () => {
  const options = { producerSnapshotBytes: 1000 }
  let engine = await openEngine(directory.path, { segmentBytes: 700 }, { options })
  await appendAs(logOf(engine), { producerId: 1, sequence: 0 })
  await fill(logOf(engine), 30)
  const before = stateOf(logOf(engine))
  expect(before.producers).toHaveLength(3)
  expect(snapshots()).toHaveLength(2)
  await engine.close()
  const files = snapshots().toSorted()

  engine = await openEngine(directory.path, {}, { options })
  expect(stateOf(logOf(engine))).toEqual(before)
  await engine.close()
  for (const name of files) {
    const path = join(directory.path, TOPIC, 'partition-0', name)
    const bytes = readFileSync(path)
    bytes[bytes.length - 30] ^= 1
    writeFileSync(path, bytes)
    engine = await openEngine(directory.path, {}, { options })
    expect(stateOf(logOf(engine))).toEqual(before)
    await engine.close()
  }
})

test('retention removes nothing that no snapshot remembers', async () => {
  let engine = await openEngine(directory.path, { segmentBytes: 300 })
  await appendAs(logOf(engine), { producerId: 1, sequence: 5 })
  await fill(logOf(engine), 20)
  const end = logOf(engine).logEndOffset
  await logOf(engine).deleteRecordsBefore(end)
  expect(snapshots()).toHaveLength(1)
  const before = stateOf(logOf(engine))
  expect(before.producers).toHaveLength(3)
  // Killed: only what is on the disk is left.
  engine = await openEngine(directory.path, { segmentBytes: 300 })
  expect(logOf(engine).logStartOffset).toBe(end)
  expect(stateOf(logOf(engine)).producers).toEqual(before.producers)
  expect(await appendAs(logOf(engine), { producerId: 1, sequence: 5 })).toBe(0)
  expect(await codeOf(() => appendAs(logOf(engine), { producerId: 1, sequence: 7 }))).toBe(
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
  )
  await engine.close()
})

test('a snapshot of a log that was cut and has grown again is not believed', async () => {
  const options = { producerSnapshotBytes: 500 }
  let engine = await openEngine(directory.path, {}, { options })
  await fill(logOf(engine), 10)
  const [newest] = snapshots().toSorted().toReversed()
  const end = logOf(engine).logEndOffset
  // The log loses its end, as by a disk that lied, and goes on with something else.
  for (const name of ['@checkpoint-a', '@checkpoint-b']) rmSync(join(directory.path, name))
  const path = join(directory.path, TOPIC, 'partition-0', `${'0'.repeat(20)}.log`)
  truncateSync(path, 100)
  engine = await openEngine(directory.path)
  while (logOf(engine).logEndOffset < end + 5) await append(logOf(engine), ['other'])
  engine = await openEngine(directory.path)
  expect(
    logOf(engine)
      .describeProducers()
      .map(({ producerId }) => producerId),
  ).toEqual([7])
  expect(snapshots()).not.toContain(newest)
  await engine.close()
})
