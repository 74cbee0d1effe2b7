import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import { choosePartition } from '../../../broker/partitioner.ts'
import type { AppendWaiter, PartitionLog } from '../../../log/log-engine.ts'
import { RecordBatchBuilder } from '../../../record/record-batch.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import { toWireError } from '../errors.ts'
import type { Meters, OperationMeter } from '../meters.ts'
import { DelayedProducer } from './produce-delayed.ts'
import { ProduceParser } from '../produce-parser.ts'
import type { ProduceRequest } from '../produce-request.ts'
import type { ProducedPartition, RefusedPartition } from '../wire.ts'
import { FRAME_TYPES } from '../wire.ts'

const ANY_PARTITION = -1
const NO_RECORD = -1

/**
 * Takes PRODUCE requests: bytes of JSON to record batches to the log. One parser and one arena for batches serve all
 * connections, since a request is parsed, packed and appended without anything else coming between.
 */
export class Producer {
  readonly #broker: Broker
  readonly #meters: Meters
  readonly #parser = new ProduceParser()
  readonly #batches = new RecordBatchBuilder()
  readonly #partitions = new PartitionedRecords()
  readonly #delayed: DelayedProducer

  constructor(broker: Broker, meters: Meters) {
    this.#broker = broker
    this.#meters = meters
    this.#delayed = new DelayedProducer(broker, meters, this.#batches)
  }

  /** The log has written all batches of earlier turns: their memory is free. */
  turnBegan(): void {
    this.#batches.reset()
  }

  /** Takes the request whose payload lies between `start` and `end`; it answers through `queue`, or never. */
  take(queue: AnswerQueue, meter: OperationMeter, buffer: Buffer, start: number, end: number): void {
    let request: ProduceRequest
    try {
      request = this.#parser.parse(buffer, start, end, this.#broker.clock.now())
    } catch (error) {
      new Exchange(queue, FRAME_TYPES.PRODUCE, 'write', meter).fail(error)
      return
    }
    if (this.#delayed.concerns(request)) this.#delayed.take(request, queue, meter)
    else if (request.acks === 0) this.#appendUnanswered(request, queue, meter)
    else if (request.partition === ANY_PARTITION) this.#appendByKey(request, queue, meter)
    else this.#appendToOne(request, request.partition, queue, meter)
  }

  #appendToOne(request: ProduceRequest, partition: number, queue: AnswerQueue, meter: OperationMeter): void {
    const exchange = new ProduceExchange(queue, meter, this.#meters)
    try {
      const log = this.#broker.getLog(request.topic, partition)
      exchange.expect(log, request.recordCount, this.#append(request, log, ALL_RECORDS, exchange))
    } catch (error) {
      exchange.fail(error)
    }
  }

  #appendByKey(request: ProduceRequest, queue: AnswerQueue, meter: OperationMeter): void {
    let logs: PartitionLog[]
    try {
      logs = this.#findLogs(request)
    } catch (error) {
      new Exchange(queue, FRAME_TYPES.PRODUCE, 'write', meter).fail(error)
      return
    }
    if (logs.length === 1) return this.#appendToOne(request, logs[0].partition, queue, meter)
    const exchange = new SplitExchange(queue, meter, this.#meters, request.topic)
    for (const log of logs) {
      const part = exchange.addPart(log, this.#partitions.countOf(log.partition))
      try {
        part.baseOffset = this.#append(request, log, this.#partitions, part)
      } catch (error) {
        part.appended(error as Error)
      }
    }
    exchange.allAdded()
  }

  #appendUnanswered(request: ProduceRequest, queue: AnswerQueue, meter: OperationMeter): void {
    const { topic, partition } = request
    const startedAtMs = queue.clock.monotonic()
    try {
      if (partition === ANY_PARTITION) {
        for (const log of this.#findLogs(request)) this.#append(request, log, this.#partitions, undefined)
      } else {
        this.#append(request, this.#broker.getLog(topic, partition), ALL_RECORDS, undefined)
      }
      meter.countOk(queue.clock.monotonic() - startedAtMs)
    } catch (error) {
      meter.countError(toWireError(error).code, queue.clock.monotonic() - startedAtMs)
      queue.noteMistake(error)
    }
  }

  /** Splits the records over the partitions of their topic and returns the logs they go to, all in working order. */
  #findLogs(request: ProduceRequest): PartitionLog[] {
    const topic = this.#broker.topics.getExisting(request.topic)
    const partitions = this.#partitions.split(request, topic.partitionCount, () => this.#broker.choosePartition(topic))
    return partitions.map((partition) => {
      const log = this.#broker.getLog(request.topic, partition)
      // Better all refused than some: a client that tries again would store the others twice.
      if (log.failure !== undefined) throw log.failure
      return log
    })
  }

  /** Packs the records that `selection` has for this log's partition into a batch, and appends that. */
  #append(
    request: ProduceRequest,
    log: PartitionLog,
    selection: RecordSelection,
    waiter: AppendWaiter | undefined,
  ): number {
    const batches = this.#batches
    try {
      batches.begin()
      for (let index = selection.first(log.partition); index < request.recordCount; index = selection.after(index)) {
        request.addTo(batches, index)
      }
      const { recordCount } = batches
      const batch = this.#broker.intake.take(batches.finish(), this.#broker.topics.getExisting(log.topic).config)
      return this.#broker.produce(log, batch, recordCount, request.acks, waiter)
    } catch (error) {
      batches.abandon()
      throw error
    }
  }
}

/** Which of a request's records go to a partition: walked through from `first` until `after` is beyond the last. */
interface RecordSelection {
  first(partition: number): number
  after(index: number): number
}

const ALL_RECORDS: RecordSelection = { first: () => 0, after: (index) => index + 1 }

/** The records of one request, chained by partition. Filled again for every request. */
class PartitionedRecords implements RecordSelection {
  #first = new Int32Array(0)
  #last = new Int32Array(0)
  #counts = new Int32Array(0)
  #next = new Int32Array(0)

  /** Returns the partitions that get records, that of the first record first. */
  split(request: ProduceRequest, partitionCount: number, chooseForKeyless: () => number): number[] {
    const { recordCount } = request
    if (this.#first.length < partitionCount) {
      this.#first = new Int32Array(partitionCount)
      this.#last = new Int32Array(partitionCount)
      this.#counts = new Int32Array(partitionCount)
    }
    if (this.#next.length < recordCount) this.#next = new Int32Array(recordCount)
    this.#first.fill(NO_RECORD)
    const partitions: number[] = []
    let keyless = -1
    for (let index = 0; index < recordCount; index++) {
      let partition: number
      if (request.hasKey(index)) partition = choosePartition(request.hashKey(index), partitionCount)
      else {
        if (keyless === -1) keyless = chooseForKeyless()
        partition = keyless
      }
      if (this.#first[partition] === NO_RECORD) {
        partitions.push(partition)
        this.#first[partition] = index
        this.#counts[partition] = 0
      } else {
        this.#next[this.#last[partition]] = index
      }
      this.#last[partition] = index
      this.#counts[partition]++
      this.#next[index] = recordCount
    }
    return partitions
  }

  countOf(partition: number): number {
    return this.#counts[partition]
  }
  first(partition: number): number {
    return this.#first[partition]
  }
  after(index: number): number {
    return this.#next[index]
  }
}

/** A PRODUCE whose records all go to one partition. */
class ProduceExchange extends Exchange implements AppendWaiter {
  readonly #meters: Meters
  #log: PartitionLog | undefined = undefined
  #recordCount = 0
  #baseOffset = 0

  constructor(queue: AnswerQueue, meter: OperationMeter, meters: Meters) {
    super(queue, FRAME_TYPES.PRODUCE, 'write', meter)
    this.#meters = meters
  }

  expect(log: PartitionLog, recordCount: number, baseOffset: number): void {
    this.#log = log
    this.#recordCount = recordCount
    this.#baseOffset = baseOffset
  }

  appended(error: Error | undefined): void {
    const log = this.#log
    if (error !== undefined || log === undefined) return this.fail(error)
    this.#meters.publishLatencyMs.observe(this.queue.clock.monotonic() - this.startedAtMs)
    // A topic name needs no escaping.
    this.succeed(
      `{"topic":"${log.topic}","partition":${log.partition},"baseOffset":${this.#baseOffset},"numRecords":${this.#recordCount},"highWatermark":${log.highWatermark}}`,
    )
  }
}

/** One partition's share of a PRODUCE. */
class Part implements AppendWaiter {
  readonly log: PartitionLog
  readonly recordCount: number
  baseOffset = 0
  error: Error | undefined
  readonly #exchange: SplitExchange
  #isSettled = false

  constructor(exchange: SplitExchange, log: PartitionLog, recordCount: number) {
    this.#exchange = exchange
    this.log = log
    this.recordCount = recordCount
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  appended(error: Error | undefined): void {
    this.#isSettled = true
    this.error = error
    this.#exchange.partSettled()
  }

  describe(): ProducedPartition | RefusedPartition {
    const { log, baseOffset, recordCount, error } = this
    const { partition, highWatermark } = log
    if (error !== undefined) return { partition, error: toWireError(error) }
    return { partition, baseOffset, numRecords: recordCount, highWatermark }
  }
}

/** A PRODUCE whose records go to several partitions. It is answered when all have their share. */
class SplitExchange extends Exchange {
  readonly #meters: Meters
  readonly #topic: string
  readonly #parts: Part[] = []
  #areAllAdded = false

  constructor(queue: AnswerQueue, meter: OperationMeter, meters: Meters, topic: string) {
    super(queue, FRAME_TYPES.PRODUCE, 'write', meter)
    this.#meters = meters
    this.#topic = topic
  }

  addPart(log: PartitionLog, recordCount: number): Part {
    const part = new Part(this, log, recordCount)
    this.#parts.push(part)
    return part
  }

  allAdded(): void {
    this.#areAllAdded = true
    this.partSettled()
  }

  partSettled(): void {
    if (!this.#areAllAdded || !this.#parts.every((part) => part.isSettled)) return
    const parts = this.#parts
    const failed = parts.filter((part) => part.error !== undefined)
    if (failed.length === parts.length) return this.fail(failed[0].error)
    const partitions = parts.map((part) => part.describe())
    if (failed.length > 0) return this.fail(partlyStored(this.#topic, parts, failed), partitions)
    this.#meters.publishLatencyMs.observe(this.queue.clock.monotonic() - this.startedAtMs)
    this.succeed(JSON.stringify({ topic: this.#topic, ...partitions[0], partitions }))
  }
}

function partlyStored(topic: string, parts: readonly Part[], failed: readonly Part[]): Error | undefined {
  const { error } = failed[0]
  if (!(error instanceof BrokerError)) return error
  const stored = parts.filter((part) => part.error === undefined).map((part) => part.log.partition)
  return new BrokerError(
    error.code,
    `Cannot store all records in topic "${topic}": ${error.message}; those for partitions ${stored.join(', ')} are stored`,
    { cause: error },
  )
}
