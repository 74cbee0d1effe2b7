import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import type { LogLevelControl } from '../base/log-level.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { CommittedOffsets } from '../groups/committed-offsets.ts'
import type { GroupCoordinator } from '../groups/coordinator.ts'
import type { Acks, AppendWaiter, Isolation, LogEngine, PartitionLog, ReadBatches } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import {
  getProducerEpoch,
  getProducerId,
  getRecordCount,
  isTransactional,
  UNPACKED_BYTES_MAX,
} from '../record/record-batch.ts'
import { BatchIntake } from './batch-intake.ts'
import { checkBatch } from './check-batch.ts'
import type { AcceptedSchedules, DelayQueue, NewSchedule } from '../delay/delay-queue.ts'
import type { Schedule } from '../delay/schedule-rows.ts'
import { countRecords } from './count-records.ts'
import { DelayedProduce } from './delayed-produce.ts'
import { findDueFault } from './delayed-records.ts'
import type { DividedBatch } from './delayed-records.ts'
import type { TransactionCoordinator } from '../transactions/coordinator.ts'
import type { ProducerIds } from '../transactions/producer-ids.ts'
import type { TracedWork, Tracer } from '../tracing/tracer.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import type { LogWatch } from './log-watches.ts'
import { LogWatches } from './log-watches.ts'
import { ensureDeadLetterTopic } from './dead-letter-topic.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Redrives } from './dlq/redrives.ts'
import { KeylessPartitioner } from './partitioner.ts'
import { SchemaGate } from './schema-gate.ts'
import { SchemaTrials } from './schema-trial.ts'
import type { TopicSchemas } from './topic-schemas.ts'
import type { Topic, Topics } from './topics.ts'
import { type RunningFetch, WaitingFetches } from './waiting-fetches.ts'

/** The special offsets of a fetch. */
export const LATEST_OFFSET = -1
export const EARLIEST_OFFSET = -2

/** What the broker says of itself. */
export interface BrokerIdentity {
  readonly version: string
  readonly clusterId: string
  readonly startedAtMs: number
  readonly dataDirectory: string
  /** As it is written in the configuration: `always`, `interval:10ms` or `os`. */
  readonly flushPolicy: string
}

/** One partition to read. */
export interface FetchRequest {
  readonly topic: string
  readonly partition: number
  /** 0 or more, or one of the special offsets. */
  readonly offset: number
  readonly bytesMax: number
  readonly bytesMin: number
  readonly waitMs: number
  /** With `read_committed`, batches of open transactions are not given, those of aborted ones look like control batches. */
  readonly isolation: Isolation
}

/** What a fetch came to. */
export interface FetchAnswer {
  readonly log: PartitionLog
  /** The offset to begin at; the first batch may begin before it. */
  readonly fromOffset: number
  /** Release them when they are encoded. */
  readonly batches: ReadBatches
}

/** A batch that a producer has sent, ready to be appended. */
export interface TakenBatch {
  readonly log: PartitionLog
  readonly batch: Buffer
  /** The same in two parts, when some of its records are to be delivered later. */
  readonly divided: DividedBatch | undefined
}

/** What the broker is made of. */
export interface BrokerParts {
  readonly clock: Clock
  readonly engine: LogEngine
  readonly topics: Topics
  readonly committedOffsets: CommittedOffsets
  readonly groups: GroupCoordinator
  /** For producers without a transactional id. */
  readonly producerIds: ProducerIds
  readonly transactions: TransactionCoordinator
  readonly delay: DelayQueue
  readonly schemas: TopicSchemas
  readonly redrives: Redrives
  readonly snapshots: Snapshots
  readonly metrics: Metrics
  readonly identity: BrokerIdentity
  /** The most that the records of a compressed batch may grow to when they must be looked into. */
  readonly unpackedBytesMax?: number
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
  /** Undefined when the log belongs to the program that the broker runs in. */
  readonly logLevel?: LogLevelControl | undefined
}

/**
 * The broker as every door sees it. It speaks of topics, offsets and batches, and refuses by name; what a socket, a frame
 * or an error number is, the doors know.
 */
export class Broker {
  readonly clock: Clock
  readonly topics: Topics
  readonly committedOffsets: CommittedOffsets
  readonly groups: GroupCoordinator
  /** For producers without a transactional id. */
  readonly producerIds: ProducerIds
  readonly transactions: TransactionCoordinator
  readonly identity: BrokerIdentity
  /** What becomes of a batch before it is given to `produce`. */
  readonly intake: BatchIntake
  /** Records that wait until they are due. */
  readonly delay: DelayQueue
  /** What becomes of a batch that may have such records. */
  readonly delayed: DelayedProduce
  readonly schemas: TopicSchemas
  /** What a batch has to pass between `intake` and `produce`. */
  readonly gate: SchemaGate
  /** What a schema would have said of records that are stored. */
  readonly schemaTrials: SchemaTrials
  readonly deadLetters: DeadLetters
  /** What becomes of them afterwards. */
  readonly redrives: Redrives
  /** The most that the records of a compressed batch may grow to when they must be looked into. */
  readonly unpackedBytesMax: number
  /** Undefined as long as tracing is off. */
  readonly tracer: Tracer | undefined
  readonly snapshots: Snapshots
  /** Undefined when the log belongs to the program that the broker runs in. */
  readonly logLevel: LogLevelControl | undefined
  /** Where each door listens; filled in as they open. */
  readonly addresses = new Map<string, string>()
  readonly #engine: LogEngine
  readonly #waiting: WaitingFetches
  readonly #watches: LogWatches
  readonly #keyless = new KeylessPartitioner()

  constructor(parts: BrokerParts) {
    this.clock = parts.clock
    this.topics = parts.topics
    this.committedOffsets = parts.committedOffsets
    this.groups = parts.groups
    this.producerIds = parts.producerIds
    this.transactions = parts.transactions
    this.identity = parts.identity
    this.intake = new BatchIntake(parts.clock, parts.unpackedBytesMax)
    this.delay = parts.delay
    this.delayed = new DelayedProduce(parts.delay, parts.unpackedBytesMax)
    const { schemas, clock, metrics, unpackedBytesMax, tracer } = parts
    this.unpackedBytesMax = unpackedBytesMax ?? UNPACKED_BYTES_MAX
    this.tracer = tracer
    this.logLevel = parts.logLevel
    this.schemas = schemas
    this.redrives = parts.redrives
    this.gate = new SchemaGate({ schemas, clock, metrics, unpackedBytesMax })
    const findLog = (topic: string, partition: number) => this.findLog(topic, partition)
    this.schemaTrials = new SchemaTrials({ clock, findLog, unpackedBytesMax })
    this.deadLetters = new DeadLetters({
      clock,
      metrics,
      findLog,
      tracer,
      partitionCount: (topic) => this.topics.partitionCount(topic),
      makeTopic: (topic) => ensureDeadLetterTopic(this.topics, this.topics.getExisting(topic)),
    })
    this.snapshots = parts.snapshots
    this.#engine = parts.engine
    this.#waiting = new WaitingFetches(parts.clock, parts.metrics.fetchWaiting, tracer)
    this.#watches = new LogWatches(parts.clock, parts.metrics.fetchWaiting)
    parts.engine.onHighWatermark = (log) => {
      this.#waiting.wake(log)
      this.#watches.wake(log)
    }
    parts.topics.onChanged = (topic) => this.groups.topicChanged(topic)
    parts.topics.onRetired = (logs, error) => {
      for (const log of logs) {
        this.#waiting.fail(log, error)
        this.#watches.wake(log)
        this.#keyless.forget(log.topic)
      }
    }
  }

  /**
   * The log of a partition.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION
   */
  getLog(topicName: string, partition: number): PartitionLog {
    const log = this.findLog(topicName, partition)
    if (log !== undefined) return log
    const topic = this.topics.get(topicName)
    throw topic === undefined ? this.topics.unknown(topicName) : unknownPartition(topic, partition)
  }

  /** The log of a partition, if there is one. */
  findLog(topicName: string, partition: number): PartitionLog | undefined {
    const topic = this.topics.get(topicName)
    return topic === undefined ? undefined : this.#engine.get(topic.name, partition)
  }

  /** The partition for the records without a key of one request: the next one at each call. */
  choosePartition(topic: Topic): number {
    return this.#keyless.next(topic.name, topic.partitionCount)
  }

  /**
   * Takes the batch that a producer has sent for a partition and returns what is to be appended to which log: the batch
   * itself, which may have been changed where it lies, or another one in its place. Nothing is appended yet.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, or as `checkBatch`, `TransactionCoordinator.checkProduce`,
   * `BatchIntake.take`, `SchemaGate.check` and `DelayedProduce.divide`
   */
  takeBatch(topicName: string, partition: number, batch: Buffer | null): TakenBatch {
    const topic = this.topics.getExisting(topicName)
    const log = this.getLog(topicName, partition)
    checkBatch(batch, topic.config)
    if (isTransactional(batch, 0)) {
      this.transactions.checkProduce(getProducerId(batch, 0), getProducerEpoch(batch, 0), topicName, partition)
    }
    const taken = this.gate.check(this.intake.take(batch, topic.config), log, topic.config)
    return { log, batch: taken, divided: this.delayed.divide(taken, log, topic.config, this.clock) }
  }

  /**
   * Appends what `takeBatch` returned in this turn of the event loop, and sets aside what of it is to be delivered later.
   * Returns the base offset of the batch, or -1 when nothing was appended; `waiter` is told later.
   *
   * @throws BrokerError as `PartitionLog.append`
   */
  produceTaken({ log, batch, divided }: TakenBatch, acks: Acks, waiter?: AppendWaiter): number {
    if (divided === undefined) return this.produce(log, batch, getRecordCount(batch, 0), acks, waiter)
    const append = (both: AppendWaiter | undefined) => this.delayed.produce(log, batch, divided, acks, both)
    const rejected = this.gate.rejectedOf(batch)
    const appendAll = (all: AppendWaiter | undefined) =>
      rejected === undefined ? append(all) : this.deadLetters.produce(log, batch, rejected, acks, all, append)
    if (this.tracer === undefined) return appendAll(waiter)
    return appendTraced(this.tracer.produce(log, batch), acks, waiter, appendAll)
  }

  /**
   * Appends one batch and returns its base offset; `waiter` is told later. A batch that its producer sends again gets the
   * base offset of the first one. What the gate has taken out of the batch goes to the dead letter topic, and `waiter` is
   * told when both are safe; the base offset is -1 when nothing was left to be appended.
   *
   * @throws BrokerError as `PartitionLog.append`
   */
  produce(log: PartitionLog, batch: Buffer, recordCount: number, acks: Acks, waiter?: AppendWaiter): number {
    if (this.tracer === undefined) return this.#append(log, batch, recordCount, acks, waiter)
    return appendTraced(this.tracer.produce(log, batch), acks, waiter, (traced) =>
      this.#append(log, batch, recordCount, acks, traced),
    )
  }

  /** Sets records of a topic aside until they are due: `DelayQueue.accept`. */
  setAside(topicName: TopicName, schedules: readonly NewSchedule[]): AcceptedSchedules {
    const accepted = this.delay.accept(topicName, schedules)
    if (this.tracer === undefined) return accepted
    for (const partition of new Set(schedules.map((schedule) => schedule.partition))) {
      const batches = schedules.filter((schedule) => schedule.partition === partition).map(({ batch }) => batch)
      const work = this.tracer.produce({ topic: topicName, partition }, Buffer.concat(batches))
      accepted.stored.then(
        () => work.end(),
        (error: unknown) => work.end(error),
      )
    }
    return accepted
  }

  #append(log: PartitionLog, batch: Buffer, recordCount: number, acks: Acks, waiter?: AppendWaiter): number {
    const rejected = this.gate.rejectedOf(batch)
    if (rejected !== undefined) return this.deadLetters.produce(log, batch, rejected, acks, waiter)
    return log.append(batch, recordCount, acks, waiter)
  }

  /** Reads one partition, waiting for data if the request says so. `done` may be called at once. */
  fetch(request: FetchRequest, done: (error: Error | undefined, answer: FetchAnswer) => void): RunningFetch {
    const log = this.getLog(request.topic, request.partition)
    const { bytesMax, bytesMin, waitMs, isolation } = request
    const fromOffset = resolveOffset(log, request)
    const wish = { log, fromOffset, bytesMax, bytesMin, waitMs, isolation }
    return this.#waiting.start(wish, (error, batches) => {
      log.deliveredRecords += countRecords(batches.bytes, fromOffset)
      done(error, { log, fromOffset, batches })
    })
  }

  /**
   * Calls `wake` once: when more can be read of one of the logs, when one of them goes out of service, or after `waitMs`.
   */
  watch(logs: readonly PartitionLog[], waitMs: number, wake: () => void): LogWatch {
    return this.#watches.start(logs, waitMs, wake)
  }

  /**
   * Lets a record that waits be due at another time, Unix milliseconds; one that has passed is now.
   *
   * @throws ScheduleGone; BrokerError INVALID_TIMESTAMP, KAFKA_STORAGE_ERROR
   */
  async rescheduleRecord(id: string, dueAtMs: number): Promise<Schedule> {
    const { topic } = this.delay.get(id)
    const fault = findDueFault(dueAtMs, this.clock.now(), this.topics.getExisting(topic).config)
    if (fault !== undefined) throw new BrokerError('INVALID_TIMESTAMP', `Cannot reschedule "${id}": ${fault}`)
    return this.delay.reschedule(id, dueAtMs)
  }

  /**
   * The level of the log, which may be changed.
   *
   * @throws BrokerError INVALID_REQUEST for a broker that has no log of its own
   */
  getLogLevel(): LogLevelControl {
    if (this.logLevel !== undefined) return this.logLevel
    const reason = 'it belongs to the program that this broker runs in'
    throw new BrokerError('INVALID_REQUEST', `Cannot use the level of the log: ${reason}`)
  }

  /** Answers all fetches that wait, so that connections can be closed. */
  endWaits(): void {
    this.#waiting.endAll()
  }
}

/** Appends within a span, which ends when `waiter` is told; at once, when nobody waits. */
function appendTraced(
  work: TracedWork,
  acks: Acks,
  waiter: AppendWaiter | undefined,
  append: (waiter: AppendWaiter | undefined) => number,
): number {
  let baseOffset: number | undefined
  const traced: AppendWaiter = {
    appended(error) {
      work.end(error, baseOffset)
      waiter?.appended(error)
    },
  }
  try {
    baseOffset = append(acks === 0 ? undefined : traced)
  } catch (error) {
    work.end(error)
    throw error
  }
  if (acks === 0) work.end(undefined, baseOffset)
  return baseOffset
}

function resolveOffset(log: PartitionLog, { offset, isolation }: FetchRequest): number {
  if (offset === LATEST_OFFSET) return isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark
  if (offset === EARLIEST_OFFSET) return log.logStartOffset
  return offset
}

function unknownPartition(topic: { name: string; partitionCount: number }, partition: number): BrokerError {
  return new BrokerError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `Topic "${topic.name}" has no partition ${partition}: it has 0 to ${topic.partitionCount - 1}`,
  )
}
