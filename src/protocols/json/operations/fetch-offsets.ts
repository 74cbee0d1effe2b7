import type { Operation } from '../context.ts'
import { describeMembers, describeOffsets, findGroup } from '../../../broker/group-details.ts'

/** What a group has committed, in all topics or in one, how far it is behind, and who its members are. */
export const fetchOffsets: Operation<'FETCH_OFFSETS'> = ({ broker }, fields) => {
  const group = fields.text('group')
  const topic = fields.optionalText('topic')
  const description = findGroup(broker, group)
  const offsets = describeOffsets(broker, group).filter((offset) => topic === undefined || offset.topic === topic)
  return { group, state: description.state, members: describeMembers(description), offsets }
}
