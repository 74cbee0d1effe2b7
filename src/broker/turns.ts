import type { Clock } from '../base/clock.ts'

/** How long a request with many parts has the event loop before others get their turn. */
const TURN_MS = 10

/** The turns of the event loop that one request takes. It begins with one. */
export class Turns {
  readonly #clock: Clock
  #endsAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#endsAtMs = clock.monotonic() + TURN_MS
  }

  /** Whether this request has had the event loop for so long that others are to have it first: `pass` gives it to them. */
  get isOver(): boolean {
    return this.#clock.monotonic() > this.#endsAtMs
  }

  /** Lets others have their turn, and begins the next one. */
  async pass(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#endsAtMs = this.#clock.monotonic() + TURN_MS
  }
}
