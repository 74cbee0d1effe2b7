import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { Logger } from '../base/logger.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { LogConfig } from '../log/log-engine.ts'
import type { Store, StoreChange } from '../store/store.ts'
import type { Tracer } from '../tracing/tracer.ts'
import { AcceptedBatches } from './accepted-batches.ts'
import type { ProducerBatch } from './accepted-batches.ts'
import { DELAY_DEFAULTS } from './delay-options.ts'
import type { DelayOptions } from './delay-options.ts'
import { DelayState } from './delay-state.ts'
import type { DelayTargets } from './delay-state.ts'
import { Deliverer } from './delivery.ts'
import { DeliveryTimer } from './delivery-timer.ts'
import { OverdueCount } from './overdue-count.ts'
import { recount } from './recount.ts'
import { DeliveryRecovery } from './recover-deliveries.ts'
import { ScheduleChanges } from './schedule-changes.ts'
import type { ScheduleQuery } from './schedule-changes.ts'
import { ScheduleIds } from './schedule-ids.ts'
import type { Schedule } from './schedule-rows.ts'
import {
  countRow,
  dueKeysFrom,
  endOfTopic,
  parseDueKey,
  parsePointKey,
  pointRow,
  rowsOf,
  withoutRowsOf,
} from './schedule-rows.ts'
import type { TopicSchedules } from './topic-schedules.ts'

/** A record that is to wait. */
export interface NewSchedule {
  readonly partition: number
  /** Unix milliseconds. */
  readonly dueAtMs: number
  /** A batch of this one record, uncompressed; it is given away. */
  readonly batch: Buffer
}

/** Records that have been taken: under these ids, in the order in which they were given. */
export interface AcceptedSchedules {
  readonly ids: readonly string[]
  /** Resolves when they are durable; rejects with BrokerError KAFKA_STORAGE_ERROR when they are not waiting. */
  readonly stored: Promise<void>
}

/** What the delay queue works with. */
export interface DelayParts {
  readonly store: Store
  readonly clock: Clock
  /** For looking whether `clock` has jumped; `clock` unless given. */
  readonly machineClock?: Clock
  readonly logger: Logger
  readonly targets: DelayTargets
  readonly observeDelay?: (seconds: number) => void
  readonly options?: Partial<DelayOptions>
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
}

const TOPIC_REMOVAL_ROWS = 2000
const OVERDUE_MS = 1000
const CLOSING_TURN_MS = 10
const CLOSING_TURNS = 100

/**
 * Records that wait until they are due.
 *
 * All of them are in the store, under the time at which they are due; those that are due next are in memory too, in a heap
 * for each partition. delivery-timer.ts has when one of them is looked at: what is due then is appended to its partition like
 * any other record. delivery.ts has how it comes there once, and only once.
 */
export class DelayQueue {
  readonly #state: DelayState
  readonly #deliverer: Deliverer
  readonly #ids: ScheduleIds
  readonly #batches: AcceptedBatches
  readonly #changes: ScheduleChanges
  readonly #timer: DeliveryTimer
  readonly #recovery: DeliveryRecovery
  readonly #overdue: OverdueCount
  readonly #machineClock: Clock

  constructor(parts: DelayParts) {
    const { store, clock, logger, targets, observeDelay = () => {}, tracer } = parts
    const options = { ...DELAY_DEFAULTS, ...parts.options }
    this.#state = new DelayState({ store, clock, logger, targets, options, observeDelay, tracer })
    this.#machineClock = parts.machineClock ?? clock
    this.#deliverer = new Deliverer(this.#state)
    this.#changes = new ScheduleChanges(this.#state)
    this.#timer = new DeliveryTimer(this.#state, this.#deliverer, this.#machineClock)
    this.#state.onPlanned = () => this.#timer.arm()
    this.#recovery = new DeliveryRecovery(this.#state, this.#machineClock)
    this.#overdue = new OverdueCount(this.#state)
    this.#ids = new ScheduleIds(store)
    this.#batches = new AcceptedBatches(store, clock)
    for (const [name, value] of store.entries('schedule_topics')) {
      this.#state.topicOf(name as TopicName).count = Number(value.toString())
    }
  }

  /**
   * Goes on with what is in the store. All topics must have been loaded. Resolves when it is known what was delivered before,
   * as far as the disk lets it be known: partitions whose log cannot be read are looked at again later.
   */
  async open(): Promise<void> {
    const { store, topics } = this.#state
    for (const [key] of store.entries('schedule_points')) {
      const { topic, partition } = parsePointKey(key)
      this.#state.topicOf(topic as TopicName).getPartition(partition).isUnknown = true
    }
    await this.#batches.expire()
    await this.#recovery.run()
    let sum = 0
    for (const { count } of topics.values()) sum += count
    if (sum !== store.count('schedules')) await recount(this.#state)
    for (const topic of topics.values()) this.#state.keepNear(topic)
    this.#timer.arm()
  }

  // ------------------------------------------------------------------------------------------------- accepting

  /**
   * Refuses more records than may wait, unless they come from a batch (`origin`) that was taken before.
   *
   * @throws BrokerError POLICY_VIOLATION
   */
  checkRoom(name: TopicName, { delayRecordsMax }: LogConfig, recordCount: number, origin?: ProducerBatch): void {
    const { count = 0 } = this.#state.topics.get(name) ?? {}
    if (delayRecordsMax < 0 || count + recordCount <= delayRecordsMax) return
    if (origin !== undefined && this.#batches.find(origin) !== undefined) return
    throw new BrokerError(
      'POLICY_VIOLATION',
      `Cannot delay ${recordCount} more ${recordCount === 1 ? 'record' : 'records'} of topic "${name}": ${count} are waiting, at most ${delayRecordsMax} may (cafelog.delay.max.records)`,
    )
  }

  /**
   * Takes records of one topic, all or none. `origin` is the batch of an idempotent producer that they come from: when it
   * is sent again, they are not taken again, and have no ids then.
   */
  accept(name: TopicName, records: readonly NewSchedule[], origin?: ProducerBatch): AcceptedSchedules {
    const known = origin === undefined ? undefined : this.#batches.find(origin)
    if (known !== undefined) return { ids: [], stored: known }
    const { store, clock } = this.#state
    const topic = this.#state.topicOf(name)
    const { ids, changes: idChanges, stored: idsStored } = this.#ids.take(records.length)
    const acceptedAtMs = clock.now()
    // Without their bytes, which are in the rows.
    const schedules = records.map(({ partition, dueAtMs }, index) => ({
      partition,
      dueAtMs,
      id: ids[index],
      topic: name,
    }))
    topic.count += schedules.length
    const changes: StoreChange[] = [...idChanges, countRow(name, topic.count)]
    if (origin !== undefined) changes.push(...this.#batches.changesFor(origin))
    for (const [index, { batch }] of records.entries()) {
      changes.push(...rowsOf({ ...schedules[index], acceptedAtMs, batch }))
    }
    const stored = store.commit(changes).then(
      () => {
        idsStored()
        topic.events.accepted += schedules.length
        this.#state.noteStored(topic, schedules)
      },
      (error: unknown) => {
        topic.count -= schedules.length
        throw error
      },
    )
    if (origin !== undefined) this.#batches.noteUnderWay(origin, stored)
    return { ids, stored }
  }

  // -------------------------------------------------------------------------------------------------- changing

  /**
   * A schedule that waits.
   *
   * @throws ScheduleGone
   */
  get(id: string): Schedule {
    return this.#changes.get(id)
  }

  /** Those that wait and fit, by the time when they are due. */
  list(query: ScheduleQuery): Schedule[] {
    return this.#changes.list(query)
  }

  /**
   * Lets a record never be delivered. Resolves when that is durable.
   *
   * @throws ScheduleGone; BrokerError KAFKA_STORAGE_ERROR
   */
  cancel(id: string): Promise<Schedule> {
    return this.#changes.cancel(id)
  }

  /**
   * Lets a record be due at another time; one that has passed is now. Resolves when that is durable.
   *
   * @throws ScheduleGone; BrokerError KAFKA_STORAGE_ERROR
   */
  reschedule(id: string, dueAtMs: number): Promise<Schedule> {
    return this.#changes.reschedule(id, dueAtMs)
  }

  /** How many wait, of one topic or of all. */
  countWaiting(topic?: string): number {
    const { topics } = this.#state
    if (topic !== undefined) return topics.get(topic)?.count ?? 0
    let sum = 0
    for (const { count } of topics.values()) sum += count
    return sum
  }

  /**
   * Drops everything that waits for a topic which is gone for everybody. Resolves when it is no longer in the store.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async removeTopic(name: TopicName): Promise<void> {
    const { store, topics, moments } = this.#state
    for (const partition of topics.get(name)?.partitions.values() ?? []) moments.delete(partition)
    topics.delete(name)
    // What was given to the store before is in it afterwards.
    await store.commit([])
    const start = dueKeysFrom(name, 0)
    for (;;) {
      const changes: StoreChange[] = []
      for (const [key] of store.range('schedules_due', start, endOfTopic(name))) {
        const { dueAtMs, id } = parseDueKey(key)
        changes.push(...withoutRowsOf({ topic: name, dueAtMs, id }))
        if (changes.length >= TOPIC_REMOVAL_ROWS) break
      }
      if (changes.length === 0) break
      await store.commit(changes)
    }
    const others: StoreChange[] = [countRow(name, 0)]
    for (const table of ['schedule_points', 'schedule_producers'] as const) {
      for (const [key] of store.range(table, `${name}\u0000`, endOfTopic(name)))
        others.push({ table, key, value: undefined })
    }
    await store.commit(others)
  }

  // ------------------------------------------------------------------------------------------------ delivering

  /** How things stand, for metrics; one for each topic that had schedules since the start. */
  *describe(): Iterable<{
    readonly topic: TopicName
    readonly inflight: number
    /** Due for more than a second. Counted in the background where the store has most of them: soon after, if not yet. */
    readonly overdue: number
    readonly nextDueAtMs: number | undefined
    readonly events: Readonly<TopicSchedules['events']>
  }> {
    const overdueBeforeMs = this.#state.clock.now() - OVERDUE_MS
    for (const topic of this.#state.topics.values()) {
      const { count, events } = topic
      const overdue = this.#overdue.count(topic, overdueBeforeMs)
      yield { topic: topic.topic, inflight: count, overdue, nextDueAtMs: topic.nextDueAtMs, events }
    }
  }

  /** Stops delivering. Resolves when what was on its way is settled. */
  async close(): Promise<void> {
    const { topics, store, moments } = this.#state
    this.#state.isClosed = true
    this.#timer.close()
    this.#recovery.close()
    this.#deliverer.close()
    for (let left = CLOSING_TURNS; left > 0 && this.#isDelivering(); left--) {
      await new Promise<void>((resolve) => this.#machineClock.setTimer(CLOSING_TURN_MS, resolve))
    }
    const points: StoreChange[] = []
    for (const { topic, partitions } of topics.values()) {
      for (const partition of partitions.values()) {
        moments.delete(partition)
        if (partition.point === 'open' && partition.deliveries.size === 0) {
          points.push(pointRow(topic, partition.partition, undefined))
        }
      }
    }
    // Without it the next start reads a little of the log.
    if (points.length > 0) await store.commit(points).catch(() => {})
  }

  #isDelivering(): boolean {
    for (const { partitions } of this.#state.topics.values()) {
      for (const { deliveries } of partitions.values()) if (deliveries.size > 0) return true
    }
    return false
  }

  // ----------------------------------------------------------------------------------------------- at the start
}
