import { damageCheckpoint, damageIndexes, damageSegment, removeCheckpoint } from './damage.ts'
import { type HabitName, habitsOf } from './habits.ts'
import type { LifeReport } from './life-report.ts'
import { type Ending, Violation } from './partition-model.ts'
import { SeededRandom } from './seeded-random.ts'
import type { PowerCut } from './sim-disk.ts'
import type { OperationKind } from './sim-file-system.ts'
import { Work } from './work.ts'
import { describe, World } from './world.ts'

export interface LifeOptions {
  readonly seed: number
  /** How it is lived; chosen by the seed when undefined. */
  readonly habit: HabitName | undefined
  /** After so many ends of a process the life is over. */
  readonly endings: number
  readonly report: LifeReport
  /** Called with everything that happens, in words. */
  readonly onTrace?: (line: string) => void
}

const POWER_CUTS: readonly PowerCut[] = [
  'none',
  'all',
  'prefix',
  'prefix',
  'torn',
  'torn',
  'random',
  'random',
  'random',
]

/** Operations between which most depends on the order: a process dies there more often than chance would have it. */
const TURNING_POINTS: readonly OperationKind[] = [
  'create',
  'write',
  'truncate',
  'sync',
  'close',
  'makeDirectory',
  'syncDirectory',
  'rename',
  'remove',
]

/** Lives through one seeded history of starts, work, faults, kills and power cuts. Throws the first Violation. */
export async function live({ seed, habit, endings, report, onTrace }: LifeOptions): Promise<void> {
  const random = new SeededRandom(seed)
  const habits = habitsOf(habit, random)
  const hasFaults = random.chance(habits.faultyShare)
  const world = new World({ seed: random.next(), report, hasFaults, habits, isLarge: random.chance(0.02), onTrace })
  const life = new Life(world)
  report.lives += 1
  let ending: Ending = 'clean'
  for (let round = 0; round < endings; round += 1) {
    await life.start(ending)
    await life.work()
    ending = await life.end()
  }
  await life.start(ending)
  life.finish()
}

/** The frame of a life: processes are started, checked, ended. */
export class Life {
  readonly #world: World
  readonly #work: Work
  #isCheckpointDamaged = false

  readonly #isGentle: boolean

  /** `isGentle`: starts are not disturbed and recoveries not repeated. */
  constructor(world: World, { isGentle = false } = {}) {
    this.#world = world
    this.#work = new Work(world)
    this.#isGentle = isGentle
  }

  /** Starts until a start gets through, and compares what is there with what was promised. */
  async start(last: Ending): Promise<void> {
    const world = this.#world
    const { random } = world
    let worst = last
    for (let attempt = 1; ; attempt += 1) {
      world.startProcess()
      if (!this.#isGentle && attempt < 5 && random.chance(world.options.habits.troubledStartShare)) {
        if (random.chance(0.3)) world.plan.stopAfter(1 + random.below(random.pick([10, 60])))
        else if (random.chance(0.5)) this.#stopAtTurningPoint(5)
        else if (world.options.hasFaults) world.plan.armAny(random)
      }
      if (await this.#open()) break
      world.report.interruptedStarts += 1
      world.say(`start ${attempt} did not get through`)
      world.process.stop()
      // With the checkpoint gone, a torn segment in the middle cannot be told from a complete one: one thing at a time.
      if (!this.#isCheckpointDamaged && random.chance(0.5)) worst = this.cutPower(random.pick(POWER_CUTS))
      else if (worst === 'clean') worst = 'kill'
    }
    await this.verify(worst, last)
    if (!this.#isGentle && random.chance(0.05)) await this.#recoverAgain()
  }

  /** Lets the process work until it has had enough or dies. */
  async work(): Promise<void> {
    const { random, plan, options } = this.#world
    const when = random.below(4)
    if (when === 0) plan.stopAfter(1 + random.below(random.pick([20, 100, 300])))
    if (when === 1) this.#stopAtTurningPoint(random.pick([2, 10]))
    await this.#work.run(random.below(random.pick(options.habits.stepCounts)))
  }

  #stopAtTurningPoint(waitMax: number): void {
    const { random, plan } = this.#world
    plan.arm([random.pick(TURNING_POINTS)], random.below(waitMax), { kind: 'stop' }, false)
  }

  /** Ends the process, in order or not, and lets things happen to its disk until the next start. */
  async end(): Promise<Ending> {
    const world = this.#world
    const { random, disk } = world
    const { habits } = world.options
    let ending: Ending = random.chance(habits.cleanShare) && (await this.close()) ? 'clean' : 'kill'
    world.process.stop()
    world.say(`ended: ${ending}`)
    if (ending === 'clean') {
      world.report.cleanStops += 1
      // After a stop in order even a power cut takes nothing.
      if (random.chance(0.3)) this.cutPower(random.pick(POWER_CUTS))
    } else if (!random.chance(habits.killShare)) ending = this.cutPower(random.pick(POWER_CUTS))
    else {
      world.report.kills += 1
      // The page cache may have let go of pages that it believed to be on disk.
      if (random.chance(0.3) && disk.dropCleanPages()) ending = 'power'
    }
    if (random.chance(habits.spoilShare)) damageIndexes(world)
    if (ending === 'clean' && world.options.hasFaults && random.chance(0.3) && habits.compactedShare === 0) {
      damageSegment(world)
    }
    // Without the checkpoint nobody can tell what a failed sync or a power cut has done to the older segments.
    if (ending !== 'power' && !world.isDamaged && !world.hasStruck && random.chance(habits.spoilShare)) {
      this.#isCheckpointDamaged = damageCheckpoint(world)
      if (this.#isCheckpointDamaged) world.say('the checkpoint is damaged')
    }
    return ending
  }

  /** The life is over; no more is looked at. */
  finish(): void {
    this.#world.process.stop()
    this.#world.noteProcess()
  }

  cutPower(cut: PowerCut): Ending {
    const world = this.#world
    world.report.powerCuts += 1
    world.say(`power cut: ${cut}`)
    world.disk.cutPower(cut, world.random)
    return 'power'
  }

  /** Compares everything with what was promised. `last` is how the last process that served clients had ended. */
  async verify(worst: Ending, last: Ending): Promise<void> {
    const world = this.#world
    for (const topic of world.topics.values()) {
      const logs = topic.partitions.map((_, index) => world.logOf(topic, index))
      // A deletion that was cut short has happened to the whole topic or to nothing of it.
      if (topic.state === 'deleting' && logs.every((log) => log.logEndOffset === 0)) {
        topic.partitions.splice(0, topic.partitions.length, ...logs.map((_, index) => world.newModel(topic, index)))
      }
      topic.state = 'present'
      for (const [index, log] of logs.entries()) {
        const model = topic.partitions[index]
        if (this.#isCheckpointDamaged) model.forgetCheckpoint()
        const found = await this.#work.client.readAll(model, log)
        const before = model.recordsChecked
        const compacted = model.compactedRecords
        model.restarted({ worst, last, isClosing: world.isClosing, log, found, now: world.latestNow })
        this.#work.client.checkProducers({ model, log })
        world.report.recordsChecked += model.recordsChecked - before
        world.report.recordsCompacted += model.compactedRecords - compacted
        world.notified.set(log, log.highWatermark)
      }
    }
    world.isClosing = false
    this.#isCheckpointDamaged = false
    world.judge.check()
  }

  /** Opens engine and topics. False when a fault or the end of the process came between, which must be the only reasons. */
  async #open(): Promise<boolean> {
    const world = this.#world
    try {
      await world.openEngine(world.random.pick([2, 3, 5, 100]))
      world.plan.disarm()
      for (const { name, state } of world.topics.values()) {
        if (state !== 'refused') continue
        await world.process.settle(world.process.engine.deleteTopic(name))
        world.topics.delete(name)
      }
      const closed = world.places().find(({ log }) => log.failure)
      if (!closed) return true
      if (this.#isCheckpointDamaged) {
        // What is left of it may be too old for the logs; then it says so.
        world.process.stop()
        removeCheckpoint(world)
      } else if (!world.hasStruck) {
        world.judge.fail('start', `${closed.model.name} is closed without cause: ${closed.log.failure?.message}`)
      }
    } catch (error) {
      if (error instanceof Violation) throw error
      if (!world.process.isStopped && !world.hasStruck) {
        world.judge.fail('start', `refused without cause: ${describe(error)}`)
      }
    }
    return false
  }

  /** A second recovery finds and leaves exactly what the first one did. */
  async #recoverAgain(): Promise<void> {
    const world = this.#world
    await world.process.completeAll()
    world.process.stop()
    world.report.repeatedRecoveries += 1
    const before = this.#segmentFiles()
    const ending = world.random.chance(0.5) ? this.cutPower('none') : 'kill'
    world.startProcess()
    await world.openEngine(world.random.pick([2, 100]))
    const after = this.#segmentFiles()
    for (const [path, bytes] of before) {
      const found = after.get(path)
      // What lies below the log start may go at any time.
      const isExpired = Number(/(\d+)\.log$/.exec(path)?.[1]) < (world.modelOf(path)?.logStart ?? 0)
      if (found ? !found.equals(bytes) : !isExpired) world.judge.fail('I11 recovery', `done twice, ${path} differs`)
    }
    await this.verify(ending, ending)
  }

  #segmentFiles(): Map<string, Buffer> {
    const files = new Map<string, Buffer>()
    for (const { path, inode } of this.#world.disk.files()) {
      if (path.endsWith('.log') && !path.includes('@')) files.set(path, Buffer.from(inode.live.view()))
    }
    return files
  }

  /** Stops the engine in order. False when that was refused, which needs a reason, or when it was not clean. */
  async close(): Promise<boolean> {
    const world = this.#world
    const { judge, process } = world
    if (process.isStopped) return false
    world.isClosing = true
    if (world.random.chance(0.5)) world.plan.disarm()
    const places = world.places()
    if (world.random.chance(0.5)) world.disk.capacityBytes = Number.POSITIVE_INFINITY
    if (world.random.chance(0.3)) this.#work.client.append()
    if (world.random.chance(0.3)) this.#work.client.deleteRecords()
    try {
      await process.settle(process.engine.close())
    } catch (error) {
      if (error instanceof Violation) throw error
      if (!process.isStopped && !world.hasStruck && !world.wasFull) {
        judge.fail('close', `refused without cause: ${describe(error)}`)
      }
      return false
    }
    judge.check()
    // A sync of a partition that had failed may still be in flight; nobody waits for it.
    await process.completeAll()
    const { openFiles, openPaths } = process.fileSystem
    if (openFiles > 0) judge.fail('I16 bounded', `open after close: ${openPaths.join(', ')}`)
    if (world.clock.pendingTimers > 0) judge.fail('I16 bounded', `${world.clock.pendingTimers} timers after close`)
    if (places.some(({ log }) => log.failure) || world.hasStruck) return false
    for (const { model, log } of places) {
      model.observe(log, world.latestNow)
      model.closed(log)
    }
    return true
  }
}
