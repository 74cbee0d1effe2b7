import type { Operation } from '../context.ts'
import { PARTITION_RANGE } from '../fields.ts'

/** Creates a topic. The same again is fine, and says that nothing was created. */
export const createTopic: Operation<'CREATE_TOPIC'> = async ({ broker }, fields) => {
  const name = fields.text('topic')
  const partitionCount = fields.integer('partitions', { ...PARTITION_RANGE, min: 1 })
  const overrides = fields.optionalTextMap('config') ?? {}
  const { created } = await broker.topics.create({ name, partitionCount, overrides })
  return { ok: true, created }
}
