import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { ALTER_TOPIC, DELETE_RECORDS, DELETE_TOPIC, FETCH_OFFSETS } from '../support/frame-types.ts'
import { runCli } from '../system/cli-harness.ts'
import { Ledger } from './ledger.ts'
import { LoopDisk, mountTmpfs } from './loop-disk.ts'
import { Clerk, getReadiness } from './single-records.ts'

// A disk that is really full: what is refused, what goes on, and that everything goes on by itself when there is room.

vi.setConfig({ testTimeout: 60_000 })

/** How soon produce must go on once there is room: space is looked at every second. */
const RESUME_MS_MAX = 5_000
const SEGMENTS = { 'segment.bytes': '256KB' }
const BIG = { count: 4, bytes: 4_000 }

let home: BrokerHome
let ledger: Ledger
const cleanups: (() => void)[] = []
beforeEach(() => {
  home = new BrokerHome()
  ledger = new Ledger(['keep', 'go'])
})
afterEach(async () => {
  await home.remove()
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** Mounts a small disk, or says why there is none. */
const DISKS: Record<string, () => { readonly path: string } | string> = {
  'an 8 MiB tmpfs'() {
    const disk = mountTmpfs(8)
    if (disk === undefined) return 'needs the right to mount a small tmpfs'
    cleanups.push(() => disk.unmount())
    return disk
  },
  'a 24 MiB ext4'() {
    const missing = LoopDisk.missing('ext4', { toCut: false })
    if (missing !== undefined) return missing
    const disk = new LoopDisk('ext4', 24)
    cleanups.push(() => disk.remove())
    disk.mount()
    return disk
  },
}

/** Sends records until they are refused because the disk is full; returns how many requests were taken. */
async function fill(clerk: Clerk, topic: string): Promise<number> {
  for (let taken = 0; ;) {
    const said = await clerk.produceMany(topic, 8, BIG)
    const refused = said.filter((answer) => answer?.error !== undefined)
    taken += said.length - refused.length
    for (const answer of refused) {
      expect(answer?.error?.code).toBe('INTERNAL_IO_ERROR')
      expect(answer?.error?.message).toMatch(/^Cannot append to topic "\w+", partition 0: the disk is full/)
    }
    if (refused.length > 0) return taken
    expect(taken).toBeLessThan(10_000)
  }
}

/** Everything but produce works: reading all there is, committing, and saying that the disk is full. */
async function expectOnlyProduceIsRefused(broker: BrokerProcess, clerk: Clerk, topics: readonly string[]) {
  expect(await getReadiness(broker)).toMatchObject({ status: 503, failed: ['disk'] })
  const [end] = await clerk.check(topics)
  for (let offset = end - 40; offset <= end; offset++) {
    expect(await clerk.commit({ group: 'g', topic: topics[0], partition: 0, offset })).toEqual({ ok: true })
  }
  await clerk.checkCommits('g')
  expect((await clerk.produce(topics[0]))?.error?.message).toContain('the disk is full')
  expect(ledger.violations).toEqual([])
}

/** A stopped broker has left whole record batches and nothing else. */
async function expectWholeFiles(dataDirectory: string): Promise<void> {
  const { code, stderr } = await runCli(['log', 'verify', '--data-dir', dataDirectory], {})
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
}

/** Produce goes on without anybody doing anything; returns after how many milliseconds. */
async function expectResumed(broker: BrokerProcess, clerk: Clerk, topic: string): Promise<number> {
  const began = performance.now()
  await expect
    .poll(() => clerk.produce(topic), { timeout: RESUME_MS_MAX, interval: 20 })
    .toMatchObject({ numRecords: 1 })
  expect(await getReadiness(broker)).toEqual({ status: 200, failed: [], details: [] })
  return Math.round(performance.now() - began)
}

test.for(Object.keys(DISKS))('%s that is full', async (name, { skip }) => {
  const disk = DISKS[name]()
  if (typeof disk === 'string') return skip(disk)
  const environment = { CAFELOG_DATA_DIR: join(disk.path, 'data') }
  let broker = await home.start({ environment })
  let clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('keep', 1, SEGMENTS)
  await clerk.createTopic('go', 1, SEGMENTS)
  await clerk.produceMany('go', 160, BIG)
  const taken = await fill(clerk, 'keep')
  await expectOnlyProduceIsRefused(broker, clerk, ['keep', 'go'])

  expect(await clerk.ask(DELETE_TOPIC, { topic: 'go' })).toEqual({ ok: true })
  const afterTopic = await expectResumed(broker, clerk, 'keep')
  await fill(clerk, 'keep')
  await expectOnlyProduceIsRefused(broker, clerk, ['keep'])

  const [half] = (await clerk.check(['keep'])).map((end) => Math.floor(end / 2))
  expect(await clerk.ask(DELETE_RECORDS, { topic: 'keep', partition: 0, beforeOffset: half })).toEqual({
    logStartOffset: half,
  })
  const afterRecords = await expectResumed(broker, clerk, 'keep')
  await fill(clerk, 'keep')

  expect(await clerk.ask(ALTER_TOPIC, { topic: 'keep', set: { 'retention.bytes': '1MB' } })).toMatchObject({ ok: true })
  const afterRetention = await expectResumed(broker, clerk, 'keep')
  // From here on all that is new lies in one segment, which is larger than any room that is left.
  const large = { topic: 'keep', unset: ['retention.bytes'], set: { 'segment.bytes': '64MB' } }
  expect(await clerk.ask(ALTER_TOPIC, large)).toMatchObject({ ok: true })
  await clerk.createTopic('spare', 1, SEGMENTS)
  await clerk.produceMany('spare', 160, BIG)
  await fill(clerk, 'keep')
  for (const way of ['kill', 'stop', 'kill'] as const) {
    if (way === 'kill') await broker.kill()
    else {
      expect(await broker.stop()).toBe(0)
      await expectWholeFiles(environment.CAFELOG_DATA_DIR)
    }
    broker = await home.start({ environment })
    expect(broker.log.find((line) => line['event'] === 'ready')).toMatchObject({ wasClean: way === 'stop' })
    clerk = await Clerk.connect(broker, ledger)
    await expect.poll(() => getReadiness(broker), { timeout: 3_000 }).toMatchObject({ failed: ['disk'] })
    await expectOnlyProduceIsRefused(broker, clerk, ['keep'])
  }
  expect(await clerk.ask(DELETE_TOPIC, { topic: 'spare' })).toEqual({ ok: true })
  await expectResumed(broker, clerk, 'keep')
  expect((await clerk.ask(FETCH_OFFSETS, { group: 'g' })).offsets).toHaveLength(1)
  expect(await broker.stop()).toBe(0)
  await expectWholeFiles(environment.CAFELOG_DATA_DIR)
  console.info(
    `${name}: full after ${taken} requests of 16 KB, produce went on ${afterTopic} ms after a topic was deleted, ` +
      `${afterRecords} ms after records, ${afterRetention} ms after retention was made shorter`,
  )
})

test('a file that may not grow, for every user: refused, nothing half stored, and it goes on with a smaller file', async () => {
  // Nobody needs rights for this: the system cuts a write short at the limit, then answers EFBIG.
  const prefix = ['sh', '-c', 'ulimit -f 16384; exec "$@"', '--']
  let broker = await home.start({ prefix })
  let clerk = await Clerk.connect(broker, ledger)
  await clerk.createTopic('keep')
  await clerk.createTopic('go')
  await fill(clerk, 'keep')
  await clerk.check(['keep', 'go'])
  expect(await clerk.commit({ group: 'g', topic: 'keep', partition: 0, offset: 1 })).toEqual({ ok: true })
  expect(ledger.violations).toEqual([])
  // There is room on the disk, so that other logs go on.
  await expectResumed(broker, clerk, 'go')
  await fill(clerk, 'keep')
  expect(await clerk.ask(ALTER_TOPIC, { topic: 'keep', set: { 'segment.bytes': '4MB' } })).toMatchObject({ ok: true })
  await expectResumed(broker, clerk, 'keep')

  expect(await broker.stop()).toBe(0)
  await expectWholeFiles(home.dataDirectory)
  broker = await home.start({ prefix })
  clerk = await Clerk.connect(broker, ledger)
  await clerk.check(['keep', 'go'])
  await clerk.checkCommits('g')
  expect(ledger.violations).toEqual([])
  expect(await clerk.produce('keep')).toMatchObject({ numRecords: 1 })
})
