import type { PartitionLog, ReadBatches } from '../../log/log-engine.ts'
import { hideAborted } from '../hide-aborted.ts'

/**
 * Reads whole batches of what consumers of committed records may see; those of aborted transactions look like control batches.
 * Release them.
 *
 * @throws BrokerError OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
 */
export function readCommitted(log: PartitionLog, fromOffset: number, bytesMax: number): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, batches: ReadBatches) => {
      if (error !== undefined) return reject(error)
      try {
        hideAborted(log, batches.bytes)
        resolve(batches)
      } catch (hidden) {
        batches.release()
        reject(hidden)
      }
    }
    log.read(fromOffset, bytesMax, done, 'read_committed')
  })
}
