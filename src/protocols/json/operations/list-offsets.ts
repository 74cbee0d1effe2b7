import type { PartitionLog } from '../../../log/log-engine.ts'
import type { Operation } from '../context.ts'
import { PARTITION_RANGE } from '../fields.ts'
import type { FoundOffset } from '../wire.ts'

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3

/** Finds offsets by time, of one partition or of all. */
export const listOffsets: Operation<'LIST_OFFSETS'> = ({ broker }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.optionalInteger('partition', PARTITION_RANGE)
  const timestamp = fields.integer('timestamp', { min: MAX_TIMESTAMP, max: Number.MAX_SAFE_INTEGER })
  const { partitionCount } = broker.topics.getExisting(topic)
  const partitions = partition === undefined ? Array.from({ length: partitionCount }, (_, index) => index) : [partition]
  return { topic, offsets: partitions.map((number) => findOffset(broker.getLog(topic, number), timestamp)) }
}

function findOffset(log: PartitionLog, timestamp: number): FoundOffset {
  const { partition } = log
  if (timestamp === LATEST) return { partition, offset: log.highWatermark, timestamp: -1 }
  if (timestamp === EARLIEST) return { partition, offset: log.logStartOffset, timestamp: -1 }
  const found = timestamp === MAX_TIMESTAMP ? log.findOffsetOfMaxTimestamp() : log.findOffsetByTime(timestamp)
  return { partition, offset: found?.offset ?? -1, timestamp: found?.timestamp ?? -1 }
}
