import { BrokerError } from '../base/broker-error.ts'
import type { StoreChange } from '../store/store.ts'
import type { DelayState } from './delay-state.ts'
import { ScheduleGone } from './outcomes.ts'
import type { Schedule } from './schedule-rows.ts'
import {
  countRow,
  decodePartition,
  decodeSchedule,
  dueKey,
  dueKeysFrom,
  endOfTopic,
  isScheduleId,
  keyBehind,
  parseDueKey,
  rowsOf,
  withoutRowsOf,
} from './schedule-rows.ts'

/** Which schedules to list: all that are given must fit. */
export interface ScheduleQuery {
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  /** Due then or later, Unix milliseconds. */
  readonly fromMs?: number | undefined
  /** Due before then. */
  readonly toMs?: number | undefined
  /** Behind the schedule that an earlier list ended with. */
  readonly after?: Pick<Schedule, 'dueAtMs' | 'id'> | undefined
  readonly max: number
}

/**
 * Finds schedules and changes them while they wait. Whoever is too late is told: what is on its way to the log, or has been
 * there, is not changed any more.
 */
export class ScheduleChanges {
  readonly #state: DelayState

  constructor(state: DelayState) {
    this.#state = state
  }

  /**
   * A schedule that waits.
   *
   * @throws ScheduleGone
   */
  get(id: string): Schedule {
    return this.#find('find', id)
  }

  /** Those that wait and fit, by the time when they are due. */
  list({ topic, partition, fromMs = 0, toMs, after, max }: ScheduleQuery): Schedule[] {
    const { topics, store, outcomes } = this.#state
    const asked =
      topic === undefined ? [...topics.values()] : [topics.get(topic)].filter((found) => found !== undefined)
    const found: Schedule[] = []
    for (const { topic: name, count } of asked) {
      if (count === 0) continue
      const isBehind = after !== undefined && after.dueAtMs >= fromMs
      const start = isBehind ? keyBehind(dueKey({ topic: name, ...after })) : dueKeysFrom(name, fromMs)
      const end = toMs === undefined ? endOfTopic(name) : dueKeysFrom(name, toMs)
      let left = max
      for (const [key, value] of store.range('schedules_due', start, end)) {
        if (partition !== undefined && decodePartition(value) !== partition) continue
        const { id } = parseDueKey(key)
        const row = outcomes.get(id) === undefined ? store.get('schedules', id) : undefined
        if (row === undefined) continue
        found.push(decodeSchedule(id, row))
        if (--left === 0) break
      }
    }
    found.sort((a, b) => a.dueAtMs - b.dueAtMs || (a.id < b.id ? -1 : 1))
    return found.slice(0, max)
  }

  /**
   * Lets a record never be delivered. Resolves when that is durable.
   *
   * @throws ScheduleGone; BrokerError KAFKA_STORAGE_ERROR
   */
  async cancel(id: string): Promise<Schedule> {
    const schedule = this.#find('cancel', id)
    const topic = this.#state.topicOf(schedule.topic)
    topic.count--
    try {
      await this.#change(schedule, [...withoutRowsOf(schedule), countRow(topic.topic, topic.count)])
    } catch (error) {
      topic.count++
      throw error
    }
    topic.events.cancelled++
    this.#state.outcomes.note(id, { kind: 'cancelled', atMs: this.#state.clock.now() })
    return schedule
  }

  /**
   * Lets a record be due at another time; one that has passed is now. Resolves when that is durable.
   *
   * @throws ScheduleGone; BrokerError KAFKA_STORAGE_ERROR
   */
  async reschedule(id: string, dueAtMs: number): Promise<Schedule> {
    const schedule = this.#find('reschedule', id)
    const topic = this.#state.topicOf(schedule.topic)
    const moved = { ...schedule, dueAtMs: Math.max(dueAtMs, this.#state.clock.now()) }
    await this.#change(schedule, [...withoutRowsOf(schedule), ...rowsOf(moved)])
    topic.events.rescheduled++
    this.#state.noteStored(topic, [moved])
    return moved
  }

  /** Nothing else is done with a schedule while the changes are under way. If they fail, it is as before. */
  async #change(schedule: Schedule, changes: readonly StoreChange[]): Promise<void> {
    const { store, changing, topics } = this.#state
    changing.add(schedule.id)
    try {
      await store.commit(changes)
    } catch (error) {
      changing.delete(schedule.id)
      const topic = topics.get(schedule.topic)
      if (topic !== undefined) this.#state.noteStored(topic, [schedule])
      throw error
    }
    changing.delete(schedule.id)
  }

  /** `action` is what is wanted with it, for the refusal. */
  #find(action: string, id: string): Schedule {
    const { store, outcomes, onTheirWay, changing, topics } = this.#state
    const row = isScheduleId(id) && outcomes.get(id) === undefined ? store.get('schedules', id) : undefined
    if (row === undefined) throw outcomes.refuse(action, id)
    const schedule = decodeSchedule(id, row)
    const topic = topics.get(schedule.topic)
    if (topic === undefined) throw outcomes.refuse(action, id)
    if (action === 'find') return schedule
    if (onTheirWay.has(id)) {
      const message = `Cannot ${action} schedule "${id}": it is being delivered at this moment`
      throw new ScheduleGone(message, { kind: 'delivering' })
    }
    if (changing.has(id)) {
      throw new BrokerError('POLICY_VIOLATION', `Cannot ${action} schedule "${id}": another request is changing it`)
    }
    if (topic.getPartition(schedule.partition).isUnknown) {
      throw new BrokerError(
        'KAFKA_STORAGE_ERROR',
        `Cannot ${action} schedule "${id}": whether it was delivered is not known, since the log of its partition cannot be read`,
      )
    }
    return schedule
  }
}
