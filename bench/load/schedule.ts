/**
 * When each request of one connection is due, and to which of its targets it goes.
 *
 * Requests of the whole test are numbered 0, 1, 2 …; number `i` is due `i * intervalMs` after the start and goes to
 * target `i mod targetCount`. A connection has the requests of its own targets, so that those of one partition never
 * overtake each other. Nothing is stored per request: a broker that falls hours behind costs no memory here.
 */
export class Schedule {
  readonly #targets: readonly number[]
  readonly #targetCount: number
  readonly #intervalMs: number

  /** `targets`: which of all `targetCount` targets are this connection's, ascending. */
  constructor(targets: readonly number[], targetCount: number, intervalMs: number) {
    this.#targets = targets
    this.#targetCount = targetCount
    this.#intervalMs = intervalMs
  }

  /** Position, in this connection's own list, of the target that its request `own` (0, 1, 2 …) goes to. */
  getTarget(own: number): number {
    return own % this.#targets.length
  }

  /** Milliseconds after the start at which this connection's request `own` is due. */
  getDueMs(own: number): number {
    const rounds = Math.floor(own / this.#targets.length)
    return (rounds * this.#targetCount + this.#targets[own % this.#targets.length]) * this.#intervalMs
  }

  /** How many requests of this connection are due before `endMs`. */
  countBefore(endMs: number): number {
    if (this.#targets.length === 0) return 0
    const roundMs = this.#targetCount * this.#intervalMs
    let count = Math.max(0, Math.floor(endMs / roundMs) - 1) * this.#targets.length
    while (this.getDueMs(count) < endMs) count++
    return count
  }
}

/** Gives every connection its share of the targets; a connection may get none. */
export function shareTargets(targetCount: number, connections: number): number[][] {
  return Array.from({ length: connections }, (_, connection) =>
    Array.from({ length: targetCount }, (_, target) => target).filter((target) => target % connections === connection),
  )
}
