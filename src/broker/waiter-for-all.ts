import type { AppendWaiter } from '../log/log-engine.ts'

/** Tells somebody once that several things have come to an end, with the first error of them. */
export class WaiterForAll implements AppendWaiter {
  readonly #waiter: AppendWaiter
  #left = 0
  #error: Error | undefined

  constructor(waiter: AppendWaiter) {
    this.#waiter = waiter
  }

  /** There is one thing more; to be said before any of them can be the last. */
  expectOne(): void {
    this.#left++
  }

  appended(error: Error | undefined): void {
    this.#error ??= error
    if (--this.#left > 0) return
    // Never from within the call that appends.
    queueMicrotask(() => this.#waiter.appended(this.#error))
  }
}
