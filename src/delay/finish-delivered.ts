import type { LogConfig } from '../log/log-engine.ts'
import { changeBatchHeader, getMaxTimestamp, repackRecords, UNPACKED_BYTES_MAX } from '../record/record-batch.ts'

/**
 * Makes a batch of delivered records what its topic wants batches to be, in place or as a copy.
 *
 * Its largest timestamp becomes the present, although the records keep the times that their producers gave them: retention
 * counts from there, and what has waited longer than a topic keeps its records is not removed as soon as it comes.
 *
 * @throws BrokerError UNSUPPORTED_COMPRESSION_TYPE if a codec's library does not load
 */
export function finishDelivered(batch: Buffer, config: LogConfig, now: number): Buffer {
  const isLogAppendTime = config.timestampType === 'LogAppendTime'
  const maxTimestamp = isLogAppendTime ? now : Math.max(now, getMaxTimestamp(batch, 0))
  const { compression } = config
  if (compression === 'producer' || compression === 'none') {
    changeBatchHeader(batch, { maxTimestamp, isLogAppendTime })
    return batch
  }
  const level = compression === 'gzip' ? config.gzipLevel : compression === 'zstd' ? config.zstdLevel : undefined
  const packed = repackRecords(batch, { codec: compression, level }, UNPACKED_BYTES_MAX)
  changeBatchHeader(packed, { codec: compression, maxTimestamp, isLogAppendTime })
  return packed
}
