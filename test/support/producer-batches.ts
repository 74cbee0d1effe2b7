import { crc32c } from '../../src/base/crc32c.ts'
import type { Acks, PartitionLog } from '../../src/log/log-engine.ts'
import { makeBatch } from './log-harness.ts'

/** Who sends a batch, and as which one. */
export interface Numbering {
  readonly producerId: number
  readonly epoch?: number
  readonly sequence: number
  readonly isTransactional?: boolean
}

/** A batch as an idempotent or transactional producer sends it. */
export function makeProducerBatch(values: readonly string[], numbering: Numbering, timestamp = 1000): Buffer {
  const batch = Buffer.from(makeBatch(values, timestamp))
  const { producerId, epoch = 0, sequence, isTransactional = false } = numbering
  batch.writeInt16BE(isTransactional ? 0x10 : 0, 21)
  batch.writeBigInt64BE(BigInt(producerId), 43)
  batch.writeInt16BE(epoch, 51)
  batch.writeInt32BE(sequence, 53)
  batch.writeUInt32BE(crc32c(batch, 21, batch.length), 17)
  return batch
}

/** Appends one; resolves with its base offset when it is acknowledged. */
export function appendAs(
  log: PartitionLog,
  numbering: Numbering,
  values: readonly string[] = ['v'],
  acks: Acks = 'all',
): Promise<number> {
  return new Promise((resolve, reject) => {
    const offset: number = log.append(makeProducerBatch(values, numbering), values.length, acks, {
      appended: (error) => (error === undefined ? resolve(offset) : reject(error)),
    })
  })
}

/** Ends a transaction; resolves with the offset of the marker when it is durable. */
export function endTransaction(
  log: PartitionLog,
  producerId: number,
  isCommit: boolean,
  { epoch = 0, coordinatorEpoch = 0 }: { epoch?: number; coordinatorEpoch?: number } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const marker = { producerId, producerEpoch: epoch, coordinatorEpoch, isCommit, timestamp: 5000 }
    const offset: number = log.endTransaction(marker, {
      appended: (error) => (error === undefined ? resolve(offset) : reject(error)),
    })
  })
}
