import type { Clock, Timer } from '../base/clock.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { DelayState } from './delay-state.ts'
import type { Deliverer } from './delivery.ts'

/** As a timer takes it. */
const TIMER_MS_MAX = 2 ** 31 - 1
/** For so long batches are delivered before others have a turn of the event loop. */
const TURN_MS = 4
const JUMP_MS = 50

/**
 * Has what is due delivered. One timer waits for the earliest moment of all. It is a timer of time that passes, and due is
 * a matter of the wall clock: so the wall clock is asked when the timer fires, and looked at now and then for a jump.
 */
export class DeliveryTimer {
  readonly #state: DelayState
  readonly #deliverer: Deliverer
  readonly #machineClock: Clock
  #timer: Timer | undefined
  #armedForMs = Number.POSITIVE_INFINITY
  #check: Timer | undefined
  #seenWallMs = 0
  #seenMonotonicMs = 0

  /** `machineClock` is for looking whether the state's clock has jumped. */
  constructor(state: DelayState, deliverer: Deliverer, machineClock: Clock) {
    this.#state = state
    this.#deliverer = deliverer
    this.#machineClock = machineClock
  }

  /** Sets the timer for whatever is next. */
  arm(): void {
    const { moments, clock, isClosed } = this.#state
    if (isClosed) return
    const next = moments.first?.at
    if (next !== undefined) this.#checkLater()
    if (next === undefined || next >= this.#armedForMs) return
    this.#timer?.cancel()
    this.#armedForMs = next
    const delayMs = Math.min(TIMER_MS_MAX, next - clock.now())
    if (delayMs > 0) this.#timer = clock.setTimer(delayMs, this.#drain)
    else setImmediate(this.#drain)
  }

  /** Looks now and then whether the wall clock has jumped: then the timer waits for the wrong moment. */
  #checkLater(): void {
    if (this.#check !== undefined) return
    const { clock, options, moments } = this.#state
    this.#seenWallMs = clock.now()
    this.#seenMonotonicMs = clock.monotonic()
    this.#check = this.#machineClock.setTimer(options.clockCheckMs, () => {
      this.#check = undefined
      const jumpMs = clock.now() - this.#seenWallMs - (clock.monotonic() - this.#seenMonotonicMs)
      if (Math.abs(jumpMs) > JUMP_MS) this.#jumped(jumpMs)
      if (moments.first !== undefined) this.#checkLater()
    })
  }

  #jumped(jumpMs: number): void {
    const { topics, logger } = this.#state
    logger.warn({ jumpMs: Math.round(jumpMs) }, 'the wall clock has jumped; delayed records follow it')
    for (const { partitions } of topics.values()) {
      for (const partition of partitions.values()) {
        // These were meant as a while from then, by the clock that was in force.
        partition.retryAtMs = 0
        partition.quietSinceMs = Math.min(partition.quietSinceMs, this.#state.clock.now())
        this.#state.plan(partition)
      }
    }
    this.#timer?.cancel()
    this.#armedForMs = Number.POSITIVE_INFINITY
    this.arm()
  }

  /** Nothing is delivered from now on. */
  close(): void {
    for (const timer of [this.#timer, this.#check]) timer?.cancel()
  }

  readonly #drain = (): void => {
    const { moments, clock, topics } = this.#state
    this.#timer = undefined
    this.#armedForMs = Number.POSITIVE_INFINITY
    if (this.#state.isClosed) return
    const now = clock.now()
    const beganAt = this.#machineClock.monotonic()
    const touched = new Set<TopicName>()
    do {
      const partition = moments.takeDue(now)
      if (partition === undefined) break
      this.#deliverer.deliver(partition, now)
      touched.add(partition.topic)
    } while (this.#machineClock.monotonic() - beganAt < TURN_MS)
    for (const name of touched) {
      const topic = topics.get(name)
      if (topic !== undefined) this.#state.keepNear(topic)
    }
    this.arm()
  }
}
