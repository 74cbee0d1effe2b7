import { quote } from '../../../base/untrusted-json.ts'
import { BrokerError } from '../../../base/broker-error.ts'
import type { Operation } from '../context.ts'
import { PARTITION_RANGE } from '../fields.ts'
import { findGroup } from '../../../broker/group-details.ts'

/** Forgets what a group has committed, for one partition, one topic or altogether. A group that has nothing left is gone. */
export const deleteOffsets: Operation<'DELETE_OFFSETS'> = async ({ broker }, fields) => {
  const group = fields.text('group')
  const topic = fields.optionalText('topic')
  const partition = fields.optionalInteger('partition', PARTITION_RANGE)
  if (partition !== undefined && topic === undefined) fields.text('topic')
  const { members } = findGroup(broker, group)
  if (members.length > 0) {
    const message = `Cannot delete offsets of group ${quote(group)}: it has ${members.length} members, stop them first`
    throw new BrokerError('NON_EMPTY_GROUP', message)
  }
  if (topic === undefined) return { ok: true, deleted: await broker.groups.delete(group) }
  const deleted = await broker.committedOffsets.remove({
    group,
    topic,
    isMeant: (name) => partition === undefined || name.partition === partition,
  })
  const hasNothing = !broker.committedOffsets.has(group) && broker.groups.describe(group)?.members.length === 0
  if (hasNothing) await broker.groups.delete(group)
  return { ok: true, deleted }
}
