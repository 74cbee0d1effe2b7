import type { Operation } from '../context.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'

/** Stores the next offset that a group wants of a partition. */
export const commit: Operation<'COMMIT'> = async ({ broker }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  const group = fields.text('group')
  const offset = fields.integer('offset', OFFSET_RANGE)
  broker.getLog(topic, partition)
  await broker.committedOffsets.commit({ group, topic, partition, offset })
  return { ok: true }
}
