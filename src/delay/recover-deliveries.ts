import type { Clock, Timer } from '../base/clock.ts'
import type { LogConfig, PartitionLog, ReadBatches } from '../log/log-engine.ts'
import { getBaseOffset, getBatchBytes, getCodec, getLastOffsetDelta, RecordReader } from '../record/record-batch.ts'
import type { StoreChange } from '../store/store.ts'
import { SCHEDULE_ID_HEADER } from './delay-options.ts'
import type { DelayState } from './delay-state.ts'
import type { Schedule } from './schedule-rows.ts'
import { countRow, decodeSchedule, isScheduleId, parsePointKey, pointRow, withoutRowsOf } from './schedule-rows.ts'
import type { TopicSchedules } from './topic-schedules.ts'

const READ_BYTES = 1024 * 1024
const NEEDLE = Buffer.from(SCHEDULE_ID_HEADER)

/** A record that was found in a log and says that it was delivered there under an id. Anybody can say so. */
interface FoundDelivery {
  readonly id: string
  readonly offset: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

const RECOVERY_RETRY_MS = 10_000

/** Finds out at the start what was delivered before, in the logs of all partitions that have a point. */
export class DeliveryRecovery {
  readonly #state: DelayState
  readonly #machineClock: Clock
  #again: Timer | undefined

  constructor(state: DelayState, machineClock: Clock) {
    this.#state = state
    this.#machineClock = machineClock
  }

  /** Reads the logs of which it is not known what was delivered; those that cannot be read are left for later. */
  async run(): Promise<void> {
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
    this.#state.onPlanned()
    if (isComplete || this.#state.isClosed) return
    this.#again = this.#machineClock.setTimer(RECOVERY_RETRY_MS, () => void this.run())
  }

  /** Logs that could not be read are left alone from now on. */
  close(): void {
    this.#again?.cancel()
  }
}

/**
 * Reads a log from an offset to its end and returns what was delivered there.
 *
 * @throws BrokerError KAFKA_STORAGE_ERROR, CORRUPT_MESSAGE
 */
async function findDeliveries(log: PartitionLog, fromOffset: number): Promise<FoundDelivery[]> {
  const found: FoundDelivery[] = []
  let offset = Math.max(fromOffset, log.logStartOffset)
  while (offset < log.highWatermark) {
    const batches = await read(log, offset)
    try {
      const next = collect(batches.bytes, found)
      if (next <= offset) break
      offset = next
    } finally {
      batches.release()
    }
  }
  return found
}

function read(log: PartitionLog, offset: number): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    log.read(offset, READ_BYTES, (error, batches) => {
      if (error === undefined) resolve(batches)
      else reject(error)
    })
  })
}

/** Returns the offset behind the last batch, 0 when there is none. */
function collect(bytes: Buffer, found: FoundDelivery[]): number {
  const reader = new RecordReader()
  let next = 0
  for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
    next = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
    const batch = bytes.subarray(at, at + getBatchBytes(bytes, at))
    // Only a topic with compression.type has delivered records in compressed batches.
    if (getCodec(bytes, at) === 'none' && !batch.includes(NEEDLE)) continue
    reader.open(batch, 0)
    while (reader.next()) {
      for (const { key, value } of reader.headers) {
        if (key === SCHEDULE_ID_HEADER && value !== null) found.push(copyOf(reader, value.toString('latin1')))
      }
    }
  }
  return next
}

function copyOf({ offset, timestamp, key, value }: RecordReader, id: string): FoundDelivery {
  return { id, offset, timestamp, key: key && Buffer.from(key), value: value && Buffer.from(value) }
}

/**
 * Removes from the store what was found in the log of a partition, and the partition's point.
 *
 * @throws BrokerError KAFKA_STORAGE_ERROR
 */
async function removeFound(
  state: DelayState,
  topic: TopicSchedules,
  partition: number,
  found: readonly FoundDelivery[],
  config: LogConfig,
): Promise<void> {
  const { store, outcomes, clock } = state
  const changes: StoreChange[] = []
  const removed = new Set<string>()
  for (const delivery of found) {
    const { id, offset } = delivery
    const row = isScheduleId(id) && !removed.has(id) ? store.get('schedules', id) : undefined
    if (row === undefined) continue
    const schedule = decodeSchedule(id, row)
    if (schedule.topic !== topic.topic || schedule.partition !== partition) continue
    // The header alone proves nothing: any client can send it.
    if (!isSameRecord(schedule, delivery, config)) continue
    removed.add(id)
    changes.push(...withoutRowsOf(schedule))
    outcomes.note(id, { kind: 'delivered', atMs: clock.now(), topic: topic.topic, partition, offset })
  }
  topic.count -= removed.size
  changes.push(countRow(topic.topic, topic.count), pointRow(topic.topic, partition, undefined))
  await store.commit(changes)
}

function isSameRecord(schedule: Schedule, found: FoundDelivery, { timestampType }: LogConfig): boolean {
  const reader = new RecordReader()
  reader.open(schedule.batch, 0)
  if (!reader.next()) return false
  const isSameTime = reader.timestamp === found.timestamp || timestampType === 'LogAppendTime'
  return isSameTime && areSame(reader.key, found.key) && areSame(reader.value, found.value)
}

function areSame(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other)
}
