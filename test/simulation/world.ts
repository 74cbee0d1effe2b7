import type { TopicName } from '../../src/base/topic-name.ts'
import type { CleanupPolicy, FlushPolicy, LogConfig, PartitionLog } from '../../src/log/log-engine.ts'
import { FaultPlan } from './fault-plan.ts'
import type { Habits } from './habits.ts'
import type { LifeReport } from './life-report.ts'
import { Judge, PartitionModel } from './partition-model.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { ProcessStopped } from './sim-file-system.ts'
import { DATA_DIRECTORY, SimProcess } from './sim-process.ts'

/** A topic as the broker's store would remember it. */
export interface TopicModel {
  readonly name: TopicName
  config: LogConfig
  readonly partitions: PartitionModel[]
  /**
   * `deleting`: a deletion was begun and nobody knows how far it came. `refused`: the disk refused it half-way; it has to
   * be asked for again.
   */
  state: 'present' | 'deleting' | 'refused'
}

/** A partition as it should be, and as it is. */
export interface Place {
  readonly model: PartitionModel
  readonly log: PartitionLog
}

export interface WorldOptions {
  readonly seed: number
  readonly report: LifeReport
  /** Whether disks may fail, fill up and rot. Without that a world is held to more: nothing may be refused. */
  readonly hasFaults: boolean
  readonly habits: Habits
  /** Batches too large to be read at once, by way of exception. */
  readonly isLarge: boolean
  /** Called with everything that happens, in words. */
  readonly onTrace: ((line: string) => void) | undefined
}

/** Everything there is in one simulated life: the disk, the clock, the process of the moment, and what is expected of it. */
export class World {
  readonly options: WorldOptions
  readonly report: LifeReport
  readonly random: SeededRandom
  readonly disk = new SimDisk()
  readonly judge: Judge = new Judge()
  readonly topics = new Map<TopicName, TopicModel>()
  /** The high watermark that was last told of each log. */
  readonly notified = new Map<PartitionLog, number>()
  /** Headers in which a bit was turned over, and the batch that each belongs to. */
  readonly damagedHeaders: { path: string; offset: number }[] = []
  clock = new SimClock()
  plan = new FaultPlan()
  process: SimProcess
  nextBatchId = 1
  /** The latest wall-clock time since the partitions were last looked at; the clock may have been set back since. */
  latestNow = 0
  /** The disk was too small at some time in this run. */
  wasFull = false
  /** The same in any run: then room may have counted for more than the memory of producers. */
  wasEverFull = false
  /** An operation failed after which the process is of no more use. */
  isSpent = false
  /** The process that ended last was being closed. */
  isClosing = false
  /** Some bit was turned over in some segment. */
  isDamaged = false

  constructor(options: WorldOptions) {
    this.options = options
    this.report = options.report
    this.random = new SeededRandom(options.seed)
    this.process = new SimProcess(this.disk, this.clock, this.random)
  }

  /** Begins a new process on the disk, some time after the last one. */
  startProcess(): void {
    this.noteProcess()
    const downtime = this.random.below(this.random.pick([10, 5_000, 100_000]))
    this.clock = new SimClock(this.clock.now() + downtime, this.clock.monotonic() + downtime)
    this.plan = new FaultPlan()
    this.process = new SimProcess(this.disk, this.clock, this.random)
    this.process.fileSystem.onOperation = this.plan.decide
    this.process.fileSystem.onTrace = this.options.onTrace
    this.latestNow = this.clock.now()
    this.wasFull = false
    this.isSpent = false
    this.notified.clear()
    this.disk.capacityBytes = Number.POSITIVE_INFINITY
  }

  /** Opens the engine and all topics that the store remembers. */
  async openEngine(openFilesMax: number): Promise<void> {
    await this.process.start(openFilesMax)
    const { engine } = this.process
    engine.onHighWatermark = (log) => {
      if (!this.process.isStopped) this.notified.set(log, log.highWatermark)
    }
    const opens = [...this.topics.values()].map((topic) => () => {
      return engine.openTopic(topic.name, topic.partitions.length, topic.config)
    })
    if (this.random.chance(0.5)) await this.process.settle(Promise.all(opens.map((open) => open())))
    else for (const open of opens) await this.process.settle(open())
  }

  /** Adds a process that is over to the report. */
  noteProcess(): void {
    const { fileSystem } = this.process
    this.report.operations += fileSystem.operations
    this.report.faults += this.plan.struck.length
    this.wasEverFull ||= this.plan.hasFilled
    this.report.traceHash = (Math.imul(this.report.traceHash, 31) + fileSystem.traceHash) >>> 0
  }

  /** Whether something went wrong on the disk in this run that may be a reason for refusals. */
  get hasStruck(): boolean {
    return this.plan.hasStruck || this.process.fileSystem.inheritedErrors > 0
  }

  /** All partitions that are open. */
  places(): Place[] {
    const found: Place[] = []
    for (const topic of this.topics.values()) {
      for (const [index, model] of topic.partitions.entries()) {
        const log = this.process.engine.get(topic.name, index)
        if (log) found.push({ model, log })
      }
    }
    return found
  }

  anyPlace(): Place | undefined {
    const places = this.places()
    return places.length === 0 ? undefined : this.random.pick(places)
  }

  logOf(topic: TopicModel, index: number): PartitionLog {
    const log = this.process.engine.get(topic.name, index)
    if (!log) this.judge.fail('topics', `${topic.name}, partition ${index} was opened and is not there`)
    return log
  }

  /** The model of the partition that a file belongs to. */
  modelOf(path: string): PartitionModel | undefined {
    for (const topic of this.topics.values()) {
      for (const model of topic.partitions) if (path.startsWith(`${model.directory}/`)) return model
    }
    return undefined
  }

  newModel(topic: TopicModel, index: number): PartitionModel {
    const name = `${topic.name}/partition-${index}`
    return new PartitionModel(name, `${DATA_DIRECTORY}/${name}`, topic.config, this.judge)
  }

  /** Some settings of a topic, made small so that segments roll, expire and are rebuilt all the time. */
  anyConfig(): LogConfig {
    const random = this.random
    const scale = this.options.isLarge ? 200 : 1
    return {
      retentionMs: random.pick([-1, -1, 1_000, 20_000]),
      retentionBytes: random.pick([-1, -1, 1_500 * scale, 6_000 * scale]),
      segmentMs: random.pick([604_800_000, 5_000]),
      segmentBytes: random.pick(this.options.habits.segmentBytes) * scale,
      batchBytesMax: 1_000_000,
      indexIntervalBytes: random.pick([1, 300, 4_096]),
      flushPolicy: this.#anyPolicy(),
      cleanupPolicy: this.#anyCleanupPolicy(),
      deleteRetentionMs: 1_000,
      minCompactionLagMs: 0,
      maxCompactionLagMs: -1,
      minCleanableDirtyRatio: 0,
      timestampType: 'CreateTime',
      timestampBeforeMaxMs: -1,
      timestampAfterMaxMs: -1,
      compression: 'producer',
      gzipLevel: -1,
      zstdLevel: 3,
      delayEnable: true,
      delayMaxMs: 31_536_000_000,
      delayRecordsMax: 10_000_000,
    }
  }

  #anyCleanupPolicy(): CleanupPolicy {
    const { compactedShare } = this.options.habits
    if (compactedShare === 0 || !this.random.chance(compactedShare)) return 'delete'
    return this.random.pick(['compact', 'compact', 'compact,delete'])
  }

  #anyPolicy(): FlushPolicy {
    const kind = this.random.pick(this.options.habits.policies)
    return kind === 'interval' ? { kind, intervalMs: this.random.pick([1, 50, 1_000]) } : { kind }
  }

  /** Adds a line to the story. */
  say(line: string): void {
    this.options.onTrace?.(`-- ${line}`)
  }
}

/** An error in words, with where it came from. */
export function describe(error: unknown): string {
  if (error instanceof ProcessStopped) return 'the process is gone'
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
