import { assert } from '../src/base/assert.ts'
import type { BatchProducer } from '../src/record/batch-header.ts'
import { setBatchProducer } from '../src/record/batch-header.ts'
import type { DeliverySink } from './delivery.ts'
import type { BatchWriter, OutgoingRecord } from './record-batch.ts'

/** Sequences begin again at 0 after this one. */
const SEQUENCE_MAX = 0x7fff_ffff

/** Who the producer is for the broker. Another object is another identity. */
export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** Where partitions get the identity from that their batches carry. */
export interface IdentitySource {
  /** Undefined while the broker has to be asked for one. */
  currentOrAsk(): ProducerIdentity | undefined
  /** Makes sure that `current` is another than this one, now or later: the next epoch, or another id if it is `fenced`. */
  renew(stale: ProducerIdentity, why: { readonly isFenced: boolean }): void
}

/** The messages of one record batch, from the first `send` until the broker has answered. */
export class ProducerBatch {
  readonly queue: PartitionQueue
  /** The order of the batches of a partition. */
  readonly number: number
  /** By the monotonic clock, in milliseconds. */
  readonly deadline: number
  readonly sinks: DeliverySink[] = []
  /** Undefined when the bytes lie elsewhere, compressed. */
  writer: BatchWriter | undefined
  /** The whole batch, once it is finished. */
  bytes: Buffer | undefined
  /** What it counts for in the buffer of the producer. */
  bufferedBytes = 0
  isBeingCompressed = false
  /** Its messages know what became of them. */
  isSettled = false
  /** How often it was sent in vain. */
  failures = 0
  lastError: Error | undefined
  /** As what it was sent; it keeps that as long as nobody knows whether it is in the log. */
  producer: BatchProducer | undefined

  constructor(queue: PartitionQueue, number: number, deadline: number, writer: BatchWriter) {
    this.queue = queue
    this.number = number
    this.deadline = deadline
    this.writer = writer
  }

  /** The size that it has, or would have if it were finished now. */
  get sizeBytes(): number {
    return this.bytes?.length ?? this.writer?.sizeBytes ?? 0
  }

  /** Completes it, so that `bytes` is what to send. */
  finish(producer: BatchProducer | undefined): void {
    const isNew = producer !== this.producer
    this.producer = producer
    if (this.bytes === undefined) this.bytes = this.writer?.finish(producer)
    else if (producer !== undefined && isNew) setBatchProducer(this.bytes, producer)
  }

  /** Adds a message, and returns by how many bytes the batch has grown. */
  add(record: OutgoingRecord, sink: DeliverySink): number {
    const { writer } = this
    assert(writer !== undefined, 'a batch that was closed takes no messages')
    const before = writer.sizeBytes
    writer.add(record)
    this.sinks.push(sink)
    const bytes = writer.sizeBytes - before
    this.bufferedBytes += bytes
    return bytes
  }

  /** Tells its messages where they are: from this offset on, or -1 when nobody knows. */
  deliver(baseOffset: number): void {
    const { topic, partition } = this.queue
    const { sinks } = this
    this.isSettled = true
    for (let index = 0; index < sinks.length; index++) {
      sinks[index].delivered(topic, partition, baseOffset < 0 ? -1 : baseOffset + index)
    }
    sinks.length = 0
  }

  /** Tells its messages that they were given up. */
  fail(error: Error): void {
    this.isSettled = true
    for (const sink of this.sinks) sink.failed(error)
    this.sinks.length = 0
  }
}

/** What is to be done with a batch that was refused. */
export type Verdict = 'again' | 'fail'

/**
 * The batches of one partition on their way to the broker, in order, and the sequences that let the broker see what it has already
 * and what is missing (Kafka's idempotent producer, KIP-98 and KIP-360).
 *
 * A batch keeps its sequence until the broker has said for certain that it does not have it. Only then may it, and what comes
 * behind it, get others, under the next epoch: so nothing is stored twice, whatever was lost on the way.
 */
export class PartitionQueue {
  readonly topic: string
  readonly partition: number
  /** The batch that still takes messages; the last one. */
  open: ProducerBatch | undefined
  /** Whether the open one has waited for long enough. */
  isOpenDue = false
  /** Nothing is sent meanwhile. */
  isPaused = false
  /** Oldest first; what has failed lies before what was not sent yet. */
  readonly #waiting: ProducerBatch[] = []
  /** Oldest first. */
  readonly #inFlight: ProducerBatch[] = []
  #lastNumber = 0
  #identity: ProducerIdentity | undefined
  #nextSequence = 0
  /** The last batch with a sequence that is gone and that the broker may not have: it may miss it. 0 when there is none. */
  #gapAt = 0
  #mustRenew = false
  #isFenced = false

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** Whether there is anything that `take` could give, now or later. */
  get hasWork(): boolean {
    return this.#waiting.length > 0 || (this.isOpenDue && this.open !== undefined)
  }

  /** Begins a batch; there must be no open one. */
  begin(deadline: number, writer: BatchWriter): ProducerBatch {
    this.open = new ProducerBatch(this, ++this.#lastNumber, deadline, writer)
    this.isOpenDue = false
    return this.open
  }

  /** The open batch takes no more messages. */
  close(): ProducerBatch | undefined {
    const batch = this.open
    if (batch !== undefined) this.#waiting.push(batch)
    this.open = undefined
    this.isOpenDue = false
    return batch
  }

  /** The batch whose turn it is, if it can go; it stays where it is until `take`. */
  peek(): ProducerBatch | undefined {
    const head = this.#waiting.at(0) ?? (this.isOpenDue ? this.open : undefined)
    if (head === undefined || head.isBeingCompressed || this.isPaused) return undefined
    // What has failed goes before what was sent after it, and that has to come back first.
    const last = this.#inFlight.at(-1)
    return last !== undefined && last.number > head.number ? undefined : head
  }

  /** Gives out the batch that `peek` has shown, finished; undefined when there is no identity for it yet. */
  take(identities: IdentitySource | undefined): ProducerBatch | undefined {
    if (identities !== undefined && !this.#hasIdentity(identities)) return undefined
    if (this.#waiting.length === 0) this.close()
    const batch = this.#waiting.shift()
    if (batch === undefined) return undefined
    batch.finish(batch.producer ?? this.#number(batch))
    this.#inFlight.push(batch)
    return batch
  }

  /** The broker has it. */
  delivered(batch: ProducerBatch): void {
    this.#leave(batch)
    // It fits behind whatever was in doubt, so that is there too.
    if (batch.number > this.#gapAt) this.#gapAt = 0
  }

  /** Nobody knows whether the broker has it, or it is to be tried again for another reason. */
  failed(batch: ProducerBatch): void {
    this.#leave(batch)
    if (batch.isSettled) {
      this.#giveUp(batch)
      return
    }
    const at = this.#waiting.findIndex(({ number }) => number > batch.number)
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, batch)
  }

  /** The broker has said that it does not have it, and why; the batch is out of the queue if the verdict is `fail`. */
  refused(batch: ProducerBatch, code: string): Verdict {
    this.#leave(batch)
    if (!batch.isSettled && batch.producer !== undefined && SEQUENCE_REFUSALS.has(code)) {
      const isFirst = !this.#hasEarlier(batch)
      // A hole that nobody can explain: something that was acknowledged is gone, and that must not be passed over.
      const isUnexplained = code === 'OUT_OF_ORDER_SEQUENCE_NUMBER' && isFirst && this.#gapAt === 0
      if (isFirst) this.#mustRenew = true
      this.#isFenced ||= code === 'INVALID_PRODUCER_EPOCH'
      if (!isUnexplained) {
        this.failed(batch)
        return 'again'
      }
    }
    this.#takeBack(batch)
    return 'fail'
  }

  /** Takes a batch out that is given up. Returns false for one that is in flight: it stays until it is answered. */
  drop(batch: ProducerBatch): boolean {
    if (this.open === batch) this.close()
    const at = this.#waiting.indexOf(batch)
    if (at < 0) return false
    this.#waiting.splice(at, 1)
    this.#giveUp(batch)
    return true
  }

  /** It may be in the log or not. */
  #giveUp(batch: ProducerBatch): void {
    if (batch.producer !== undefined) this.#gapAt = Math.max(this.#gapAt, batch.number)
  }

  /** It is not in the log: its sequence goes to the next one, unless others are on their way behind it. */
  #takeBack(batch: ProducerBatch): void {
    const { producer } = batch
    if (producer === undefined) return
    if (this.#inFlight.length === 0 && this.#waiting.at(0)?.producer === undefined) {
      this.#nextSequence = producer.baseSequence
    } else {
      this.#giveUp(batch)
    }
  }

  #leave(batch: ProducerBatch): void {
    const at = this.#inFlight.indexOf(batch)
    if (at >= 0) this.#inFlight.splice(at, 1)
  }

  #hasEarlier({ number }: ProducerBatch): boolean {
    const isEarlier = (other: ProducerBatch | undefined) => other !== undefined && other.number < number
    return isEarlier(this.#inFlight.at(0)) || isEarlier(this.#waiting.at(0))
  }

  /** Whether the next batch has, or can have, a sequence. */
  #hasIdentity(identities: IdentitySource): boolean {
    if (this.#mustRenew) {
      // Of those in flight the old epoch is the right one.
      if (this.#inFlight.length > 0) return false
      if (this.#identity !== undefined) identities.renew(this.#identity, { isFenced: this.#isFenced })
      for (const batch of this.#waiting) batch.producer = undefined
      this.#identity = undefined
      this.#mustRenew = false
      this.#isFenced = false
    }
    if (this.#waiting.at(0)?.producer !== undefined) return true
    const current = identities.currentOrAsk()
    if (current === undefined) return false
    if (this.#identity === current) return true
    // Batches of two identities must not overtake one another.
    if (this.#inFlight.length > 0) return false
    this.#identity = current
    this.#nextSequence = 0
    this.#gapAt = 0
    return true
  }

  #number(batch: ProducerBatch): BatchProducer | undefined {
    if (this.#identity === undefined) return undefined
    const { producerId, producerEpoch } = this.#identity
    const baseSequence = this.#nextSequence
    this.#nextSequence = addToSequence(baseSequence, batch.sinks.length)
    return { producerId, producerEpoch, baseSequence }
  }
}

/** What the broker says when a batch is not the next one that it expects of this producer. */
const SEQUENCE_REFUSALS: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
])

function addToSequence(sequence: number, count: number): number {
  const sum = sequence + count
  return sum > SEQUENCE_MAX ? sum - SEQUENCE_MAX - 1 : sum
}
