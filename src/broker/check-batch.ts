import { BrokerError } from '../base/broker-error.ts'
import { crc32c } from '../base/crc32c.ts'
import type { LogConfig } from '../log/log-engine.ts'
import {
  BATCH_HEADER_BYTES,
  findBatchFault,
  getBaseOffset,
  getBaseSequence,
  getBatchBytes,
  getCrc,
  getLastOffsetDelta,
  getMagic,
  getProducerId,
  getRecordCount,
  hasLogAppendTime,
  isControlBatch,
} from '../record/record-batch.ts'

/** What the checksum of a batch covers begins here. */
const CHECKED_FROM = 21

/**
 * Kafka's conditions for what a producer may send for one partition: exactly one record batch, whole and of version 2, with
 * the right checksum, no larger than the topic takes, and with nothing in its header that only the broker sets.
 *
 * @throws BrokerError INVALID_RECORD, INVALID_TIMESTAMP; MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE; CORRUPT_MESSAGE for one
 * that was damaged on its way
 */
export function checkBatch(
  batch: Buffer | null,
  limits: Pick<LogConfig, 'batchBytesMax' | 'segmentBytes'>,
): asserts batch is Buffer {
  if (batch === null || batch.length === 0) throw invalid('there is no record batch')
  if (batch.length < BATCH_HEADER_BYTES) throw corrupt(`${batch.length} bytes are no record batch`)
  if (getMagic(batch, 0) !== 2) throw invalid(`its format is ${getMagic(batch, 0)}, only 2 is taken`)
  const batchBytes = getBatchBytes(batch, 0)
  if (batchBytes < batch.length && batchBytes >= BATCH_HEADER_BYTES)
    throw invalid('there is more than one record batch')
  if (batch.length > limits.batchBytesMax) {
    throw new BrokerError('MESSAGE_TOO_LARGE', tooLarge(batch.length, limits.batchBytesMax, 'max.message.bytes'))
  }
  if (batch.length > limits.segmentBytes) {
    throw new BrokerError('RECORD_LIST_TOO_LARGE', tooLarge(batch.length, limits.segmentBytes, 'segment.bytes'))
  }
  const fault = findBatchFault(batch, 0, batch.length)
  if (fault !== undefined) {
    // With the right checksum it came as it was sent, and sending it again does not help.
    const isAsSent = batchBytes === batch.length && crc32c(batch, CHECKED_FROM, batch.length) === getCrc(batch, 0)
    throw isAsSent ? invalid(fault) : corrupt(fault)
  }
  const recordCount = getRecordCount(batch, 0)
  if (recordCount === 0 || getLastOffsetDelta(batch, 0) !== recordCount - 1) {
    throw invalid(`it has ${recordCount} records and ${getLastOffsetDelta(batch, 0) + 1} offsets`)
  }
  if (getBaseOffset(batch, 0) !== 0) throw invalid(`its base offset is ${getBaseOffset(batch, 0)}, not 0`)
  if (isControlBatch(batch, 0)) throw invalid('it is a control batch, which only brokers write')
  if (getProducerId(batch, 0) >= 0 && getBaseSequence(batch, 0) < 0) throw invalid('it has a producer and no sequence')
  if (hasLogAppendTime(batch, 0)) {
    throw new BrokerError('INVALID_TIMESTAMP', 'Cannot append a batch with log append time: only the broker sets that')
  }
}

function invalid(why: string): BrokerError {
  return new BrokerError('INVALID_RECORD', `Cannot append the batch: ${why}`)
}

function corrupt(why: string): BrokerError {
  return new BrokerError('CORRUPT_MESSAGE', `Cannot append the batch: ${why}`)
}

function tooLarge(bytes: number, bytesMax: number, key: string): string {
  return `Cannot append a batch of ${bytes} bytes: at most ${bytesMax} (${key})`
}
