import { BrokerError } from '../base/broker-error.ts'
import { DELAY_HEADER, DUE_AT_HEADER } from '../delay/delay-options.ts'
import type { AcceptedSchedules, NewSchedule } from '../delay/delay-queue.ts'
import type { PartitionLog } from '../log/log-engine.ts'
import type { RecordBatchBuilder } from '../record/record-batch.ts'
import type { Broker } from './broker.ts'
import { findDueFault, readDue } from './delayed-records.ts'
import { choosePartition } from './partitioner.ts'
import type { ProduceRequest } from './produce-request.ts'
import { SchemaViolation } from './schema-gate.ts'
import type { Topic } from './topics.ts'

/** Where records went. */
export interface ProducedPartition {
  readonly partition: number
  /** -1 when nothing was stored now. */
  readonly baseOffset: number
  readonly numRecords: number
  readonly highWatermark: number
  /** How many records do not fit the topic's schema and went to its dead letter topic; absent when none did. */
  readonly deadLetters?: number
}

/** A record that waits until it is due. It has no offset before. */
export interface ScheduledRecord {
  /** Which record of the request, from 0. */
  readonly record: number
  readonly id: string
  readonly partition: number
  /** Unix milliseconds. */
  readonly dueAt: number
}

/** What became of the records of a request; the first fields speak of the first partition that got some. */
export interface ProducedRecords extends ProducedPartition {
  readonly topic: string
  /** When they went to several, and the request did not name one. */
  readonly partitions?: readonly ProducedPartition[]
  readonly scheduled?: readonly ScheduledRecord[]
  /** The id of the record, when the request has one and it waits. */
  readonly scheduleId?: string
}

const ANY_PARTITION = -1
const NO_OFFSET = -1
const NOTHING_WAITS: AcceptedSchedules = { ids: [], stored: Promise.resolve() }

/** The records of a request that go to one log now. */
interface Share {
  readonly log: PartitionLog
  readonly indexes: number[]
}

/** The same as a batch that may be appended; without places, it is a record to be delayed that became a dead letter. */
interface PackedShare extends Share {
  readonly batch: Buffer
}

/** A record of a request that waits, and which one of it that is. */
interface Waiting extends NewSchedule {
  readonly index: number
}

/** Whether a request has records that are to be delivered later, or might. */
export function mayBeDelayed({ dueAts, headers }: ProduceRequest): boolean {
  if (dueAts !== undefined) return true
  for (const list of headers?.values() ?? []) {
    if (list.some(({ key }) => key === DUE_AT_HEADER || key === DELAY_HEADER)) return true
  }
  return false
}

/**
 * Takes records as a door has decoded them, for now and for later. Those that are due now are appended, by partition; the
 * others are stored all together.
 */
export class RecordProducer {
  readonly #broker: Broker
  readonly #action: string

  /** `action` is what a request wants, as refusals have it behind "Cannot": `take PRODUCE`. */
  constructor(broker: Broker, action: string) {
    this.#broker = broker
    this.#action = action
  }

  /**
   * Takes the records of a request; what is needed of it later is copied. They are packed by `batches`, whose memory must
   * stay as it is until the log has written them, at the end of this turn. Resolves when everything is as safe as the
   * request asks for.
   *
   * @throws BrokerError as long as nothing was stored
   */
  start(request: ProduceRequest, batches: RecordBatchBuilder): Promise<ProducedRecords> {
    const topic = this.#broker.topics.getExisting(request.topic)
    const { shares, waiting } = this.#divide(request, topic, batches)
    this.#broker.delay.checkRoom(topic.name, topic.config, waiting.length)
    const stores: Promise<ProducedPartition>[] = []
    for (const share of shares) stores.push(this.#append(request, share))
    const { ids, stored } = waiting.length === 0 ? NOTHING_WAITS : this.#broker.setAside(topic.name, waiting)
    const scheduled = waiting.map(({ index, partition, dueAtMs }, place) => {
      return { record: index, id: ids[place], partition, dueAt: dueAtMs }
    })
    return this.#answer(request, topic, stores, stored, scheduled)
  }

  #divide(
    request: ProduceRequest,
    topic: Topic,
    batches: RecordBatchBuilder,
  ): { shares: PackedShare[]; waiting: Waiting[] } {
    const { clock, delayed, intake, gate } = this.#broker
    const { config } = topic
    const now = clock.now()
    const shares = new Map<number, Share>()
    const waiting: Waiting[] = []
    const rejected: PackedShare[] = []
    let keyless: number | undefined
    const partitionOf = (index: number): number => {
      const own = request.partitions?.get(index)
      if (own !== undefined) return own
      if (request.partition !== ANY_PARTITION) return request.partition
      if (request.hasKey(index)) return choosePartition(request.hashKey(index), topic.partitionCount)
      return (keyless ??= this.#broker.choosePartition(topic))
    }
    for (let index = 0; index < request.recordCount; index++) {
      const log = this.#broker.getLog(request.topic, partitionOf(index))
      const dueAtMs = this.#findDue(request, index, topic, now)
      if (dueAtMs === undefined) {
        // Better all refused than some: a client that tries again would store the others twice.
        if (log.failure !== undefined) throw log.failure
        const share = shares.get(log.partition) ?? { log, indexes: [] }
        shares.set(log.partition, share)
        share.indexes.push(index)
        continue
      }
      const { key, value, timestamp, headers } = request.viewOf(index)
      const batch = delayed.records.pack(key, value, timestamp, headers, config)
      // What the topic asks of records it asks of these too, and now, while there is somebody to tell.
      const taken = attempt([index], () => gate.check(intake.take(Buffer.from(batch), config), log, config))
      if (gate.rejectedOf(taken) !== undefined) rejected.push({ log, indexes: [], batch: taken })
      else waiting.push({ index, partition: log.partition, dueAtMs, batch })
    }
    const packed = [...shares.values()].map((share) => this.#pack(request, share, topic, batches))
    return { shares: [...packed, ...rejected], waiting }
  }

  /** Packs the records of a partition that are due now, before any is appended: one that is refused refuses all. */
  #pack(request: ProduceRequest, { log, indexes }: Share, { config }: Topic, batches: RecordBatchBuilder): PackedShare {
    const { intake, gate } = this.#broker
    try {
      batches.begin()
      for (const index of indexes) request.addTo(batches, index)
      const finished = batches.finish()
      return { log, indexes, batch: attempt(indexes, () => gate.check(intake.take(finished, config), log, config)) }
    } catch (error) {
      batches.abandon()
      throw error
    }
  }

  #append(request: ProduceRequest, { log, indexes, batch }: PackedShare): Promise<ProducedPartition> {
    const deadLetters = this.#broker.gate.rejectedOf(batch)?.records.length ?? 0
    return new Promise((resolve, reject) => {
      try {
        const numRecords = Math.max(0, indexes.length - deadLetters)
        const appended = (error: Error | undefined): void => {
          const { partition, highWatermark } = log
          if (error === undefined)
            resolve({ partition, baseOffset, numRecords, highWatermark, ...(deadLetters > 0 && { deadLetters }) })
          else reject(error)
        }
        const waiter = request.acks === 0 ? undefined : { appended }
        const baseOffset = this.#broker.produce(log, batch, indexes.length, request.acks, waiter)
        if (waiter === undefined) appended(undefined)
      } catch (error) {
        reject(error)
      }
    })
  }

  async #answer(
    { recordCount, partition: asked }: ProduceRequest,
    { name }: Topic,
    stores: readonly Promise<ProducedPartition>[],
    stored: Promise<void>,
    scheduled: readonly ScheduledRecord[],
  ): Promise<ProducedRecords> {
    const [delayed, ...shares] = await Promise.allSettled([stored, ...stores])
    const partitions = shares.flatMap((share) => (share.status === 'fulfilled' ? [share.value] : []))
    const failed = [delayed, ...shares].filter((each) => each.status === 'rejected')
    if (failed.length > 0) {
      throw partlyStored(failed[0].reason, name, partitions, delayed.status === 'fulfilled' ? scheduled.length : 0)
    }
    const first = partitions.at(0) ?? {
      partition: scheduled[0].partition,
      baseOffset: NO_OFFSET,
      numRecords: 0,
      highWatermark: this.#broker.findLog(name, scheduled[0].partition)?.highWatermark ?? 0,
    }
    return {
      topic: name,
      ...first,
      ...(asked === ANY_PARTITION && partitions.length > 1 && { partitions }),
      ...(scheduled.length > 0 && { scheduled }),
      ...(recordCount === 1 && scheduled.length === 1 && { scheduleId: scheduled[0].id }),
    }
  }

  /** When a record is due, Unix milliseconds; undefined for now. @throws BrokerError INVALID_REQUEST */
  #findDue(request: ProduceRequest, index: number, topic: Topic, now: number): number | undefined {
    const { config, name } = topic
    const given = request.dueAts?.get(index)
    const headers = request.headers?.get(index)
    const found = headers === undefined || !config.delayEnable ? undefined : readDue(headers, now)
    if (typeof found === 'string' && given === undefined) throw this.#refuse(`with records[${index}]`, found)
    const due = given ?? (typeof found === 'object' ? found.atMs : undefined)
    if (due === undefined) return undefined
    if (due <= now) return undefined
    if (!config.delayEnable) {
      throw this.#refuse(`with records[${index}].dueAt ${due}`, `topic "${name}" has cafelog.delay.enable=false`)
    }
    const fault = findDueFault(due, now, config)
    if (fault !== undefined) throw this.#refuse(`with records[${index}]`, fault)
    return due
  }

  #refuse(what: string, right: string): BrokerError {
    return new BrokerError('INVALID_REQUEST', `Cannot ${this.#action} ${what}: ${right}`)
  }
}

/** Says of records that do not fit which ones of the request they are. */
function attempt<Value>(places: readonly number[], work: () => Value): Value {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof SchemaViolation)) throw error
    throw new SchemaViolation(error.faults.map((fault) => ({ ...fault, index: places[fault.index] })))
  }
}

function partlyStored(
  error: unknown,
  topic: string,
  partitions: readonly ProducedPartition[],
  scheduledCount: number,
): unknown {
  if (!(error instanceof BrokerError) || (partitions.length === 0 && scheduledCount === 0)) return error
  const stored = partitions.map(({ partition }) => partition).join(', ')
  const parts = [
    partitions.length > 0 && `those for partitions ${stored} are stored`,
    scheduledCount > 0 && `${scheduledCount} delayed ones wait`,
  ]
  const kept = parts.filter((part) => part !== false).join(', ')
  const message = `Cannot store all records in topic "${topic}": ${error.message}; ${kept}`
  return new BrokerError(error.code, message, { cause: error })
}
