/**
 * Lets so many syncs be under way at the same time, and the others wait in order. Each holds a file open that must not be
 * closed meanwhile, and for a new name its directory: without a limit a burst over thousands of partitions would take
 * every descriptor that the process has. The thread pool runs only a few of them at once anyway.
 */
export class SyncTurns {
  #free: number
  #isHandingOut = false
  readonly #waiting = new Set<() => void>()

  constructor(limit: number) {
    this.#free = limit
  }

  /** Calls `begin` when it is its turn, at once if it can be. Whoever has begun calls `giveBack` once. */
  take(begin: () => void): void {
    this.#waiting.add(begin)
    this.#handOut()
  }

  giveBack(): void {
    this.#free++
    this.#handOut()
  }

  /** A loop and no recursion: thousands may give back their turn as soon as they have it. */
  #handOut(): void {
    if (this.#isHandingOut) return
    this.#isHandingOut = true
    try {
      for (const begin of this.#waiting) {
        if (this.#free === 0) break
        this.#free--
        this.#waiting.delete(begin)
        begin()
      }
    } finally {
      this.#isHandingOut = false
    }
  }
}
