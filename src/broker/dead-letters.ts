import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import type { Acks, AppendWaiter, PartitionLog } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { getLastOffsetDelta, getProducerId, RecordBatchBuilder } from '../record/record-batch.ts'
import type { TracedForwarding, Tracer } from '../tracing/tracer.ts'
import { toDeadLetterHeaders } from './dead-letter-headers.ts'
import { DEAD_LETTER_SUFFIX } from './dead-letter-topic.ts'
import { toSentence } from '../schema/check-value.ts'
import type { RejectedRecords } from './schema-gate.ts'
import { WaiterForAll } from './waiter-for-all.ts'

/** A batch of dead letters is closed when it has this size. */
const BATCH_BYTES = 512 * 1024
/** The base offset of a batch of which nothing was appended. */
const NO_OFFSET = -1
/** Batches whose dead letters are known to be on their way, so that they are not written again when a producer tries again. */
const REMEMBERED_MAX = 1_000

/** What dead letters are written with. */
export interface DeadLettersParts {
  readonly clock: Clock
  readonly metrics: Metrics
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
  readonly findLog: (topicName: string, partition: number) => PartitionLog | undefined
  readonly partitionCount: (topicName: string) => number | undefined
  /** Makes the dead letter topic of a topic, if it was deleted. */
  readonly makeTopic: (topicName: string) => Promise<void>
}

/** Writes records that do not fit their topic into its dead letter topic. */
export class DeadLetters {
  readonly #parts: DeadLettersParts
  /** How many there were since the start, by the topic that they were for and by reason. */
  readonly #counts = new Map<string, Map<string, number>>()
  /** The log end offset behind the dead letters of a batch, by `topic/partition@offset` of its first record. */
  readonly #written = new Map<string, { readonly log: PartitionLog; readonly endOffset: number }>()

  constructor(parts: DeadLettersParts) {
    this.#parts = parts
    parts.metrics.dlqMessages.collect = (emit) => {
      for (const [topic, counts] of this.#counts) {
        if (parts.partitionCount(topic) === undefined) this.#counts.delete(topic)
        else for (const [reason, count] of counts) emit(count, topic, reason)
      }
    }
  }

  /**
   * Appends a batch and the dead letters that were taken out of it, and returns the offset of its first record as if all
   * had been appended, or -1 when nothing was; `waiter` is told when both are safe. A batch without a producer of which
   * nothing is left is not appended; one with a producer is, as an empty one, since its sequence numbers count.
   *
   * @throws BrokerError as `PartitionLog.append`; KAFKA_STORAGE_ERROR as long as the dead letter topic is not there
   */
  produce(
    log: PartitionLog,
    batch: Buffer,
    rejected: RejectedRecords,
    acks: Acks,
    waiter: AppendWaiter | undefined,
    append: (waiter: AppendWaiter | undefined) => number = (both) =>
      log.append(batch, getLastOffsetDelta(batch, 0) + 1, acks, both),
  ): number {
    const target = this.#findTarget(log)
    const isAppended = !rejected.isAll || getProducerId(batch, 0) >= 0
    const both = waiter === undefined ? undefined : new WaiterForAll(waiter)
    const endOffset = log.logEndOffset
    let baseOffset = NO_OFFSET
    if (isAppended) {
      both?.expectOne()
      baseOffset = append(both)
    }
    both?.expectOne()
    try {
      const isSentAgain = isAppended && baseOffset < endOffset
      if (!(isSentAgain && this.#isSafe(`${log.topic}/${log.partition}@${baseOffset}`))) {
        this.#write(log, target, baseOffset, rejected, both)
      }
      both?.appended(undefined)
    } catch (error) {
      both?.appended(error as Error)
    }
    return baseOffset
  }

  #findTarget(log: PartitionLog): PartitionLog {
    const name = `${log.topic}${DEAD_LETTER_SUFFIX}`
    const partitionCount = this.#parts.partitionCount(name)
    const target = partitionCount === undefined ? undefined : this.#parts.findLog(name, log.partition % partitionCount)
    if (target === undefined) {
      // Should it fail, the next batch tries again.
      this.#parts.makeTopic(log.topic).catch(() => {})
      throw new BrokerError(
        'KAFKA_STORAGE_ERROR',
        `Cannot append to topic "${log.topic}": its dead letter topic "${name}" is just being made; try again`,
      )
    }
    if (target.failure !== undefined) throw target.failure
    return target
  }

  #isSafe(place: string): boolean {
    const written = this.#written.get(place)
    return written !== undefined && written.log.highWatermark >= written.endOffset
  }

  #write(
    log: PartitionLog,
    target: PartitionLog,
    baseOffset: number,
    { records, schemaVersion }: RejectedRecords,
    both: WaiterForAll | undefined,
  ): void {
    const failedAtMs = this.#parts.clock.now()
    const counts = this.#counts.get(log.topic) ?? new Map<string, number>()
    this.#counts.set(log.topic, counts)
    // Its arena is never taken back: batches stay as they are for as long as somebody has them.
    const builder = new RecordBatchBuilder(0)
    const { tracer } = this.#parts
    let forwarding = tracer?.forward('dead_letter', target)
    const append = () => {
      const { recordCount } = builder
      const waiter = forwarding === undefined ? both : withSpan(forwarding, both, target.logEndOffset)
      both?.expectOne()
      try {
        target.append(builder.finish(), recordCount, 'all', waiter)
      } catch (error) {
        forwarding?.end(error)
        both?.appended(undefined)
        throw error
      }
    }
    builder.begin()
    for (const { key, value, headers, timestamp, offsetDelta, fault } of records) {
      if (builder.sizeBytes > BATCH_BYTES) {
        append()
        forwarding = tracer?.forward('dead_letter', target)
        builder.begin()
      }
      const place = `${log.topic}/${log.partition}`
      const cause = {
        reason: fault.reason,
        message: toSentence(fault),
        pointer: fault.pointer,
        origin: baseOffset === NO_OFFSET ? place : `${place}@${baseOffset + offsetDelta}`,
        timestamp,
        schemaVersion,
        failedAtMs,
      }
      const traced = forwarding === undefined ? headers : forwarding.add(headers)
      builder.add(key, value, failedAtMs, toDeadLetterHeaders(traced, cause))
      counts.set(fault.reason, (counts.get(fault.reason) ?? 0) + 1)
    }
    append()
    if (baseOffset !== NO_OFFSET) this.#remember(`${log.topic}/${log.partition}@${baseOffset}`, target)
  }

  #remember(place: string, log: PartitionLog): void {
    this.#written.delete(place)
    this.#written.set(place, { log, endOffset: log.logEndOffset })
    if (this.#written.size <= REMEMBERED_MAX) return
    const [oldest] = this.#written.keys()
    this.#written.delete(oldest)
  }
}

/** Ends the spans of a batch, and tells whoever waits. */
function withSpan(work: TracedForwarding, waiter: AppendWaiter | undefined, baseOffset: number): AppendWaiter {
  return {
    appended(error) {
      work.end(error, baseOffset)
      waiter?.appended(error)
    },
  }
}
