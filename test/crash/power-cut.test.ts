import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { BrokerHome } from '../support/broker-process.ts'
import { runCli } from '../system/cli-harness.ts'
import { checkEverything, createLedger, createTopics, Load } from './load.ts'
import type { FileSystemKind } from './loop-disk.ts'
import { LoopDisk } from './loop-disk.ts'

// Power cuts on real file systems: the broker runs on a disk of its own, the kernel is told in the middle of the load to
// let everything fall that has not reached the device, the process is killed, and the disk is mounted again, which is
// where its journal is recovered. What was acknowledged with acks "all" must be there, under the flush policy `always`.

/** Requests that are acknowledged before the cut; the first falls into the making of the topics' first segments. */
const CUT_AFTER = [1, 400, 30, 900, 5, 200, 1_500, 90]
/** Different ways to write things down later, one after the other. */
const MOUNT_OPTIONS: Record<FileSystemKind, readonly (readonly string[])[]> = {
  ext4: [[], ['data=writeback'], ['commit=1'], ['data=writeback', 'commit=1000']],
  xfs: [[], ['logbsize=256k'], ['allocsize=1m'], ['inode64']],
}

/** How long the broker may go on with a disk that refuses everything: every other time. */
const AFTERLIFE_MS = 40

let home: BrokerHome
let disk: LoopDisk | undefined
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(async () => {
  await home.remove()
  disk?.remove()
  disk = undefined
})

function makeDisk(kind: FileSystemKind): LoopDisk {
  disk = new LoopDisk(kind)
  disk.mount(MOUNT_OPTIONS[kind][0])
  return disk
}

test.for<FileSystemKind>(['ext4', 'xfs'])(
  'power cuts under load lose nothing that was acknowledged with acks all, on %s',
  { timeout: 120_000 },
  async (kind, { skip }) => {
    const missing = LoopDisk.missing(kind, { toCut: true })
    if (missing !== undefined) skip(missing)
    const mounted = makeDisk(kind)
    const dataDirectory = join(mounted.path, 'data')
    const environment = { CAFELOG_DATA_DIR: dataDirectory, CAFELOG_FLUSH_POLICY: 'always' }
    const ledger = createLedger()
    const readyMs: number[] = []
    let broker = await home.start({ environment })
    await createTopics(broker)
    for (const [life, cutAfter] of CUT_AFTER.entries()) {
      const load = await Load.start(broker, ledger, { life, promised: ['all'] })
      await load.acknowledged(cutAfter)
      expect(ledger.refusals).toEqual([])
      // While it shuts down, Linux answers some syncs with success that do not happen any more, on both file systems. A
      // power cut takes whoever hears that; here only what was acknowledged before counts.
      load.promiseNothingMore()
      await mounted.cut()
      if (life % 2 === 0) await sleep(AFTERLIFE_MS)
      await broker.kill()
      await load.ended()
      ledger.refusals.length = 0
      mounted.unmount()

      mounted.mount(MOUNT_OPTIONS[kind][life % MOUNT_OPTIONS[kind].length])
      broker = await home.start({ environment })
      readyMs.push(Math.round(broker.readyMs))
      await checkEverything(broker, ledger)
      expect({ life, violations: ledger.violations.slice(0, 20) }).toEqual({ life, violations: [] })
    }
    expect(await broker.stop()).toBe(0)
    const verified = await runCli(['log', 'verify', '--data-dir', dataDirectory], {})
    expect({ code: verified.code, stderr: verified.stderr }).toEqual({ code: 0, stderr: '' })
    console.info(
      `power cuts on ${kind}: ${CUT_AFTER.length} cuts, ${ledger.acknowledgedRecords} records and ` +
        `${ledger.acknowledgedCommits} commits acknowledged, 0 lost, ${ledger.survivors} without a promise were there; ` +
        `ready again after ${readyMs.join(', ')} ms`,
    )
  },
)

test.for<FileSystemKind>(['ext4', 'xfs'])(
  'a power cut loses records, and nothing else, under the policy os, on %s: so the cut is real',
  { timeout: 60_000 },
  async (kind, { skip }) => {
    const missing = LoopDisk.missing(kind, { toCut: true })
    if (missing !== undefined) skip(missing)
    const mounted = makeDisk(kind)
    const environment = { CAFELOG_DATA_DIR: join(mounted.path, 'data'), CAFELOG_FLUSH_POLICY: 'os' }
    const ledger = createLedger()
    const broker = await home.start({ environment })
    await createTopics(broker)
    const load = await Load.start(broker, ledger, { life: 0, promised: ['all', 1] })
    await load.acknowledged(500)
    load.promiseNothingMore()
    await mounted.cut()
    await broker.kill()
    await load.ended()
    mounted.unmount()
    mounted.mount()
    await checkEverything(await home.start({ environment }), ledger)
    const lost = ledger.violations.filter((violation) => violation.endsWith('is lost'))
    expect(ledger.violations.filter((violation) => !lost.includes(violation))).toEqual([])
    expect(lost.length).toBeGreaterThan(1_000)
    console.info(
      `power cut on ${kind}, policy os: ${lost.length} of ${ledger.acknowledgedRecords} acknowledged records are gone, ` +
        `and none of ${ledger.acknowledgedCommits} commits`,
    )
  },
)
