import { dirname, join } from 'node:path'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { BufferPool } from '../base/buffer-pool.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { FileSystem } from '../base/file-system.ts'
import type { Logger } from '../base/logger.ts'
import type { TopicName } from '../base/topic-name.ts'
import { UNPACKED_BYTES_MAX } from '../record/record-batch.ts'
import { LogCleaner } from './cleaner.ts'
import { Checkpoint, type CheckpointState, done, type PartitionEntry } from './checkpoint.ts'
import type { LogConfig, LogEngine, PartitionLog, StagedFile } from './log-engine.ts'
import { linkImage } from './log-image.ts'
import { assumeState } from './lost-checkpoint.ts'
import { OpenFiles } from './open-files.ts'
import type { LogContext } from './log-context.ts'
import type { PartitionFacts } from './partition-facts.ts'
import { SegmentPartitionLog } from './partition-log.ts'
import { recoverPartition } from './recovery.ts'
import { retentionLimits } from './retention.ts'
import { SyncTurns } from './sync-turns.ts'

const DELETED_PREFIX = '@deleted-'
/** After a roll, retention waits so long, so that a burst of rolls costs one pass. */
const RETENTION_SOON_MS = 50
/** After a pass that could not remove all that has expired. */
const RETENTION_AGAIN_MS = 1000
/** A short retention is looked after ten times in its length, a long one at the regular interval. */
const RETENTION_CHECKS_PER_LIFE = 10
const RETENTION_CHECK_MS_MIN = 100
const SPACE_CHECK_MS = 1000
/** Produce stops while less is free, so that commits, checkpoints and a clean stop still find room. */
const FREE_BYTES_FLOOR_MAX = 16 * 1024 * 1024
const FREE_SHARE_FLOOR = 0.02
/** Between "full" and "has room again", so that it does not flicker. */
const FREE_RESUME_FACTOR = 1.5
/** Syncs under way at the same time; with few descriptors, a share of the files that may be open. */
const SYNCS_AT_ONCE_MAX = 64
const SYNCS_AT_ONCE_LEAST = 4
const SYNCS_SHARE = 1 / 4
/** Partitions that are opened before the event loop gets a turn. */
const OPENED_PER_TURN = 500

/** What an operator may set. */
export interface EngineOptions {
  /** Segment and index files that may be open at a time. */
  readonly openFilesMax: number
  /** How often recovery points are saved while something is being written. */
  readonly checkpointMs: number
  /** How often retention by time is looked after, at the least. */
  readonly retentionCheckMs: number
  /** How often the cleaner looks for something to compact. */
  readonly cleanerCheckMs: number
  /** What the cleaner may take for its table of keys. */
  readonly cleanerMemoryBytes: number
  /** What the cleaner may read and write, on the average; -1 is "no limit". */
  readonly cleanerBytesPerSecond: number
  /** The most that the records of a batch may grow to when one is looked for by its time. */
  readonly unpackedBytesMax: number
  /** For how long a producer that is silent is remembered: Kafka's producer.id.expiration.ms. */
  readonly producerExpiryMs: number
  /** After so many bytes of a log a snapshot of its producers is taken: a start has no more to walk. */
  readonly producerSnapshotBytes: number
}

/** The options of an operator who has set none. */
export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  openFilesMax: 1024,
  checkpointMs: 5000,
  retentionCheckMs: 300_000,
  cleanerCheckMs: 15_000,
  cleanerMemoryBytes: 32 * 1024 * 1024,
  cleanerBytesPerSecond: 64 * 1024 * 1024,
  unpackedBytesMax: UNPACKED_BYTES_MAX,
  producerExpiryMs: 86_400_000,
  producerSnapshotBytes: 16 * 1024 * 1024,
}

/** What the engine is given to work with. */
export interface EngineParts {
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly clock: Clock
  /** For how often to save and to look at the disk, where time that is put forward changes nothing; `clock` unless given. */
  readonly machineClock?: Clock
  readonly logger: Logger
  readonly options?: Partial<EngineOptions>
  /** Told the duration of every sync in seconds. */
  readonly observeSync?: (seconds: number) => void
  /** Lets other work have a turn during a long start. */
  readonly yieldTurn?: () => Promise<void>
}

/** What the last start found. */
export interface RecoveryReport {
  readonly wasClean: boolean
  recoveredPartitions: number
  truncatedBytes: number
}

/**
 * The one implementation of the log port: partitions as folders of segment files.
 *
 * The data directory holds `<topic>/partition-<n>/`, two checkpoint slots, and nothing else of this room. The checkpoint
 * says how far each partition is durable; after a clean stop it says everything, and nothing else is read.
 */
export class SegmentLogEngine implements LogEngine, LogContext {
  readonly fileSystem: FileSystem
  readonly clock: Clock
  readonly logger: Logger
  readonly files: OpenFiles
  readonly buffers = new BufferPool()
  readonly syncTurns: SyncTurns
  readonly producerSnapshotBytes: number
  readonly leaderEpoch: number
  readonly unpackedBytesMax: number
  readonly recovery: RecoveryReport
  readonly cleaner: LogCleaner
  corruptBatches = 0
  isDiskFull = false
  onHighWatermark: (log: PartitionLog) => void = () => {}
  readonly observeSync: (seconds: number) => void

  readonly #directory: string
  readonly #options: EngineOptions
  readonly #yieldTurn: () => Promise<void>
  readonly #checkpoint: Checkpoint
  /** Of partitions that the checkpoint knows and nobody has opened yet. */
  readonly #known = new Map<string, PartitionEntry>()
  readonly #topics = new Map<TopicName, SegmentPartitionLog[]>()

  #toWrite: SegmentPartitionLog[] = []
  #isCheckpointStale = false
  #checkpointing: Promise<void> | undefined
  #nextCheckpoint: Promise<void> | undefined
  /** The checkpoint of a stop in order; there is none after it. */
  #lastSave: Promise<void> | undefined
  #retaining: Promise<void> = Promise.resolve()
  readonly #toRetain = new Set<SegmentPartitionLog>()
  readonly #toRetainAgain = new Set<SegmentPartitionLog>()
  readonly #timers = new Map<string, Timer>()
  #retentionDelayMs = 0
  #isClosed = false
  /** While an image is being taken. */
  #staging: Promise<unknown> | undefined

  /**
   * Opens a data directory, making it if it is not there. The caller holds its lock.
   *
   * Throws the system's error when the directory cannot be used.
   */
  static async open(parts: EngineParts): Promise<SegmentLogEngine> {
    parts.fileSystem.makeDirectory(parts.directory)
    await syncNameOf(parts.fileSystem, parts.directory)
    const checkpoint = new Checkpoint(parts.fileSystem, parts.directory)
    const state = checkpoint.read() ?? assumeState(parts.fileSystem, parts.directory, parts.clock.now())
    const engine = new SegmentLogEngine(parts, checkpoint, state)
    const names = new Set(parts.fileSystem.list(parts.directory).map(({ name }) => name))
    const deleted = [...names].filter((name) => name.startsWith(DELETED_PREFIX))
    for (const [key, { topic }] of engine.#known) {
      // The deletion of this topic was cut short after it had taken effect.
      if (!names.has(topic) && deleted.some((name) => name.startsWith(deletedPrefix(topic)))) engine.#known.delete(key)
    }
    await checkpoint.settle()
    // From here on a stop is not clean until the next checkpoint says that it was.
    await engine.#saveInBoth()
    for (const name of deleted) parts.fileSystem.removeDirectory(join(parts.directory, name))
    const saveIfStale = () => {
      if (engine.#isCheckpointStale) engine.#saveInBackground()
    }
    engine.#every('checkpoint', engine.#options.checkpointMs, saveIfStale, parts.machineClock)
    engine.#every('space', SPACE_CHECK_MS, () => engine.#checkSpace(), parts.machineClock)
    engine.#armRetention(engine.#options.retentionCheckMs)
    engine.#every('cleaner', engine.#options.cleanerCheckMs, () => {
      void engine.compact()
    })
    return engine
  }

  private constructor(parts: EngineParts, checkpoint: Checkpoint, state: CheckpointState | undefined) {
    this.fileSystem = parts.fileSystem
    this.clock = parts.clock
    this.logger = parts.logger
    this.#directory = parts.directory
    this.#options = { ...DEFAULT_ENGINE_OPTIONS, ...parts.options }
    this.producerSnapshotBytes = this.#options.producerSnapshotBytes
    this.#yieldTurn = parts.yieldTurn ?? (() => new Promise((resolve) => setImmediate(resolve)))
    this.unpackedBytesMax = this.#options.unpackedBytesMax
    this.files = new OpenFiles(parts.fileSystem, this.#options.openFilesMax)
    const syncsWanted = Math.max(SYNCS_AT_ONCE_LEAST, Math.floor(this.#options.openFilesMax * SYNCS_SHARE))
    this.syncTurns = new SyncTurns(Math.min(SYNCS_AT_ONCE_MAX, syncsWanted))
    const observe = parts.observeSync ?? (() => {})
    this.observeSync = (seconds) => {
      this.#isCheckpointStale = true
      observe(seconds)
    }
    this.cleaner = new LogCleaner(this, {
      memoryBytes: this.#options.cleanerMemoryBytes,
      bytesPerSecond: this.#options.cleanerBytesPerSecond,
    })
    this.#checkpoint = checkpoint
    for (const entry of state?.partitions ?? []) this.#known.set(keyOf(entry.topic, entry.partition), entry)
    const wasClean = state === undefined || state.isClean
    this.leaderEpoch = (state?.leaderEpoch ?? 0) + (wasClean ? 0 : 1)
    this.recovery = { wasClean, recoveredPartitions: 0, truncatedBytes: 0 }
  }

  get(topic: TopicName, partition: number): SegmentPartitionLog | undefined {
    return this.#topics.get(topic)?.[partition]
  }

  /** All open partitions, for metrics. */
  *partitions(): Iterable<SegmentPartitionLog> {
    for (const logs of this.#topics.values()) yield* logs
  }

  /** Compacts what is dirty enough; resolves when that is done. */
  compact(): Promise<void> {
    return this.cleaner.clean(() => this.partitions())
  }

  async openTopic(topic: TopicName, partitionCount: number, config: LogConfig): Promise<void> {
    const logs = this.#topics.get(topic) ?? []
    const opened: SegmentPartitionLog[] = []
    let isNew = false
    for (let partition = logs.length; partition < partitionCount; partition++) {
      const directory = join(this.#directory, topic, `partition-${partition}`)
      const entry = this.#known.get(keyOf(topic, partition))
      const mustMake =
        (entry === undefined || !this.recovery.wasClean) && this.fileSystem.sizeOf(directory) === undefined
      if (mustMake) this.fileSystem.makeDirectory(directory)
      // A directory that is there without being in the checkpoint was made by a process that may have died before it had
      // made the name durable.
      isNew ||= mustMake || entry === undefined
      opened.push(this.#openPartition({ topic, partition, directory }, config, entry?.facts))
      if (partition % OPENED_PER_TURN === OPENED_PER_TURN - 1) await this.#yieldTurn()
    }
    if (isNew) {
      await done((finish) => this.fileSystem.syncDirectory(join(this.#directory, topic), finish))
      await done((finish) => this.fileSystem.syncDirectory(this.#directory, finish))
    }
    for (const log of opened) this.#known.delete(keyOf(topic, log.partition))
    this.#topics.set(topic, [...logs, ...opened])
    this.#isCheckpointStale ||= opened.length > 0
    this.#hastenRetention(config)
  }

  configureTopic(topic: TopicName, config: LogConfig): void {
    const logs = this.#topics.get(topic) ?? []
    for (const log of logs) log.configure(config)
    this.#hastenRetention(config)
    // A lower limit by size counts at once: a full disk, where no segment is rolled any more, may be waiting for it.
    this.#retainSoon(logs)
  }

  async deleteTopic(topic: TopicName): Promise<void> {
    const logs = this.#topics.get(topic) ?? []
    // Until the topic's directory is gone the checkpoint must know its partitions, or a start that comes between would
    // take the log for one that was just made.
    for (const log of logs) {
      const { partition } = log
      this.#known.set(keyOf(topic, partition), { topic, partition, facts: log.facts() })
    }
    this.#topics.delete(topic)
    const reason = new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `Topic "${topic}" was deleted`)
    await Promise.all(logs.map((log) => log.retire(reason)))
    const directory = join(this.#directory, topic)
    const away = join(this.#directory, `${deletedPrefix(topic)}${this.clock.now()}`)
    await this.untilReleased()
    const isThere = this.fileSystem.sizeOf(directory) !== undefined
    if (isThere) {
      this.fileSystem.rename(directory, away)
      await done((finish) => this.fileSystem.syncDirectory(this.#directory, finish))
    }
    for (const [key, entry] of this.#known) if (entry.topic === topic) this.#known.delete(key)
    // A topic of the same name may come next: the checkpoint must have forgotten this one by then.
    await this.#saveInBoth()
    if (isThere) this.fileSystem.removeDirectory(away)
  }

  async stageImage(directory: string): Promise<readonly StagedFile[]> {
    assert(this.#staging === undefined, 'one image is taken at a time')
    const logs = [...this.partitions()]
    const image = { leaderEpoch: this.leaderEpoch, partitions: logs.map((log) => log.image()) }
    const parts = { fileSystem: this.fileSystem, directory, yieldTurn: () => this.#yieldTurn() }
    const staging = linkImage(parts, image)
    this.#staging = staging
    try {
      return await staging
    } finally {
      this.#staging = undefined
      // What was to go meanwhile.
      this.#retainSoon(this.partitions())
    }
  }

  async close(): Promise<void> {
    assert(!this.#isClosed, 'an engine is closed once')
    this.#isClosed = true
    for (const timer of this.#timers.values()) timer.cancel()
    await this.untilReleased()
    this.#flushWrites()
    await this.cleaner.stop()
    await this.#retaining
    const logs = [...this.partitions()]
    const flushed = await Promise.allSettled(logs.map((log) => log.flush()))
    for (const log of logs) log.writeIndexes()
    await Promise.all(logs.map((log) => log.producers.saveAtStop()))
    // A segment that is not in its place yet is put there by the next start, if that looks.
    const isClean =
      flushed.every((result) => result.status === 'fulfilled') && logs.every((log) => log.swap === undefined)
    try {
      while (this.#checkpointing !== undefined) await this.#checkpointing.catch(() => {})
      this.#lastSave = this.#writeCheckpoint(isClean)
      await this.#lastSave
    } finally {
      this.files.closeAll()
    }
  }

  // ------------------------------------------------------------------------------- what the partition logs call

  scheduleWrite(log: SegmentPartitionLog): void {
    if (this.#toWrite.push(log) === 1) queueMicrotask(() => this.#flushWrites())
  }

  highWatermarkMoved(log: SegmentPartitionLog): void {
    this.onHighWatermark(log)
  }

  noteDiskFull(error: Error): void {
    if (this.isDiskFull) return
    this.isDiskFull = true
    this.logger.error({ error }, 'the disk is full: produce is refused until there is room')
    this.#retainSoon(this.partitions())
  }

  noteRolled(log: SegmentPartitionLog): void {
    this.#retainSoon([log])
  }

  saveCheckpoint(): Promise<void> {
    return this.#saveInBoth()
  }

  get isHeld(): boolean {
    return this.#staging !== undefined
  }

  async untilReleased(): Promise<void> {
    while (this.#staging !== undefined) await this.#staging.catch(() => {})
  }

  yieldTurn(): Promise<void> {
    return this.#yieldTurn()
  }

  async saveLogStart(log: SegmentPartitionLog): Promise<void> {
    await this.#saveInBoth()
    if (!this.#isClosed) log.removeDoomed()
  }

  #flushWrites(): void {
    const logs = this.#toWrite
    this.#toWrite = []
    for (const log of logs) log.writePending()
  }

  // -------------------------------------------------------------------------------------------------- opening

  #openPartition(
    place: { topic: TopicName; partition: number; directory: string },
    config: LogConfig,
    known: PartitionFacts | undefined,
  ): SegmentPartitionLog {
    if (this.recovery.wasClean && known !== undefined) return new SegmentPartitionLog(this, place, config, known)
    const facts = known ?? NO_FACTS
    const recovered = recoverPartition(this.fileSystem, place.directory, facts, this.clock.now(), this.logger)
    this.recovery.recoveredPartitions++
    this.recovery.truncatedBytes += recovered.truncatedBytes
    const log = new SegmentPartitionLog(this, place, config, recovered.facts)
    if (recovered.failure !== undefined) {
      const message = `Cannot append to topic "${place.topic}", partition ${place.partition}: ${recovered.failure.message}`
      log.failWith(new BrokerError('KAFKA_STORAGE_ERROR', message, { cause: recovered.failure }))
    }
    return log
  }

  // ----------------------------------------------------------------------------------------------- checkpoints

  /** Saves the state as it is now, or newer; resolves when that is durable. */
  #save(): Promise<void> {
    if (this.#lastSave !== undefined) return this.#lastSave
    if (this.#checkpointing === undefined) {
      this.#checkpointing = this.#writeCheckpoint(false).finally(() => {
        this.#checkpointing = undefined
      })
      return this.#checkpointing
    }
    // The one that is being written may be older than what the caller wants saved: the next one is shared by all.
    this.#nextCheckpoint ??= this.#checkpointing
      .catch(() => {})
      .then(() => {
        this.#nextCheckpoint = undefined
        return this.#save()
      })
    return this.#nextCheckpoint
  }

  /** Saves the state in both files of the checkpoint: before anything that a start with the older one must know of. */
  async #saveInBoth(): Promise<void> {
    await this.#save()
    await this.#save()
  }

  async #writeCheckpoint(isClean: boolean): Promise<void> {
    this.#isCheckpointStale = false
    const partitions = [...this.#known.values()]
    const logs = [...this.partitions()]
    const facts = logs.map((log) => log.facts())
    for (const [i, { topic, partition }] of logs.entries()) partitions.push({ topic, partition, facts: facts[i] })
    try {
      await this.#checkpoint.write({ isClean, leaderEpoch: this.leaderEpoch, partitions })
      for (const [i, log] of logs.entries()) log.noteSaved(facts[i].logStartOffset)
    } catch (error) {
      this.#isCheckpointStale = true
      throw error
    }
  }

  #saveInBackground(): void {
    this.#save().catch((error: unknown) => this.logger.warn({ error }, 'cannot write the checkpoint'))
  }

  // ------------------------------------------------------------------------------------------------- retention

  #armRetention(delayMs: number): void {
    this.#retentionDelayMs = delayMs
    this.#after('retention', delayMs, () => {
      this.#retain([...this.partitions()])
      let next = this.#options.retentionCheckMs
      for (const [log] of this.#topics.values()) {
        if (log !== undefined) next = Math.min(next, retentionDelay(log.config))
      }
      this.#armRetention(next)
    })
  }

  /** A short retention wants to be looked after sooner than the others. */
  #hastenRetention(config: LogConfig): void {
    const delayMs = retentionDelay(config)
    if (delayMs < this.#retentionDelayMs && !this.#isClosed) this.#armRetention(delayMs)
  }

  /** Plans a pass for these; several plans become one pass. */
  #retainSoon(logs: Iterable<SegmentPartitionLog>): void {
    const isPassPlanned = this.#toRetain.size > 0
    for (const log of logs) this.#toRetain.add(log)
    // Put off by each further roll, the pass of a busy log would never come.
    if (isPassPlanned || this.#toRetain.size === 0 || this.#isClosed) return
    this.#after('retention soon', RETENTION_SOON_MS, () => {
      const planned = [...this.#toRetain]
      this.#toRetain.clear()
      this.#retain(planned)
    })
  }

  /** Plans one for later, which does not keep the next one for a roll from coming soon. */
  #retainAgain(logs: readonly SegmentPartitionLog[]): void {
    const isPlanned = this.#toRetainAgain.size > 0
    for (const log of logs) this.#toRetainAgain.add(log)
    if (isPlanned || logs.length === 0 || this.#isClosed) return
    this.#after('retention again', RETENTION_AGAIN_MS, () => {
      const planned = [...this.#toRetainAgain]
      this.#toRetainAgain.clear()
      this.#retainSoon(planned)
    })
  }

  #retain(logs: readonly SegmentPartitionLog[]): void {
    this.#retaining = this.#retaining.then(async () => {
      if (this.#isClosed) return
      const now = this.clock.now()
      const moved = logs.filter((log) => log.applyRetention(now))
      for (const log of logs) log.producers.expire(now - this.#options.producerExpiryMs)
      try {
        if (moved.length > 0) await this.#saveInBoth()
        for (const log of moved) log.removeDoomed()
      } catch (error) {
        // Nothing may be removed before it is on record; the next pass tries again.
        this.logger.warn({ error }, 'cannot save the log start for retention')
      }
      // What could not go while its successor was not on stable storage need not wait for the next roll.
      this.#retainAgain(logs.filter((log) => log.hasExpired(now)))
    })
  }

  // ---------------------------------------------------------------------------------------------------- space

  #checkSpace(): void {
    let space: { freeBytes: number; totalBytes: number }
    try {
      space = this.fileSystem.space(this.#directory)
    } catch {
      return
    }
    const floor = Math.min(FREE_BYTES_FLOOR_MAX, space.totalBytes * FREE_SHARE_FLOOR)
    if (space.freeBytes < floor) {
      this.noteDiskFull(new Error(`${space.freeBytes} bytes are free: less than ${Math.round(floor)}`))
    } else if (this.isDiskFull && space.freeBytes >= floor * FREE_RESUME_FACTOR) {
      this.isDiskFull = false
      this.logger.info({ freeBytes: space.freeBytes }, 'the disk has room again: produce goes on')
    }
  }

  // --------------------------------------------------------------------------------------------------- timers

  #after(name: string, delayMs: number, work: () => void, clock: Clock = this.clock): void {
    this.#timers.get(name)?.cancel()
    this.#timers.set(name, clock.setTimer(delayMs, work))
  }

  #every(name: string, intervalMs: number, work: () => void, clock: Clock = this.clock): void {
    const workAgain = () => {
      this.#every(name, intervalMs, work, clock)
      work()
    }
    this.#after(name, intervalMs, workAgain, clock)
  }
}

/** A partition that the checkpoint does not know was made a moment before the stop: all of it is in doubt. */
const NO_FACTS: PartitionFacts = {
  logStartOffset: 0,
  durableOffset: 0,
  durableBytes: 0,
  epochs: [],
  cleanedOffset: 0,
  segments: [],
  producersEmptyAt: 0,
}

/** Makes a directory's own name durable; it may have been made a moment ago, by us or by a process that died. */
async function syncNameOf(fileSystem: FileSystem, directory: string): Promise<void> {
  try {
    await done((finish) => fileSystem.syncDirectory(dirname(directory), finish))
  } catch (error) {
    // We may be allowed into a directory whose parent we may not read; then whoever made it has seen to that.
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** What the name of a deleted topic's directory begins with; it must not grow longer than a file name may be. */
function deletedPrefix(topic: TopicName): string {
  return `${DELETED_PREFIX}${topic.slice(0, 200)}-`
}

function keyOf(topic: TopicName, partition: number): string {
  return `${topic}/${partition}`
}

function retentionDelay(config: LogConfig): number {
  const { retentionMs } = retentionLimits(config)
  if (retentionMs < 0) return Number.MAX_SAFE_INTEGER
  return Math.max(RETENTION_CHECK_MS_MIN, Math.ceil(retentionMs / RETENTION_CHECKS_PER_LIFE))
}
