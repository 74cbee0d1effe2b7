import type { AppendWaiter } from './log-engine.ts'

/**
 * Those who wait for a log to reach an offset, in the order of their offsets. A queue on two arrays, since it is on the
 * road of every produce request.
 */
export class Waiters {
  #offsets: number[] = []
  #waiters: AppendWaiter[] = []
  #head = 0

  get isEmpty(): boolean {
    return this.#head === this.#waiters.length
  }

  /** `offset` is at least that of the one before. */
  push(offset: number, waiter: AppendWaiter): void {
    this.#offsets.push(offset)
    this.#waiters.push(waiter)
  }

  /** For an offset that may be lower than those before it. */
  insert(offset: number, waiter: AppendWaiter): void {
    let at = this.#offsets.length
    while (at > this.#head && this.#offsets[at - 1] > offset) at--
    this.#offsets.splice(at, 0, offset)
    this.#waiters.splice(at, 0, waiter)
  }

  /** Tells everyone who waits for `offset` or less that it was reached. They may push meanwhile. */
  release(offset: number): void {
    while (this.#head < this.#waiters.length && this.#offsets[this.#head] <= offset) {
      this.#waiters[this.#head++].appended(undefined)
    }
    if (this.#head === this.#waiters.length) this.#clear()
    else if (this.#head > 1024) this.#dropHead()
  }

  /** Tells everyone who waits for more than `offset` that it will not be reached. */
  failAfter(offset: number, error: Error): void {
    this.#dropHead()
    let keep = 0
    while (keep < this.#offsets.length && this.#offsets[keep] <= offset) keep++
    const failed = this.#waiters.splice(keep)
    this.#offsets.length = keep
    for (const waiter of failed) waiter.appended(error)
  }

  #dropHead(): void {
    this.#offsets = this.#offsets.slice(this.#head)
    this.#waiters = this.#waiters.slice(this.#head)
    this.#head = 0
  }

  #clear(): void {
    this.#offsets.length = 0
    this.#waiters.length = 0
    this.#head = 0
  }
}
