import type { PartitionLog } from '../log/log-engine.ts'
import {
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getProducerId,
  isControlBatch,
  isTransactional,
  setControlBatch,
} from '../record/record-batch.ts'

/**
 * Marks batches of aborted transactions as control batches, which nobody shows to a consumer, within `bytes`: whole batches
 * that were read below the last stable offset. Their place in the log stays to be seen, so that a consumer gets past them.
 *
 * @throws BrokerError KAFKA_STORAGE_ERROR
 */
export function hideAborted(log: PartitionLog, bytes: Buffer): void {
  let at = 0
  while (at < bytes.length && !isTransactional(bytes, at)) at += getBatchBytes(bytes, at)
  if (at === bytes.length) return
  const aborted = log.abortedTransactions(getBaseOffset(bytes, at), endOffsetOf(bytes, at))
  const producers = new Set<number>()
  for (let next = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
    for (; next < aborted.length && aborted[next].firstOffset <= getBaseOffset(bytes, at); next++) {
      producers.add(aborted[next].producerId)
    }
    if (!isTransactional(bytes, at)) continue
    if (isControlBatch(bytes, at)) producers.delete(getProducerId(bytes, at))
    else if (producers.has(getProducerId(bytes, at))) setControlBatch(bytes, at)
  }
}

/** The offset behind the last of whole batches. */
function endOffsetOf(bytes: Buffer, start: number): number {
  let last = start
  for (let at = start; at < bytes.length; at += getBatchBytes(bytes, at)) last = at
  return getBaseOffset(bytes, last) + getLastOffsetDelta(bytes, last) + 1
}
