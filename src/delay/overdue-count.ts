import type { DelayState } from './delay-state.ts'
import { dueKeysFrom, keyBehind } from './schedule-rows.ts'
import type { TopicSchedules } from './topic-schedules.ts'

/** So many rows are counted before others have a turn of the event loop. */
const ROWS_OF_A_TURN = 1000
/** A count that is older is made anew. */
const COUNT_MS_MAX = 10_000

/** Overdue rows behind a topic's line. */
interface Tally {
  readonly counted: number
  /** The topic's `takenCount` when the counting began: what was taken since is no longer there. */
  readonly takenBefore: number
}

/**
 * How many delayed records should have been delivered already. Those in memory are counted at once. When all of those are
 * overdue, there may be a million more in the store, since the broker was down, say, or its disk is slow: they are counted in
 * the background, and what comes into memory is taken off.
 */
export class OverdueCount {
  readonly #state: DelayState
  readonly #tallies = new WeakMap<TopicSchedules, Tally>()
  /** When the counting of a topic began last, milliseconds of the clock that never goes back. */
  readonly #begunAt = new WeakMap<TopicSchedules, number>()

  constructor(state: DelayState) {
    this.#state = state
  }

  /** Those of a topic that were due before a moment, Unix milliseconds, as far as they have been counted. */
  count(topic: TopicSchedules, beforeMs: number): number {
    // One that came into memory from the store just when it was noted as new is there twice.
    const ids = new Set<string>()
    for (const { near, deliveries } of topic.partitions.values()) {
      for (const { id, dueAtMs } of near.values()) if (dueAtMs < beforeMs) ids.add(id)
      for (const { schedules } of deliveries)
        for (const { id, dueAtMs } of schedules) if (dueAtMs < beforeMs) ids.add(id)
    }
    return ids.size + this.#countBehindLine(topic, beforeMs)
  }

  #countBehindLine(topic: TopicSchedules, beforeMs: number): number {
    const start = topic.startBehindLine
    const end = dueKeysFrom(topic.topic, beforeMs)
    if (start === undefined || start >= end) {
      this.#tallies.delete(topic)
      return 0
    }
    const now = this.#state.clock.monotonic()
    const begunAt = this.#begunAt.get(topic)
    if (begunAt === undefined || now - begunAt >= COUNT_MS_MAX) {
      this.#begunAt.set(topic, now)
      this.#countOn(topic, {
        start,
        end,
        counted: 0,
        takenBefore: topic.takenCount,
        isFirst: !this.#tallies.has(topic),
      })
    }
    const { counted, takenBefore } = this.#tallies.get(topic) ?? { counted: 0, takenBefore: 0 }
    return Math.max(0, counted - (topic.takenCount - takenBefore))
  }

  /** Counts some rows. `isFirst`: what is counted so far is better than nothing. */
  #countOn(topic: TopicSchedules, at: Tally & { start: string; end: string; isFirst: boolean }): void {
    const { store, topics, isClosed } = this.#state
    const { end, isFirst } = at
    let { start, counted, takenBefore } = at
    const line = topic.startBehindLine
    if (isClosed || line === undefined || topics.get(topic.topic) !== topic) return
    if (line > start) {
      // What has come into memory faster than it was counted here may have been delivered, and be gone.
      start = line
      counted = 0
      takenBefore = topic.takenCount
    }
    let rows = 0
    for (const [key] of store.range('schedules_due', start, end)) {
      start = keyBehind(key)
      counted++
      if (++rows === ROWS_OF_A_TURN) break
    }
    const isComplete = rows < ROWS_OF_A_TURN
    if (isComplete || isFirst) this.#tallies.set(topic, { counted, takenBefore })
    if (!isComplete) setImmediate(() => this.#countOn(topic, { start, end, counted, takenBefore, isFirst }))
  }
}
