import type { Clock, Timer } from '../../src/base/clock.ts'

interface PendingTimer {
  readonly at: number
  readonly callback: () => void
}

/**
 * A clock that is turned by hand. Timers follow the monotonic time and fire in the order in which they are due, those
 * of one moment in the order in which they were set; the wall clock may be set to anything without disturbing them.
 */
export class SimClock implements Clock {
  #monotonic: number
  #wallOffset: number
  #timers: PendingTimer[] = []
  #isStopped = false

  /** `now` is the wall-clock time to begin with, in milliseconds. */
  constructor(now = 1_700_000_000_000, monotonic = 1_000) {
    this.#monotonic = monotonic
    this.#wallOffset = now - monotonic
  }

  now(): number {
    return Math.floor(this.#monotonic + this.#wallOffset)
  }

  monotonic(): number {
    return this.#monotonic
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), callback }
    if (!this.#isStopped) this.#timers.push(timer)
    return {
      cancel: () => {
        const index = this.#timers.indexOf(timer)
        if (index !== -1) this.#timers.splice(index, 1)
      },
    }
  }

  /** How many timers have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.length
  }

  /** Milliseconds until the next timer is due, or undefined when there is none. */
  get nextTimerInMs(): number | undefined {
    if (this.#timers.length === 0) return undefined
    return Math.max(0, Math.min(...this.#timers.map((timer) => timer.at)) - this.#monotonic)
  }

  /** Lets time pass. Each timer sees the clock at its own moment, and may set others that are due within the same call. */
  advance(milliseconds: number): void {
    const end = this.#monotonic + milliseconds
    for (;;) {
      let first: PendingTimer | undefined
      for (const timer of this.#timers) if (timer.at <= end && (!first || timer.at < first.at)) first = timer
      if (!first) break
      this.#timers.splice(this.#timers.indexOf(first), 1)
      this.#monotonic = Math.max(this.#monotonic, first.at)
      first.callback()
    }
    this.#monotonic = Math.max(this.#monotonic, end)
  }

  /** Sets the wall clock forward, or back with a negative number; the monotonic time goes on undisturbed. */
  jump(milliseconds: number): void {
    this.#wallOffset += milliseconds
  }

  /** The process is gone: nothing that waits on this clock is ever called again. */
  stop(): void {
    this.#isStopped = true
    this.#timers = []
  }
}
