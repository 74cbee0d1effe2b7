import type { Operation } from '../context.ts'
import { describeOffsets } from './group-offsets.ts'

/** Forgets what a group has committed, for one topic or altogether. */
export const deleteOffsets: Operation<'DELETE_OFFSETS'> = async ({ broker }, fields) => {
  const group = fields.text('group')
  const topic = fields.optionalText('topic')
  describeOffsets(broker, group)
  const deleted = await broker.committedOffsets.remove(topic === undefined ? { group } : { group, topic })
  return { ok: true, deleted }
}
