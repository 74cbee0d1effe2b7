import type { Broker } from '../../../broker/broker.ts'
import type { Operation } from '../context.ts'
import type { GroupOverview } from '../wire.ts'
import { describeOffsets } from './group-offsets.ts'

/** Every group that has committed offsets. */
export const listGroups: Operation<'LIST_GROUPS'> = ({ broker }) => ({
  groups: broker.committedOffsets.groups().map((group) => describeGroup(broker, group)),
})

function describeGroup(broker: Broker, group: string): GroupOverview {
  const offsets = describeOffsets(broker, group)
  return {
    group,
    state: 'Empty',
    members: 0,
    topics: [...new Set(offsets.map(({ topic }) => topic))],
    partitions: offsets.length,
    lag: offsets.reduce((sum, { lag }) => sum + lag, 0),
  }
}
