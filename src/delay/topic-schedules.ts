import type { TopicName } from '../base/topic-name.ts'
import type { Store } from '../store/store.ts'
import { PartitionSchedules } from './partition-schedules.ts'
import { decodePartition, dueKeysFrom, endOfTopic, keyBehind, parseDueKey } from './schedule-rows.ts'

/**
 * The schedules of one topic. All of them are in the store, by the time when they are due; the first ones are in memory
 * too. `isNear` tells on which side of the line one lies: whatever is in the store up to the line is also in memory, or on
 * its way to the log, or just being changed. What is in memory and no longer in the store is recognized when its turn
 * comes, so nobody has to look for it here.
 */
export class TopicSchedules {
  readonly topic: TopicName
  /** How many are waiting, as far as the store will have it once all commits are through. */
  count = 0
  readonly partitions = new Map<number, PartitionSchedules>()
  /** Since the start, for the metrics. */
  readonly events = { accepted: 0, delivered: 0, cancelled: 0, rescheduled: 0, failed: 0 }
  readonly #store: Store
  /** The last key that was taken into memory; undefined when all were. */
  #line: string | undefined

  constructor(topic: TopicName, store: Store) {
    this.topic = topic
    this.#store = store
    this.#line = dueKeysFrom(topic, 0)
  }

  /** How many have come from behind the line into memory since the start, less those that were forgotten again. */
  takenCount = 0

  /** Where the rows begin that are in the store alone; undefined when there are none. */
  get startBehindLine(): string | undefined {
    return this.#line === undefined ? undefined : keyBehind(this.#line)
  }

  /** When the next one is due, Unix milliseconds, of those in memory; undefined when there is none. */
  get nextDueAtMs(): number | undefined {
    let next: number | undefined
    for (const { near } of this.partitions.values()) {
      for (const { dueAtMs } of near.values()) if (next === undefined || dueAtMs < next) next = dueAtMs
    }
    return next
  }

  /** Whether there are more in the store, behind the line. */
  get hasMore(): boolean {
    return this.#line !== undefined
  }

  get nearCount(): number {
    let count = 0
    for (const { near } of this.partitions.values()) count += near.size
    return count
  }

  getPartition(partition: number): PartitionSchedules {
    let found = this.partitions.get(partition)
    if (found === undefined) {
      found = new PartitionSchedules(this.topic, partition)
      this.partitions.set(partition, found)
    }
    return found
  }

  isNear(key: string): boolean {
    return this.#line === undefined || key <= this.#line
  }

  /** Takes up to `max` more into memory; returns the partitions that got some. */
  refill(max: number): Set<PartitionSchedules> {
    const changed = new Set<PartitionSchedules>()
    if (this.#line === undefined) return changed
    let left = max
    let last: string | undefined
    for (const [key, value] of this.#store.range('schedules_due', keyBehind(this.#line), endOfTopic(this.topic))) {
      if (left-- === 0) {
        this.#line = last
        return changed
      }
      const { id, dueAtMs } = parseDueKey(key)
      const partition = this.getPartition(decodePartition(value))
      partition.near.push({ id, dueAtMs, tryAtMs: dueAtMs })
      changed.add(partition)
      this.takenCount++
      last = key
    }
    this.#line = undefined
    return changed
  }

  /** Forgets what is in memory: the next `refill` begins with what is due first. */
  forget(): void {
    this.takenCount -= this.nearCount
    for (const { near } of this.partitions.values()) near.clear()
    this.#line = dueKeysFrom(this.topic, 0)
  }
}
