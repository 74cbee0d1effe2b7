import { silentLogger } from '../../src/base/logger.ts'
import { SegmentLogEngine } from '../../src/log/segment-log-engine.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'
import { ProcessStopped, SimFileSystem } from './sim-file-system.ts'
import { Violation } from './partition-model.ts'

/** The directory that the simulated broker keeps everything in. It is there from the beginning. */
export const DATA_DIRECTORY = '/data'

/** How often the world may be turned for one answer before the engine counts as stuck. */
const TURNS_MAX = 5_000

/**
 * One run of the storage engine on a simulated disk, from start to whatever ends it, and the hand that turns its world:
 * nothing in it moves, no timer, no sync, no turn of the event loop, unless a method here is called.
 */
export class SimProcess {
  readonly fileSystem: SimFileSystem
  readonly clock: SimClock
  readonly #random: SeededRandom
  #engine: SegmentLogEngine | undefined

  constructor(disk: SimDisk, clock: SimClock, random: SeededRandom) {
    this.fileSystem = new SimFileSystem(disk, random)
    this.clock = clock
    this.#random = random
  }

  get engine(): SegmentLogEngine {
    if (!this.#engine) throw new Violation('start: the engine is not open')
    return this.#engine
  }

  get isStopped(): boolean {
    return this.fileSystem.isStopped
  }

  /** Opens the engine. Throws what it throws; ProcessStopped when the process died on the way. */
  async start(openFilesMax: number): Promise<void> {
    this.#engine = await this.settle(
      SegmentLogEngine.open({
        directory: DATA_DIRECTORY,
        fileSystem: this.fileSystem,
        clock: this.clock,
        logger: silentLogger,
        // Compaction is a step of its own: a timer more would let every life go another way. Snapshots come often, and nobody
        // is forgotten however the clock is set.
        options: {
          openFilesMax,
          cleanerCheckMs: Number.MAX_SAFE_INTEGER,
          producerSnapshotBytes: 2_000,
          producerExpiryMs: Number.MAX_SAFE_INTEGER,
        },
      }),
    )
  }

  /** Lets everything that is due in this turn of the event loop happen. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }

  /** Lets the thread pool finish one piece of work. False when there was none. */
  completeOne(): boolean {
    return this.#guard(() => this.fileSystem.complete(this.#random))
  }

  /** Lets the thread pool finish everything, and what follows from it. */
  async completeAll(): Promise<void> {
    for (let turns = 0; turns < TURNS_MAX && !this.isStopped; turns += 1) {
      await this.turn()
      if (!this.completeOne()) return
    }
    if (!this.isStopped) throw new Violation('progress: the engine asks the disk for more and more')
  }

  advance(milliseconds: number): void {
    this.#guard(() => {
      this.clock.advance(milliseconds)
      return true
    })
  }

  /** Turns the world until a promise is settled. Throws ProcessStopped when the process dies first. */
  async settle<Value>(promise: Promise<Value>): Promise<Value> {
    let outcome: { value: Value } | { error: unknown } | undefined
    promise.then(
      (value) => (outcome = { value }),
      (error: unknown) => (outcome = { error }),
    )
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      await this.turn()
      if (outcome) {
        if (this.isStopped) throw new ProcessStopped('The process is gone')
        if ('error' in outcome) throw outcome.error
        return outcome.value
      }
      if (this.isStopped) throw new ProcessStopped('The process is gone')
      if (!this.completeOne()) this.advance(Math.min(this.clock.nextTimerInMs ?? 1, 60_000))
    }
    throw new Violation('progress: a promise of the engine is never settled')
  }

  /** The process ends here, whatever it was doing. */
  stop(): void {
    this.fileSystem.stop()
    this.clock.stop()
  }

  /** Runs the engine's own callbacks. What they throw would have ended the process: only a dead process may throw. */
  #guard(work: () => boolean): boolean {
    try {
      return work()
    } catch (error) {
      if (this.isStopped && !(error instanceof Violation)) return false
      throw error
    }
  }
}
