import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import { choosePartition } from '../../../broker/partitioner.ts'
import { SchemaViolation } from '../../../broker/schema-gate.ts'
import type { Acks, AppendWaiter, PartitionLog } from '../../../log/log-engine.ts'
import { RecordBatchBuilder } from '../../../record/record-batch.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import { toWireError } from '../errors.ts'
import type { Meters, OperationMeter } from '../meters.ts'
import { DelayedProducer } from './produce-delayed.ts'
import { ProduceParser } from '../produce-parser.ts'
import type { ProduceRequest } from '../../../broker/produce-request.ts'
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
      const packed = this.#pack(request, log, ALL_RECORDS)
      exchange.expect(packed, this.#append(packed, request.acks, exchange))
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
    let all: readonly PackedBatch[]
    try {
      all = this.#packAll(request, logs)
    } catch (error) {
      exchange.fail(error)
      return
    }
    for (const packed of all) {
      const part = exchange.addPart(packed)
      try {
        part.baseOffset = this.#append(packed, request.acks, part)
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
        for (const packed of this.#packAll(request, this.#findLogs(request))) this.#append(packed, 0, undefined)
      } else {
        this.#append(this.#pack(request, this.#broker.getLog(topic, partition), ALL_RECORDS), 0, undefined)
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

  /** All batches of a request, before any is appended: one record that is refused refuses all. */
  #packAll(request: ProduceRequest, logs: readonly PartitionLog[]): PackedBatch[] {
    return logs.map((log) => this.#pack(request, log, this.#partitions))
  }

  /** Packs the records that `selection` has for this log's partition into a batch that may be appended. */
  #pack(request: ProduceRequest, log: PartitionLog, selection: RecordSelection): PackedBatch {
    const { intake, gate, topics } = this.#broker
    const batches = this.#batches
    try {
      batches.begin()
      for (let index = selection.first(log.partition); index < request.recordCount; index = selection.after(index)) {
        request.addTo(batches, index)
      }
      const { recordCount } = batches
      const { config } = topics.getExisting(log.topic)
      const batch = gate.check(intake.take(batches.finish(), config), log, config)
      return { log, batch, recordCount, deadLetters: gate.rejectedOf(batch)?.records.length ?? 0 }
    } catch (error) {
      batches.abandon()
      throw error instanceof SchemaViolation ? inRequest(error, request, log, selection) : error
    }
  }

  #append({ log, batch, recordCount }: PackedBatch, acks: Acks, waiter: AppendWaiter | undefined): number {
    return this.#broker.produce(log, batch, recordCount, acks, waiter)
  }
}

/** The records of a request for one partition, as they may be appended. */
interface PackedBatch {
  readonly log: PartitionLog
  readonly batch: Buffer
  /** Of the request. */
  readonly recordCount: number
  /** How many of them become dead letters. */
  readonly deadLetters: number
}

/** What is wrong with records of a batch, by their places in the request. */
function inRequest(
  error: SchemaViolation,
  { recordCount }: ProduceRequest,
  { partition }: PartitionLog,
  selection: RecordSelection,
): SchemaViolation {
  const places: number[] = []
  for (let index = selection.first(partition); index < recordCount; index = selection.after(index)) places.push(index)
  return new SchemaViolation(error.faults.map((fault) => ({ ...fault, index: places[fault.index] })))
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
  #next = new Int32Array(0)

  /** Returns the partitions that get records, that of the first record first. */
  split(request: ProduceRequest, partitionCount: number, chooseForKeyless: () => number): number[] {
    const { recordCount } = request
    if (this.#first.length < partitionCount) {
      this.#first = new Int32Array(partitionCount)
      this.#last = new Int32Array(partitionCount)
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
      } else {
        this.#next[this.#last[partition]] = index
      }
      this.#last[partition] = index
      this.#next[index] = recordCount
    }
    return partitions
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
  #packed: PackedBatch | undefined = undefined
  #baseOffset = 0

  constructor(queue: AnswerQueue, meter: OperationMeter, meters: Meters) {
    super(queue, FRAME_TYPES.PRODUCE, 'write', meter)
    this.#meters = meters
  }

  expect(packed: PackedBatch, baseOffset: number): void {
    this.#packed = packed
    this.#baseOffset = baseOffset
  }

  appended(error: Error | undefined): void {
    const packed = this.#packed
    if (error !== undefined || packed === undefined) return this.fail(error)
    const { log, recordCount, deadLetters } = packed
    const more = deadLetters === 0 ? '' : `,"deadLetters":${deadLetters}`
    this.#meters.publishLatencyMs.observe(this.queue.clock.monotonic() - this.startedAtMs)
    // A topic name needs no escaping.
    this.succeed(
      `{"topic":"${log.topic}","partition":${log.partition},"baseOffset":${this.#baseOffset},"numRecords":${recordCount - deadLetters},"highWatermark":${log.highWatermark}${more}}`,
    )
  }
}

/** One partition's share of a PRODUCE. */
class Part implements AppendWaiter {
  readonly packed: PackedBatch
  baseOffset = 0
  error: Error | undefined
  readonly #exchange: SplitExchange
  #isSettled = false

  constructor(exchange: SplitExchange, packed: PackedBatch) {
    this.#exchange = exchange
    this.packed = packed
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
    const { packed, baseOffset, error } = this
    const { recordCount, deadLetters } = packed
    const { partition, highWatermark } = packed.log
    if (error !== undefined) return { partition, error: toWireError(error) }
    const numRecords = recordCount - deadLetters
    return { partition, baseOffset, numRecords, highWatermark, ...(deadLetters > 0 && { deadLetters }) }
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

  addPart(packed: PackedBatch): Part {
    const part = new Part(this, packed)
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
  const stored = parts.filter((part) => part.error === undefined).map((part) => part.packed.log.partition)
  return new BrokerError(
    error.code,
    `Cannot store all records in topic "${topic}": ${error.message}; those for partitions ${stored.join(', ')} are stored`,
    { cause: error },
  )
}
