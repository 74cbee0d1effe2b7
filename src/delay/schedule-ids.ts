import type { Store, StoreChange } from '../store/store.ts'
import { formatScheduleId } from './schedule-rows.ts'

/** Row of the store's table `meta`: the first number that has not been set aside, in decimal digits. */
const KEY = 'next-schedule-id'
/** So many are set aside at a time. Those that are not given out before the broker stops are lost, of 2^53. */
const BLOCK = 2 ** 20

/** Ids, and what has to be stored together with the rows that they are given to. */
export interface TakenIds {
  readonly ids: readonly string[]
  readonly changes: readonly StoreChange[]
  /** To be called when the changes are durable. */
  readonly stored: () => void
}

/**
 * Gives out the ids of schedules, each once for ever, the later ones greater.
 *
 * Numbers are set aside by the very commit that uses the first of them, and by all that follow until one is known to be
 * durable. So whatever is stored, what sets its id aside is stored too, and nobody waits for that.
 */
export class ScheduleIds {
  #next: number
  /** Below this one they are set aside for certain. */
  #storedEnd: number
  #end: number

  constructor(store: Store) {
    this.#next = Number(store.get('meta', KEY)?.toString() ?? '1')
    this.#storedEnd = this.#next
    this.#end = this.#next
  }

  take(count: number): TakenIds {
    const ids: string[] = []
    for (let i = 0; i < count; i++) ids.push(formatScheduleId(this.#next++))
    while (this.#next > this.#end) this.#end += BLOCK
    const end = this.#end
    if (end === this.#storedEnd) return { ids, changes: [], stored() {} }
    return {
      ids,
      changes: [{ table: 'meta', key: KEY, value: Buffer.from(String(end)) }],
      stored: () => {
        this.#storedEnd = Math.max(this.#storedEnd, end)
      },
    }
  }
}
