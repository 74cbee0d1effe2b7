import type { Clock } from '../base/clock.ts'
import type { ProducerBatch } from '../delay/accepted-batches.ts'
import type { DelayQueue } from '../delay/delay-queue.ts'
import type { Acks, AppendWaiter, LogConfig, PartitionLog } from '../log/log-engine.ts'
import {
  getBaseSequence,
  getLastOffsetDelta,
  getProducerEpoch,
  getProducerId,
  UNPACKED_BYTES_MAX,
} from '../record/record-batch.ts'
import type { DividedBatch } from './delayed-records.ts'
import { DelayedRecords } from './delayed-records.ts'
import { WaiterForAll } from './waiter-for-all.ts'

/** The base offset of a batch of which nothing was appended. */
const NO_OFFSET = -1

/**
 * Takes batches of which some records are to be delivered later. What is due now goes to the log, the others to the delay
 * queue, and whoever waits is told when both are safe.
 *
 * A batch of an idempotent producer goes to the log in any case, with whatever records are left in it, or none: its
 * sequence numbers are part of the log, and the next batch must fit on. The others keep their offsets, and those of the
 * delayed records stay empty, as if they had been compacted away.
 */
export class DelayedProduce {
  /** For records that are no batch yet. */
  readonly records: DelayedRecords
  readonly #queue: DelayQueue

  /** `unpackedBytesMax` is the most that the records of one batch may grow to when they are decompressed. */
  constructor(queue: DelayQueue, unpackedBytesMax = UNPACKED_BYTES_MAX) {
    this.#queue = queue
    this.records = new DelayedRecords(unpackedBytesMax)
  }

  /**
   * Divides a batch that its topic would take; undefined for one that is to be appended as it is.
   *
   * @throws RecordsRefused; BrokerError MESSAGE_TOO_LARGE, POLICY_VIOLATION, UNSUPPORTED_COMPRESSION_TYPE
   */
  divide(batch: Buffer, log: PartitionLog, config: LogConfig, clock: Clock): DividedBatch | undefined {
    const divided = this.records.divide(batch, log.partition, config, clock)
    if (divided !== undefined) this.#queue.checkRoom(log.topic, config, divided.later.length, originOf(log, batch))
    return divided
  }

  /**
   * Takes a batch that was divided just now, in the same turn of the event loop; `batch` is what it was before. Returns the
   * offset of its first record as if all had been appended, or -1 when nothing was; `waiter` is told later.
   *
   * @throws BrokerError as `PartitionLog.append`
   */
  produce(
    log: PartitionLog,
    batch: Buffer,
    divided: DividedBatch,
    acks: Acks,
    waiter: AppendWaiter | undefined,
  ): number {
    const both = waiter === undefined ? undefined : new WaiterForAll(waiter)
    both?.expectOne()
    if (divided.now !== undefined) both?.expectOne()
    const offsets = getLastOffsetDelta(batch, 0) + 1
    const baseOffset = divided.now === undefined ? NO_OFFSET : log.append(divided.now, offsets, acks, both)
    const { stored } = this.#queue.accept(log.topic, divided.later, originOf(log, batch))
    stored.then(
      () => both?.appended(undefined),
      (error: unknown) => both?.appended(error as Error),
    )
    return baseOffset
  }
}

/** What an idempotent producer knows a batch by; undefined for a batch of another producer. */
function originOf({ topic, partition }: PartitionLog, batch: Buffer): ProducerBatch | undefined {
  const producerId = getProducerId(batch, 0)
  if (producerId < 0) return undefined
  const producerEpoch = getProducerEpoch(batch, 0)
  return { topic, partition, producerId, producerEpoch, baseSequence: getBaseSequence(batch, 0) }
}
