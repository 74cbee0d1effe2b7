import { setImmediate } from 'node:timers/promises'
import type { Clock, Timer } from './clock.ts'

interface PendingTimer {
  readonly at: number
  readonly callback: () => void
  wake: Timer
}

/**
 * Another clock, that can also be put forward: time passes by itself as it does there, and `advance` lets any amount of it
 * pass at once. Timers that become due on the way are called in their order, each at its own moment.
 */
export class AdvancingClock implements Clock {
  readonly #base: Clock
  #shiftMs = 0
  readonly #pending = new Set<PendingTimer>()
  #advancing: Promise<void> = Promise.resolve()

  constructor(base: Clock) {
    this.#base = base
  }

  now(): number {
    return this.#base.now() + Math.floor(this.#shiftMs)
  }

  monotonic(): number {
    return this.#base.monotonic() + this.#shiftMs
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: PendingTimer = {
      at: this.monotonic() + Math.max(0, delayMs),
      callback: () => {
        this.#pending.delete(timer)
        callback()
      },
      wake: this.#base.setTimer(delayMs, () => timer.callback()),
    }
    this.#pending.add(timer)
    return {
      cancel: () => {
        this.#pending.delete(timer)
        timer.wake.cancel()
      },
    }
  }

  /**
   * Lets `milliseconds` pass now. Resolves when all timers that were due have been called and what they began has had a turn
   * of the event loop. Calls take place one after the other.
   *
   * @throws RangeError for less than nothing
   */
  advance(milliseconds: number): Promise<void> {
    if (!(milliseconds >= 0 && Number.isFinite(milliseconds))) {
      throw new RangeError(`Cannot advance the clock by ${milliseconds} ms: 0 or more is needed`)
    }
    this.#advancing = this.#advancing.then(() => this.#advance(milliseconds))
    return this.#advancing
  }

  async #advance(milliseconds: number): Promise<void> {
    const end = this.monotonic() + milliseconds
    for (;;) {
      const first = this.#firstUntil(end)
      if (first === undefined) break
      this.#goTo(first.at)
      first.wake.cancel()
      first.callback()
      await setImmediate()
    }
    this.#goTo(end)
    // The rest of each timer's wait is that much shorter.
    for (const timer of this.#pending) {
      timer.wake.cancel()
      timer.wake = this.#base.setTimer(Math.max(0, timer.at - this.monotonic()), timer.callback)
    }
    await setImmediate()
  }

  #firstUntil(end: number): PendingTimer | undefined {
    let first: PendingTimer | undefined
    for (const timer of this.#pending) if (timer.at <= end && timer.at < (first?.at ?? Infinity)) first = timer
    return first
  }

  #goTo(moment: number): void {
    this.#shiftMs += Math.max(0, moment - this.monotonic())
  }
}
