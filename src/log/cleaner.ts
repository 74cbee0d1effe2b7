import { join } from 'node:path'
import type { FileSystem } from '../base/file-system.ts'
import { planCleaning, type CleaningPlan } from './cleaner-plan.ts'
import { CleanerPace } from './cleaner-pace.ts'
import { finishSwap } from './cleaner-swap.ts'
import { Cleaning, CleaningStopped } from './cleaning.ts'
import type { LogContext } from './log-context.ts'
import { isCompacted } from './log-engine.ts'
import type { SegmentPartitionLog } from './partition-log.ts'
import { isCleanedFileName, SegmentCorrupt } from './segment.ts'

const FULL_CODES = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** How a cleaning has ended. `full`: the disk has no room; `failed`: it refused; `corrupt`: a batch is damaged. */
export type CleaningOutcome = 'done' | 'full' | 'failed' | 'corrupt'

/** What the cleaner may use. */
export interface CleanerOptions {
  /** For the table of keys: 24 bytes for each, and a quarter more. */
  readonly memoryBytes: number
  /** Read and written, on the average; -1 is "no limit". */
  readonly bytesPerSecond: number
}

/**
 * Log compaction: cleans the partitions of compacted topics, one at a time, the dirtiest first. Whatever goes wrong leaves
 * the log as it was, or cleaned up to some segment; the next pass tries again.
 */
export class LogCleaner {
  /** Counters for the metrics, since the start. */
  readonly runs: Record<CleaningOutcome, number> = { done: 0, full: 0, failed: 0, corrupt: 0 }
  bytesBefore = 0
  bytesAfter = 0
  overtakenRecords = 0
  keylessRecords = 0
  expiredTombstones = 0
  batchesLeftWhole = 0
  /** How long the last cleaning took; 0 before the first. */
  lastRunSeconds = 0
  readonly #context: LogContext
  readonly #options: CleanerOptions
  /** Logs with a damaged batch in what is to be cleaned. They are left alone until the next start. */
  readonly #uncleanable = new WeakSet<SegmentPartitionLog>()
  #running: Promise<void> | undefined
  #isStopping = false

  constructor(context: LogContext, options: CleanerOptions) {
    this.#context = context
    this.#options = options
  }

  isUncleanable(log: SegmentPartitionLog): boolean {
    return this.#uncleanable.has(log)
  }

  /** The share of a log's bytes that is dirty, 0 to 1; 0 if its topic is not compacted. */
  dirtyRatio(log: SegmentPartitionLog): number {
    if (!isCompacted(log.config)) return 0
    return planCleaning(log, this.#context.clock.now())?.dirtyRatio ?? 0
  }

  /** Cleans what is dirty enough of `logs`; resolves when that is done. A pass that is under way goes on instead. */
  clean(logs: () => Iterable<SegmentPartitionLog>): Promise<void> {
    if (this.#isStopping) return Promise.resolve()
    this.#running ??= this.#cleanAll(logs).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Breaks off; resolves when nothing more happens. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#running
  }

  async #cleanAll(logs: () => Iterable<SegmentPartitionLog>): Promise<void> {
    const tried = new Set<SegmentPartitionLog>()
    while (!this.#isStopping) {
      // A full disk has nothing left for copies; retention and the operator make room.
      if (this.#context.isDiskFull) return
      const next = this.#dirtiest(logs(), tried)
      if (next === undefined) return
      if (!(await this.#clean(next))) tried.add(next)
    }
  }

  #dirtiest(
    logs: Iterable<SegmentPartitionLog>,
    tried: ReadonlySet<SegmentPartitionLog>,
  ): SegmentPartitionLog | undefined {
    const now = this.#context.clock.now()
    let dirtiest: SegmentPartitionLog | undefined
    let ratioMax = -1
    for (const log of logs) {
      if (log.failure !== undefined || tried.has(log) || this.#uncleanable.has(log)) continue
      // What was begun is finished, whatever the policy is now.
      if (log.swap !== undefined) return log
      if (!isCompacted(log.config)) continue
      this.#roll(log, now)
      const plan = planCleaning(log, now)
      if (plan?.isDue !== true || plan.dirtyRatio <= ratioMax) continue
      dirtiest = log
      ratioMax = plan.dirtyRatio
    }
    return dirtiest
  }

  #roll(log: SegmentPartitionLog, now: number): void {
    try {
      log.rollIfDue(now)
    } catch (error) {
      const { topic, partition } = log
      this.#context.logger.warn({ topic, partition, error }, 'cannot roll for compaction')
    }
  }

  /** False when it is not to be tried again in this pass. */
  async #clean(log: SegmentPartitionLog): Promise<boolean> {
    const { clock, logger } = this.#context
    const { topic, partition } = log
    const startedAt = clock.monotonic()
    try {
      if (log.swap !== undefined) await finishSwap(this.#context, log)
      const plan = isCompacted(log.config) ? planCleaning(log, clock.now()) : undefined
      if (log.failure !== undefined || plan?.isDue !== true) return true
      removeLeftovers(this.#context.fileSystem, log.directory)
      const cleanedBefore = log.cleanedOffset
      const { bytesBefore, bytesAfter } = await this.#run(log, plan)
      this.lastRunSeconds = (clock.monotonic() - startedAt) / 1000
      this.runs.done++
      const { cleanedOffset } = log
      logger.info({ topic, partition, bytesBefore, bytesAfter, cleanedOffset }, 'compacted a partition')
      return cleanedOffset > cleanedBefore
    } catch (error) {
      if (error instanceof CleaningStopped) return false
      const outcome = outcomeOf(error as NodeJS.ErrnoException)
      this.runs[outcome]++
      if (outcome === 'failed' || outcome === 'full') {
        logger.warn({ topic, partition, error }, 'cannot compact a partition; the next pass tries again')
      } else {
        this.#uncleanable.add(log)
        if (error instanceof SegmentCorrupt) this.#context.corruptBatches++
        logger.error({ topic, partition, error }, 'a partition cannot be compacted until the next start')
      }
      return false
    }
  }

  async #run(log: SegmentPartitionLog, plan: CleaningPlan): Promise<{ bytesBefore: number; bytesAfter: number }> {
    const context = this.#context
    const { memoryBytes, bytesPerSecond } = this.#options
    const isStopping = () => this.#isStopping
    const { clock } = context
    const pace = new CleanerPace({ clock, yieldTurn: () => context.yieldTurn(), bytesPerSecond, isStopping })
    const cleaning = new Cleaning({ context, log, plan, pace, memoryBytes, isStopping })
    try {
      await cleaning.run()
    } finally {
      const { figures } = cleaning
      this.bytesBefore += figures.bytesBefore
      this.bytesAfter += figures.bytesAfter
      this.overtakenRecords += figures.overtakenRecords
      this.keylessRecords += figures.keylessRecords
      this.expiredTombstones += figures.expiredTombstones
      this.batchesLeftWhole += figures.batchesLeftWhole
    }
    return cleaning.figures
  }
}

/** What has no code of the system's is either damage or a mistake of ours. */
function outcomeOf(error: NodeJS.ErrnoException): CleaningOutcome {
  if (error.code === undefined) return 'corrupt'
  return FULL_CODES.has(error.code) ? 'full' : 'failed'
}

/** Files of cleanings that were broken off and could not be removed then. */
function removeLeftovers(fileSystem: FileSystem, directory: string): void {
  for (const { name } of fileSystem.list(directory)) {
    if (isCleanedFileName(name)) fileSystem.remove(join(directory, name))
  }
}
