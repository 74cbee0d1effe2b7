import type { Operation } from '../context.ts'
import { PARTITION_RANGE } from '../fields.ts'

/** Adds partitions and changes settings of a topic, all or nothing; or only says what would change. */
export const alterTopic: Operation<'ALTER_TOPIC'> = async ({ broker }, fields) => {
  const name = fields.text('topic')
  const partitionCount = fields.optionalInteger('partitions', { ...PARTITION_RANGE, min: 1 })
  const set = fields.optionalTextMap('set')
  const unset = fields.optionalTextList('unset')
  const changes = await broker.topics.alter({
    name,
    ...(partitionCount === undefined ? {} : { partitionCount }),
    ...(set === undefined ? {} : { set }),
    ...(unset === undefined ? {} : { unset }),
    dryRun: fields.optionalBoolean('dryRun') ?? false,
  })
  return { ok: true, changes }
}
