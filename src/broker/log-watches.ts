import type { Clock, Timer } from '../base/clock.ts'
import type { PartitionLog } from '../log/log-engine.ts'

/** Somebody who waits for any of several logs. */
export interface LogWatch {
  /** Forgets it: nobody is woken any more. */
  cancel(): void
}

/** Waits for news of several logs at once: a fetch over many partitions, which one new record can answer. */
export class LogWatches {
  readonly #clock: Clock
  readonly #gauge: { add(count: number): void }
  readonly #watched = new Map<PartitionLog, Set<Watch>>()

  /** `gauge` counts those who wait. */
  constructor(clock: Clock, gauge: { add(count: number): void }) {
    this.#clock = clock
    this.#gauge = gauge
  }

  /** Calls `wake` once: at the next news of one of the logs, or after `waitMs`. */
  start(logs: readonly PartitionLog[], waitMs: number, wake: () => void): LogWatch {
    const watch = new Watch(this, logs, wake)
    for (const log of logs) {
      const watches = this.#watched.get(log)
      if (watches === undefined) this.#watched.set(log, new Set([watch]))
      else watches.add(watch)
    }
    this.#gauge.add(1)
    watch.timer = this.#clock.setTimer(waitMs, () => watch.end())
    return watch
  }

  /** There is news of a log. */
  wake(log: PartitionLog): void {
    const watches = this.#watched.get(log)
    if (watches === undefined) return
    this.#watched.delete(log)
    for (const watch of watches) watch.end()
  }

  forget(watch: Watch, logs: readonly PartitionLog[]): void {
    this.#gauge.add(-1)
    for (const log of logs) {
      const watches = this.#watched.get(log)
      if (watches?.delete(watch) === true && watches.size === 0) this.#watched.delete(log)
    }
  }
}

class Watch implements LogWatch {
  timer: Timer | undefined
  readonly #owner: LogWatches
  readonly #logs: readonly PartitionLog[]
  readonly #wake: () => void
  #isOver = false

  constructor(owner: LogWatches, logs: readonly PartitionLog[], wake: () => void) {
    this.#owner = owner
    this.#logs = logs
    this.#wake = wake
  }

  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.timer?.cancel()
    this.#owner.forget(this, this.#logs)
  }

  end(): void {
    if (this.#isOver) return
    this.cancel()
    this.#wake()
  }
}
