import type { Operation } from '../context.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'

const HIGH_WATERMARK = -1

/** Moves the log start of a partition, so that what lies before it can no longer be read. */
export const deleteRecords: Operation<'DELETE_RECORDS'> = async ({ broker }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  const beforeOffset = fields.integer('beforeOffset', { ...OFFSET_RANGE, min: HIGH_WATERMARK })
  const log = broker.getLog(topic, partition)
  await log.deleteRecordsBefore(beforeOffset === HIGH_WATERMARK ? log.highWatermark : beforeOffset)
  return { logStartOffset: log.logStartOffset }
}
