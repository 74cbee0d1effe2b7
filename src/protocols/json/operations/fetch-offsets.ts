import type { Operation } from '../context.ts'
import { describeOffsets } from './group-offsets.ts'

/** What a group has committed, in all topics or in one, and how far it is behind. */
export const fetchOffsets: Operation<'FETCH_OFFSETS'> = ({ broker }, fields) => {
  const group = fields.text('group')
  const topic = fields.optionalText('topic')
  const offsets = describeOffsets(broker, group).filter((offset) => topic === undefined || offset.topic === topic)
  return { group, state: 'Empty', members: [], offsets }
}
