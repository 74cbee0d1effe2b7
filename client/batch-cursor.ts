import {
  findBatchFault,
  findHeaderFault,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
} from '../src/record/batch-header.ts'
import { RecordReader } from '../src/record/record-reader.ts'
import { Message } from './message.ts'
import type { TopicPartition } from './partitions.ts'
import { nameOf } from './partitions.ts'
import { UnreadableRecords } from './record-batch.ts'

/**
 * The offset behind whole batches, as FETCH_BATCHES gives them, after a look at their headers and checksums.
 *
 * @throws UnreadableRecords
 */
export function findEndOffset(partition: TopicPartition, batches: Buffer, fromOffset: number): number {
  let endOffset = fromOffset
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) {
    // What was aborted has been made to look like control batches, and has another checksum than it says.
    const fault =
      findHeaderFault(batches, at, batches.length) ??
      (isControlBatch(batches, at) ? undefined : findBatchFault(batches, at, batches.length))
    if (fault !== undefined) {
      const message = `Cannot read ${nameOf(partition)} from offset ${endOffset}: a batch is damaged, ${fault}`
      throw new UnreadableRecords('CORRUPT_MESSAGE', message, endOffset)
    }
    endOffset = Math.max(endOffset, getBaseOffset(batches, at) + getLastOffsetDelta(batches, at) + 1)
  }
  return endOffset
}

/**
 * Takes messages out of batches that `findEndOffset` has looked at. A batch is unpacked when its first message is asked for, and
 * no message is made before it is.
 */
export class BatchCursor {
  /** What the batches take in memory. */
  readonly bytes: number
  /** The offset behind the last message, and behind whatever is not for consumers. */
  readonly endOffset: number
  readonly #topic: string
  readonly #partition: number
  readonly #fromOffset: number
  readonly #batches: Buffer
  readonly #reader = new RecordReader()
  /** Where the next batch begins. */
  #nextAt = 0
  #isOpen = false

  constructor(
    { topic, partition }: TopicPartition,
    batches: Buffer,
    { fromOffset, endOffset }: { readonly fromOffset: number; readonly endOffset: number },
  ) {
    this.#topic = topic
    this.#partition = partition
    this.#batches = batches
    this.#fromOffset = fromOffset
    this.bytes = batches.length
    this.endOffset = endOffset
  }

  /** Undefined when all have been taken. @throws BrokerError when they cannot be read: CORRUPT_MESSAGE, UNSUPPORTED_COMPRESSION_TYPE */
  next(): Message | undefined {
    const reader = this.#reader
    for (;;) {
      while (!this.#isOpen || !reader.next()) if (!this.#openBatch()) return undefined
      if (reader.offset >= this.#fromOffset) return new Message(this.#topic, this.#partition, reader)
    }
  }

  #openBatch(): boolean {
    const batches = this.#batches
    this.#isOpen = false
    while (this.#nextAt < batches.length) {
      const at = this.#nextAt
      this.#nextAt = at + getBatchBytes(batches, at)
      if (isControlBatch(batches, at)) continue
      this.#reader.open(batches, at)
      this.#isOpen = true
      return true
    }
    return false
  }
}
