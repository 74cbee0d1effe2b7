import type { Clock } from '../base/clock.ts'

/** So long the cleaner works before others have a turn of the event loop, in milliseconds. */
const SLICE_MS = 1
/** And no more than so much, whatever the clock says. */
const SLICE_BYTES = 256 * 1024
/** Shorter rests are put off: timers are no finer. */
const REST_MS_MIN = 4
/** A rest is taken in pieces, so that whoever wants to stop need not wait for its end. */
const REST_MS_MAX = 200
/** What was not worked for so long is not made up for. */
const CREDIT_MS_MAX = 100

/**
 * Keeps compaction from getting in the way: it works in slices of a millisecond, between which everything else has its turn,
 * and on the whole reads and writes no more bytes a second than it may.
 */
export class CleanerPace {
  readonly #clock: Clock
  readonly #yieldTurn: () => Promise<void>
  /** -1 is "no limit". */
  readonly #bytesPerSecond: number
  readonly #isStopping: () => boolean
  #sliceStart = 0
  #sliceBytes = 0
  /** Until when what was worked so far should have taken. */
  #paidUntil = 0

  constructor(parts: {
    clock: Clock
    yieldTurn: () => Promise<void>
    bytesPerSecond: number
    isStopping: () => boolean
  }) {
    this.#clock = parts.clock
    this.#yieldTurn = parts.yieldTurn
    this.#bytesPerSecond = parts.bytesPerSecond
    this.#isStopping = parts.isStopping
  }

  /** Notes work, and says whether it is time to rest. */
  work(bytes: number): boolean {
    this.#sliceBytes += bytes
    return this.#sliceBytes >= SLICE_BYTES || this.#clock.monotonic() - this.#sliceStart >= SLICE_MS
  }

  /** Lets others work, for as long as it takes to keep to the rate. */
  async rest(): Promise<void> {
    const now = this.#clock.monotonic()
    if (this.#bytesPerSecond > 0) {
      const costMs = (this.#sliceBytes / this.#bytesPerSecond) * 1000
      this.#paidUntil = Math.max(this.#paidUntil, now - CREDIT_MS_MAX) + costMs
    }
    this.#sliceBytes = 0
    if (this.#paidUntil - now < REST_MS_MIN) await this.#yieldTurn()
    while (!this.#isStopping()) {
      const restMs = this.#paidUntil - this.#clock.monotonic()
      if (restMs < REST_MS_MIN) break
      await new Promise<void>((resolve) => this.#clock.setTimer(Math.min(restMs, REST_MS_MAX), resolve))
    }
    this.#sliceStart = this.#clock.monotonic()
  }
}
