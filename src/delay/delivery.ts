import type { Timer } from '../base/clock.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { LogConfig, PartitionLog } from '../log/log-engine.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import { RecordBatchBuilder, RecordReader } from '../record/record-batch.ts'
import type { TracedForwarding } from '../tracing/tracer.ts'
import { SCHEDULE_ID_HEADER, SCHEDULED_AT_HEADER } from './delay-options.ts'
import type { DelayState } from './delay-state.ts'
import { finishDelivered } from './finish-delivered.ts'
import type { Delivery, NearSchedule, PartitionSchedules } from './partition-schedules.ts'
import type { Schedule } from './schedule-rows.ts'
import { countRow, decodeSchedule, pointRow, withoutRowsOf } from './schedule-rows.ts'

/** What the headers of a delivered record and its place in the batch add to it, at most. */
const HEADERS_BYTES_MAX = 120

/**
 * Brings what is due from the store to the logs, each record once, whatever happens in between.
 *
 * A record is appended, and when it is durable its rows are removed. What if the broker dies between the two? For each
 * partition the store has a point, an offset, with this promise: **a record that is in the log and whose rows are still in
 * the store lies at the point or behind it.** So the next start reads the log from there, and removes the rows of whatever
 * it finds (recover-deliveries.ts), before anything is delivered.
 *
 *   closed    no row. Nothing is appended. Something is due → the point is stored, at the end of the log → opening
 *   opening   → open, once that is durable
 *   open      batches are appended, all behind the point. Each removal of rows also moves the point: to the first of the
 *             other batches that are on their way, or to the end of the log. Nothing for a while → closing
 *   closing   the row is removed; all rows of what was delivered are gone, or it would not have come to this → closed
 */
export class Deliverer {
  readonly #state: DelayState
  readonly #builder = new RecordBatchBuilder()
  readonly #reader = new RecordReader()
  readonly #retries = new Set<Timer>()

  constructor(state: DelayState) {
    this.#state = state
  }

  /** Does for a partition what there is to do now. */
  deliver(partition: PartitionSchedules, now: number): void {
    const { options, targets } = this.#state
    if (partition.isUnknown || partition.point === 'opening' || partition.point === 'closing') return
    const target = targets.find(partition.topic, partition.partition)
    const isDue = () => partition.near.first !== undefined && partition.near.first.tryAtMs <= now
    if (target === undefined) partition.retryAtMs = now + options.retryMs
    else if (now >= partition.retryAtMs) {
      if (partition.point === 'closed') {
        if (isDue()) return this.#openPoint(partition, target.log)
      } else if (isDue()) {
        if (partition.deliveries.size < options.batchesOnTheirWayMax) this.#append(partition, target, now)
      } else if (partition.deliveries.size === 0 && now - partition.quietSinceMs >= options.quietMs) {
        return this.#closePoint(partition)
      }
    }
    this.#state.plan(partition)
  }

  /** Forgets what is to be tried again. */
  close(): void {
    for (const timer of this.#retries) timer.cancel()
    this.#retries.clear()
  }

  #openPoint(partition: PartitionSchedules, log: PartitionLog): void {
    partition.point = 'opening'
    this.#commitPoint(partition, log.logEndOffset, 'open', 'closed')
  }

  #closePoint(partition: PartitionSchedules): void {
    partition.point = 'closing'
    this.#commitPoint(partition, undefined, 'closed', 'open')
  }

  #commitPoint(
    partition: PartitionSchedules,
    offset: number | undefined,
    then: 'open' | 'closed',
    otherwise: 'open' | 'closed',
  ): void {
    const { store, clock } = this.#state
    store.commit([pointRow(partition.topic, partition.partition, offset)]).then(
      () => {
        partition.point = then
        partition.quietSinceMs = clock.now()
        this.#planned(partition)
      },
      (error: unknown) => {
        partition.point = otherwise
        this.#retryLater(partition, error)
      },
    )
  }

  #append(
    partition: PartitionSchedules,
    { log, config }: { readonly log: PartitionLog; readonly config: LogConfig },
    now: number,
  ): void {
    const forwarding = this.#state.tracer?.forward('deliver', partition)
    const taken = this.#takeDue(partition, config, now, forwarding)
    if (taken.length === 0) return
    let delivery: Delivery | undefined
    const waiter = {
      appended: (error: Error | undefined) => {
        if (delivery === undefined) return
        forwarding?.end(error, delivery.baseOffset)
        if (error === undefined) return this.#delivered(partition, delivery, log)
        partition.deliveries.delete(delivery)
        this.#putBack(partition, delivery.schedules)
        this.#retryLater(partition, error)
      },
    }
    try {
      const batch = finishDelivered(Buffer.from(this.#builder.finish()), config, now)
      delivery = { baseOffset: log.append(batch, taken.length, 'all', waiter), schedules: taken }
      partition.deliveries.add(delivery)
    } catch (error) {
      this.#builder.abandon()
      forwarding?.end(error)
      this.#refused(partition, taken, error, now)
    } finally {
      this.#builder.reset()
    }
  }

  /** Takes what is due and fits together out of the heap and into the open batch. */
  #takeDue(
    partition: PartitionSchedules,
    config: LogConfig,
    now: number,
    forwarding: TracedForwarding | undefined,
  ): NearSchedule[] {
    const { options, onTheirWay } = this.#state
    const recordsMax = partition.isSingly ? 1 : options.batchRecordsMax
    const bytesMax = Math.min(options.batchBytesMax, config.batchBytesMax)
    const taken: NearSchedule[] = []
    let firstTimestamp = 0
    while (taken.length < recordsMax) {
      const { first } = partition.near
      if (first === undefined || first.tryAtMs > now) break
      const schedule = this.#read(partition, first)
      if (schedule === undefined) {
        partition.near.pop()
        continue
      }
      const { timestamp } = this.#reader
      const isTooMuch = this.#builder.sizeBytes + schedule.batch.length + HEADERS_BYTES_MAX > bytesMax
      if (taken.length > 0 && (isTooMuch || !Number.isSafeInteger(timestamp - firstTimestamp))) break
      if (taken.length === 0) {
        this.#builder.begin()
        firstTimestamp = timestamp
      }
      const { key, value, headers } = this.#reader
      const traced = forwarding === undefined ? headers : forwarding.add(headers)
      this.#builder.add(key, value, timestamp, [...traced, ...headersOf(schedule)])
      partition.near.pop()
      onTheirWay.add(first.id)
      taken.push(first)
    }
    return taken
  }

  /** The schedule as it is in the store, with the reader at its record; undefined if it is not to be delivered now. */
  #read(partition: PartitionSchedules, { id, dueAtMs }: NearSchedule): Schedule | undefined {
    const { store, onTheirWay, changing, outcomes, logger } = this.#state
    if (onTheirWay.has(id) || changing.has(id) || outcomes.get(id) !== undefined) return undefined
    const row = store.get('schedules', id)
    if (row === undefined) return undefined
    try {
      const schedule = decodeSchedule(id, row)
      // One that was moved is in the heap once more, or will be.
      if (schedule.dueAtMs !== dueAtMs) return undefined
      this.#reader.open(schedule.batch, 0)
      return this.#reader.next() ? schedule : undefined
    } catch (error) {
      logger.error({ topic: partition.topic, partition: partition.partition, id, error }, 'a delayed record is damaged')
      return undefined
    }
  }

  /** The log says at once that it does not take a batch. */
  #refused(partition: PartitionSchedules, taken: readonly NearSchedule[], error: unknown, now: number): void {
    const { options, topics, logger } = this.#state
    if (!(error instanceof BrokerError) || error.code === 'KAFKA_STORAGE_ERROR') {
      this.#putBack(partition, taken)
      return this.#retryLater(partition, error)
    }
    if (taken.length > 1) {
      this.#putBack(partition, taken)
      partition.isSingly = true
      return
    }
    // It is the topic that has changed since it was accepted, and may change again.
    const [{ id, dueAtMs }] = taken
    partition.isSingly = false
    this.#putBack(partition, [{ id, dueAtMs, tryAtMs: now + options.refusedRetryMs }])
    const counts = topics.get(partition.topic)?.events
    if (counts !== undefined) counts.failed++
    logger.warn({ topic: partition.topic, partition: partition.partition, id, error }, 'a delayed record is not taken')
  }

  #putBack(partition: PartitionSchedules, schedules: readonly NearSchedule[]): void {
    for (const schedule of schedules) {
      this.#state.onTheirWay.delete(schedule.id)
      partition.near.push(schedule)
    }
  }

  #delivered(partition: PartitionSchedules, delivery: Delivery, log: PartitionLog): void {
    const { clock, outcomes, topics, observeDelay } = this.#state
    const atMs = clock.now()
    partition.lastError = undefined
    for (const [index, { id, dueAtMs }] of delivery.schedules.entries()) {
      const offset = delivery.baseOffset + index
      outcomes.note(id, { kind: 'delivered', atMs, topic: partition.topic, partition: partition.partition, offset })
      observeDelay(Math.max(0, atMs - dueAtMs) / 1000)
    }
    const topic = topics.get(partition.topic)
    if (topic !== undefined && this.#state.isCurrent(partition)) {
      topic.count -= delivery.schedules.length
      topic.events.delivered += delivery.schedules.length
    }
    this.#remove(partition, delivery, log)
  }

  #remove(partition: PartitionSchedules, delivery: Delivery, log: PartitionLog): void {
    const { store, topics, options, clock, logger, onTheirWay } = this.#state
    const topic = topics.get(partition.topic)
    if (topic === undefined || !this.#state.isCurrent(partition)) return
    let point = log.logEndOffset
    for (const other of partition.deliveries) {
      if (other !== delivery) point = Math.min(point, other.baseOffset)
    }
    const changes = delivery.schedules.flatMap(({ id, dueAtMs }) =>
      withoutRowsOf({ topic: partition.topic, id, dueAtMs }),
    )
    changes.push(countRow(topic.topic, topic.count), pointRow(partition.topic, partition.partition, point))
    store.commit(changes).then(
      () => {
        partition.deliveries.delete(delivery)
        for (const { id } of delivery.schedules) onTheirWay.delete(id)
        partition.quietSinceMs = clock.now()
        this.#planned(partition)
      },
      (error: unknown) => {
        logger.warn({ topic: topic.topic, partition: partition.partition, error }, 'cannot note what was delivered')
        if (this.#state.isClosed) return
        const timer = clock.setTimer(options.retryMs, () => {
          this.#retries.delete(timer)
          this.#remove(partition, delivery, log)
        })
        this.#retries.add(timer)
      },
    )
  }

  #retryLater(partition: PartitionSchedules, error: unknown): void {
    const { clock, options, logger } = this.#state
    const { topic, partition: number } = partition
    const message = error instanceof Error ? error.message : String(error)
    if (message !== partition.lastError) {
      logger.warn({ topic, partition: number, error }, 'cannot deliver delayed records just now')
    }
    partition.lastError = message
    partition.retryAtMs = clock.now() + options.retryMs
    this.#planned(partition)
  }

  #planned(partition: PartitionSchedules): void {
    this.#state.plan(partition)
    this.#state.onPlanned()
  }
}

function headersOf({ id, dueAtMs }: Schedule): RecordHeader[] {
  return [
    { key: SCHEDULED_AT_HEADER, value: Buffer.from(String(dueAtMs)) },
    { key: SCHEDULE_ID_HEADER, value: Buffer.from(id) },
  ]
}
