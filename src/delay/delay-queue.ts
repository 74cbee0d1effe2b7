import type { Clock, Timer } from '../base/clock.ts'
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
import { ScheduleGone } from './outcomes.ts'
import type { PartitionSchedules } from './partition-schedules.ts'
import { recount } from './recount.ts'
import { findDeliveries, removeFound } from './recover-deliveries.ts'
import { ScheduleIds } from './schedule-ids.ts'
import type { Schedule } from './schedule-rows.ts'
import {
  countRow,
  decodeSchedule,
  dueKey,
  dueKeysFrom,
  endOfTopic,
  isScheduleId,
  keyBehind,
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

/** As a timer takes it. */
const TIMER_MS_MAX = 2 ** 31 - 1
/** Batches that are delivered before others have a turn of the event loop. */
const BATCHES_OF_A_TURN = 8
const TOPIC_REMOVAL_ROWS = 4000
const RECOVERY_RETRY_MS = 10_000
const JUMP_MS = 50

/**
 * Records that wait until they are due.
 *
 * All of them are in the store, under the time at which they are due; those that are due next are in memory too, in a heap
 * for each partition. One timer waits for the earliest of all. It is a timer of time that passes, and due is a matter of
 * the wall clock: so the wall clock is asked when the timer fires, and looked at now and then for a jump. What is due is
 * appended to its partition like any other record. delivery.ts has how it comes there once, and only once.
 */
export class DelayQueue {
  readonly #state: DelayState
  readonly #deliverer: Deliverer
  readonly #ids: ScheduleIds
  readonly #batches: AcceptedBatches
  readonly #machineClock: Clock
  #timer: Timer | undefined
  #armedForMs = Number.POSITIVE_INFINITY
  #check: Timer | undefined
  #recovery: Timer | undefined
  #seenWallMs = 0
  #seenMonotonicMs = 0

  constructor(parts: DelayParts) {
    const { store, clock, logger, targets, observeDelay = () => {}, tracer } = parts
    const options = { ...DELAY_DEFAULTS, ...parts.options }
    this.#state = new DelayState({ store, clock, logger, targets, options, observeDelay, tracer })
    this.#machineClock = parts.machineClock ?? clock
    this.#deliverer = new Deliverer(this.#state)
    this.#deliverer.onPlanned = () => this.#arm()
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
    await this.#recover()
    let sum = 0
    for (const { count } of topics.values()) sum += count
    if (sum !== store.count('schedules')) await recount(this.#state)
    for (const topic of topics.values()) this.#state.keepNear(topic)
    this.#arm()
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
      `Cannot delay ${recordCount} more records of topic "${name}": ${count} are waiting, at most ${delayRecordsMax} may (cafelog.delay.max.records)`,
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
    const schedules = records.map((record, index) => ({ ...record, id: ids[index], topic: name, acceptedAtMs }))
    topic.count += schedules.length
    const changes: StoreChange[] = [...idChanges, countRow(name, topic.count)]
    if (origin !== undefined) changes.push(...this.#batches.changesFor(origin))
    for (const schedule of schedules) changes.push(...rowsOf(schedule))
    const stored = store.commit(changes).then(
      () => {
        idsStored()
        topic.events.accepted += schedules.length
        this.#noteStored(topic, schedules)
      },
      (error: unknown) => {
        topic.count -= schedules.length
        throw error
      },
    )
    if (origin !== undefined) this.#batches.noteUnderWay(origin, stored)
    return { ids, stored }
  }

  /** These are in the store now. */
  #noteStored(
    topic: TopicSchedules,
    schedules: readonly Pick<Schedule, 'topic' | 'partition' | 'dueAtMs' | 'id'>[],
  ): void {
    if (this.#state.topics.get(topic.topic) !== topic) return
    const changed = new Set<PartitionSchedules>()
    for (const schedule of schedules) {
      if (!topic.isNear(dueKey(schedule))) continue
      const { id, dueAtMs } = schedule
      const partition = topic.getPartition(schedule.partition)
      partition.near.push({ id, dueAtMs, tryAtMs: dueAtMs })
      changed.add(partition)
    }
    for (const partition of changed) this.#state.plan(partition)
    this.#state.keepNear(topic)
    this.#arm()
  }

  // -------------------------------------------------------------------------------------------------- changing

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
      for (const [key] of store.range('schedules_due', start, end)) {
        const { id } = parseDueKey(key)
        const row = outcomes.get(id) === undefined ? store.get('schedules', id) : undefined
        if (row === undefined) continue
        const schedule = decodeSchedule(id, row)
        if (partition !== undefined && schedule.partition !== partition) continue
        found.push(schedule)
        if (--left === 0) break
      }
    }
    found.sort((a, b) => a.dueAtMs - b.dueAtMs || (a.id < b.id ? -1 : 1))
    return found.slice(0, max)
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
    this.#noteStored(topic, [moved])
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
      if (topic !== undefined) this.#noteStored(topic, [schedule])
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
    /** Due for more than a second, of those in memory. */
    readonly overdue: number
    readonly nextDueAtMs: number | undefined
    readonly events: Readonly<TopicSchedules['events']>
  }> {
    const overdueBefore = this.#state.clock.now() - 1000
    for (const { topic, count, partitions, events } of this.#state.topics.values()) {
      let overdue = 0
      let nextDueAtMs: number | undefined
      for (const { near } of partitions.values()) {
        for (const { dueAtMs } of near.values()) {
          if (dueAtMs < overdueBefore) overdue++
          if (nextDueAtMs === undefined || dueAtMs < nextDueAtMs) nextDueAtMs = dueAtMs
        }
      }
      yield { topic, inflight: count, overdue, nextDueAtMs, events }
    }
  }

  /** Stops delivering. Resolves when what was on its way is settled. */
  async close(): Promise<void> {
    const { topics, store, moments } = this.#state
    this.#state.isClosed = true
    for (const timer of [this.#timer, this.#check, this.#recovery]) timer?.cancel()
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

  readonly #drain = (): void => {
    const { moments, clock, topics } = this.#state
    this.#timer = undefined
    this.#armedForMs = Number.POSITIVE_INFINITY
    if (this.#state.isClosed) return
    const now = clock.now()
    const touched = new Set<TopicName>()
    for (let left = BATCHES_OF_A_TURN; left > 0; left--) {
      const partition = moments.takeDue(now)
      if (partition === undefined) break
      this.#deliverer.deliver(partition, now)
      touched.add(partition.topic)
    }
    for (const name of touched) {
      const topic = topics.get(name)
      if (topic !== undefined) this.#state.keepNear(topic)
    }
    this.#arm()
  }

  /** Sets the timer for whatever is next. */
  #arm(): void {
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
    this.#arm()
  }

  // ----------------------------------------------------------------------------------------------- at the start

  /** Reads the logs of which it is not known what was delivered; those that cannot be read are left for later. */
  async #recover(): Promise<void> {
    const { store, topics, logger, targets } = this.#state
    let isComplete = true
    const points = Array.from(store.entries('schedule_points'))
    for (const [key, value] of points) {
      const { topic: name, partition: number } = parsePointKey(key)
      const topic = topics.get(name)
      const partition = topic?.partitions.get(number)
      if (topic === undefined || partition?.isUnknown !== true) continue
      const target = targets.find(name, number)
      try {
        if (target === undefined) throw new Error(`there is no partition ${number} of topic "${name}"`)
        const found = await findDeliveries(target.log, Number(value.toString()))
        await removeFound(this.#state, topic, number, found, target.config)
        partition.isUnknown = false
        this.#state.plan(partition)
      } catch (error) {
        isComplete = false
        logger.error({ topic: name, partition: number, error }, 'cannot find out which delayed records were delivered')
      }
    }
    this.#arm()
    if (isComplete || this.#state.isClosed) return
    this.#recovery = this.#machineClock.setTimer(RECOVERY_RETRY_MS, () => void this.#recover())
  }
}

const CLOSING_TURN_MS = 10
const CLOSING_TURNS = 100
