import { join } from 'node:path'

import type { TestContext } from 'vitest'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { BrokerHome, BrokerProcess } from '../support/broker-process.ts'
import { FETCH } from '../support/frame-types.ts'
import { rawFrame } from '../support/raw-client.ts'
import { Ledger } from './ledger.ts'
import { Clerk, getReadiness } from './single-records.ts'
import type { Tampering } from './strace.ts'
import { missingStrace, ONE_THREAD, readCalls, tamper } from './strace.ts'

// Single system calls of the real program that fail, lie, take their time, or are its last. One record a request, one
// request after the other: so the third sync of a segment is that of the third record.

const WRITES = 'pwrite64,pwritev'
const UNKNOWN = 'whether the records are stored is not known until the next start'

vi.setConfig({ testTimeout: 60_000 })

let home: BrokerHome
let ledger: Ledger
beforeEach(() => {
  home = new BrokerHome()
  ledger = new Ledger()
})
afterEach(async () => {
  await home.remove()
})

const partitionDirectory = (topic: string, partition = 0) => join(home.dataDirectory, topic, `partition-${partition}`)
const segment = (topic: string, partition = 0) => join(partitionDirectory(topic, partition), '00000000000000000000.log')
const storeData = () => join(home.dataDirectory, '@store', 'data.mdb')
const callsLog = () => join(home.path, 'calls')

function skipWithoutStrace(context: TestContext): void {
  const missing = missingStrace()
  if (missing !== undefined) context.skip(missing)
}

async function startTampered(tampering: Tampering, environment: Record<string, string> = ONE_THREAD) {
  return home.start({ prefix: tamper({ log: callsLog(), ...tampering }), environment })
}

/** Starts a broker whose system calls are left alone, and compares all that is there with what is known. */
async function restartAndCheck(
  ...topics: readonly string[]
): Promise<{ broker: BrokerProcess; clerk: Clerk; ends: number[] }> {
  const broker = await home.start()
  const clerk = await Clerk.connect(broker, ledger)
  const ends = await clerk.check(topics)
  expect(ledger.violations).toEqual([])
  expect(await getReadiness(broker)).toEqual({ status: 200, failed: [], details: [] })
  for (const topic of topics) expect(await clerk.produce(topic)).toMatchObject({ numRecords: 1 })
  return { broker, clerk, ends }
}

const fetchAll = (clerk: Clerk, topic: string, partition = 0) =>
  clerk.ask(FETCH, { topic, partition, offset: 0, maxBytes: 1 << 20, maxWaitMs: 0 })

test('a failed sync of a segment: its records are in doubt, the partition is closed, no sync is tried again', async (context) => {
  skipWithoutStrace(context)
  let broker = await startTampered({ path: segment('t'), calls: 'fdatasync', inject: 'error=EIO:when=3' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (const offset of [0, 1]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  const [inDoubt, ...refused] = await clerk.produceMany('t', 3)
  expect(inDoubt?.error?.code).toBe('INTERNAL_IO_ERROR')
  expect(inDoubt?.error?.message).toContain(UNKNOWN)
  expect(inDoubt?.error?.message).toContain('a sync failed (EIO: i/o error, fdatasync)')
  // Those were written in the same turn or a later one; later ones are refused for certain.
  expect(refused.map((said) => said?.error?.code)).toEqual(['INTERNAL_IO_ERROR', 'INTERNAL_IO_ERROR'])
  const later = await clerk.produce('t')
  expect(later?.error?.code).toBe('INTERNAL_IO_ERROR')
  expect(later?.error?.message).not.toContain('not known')

  expect(await getReadiness(broker)).toEqual({
    status: 503,
    failed: ['storage'],
    details: ['1 of 1 partitions are closed for writes until the broker is started anew'],
  })
  expect(await fetchAll(clerk, 't')).toMatchObject({ records: [{ offset: 0 }, { offset: 1 }], highWatermark: 2 })
  expect(await clerk.commit({ group: 'g', topic: 't', partition: 0, offset: 2 })).toEqual({ ok: true })
  expect(await broker.metric('cafelog_partitions_offline')).toBe(1)
  // Not everything became durable, and that is what its exit code says.
  expect(await broker.stop()).toBe(70)
  expect(readCalls(callsLog()).map((line) => line.includes('= 0'))).toEqual([true, true, false])

  broker = (await restartAndCheck('t')).broker
  expect(broker.log.find((line) => line['event'] === 'ready')).toMatchObject({ wasClean: false })
  await (await Clerk.connect(broker, ledger)).checkCommits('g')
  expect(ledger.violations).toEqual([])
  expect(await broker.stop()).toBe(0)
})

test('one partition of two fails: the other goes on, the broker is degraded and not unready', async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered({ path: segment('t', 1), calls: 'fdatasync', inject: 'error=EIO:when=2' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t', 2)
  const said = [await clerk.produce('t', { partition: 1 }), await clerk.produce('t', { partition: 1 })]
  expect(said[0]).toMatchObject({ baseOffset: 0 })
  expect(said[1]?.error?.message).toContain(UNKNOWN)
  for (const offset of [0, 1, 2]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  expect(await getReadiness(broker)).toEqual({
    status: 200,
    failed: [],
    details: ['1 of 2 partitions are closed for writes until the broker is started anew'],
  })
  await broker.kill()
  await restartAndCheck('t')
})

test("a failed sync of a segment's name: nothing in it is acknowledged", async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered({ path: partitionDirectory('t'), calls: 'fsync', inject: 'error=EIO:when=2' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t', 1, { 'segment.bytes': '1KB' })
  const first = await clerk.produceMany('t', 4, { bytes: 200 })
  const acknowledged = first.filter((said) => said?.error === undefined).length
  const said = await clerk.produceMany('t', 8, { bytes: 200 })
  expect(said.at(-1)?.error?.code).toBe('INTERNAL_IO_ERROR')
  expect(await getReadiness(broker)).toMatchObject({ status: 503, failed: ['storage'] })
  expect((await fetchAll(clerk, 't')).records?.length).toBeGreaterThanOrEqual(acknowledged)
  await broker.kill()
  await restartAndCheck('t')
})

test('a failed write: its records are refused for certain, and are not there later', async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered({ path: segment('t'), calls: WRITES, inject: 'error=EIO:when=3' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (const offset of [0, 1]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  expect((await clerk.produce('t'))?.error).toEqual({
    code: 'INTERNAL_IO_ERROR',
    message: 'Cannot append to topic "t", partition 0: a write failed (EIO: i/o error, write)',
  })
  expect(await getReadiness(broker)).toMatchObject({ status: 503, failed: ['storage'] })
  expect(await fetchAll(clerk, 't')).toMatchObject({ records: [{ offset: 0 }, { offset: 1 }] })
  await broker.kill()
  expect((await restartAndCheck('t')).ends).toEqual([2])
})

test('a disk that is full for one write: refused, nothing is stored, produce goes on by itself', async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered({ path: segment('t'), calls: WRITES, inject: 'error=ENOSPC:when=3' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (const offset of [0, 1]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  expect((await clerk.produce('t'))?.error).toEqual({
    code: 'INTERNAL_IO_ERROR',
    message: 'Cannot append to topic "t", partition 0: the disk is full (ENOSPC: no space left on device, write)',
  })
  const next = await clerk.produce('t')
  expect(next?.error?.message).toBe(
    'Cannot append to topic "t", partition 0: the disk is full; it goes on by itself when there is room',
  )
  expect(await getReadiness(broker)).toMatchObject({ status: 503, failed: ['disk'] })
  expect(await fetchAll(clerk, 't')).toMatchObject({ records: [{ offset: 0 }, { offset: 1 }] })
  expect(await clerk.commit({ group: 'g', topic: 't', partition: 0, offset: 2 })).toEqual({ ok: true })
  await expect.poll(() => clerk.produce('t'), { timeout: 5_000 }).toMatchObject({ baseOffset: 2 })
  expect(await getReadiness(broker)).toEqual({ status: 200, failed: [], details: [] })
  expect(await broker.stop()).toBe(0)
  expect((await restartAndCheck('t')).ends).toEqual([3])
})

test('writes that the system takes only in part are finished', async (context) => {
  skipWithoutStrace(context)
  // strace lets the kernel say "one byte" without a write. The first byte of a batch is a zero, the highest of its
  // offset, and a zero is also what a file has where nobody wrote: so it is as if that byte had been written. Node goes
  // on by itself then; short writes that reach the broker are in disk-full.test.ts.
  const broker = await startTampered({ path: segment('t'), calls: WRITES, inject: 'retval=1:when=2+2' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (let round = 0; round < 10; round++) {
    const said = await clerk.produceMany('t', 8, { count: 1 + round })
    expect(said.filter((answer) => answer?.error !== undefined)).toEqual([])
  }
  expect(readCalls(callsLog()).filter((line) => line.includes('INJECTED')).length).toBeGreaterThan(4)
  await broker.kill()
  await restartAndCheck('t')
})

test('a slow sync: acks all waits for it, acks 1 does not, nobody is shown more, many share one', async (context) => {
  skipWithoutStrace(context)
  const delayMs = 250
  // No call is counted here, so the pool may have all its threads.
  const broker = await startTampered({ path: segment('t'), calls: 'fdatasync', inject: `delay_enter=${delayMs}ms` }, {})
  const slow = await Clerk.connect(broker, ledger)
  await slow.createTopic('t')
  const began = performance.now()
  const waiting = slow.produce('t')
  const quick = await Clerk.connect(broker, ledger)
  expect(await quick.produce('t', { acks: 1 })).toMatchObject({ baseOffset: 1, highWatermark: 0 })
  expect(await fetchAll(quick, 't')).toMatchObject({ records: [], highWatermark: 0 })
  expect(slow.client.pendingFrames).toBe(0)
  expect(await waiting).toMatchObject({ baseOffset: 0, highWatermark: 1 })
  expect(performance.now() - began).toBeGreaterThan(delayMs)

  const clerks = await Promise.all(Array.from({ length: 10 }, () => Clerk.connect(broker, ledger)))
  const answers = await Promise.all(clerks.map((clerk) => clerk.produceMany('t', 10)))
  expect(answers.flat().filter((said) => said?.error !== undefined)).toEqual([])
  await broker.kill()
  const syncs = readCalls(callsLog()).length
  expect(syncs).toBeLessThan(30)
  await restartAndCheck('t')
  console.info(`syncs that take ${delayMs} ms: 100 requests on 10 connections shared ${syncs} of them`)
})

test('a read that fails is an error of that read, and the next one works', async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered({ path: segment('t'), calls: 'pread64', inject: 'error=EIO:when=1' })
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (const offset of [0, 1]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  expect((await fetchAll(clerk, 't')).error?.code).toBe('INTERNAL_IO_ERROR')
  expect(await fetchAll(clerk, 't')).toMatchObject({ records: [{ offset: 0 }, { offset: 1 }] })
  expect(await clerk.produce('t')).toMatchObject({ baseOffset: 2 })
  expect(await getReadiness(broker)).toEqual({ status: 200, failed: [], details: [] })
})

test.for([
  ['the sync of its pages', { calls: 'fdatasync', inject: 'error=EIO:when=2' }],
  ['the write of a page', { calls: 'pwrite64,writev', inject: 'error=EIO:when=8' }],
] as const)(
  'the store fails in %s: commits are refused, records come and go, what was committed stays',
  async ([, tampering], context) => {
    skipWithoutStrace(context)
    // A first life makes the store, so that in the second only commits write to it.
    const preparing = await home.start()
    await (await Clerk.connect(preparing, ledger)).createTopic('t')
    await preparing.stop()

    const broker = await startTampered({ path: storeData(), ...tampering })
    const clerk = await Clerk.connect(broker, ledger)
    const position = { group: 'g', topic: 't', partition: 0 }
    const said = []
    for (let offset = 1; offset <= 10; offset++) {
      said.push(await clerk.commit({ ...position, offset }))
      expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset - 1 })
    }
    const first = said.findIndex((answer) => answer?.error !== undefined)
    expect(said[0]).toEqual({ ok: true })
    expect(said[first]?.error?.code).toBe('INTERNAL_IO_ERROR')
    expect(said[first]?.error?.message).toContain('whether it was stored is not known')
    for (const answer of said.slice(first + 1)) expect(answer?.error?.message).toContain('start the broker anew')
    expect(await getReadiness(broker)).toMatchObject({ status: 503, failed: ['storage'] })
    expect((await fetchAll(clerk, 't')).records).toHaveLength(10)
    await broker.stop()

    const { clerk: later } = await restartAndCheck('t')
    await later.checkCommits('g')
    expect(ledger.violations).toEqual([])
    expect(await later.commit({ ...position, offset: 11 })).toEqual({ ok: true })
  },
)

test.for<readonly [what: string, tampering: () => Tampering]>([
  ['the first sync of a segment', () => ({ path: segment('t'), calls: 'fdatasync', inject: 'signal=KILL:when=1' })],
  ['a later sync of a segment', () => ({ path: segment('t'), calls: 'fdatasync', inject: 'signal=KILL:when=4' })],
  ['a write to a segment', () => ({ path: segment('t'), calls: WRITES, inject: 'signal=KILL:when=5' })],
  ['the sync of a new name', () => ({ path: partitionDirectory('t'), calls: 'fsync', inject: 'signal=KILL:when=3' })],
  ['the sync of a commit', () => ({ path: storeData(), calls: 'fdatasync', inject: 'signal=KILL:when=5' })],
  ['the meta page of a commit', () => ({ path: storeData(), calls: 'pwrite64', inject: 'signal=KILL:when=9' })],
])('a process that ends in %s loses nothing', async ([, tampering], context) => {
  skipWithoutStrace(context)
  // A first life makes the store, so that in the second only commits write to it.
  await (await home.start()).stop()
  const broker = await startTampered(tampering())
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t', 1, { 'segment.bytes': '4KB' })
  let acknowledged = 0
  for (let offset = 1; offset <= 200 && !clerk.client.isClosed; offset += 4) {
    const said = await clerk.produceMany('t', 4)
    acknowledged += said.filter((answer) => answer?.error === undefined && answer !== undefined).length
    await clerk.commit({ group: 'g', topic: 't', partition: 0, offset })
  }
  expect(clerk.client.isClosed).toBe(true)
  await broker.exited
  const { clerk: later, ends } = await restartAndCheck('t')
  await later.checkCommits('g')
  expect(ledger.violations).toEqual([])
  expect(ends[0]).toBeGreaterThanOrEqual(acknowledged)
})

test('a recovery that is killed at its first, second, third… change of the disk is done again', async (context) => {
  skipWithoutStrace(context)
  const broker = await home.start()
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t', 2, { 'segment.bytes': '4KB' })
  for (const partition of [0, 1]) {
    const said = await clerk.produceMany('t', 60, { partition })
    expect(said.filter((answer) => answer?.error !== undefined)).toEqual([])
  }
  await broker.kill()
  let kills = 0
  for (;;) {
    // The counter is that of the main thread, which does all of a recovery.
    const calls = 'rename,unlink,ftruncate,fdatasync,fsync,pwrite64,pwritev'
    const inject = `signal=KILL:when=${kills + 1}`
    const started = await home.start({ prefix: tamper({ calls, inject }) }).catch((error: unknown) => error)
    if (started instanceof BrokerProcess) {
      await started.kill()
      break
    }
    expect(started).toMatchObject({ name: 'BrokerDidNotStart', exitCode: null })
    kills++
  }
  await restartAndCheck('t')
  console.info(`recovery: killed at each of its ${kills} changes of the disk, and nothing was lost`)
})

test('a failed sync at the stop, policy os: it says so, and the next start finds the records', async (context) => {
  skipWithoutStrace(context)
  const broker = await startTampered(
    // The first one is there to make the name of the new segment durable.
    { path: segment('t'), calls: 'fdatasync', inject: 'error=EIO:when=2+' },
    { ...ONE_THREAD, CAFELOG_FLUSH_POLICY: 'os' },
  )
  const clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('t')
  for (const offset of [0, 1]) expect(await clerk.produce('t')).toMatchObject({ baseOffset: offset })
  clerk.client.send(rawFrame(FETCH, { topic: 't', partition: 0, offset: 2, maxWaitMs: 60_000 }))
  expect(await broker.stop()).toBe(70)
  expect(broker.log.at(-1)?.msg).toBe('could not stop in order: the next start will recover the log')
  await restartAndCheck('t')
})
