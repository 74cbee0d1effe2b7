import { systemClock } from '../src/base/clock.ts'
import { choosePartition } from '../src/broker/partitioner.ts'
import type { TopicMetadata } from '../src/protocols/json/wire.ts'
import type { ProducerBatch } from './partition-queue.ts'
import { PartitionQueue } from './partition-queue.ts'

const MAX_MESSAGE_BYTES_KEY = 'max.message.bytes'

/** What a producer knows of a topic, and which of its partitions messages go to. */
export class TopicRoute {
  readonly topic: string
  /** False before the broker has said anything, and when it no longer knows the topic. */
  isKnown = false
  /** By the monotonic clock, when the broker has said this. */
  loadedAt = 0
  /** The broker takes no larger batches. */
  batchBytesMax = 0
  #queues: readonly PartitionQueue[] = []
  /** The partition that messages without a key go to for now, and the batch there that they fill. */
  #sticky = 0
  #stickyBatch: ProducerBatch | undefined

  constructor(topic: string) {
    this.topic = topic
  }

  get partitionCount(): number {
    return this.#queues.length
  }

  /** Takes what the broker says about the topic. Partitions that are known already stay. */
  learn({ partitions, config }: TopicMetadata, batchBytes: number): void {
    const known = this.#queues
    this.#queues = partitions.map((_, partition) => known.at(partition) ?? new PartitionQueue(this.topic, partition))
    // Not all producers are to begin with the same one.
    if (known.length === 0) this.#sticky = Math.floor(Math.random() * partitions.length)
    this.#sticky %= partitions.length
    this.batchBytesMax = Math.min(batchBytes, Number(config[MAX_MESSAGE_BYTES_KEY]?.value ?? batchBytes))
    this.loadedAt = systemClock.monotonic()
    this.isKnown = true
  }

  /**
   * The queue of a partition.
   *
   * @throws RangeError when there is no such partition
   */
  at(partition: number): PartitionQueue {
    const queue = Number.isInteger(partition) && partition >= 0 ? this.#queues.at(partition) : undefined
    if (queue !== undefined) return queue
    throw new RangeError(
      `Cannot send to topic "${this.topic}", partition ${partition}: it has 0 to ${this.#queues.length - 1}`,
    )
  }

  /** The queue for a key with this hash: the one that Kafka's clients choose. */
  ofKey(hash: number): PartitionQueue {
    return this.#queues[choosePartition(hash, this.#queues.length)]
  }

  /**
   * The queue for a message without a key that takes so many bytes: one partition until a batch of it is full or sent, then the
   * next one, so that batches are large and partitions even (KIP-480).
   */
  ofNone(recordBytes: number): PartitionQueue {
    const { open } = this.#queues[this.#sticky]
    const isOver = open !== this.#stickyBatch || (open !== undefined && !this.hasRoom(open, recordBytes))
    if (this.#stickyBatch !== undefined && isOver) this.#sticky = (this.#sticky + 1) % this.#queues.length
    return this.#queues[this.#sticky]
  }

  /** A message without a key went into this batch. */
  stickTo(batch: ProducerBatch): void {
    this.#stickyBatch = batch
  }

  /** Whether so many bytes more fit into a batch. */
  hasRoom(batch: ProducerBatch, recordBytes: number): boolean {
    return batch.sizeBytes + recordBytes <= this.batchBytesMax
  }
}
