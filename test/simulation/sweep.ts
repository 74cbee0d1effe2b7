import { HABITS } from './habits.ts'
import { Life } from './life.ts'
import type { LifeReport } from './life-report.ts'
import { Violation } from './partition-model.ts'
import type { PowerCut } from './sim-disk.ts'
import type { Fault, OperationKind } from './sim-file-system.ts'
import { Work } from './work.ts'
import { World } from './world.ts'

// One fixed piece of work, broken off or disturbed at every single operation on the disk, one after the other: what chance
// would leave out. (SQLite calls it the anomaly loop.)

const OPERATIONS_WANTED = 200
const WORK_SEEDS_MAX = 2_000

/** What the work must ask of the disk; with the first seed with which it does, it is taken. */
const KINDS_WANTED: readonly OperationKind[] = [
  'create',
  'open',
  'read',
  'write',
  'sync',
  'makeDirectory',
  'syncDirectory',
  'rename',
  'remove',
  'removeDirectory',
]

const ENDS: readonly ('kill' | PowerCut)[] = ['kill', 'none', 'all', 'prefix', 'random', 'torn']

const FAULTS: readonly Fault[] = [{ kind: 'error', code: 'EIO' }, { kind: 'error', code: 'ENOSPC' }, { kind: 'short' }]

/** What a sweep was doing when a promise was broken. */
export interface SweepFailure {
  readonly what: string
  readonly violation: Violation
  readonly story: readonly string[]
}

export interface SweepResult {
  /** How many operations the fixed work takes when it is left alone. */
  readonly operations: number
  readonly cases: number
  readonly failure: SweepFailure | undefined
}

/** Ends the process at each operation of the fixed work, in each way that there is, and checks the next start. */
export async function sweepEnds(report: LifeReport): Promise<SweepResult> {
  const { seed, operations } = await chooseWork(report)
  let cases = 0
  for (let at = 1; at <= operations + 1; at += 1) {
    for (const end of ENDS) {
      cases += 1
      const failure = await attempt(`end ${end} before operation ${at}`, seed, report, async (world, life) => {
        world.plan.stopAfter(at)
        await doFixedWork(world, life)
        world.process.stop()
        if (end === 'kill') report.kills += 1
        else life.cutPower(end)
        await life.start(end === 'kill' ? 'kill' : 'power')
      })
      if (failure) return { operations, cases, failure }
    }
  }
  return { operations, cases, failure: undefined }
}

/** Lets each operation of the fixed work fail, once and from then on, and checks what follows and the next start. */
export async function sweepFaults(report: LifeReport): Promise<SweepResult> {
  const { seed, operations } = await chooseWork(report)
  let cases = 0
  for (let at = 1; at <= operations; at += 1) {
    for (const fault of FAULTS) {
      for (const isPersistent of [false, true]) {
        cases += 1
        const name = `${fault.kind === 'error' ? fault.code : fault.kind} ${isPersistent ? 'from' : 'at'} operation ${at}`
        const failure = await attempt(name, seed, report, async (world, life) => {
          world.plan.armAt(at, fault, isPersistent)
          await doFixedWork(world, life)
          world.process.stop()
          await life.start(life.cutPower('random'))
        })
        if (failure) return { operations, cases, failure }
      }
    }
  }
  return { operations, cases, failure: undefined }
}

async function attempt(
  what: string,
  seed: number,
  report: LifeReport,
  act: (world: World, life: Life) => Promise<void>,
): Promise<SweepFailure | undefined> {
  const story: string[] = []
  const world = newWorld(seed, report, (line) => {
    story.push(line)
    if (story.length > 200) story.splice(0, 100)
  })
  report.lives += 1
  try {
    const life = new Life(world, { isGentle: true })
    world.startProcess()
    await act(world, life)
    life.finish()
    return undefined
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    return { what, violation: error, story }
  }
}

function newWorld(seed: number, report: LifeReport, onTrace: ((line: string) => void) | undefined): World {
  return new World({ seed, report, hasFaults: false, habits: HABITS.plain, isLarge: false, onTrace })
}

/** Opens the engine, takes steps until the disk has had enough operations, and closes it; the process may die anywhere. */
async function doFixedWork(world: World, life: Life): Promise<void> {
  try {
    await world.openEngine(3)
  } catch (error) {
    if (error instanceof Violation || (!world.process.isStopped && !world.hasStruck)) throw error
    return
  }
  const work = new Work(world)
  while (world.process.fileSystem.operations < OPERATIONS_WANTED && !world.process.isStopped && !world.isSpent) {
    await work.run(1)
  }
  if (!world.process.isStopped && !world.isSpent) await life.close()
}

/** Finds work that is worth the sweep: always the same as long as the broker does the same. */
async function chooseWork(report: LifeReport): Promise<{ seed: number; operations: number }> {
  for (let seed = 1; seed <= WORK_SEEDS_MAX; seed += 1) {
    const kinds = await listOperations(seed, report)
    if (KINDS_WANTED.every((kind) => kinds.includes(kind))) return { seed, operations: kinds.length }
  }
  throw new Error(`None of ${WORK_SEEDS_MAX} pieces of work asks the disk for ${KINDS_WANTED.join(', ')}`)
}

async function listOperations(seed: number, report: LifeReport): Promise<OperationKind[]> {
  const kinds: OperationKind[] = []
  const world = newWorld(seed, { ...report }, undefined)
  const life = new Life(world, { isGentle: true })
  world.startProcess()
  world.process.fileSystem.onOperation = (kind) => {
    kinds.push(kind)
    return undefined
  }
  await doFixedWork(world, life)
  life.finish()
  return kinds
}
