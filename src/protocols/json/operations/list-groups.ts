import type { Broker } from '../../../broker/broker.ts'
import type { GroupListing } from '../../../groups/coordinator.ts'
import type { Operation } from '../context.ts'
import type { GroupOverview } from '../wire.ts'
import { describeMembers, describeOffsets } from './group-offsets.ts'

/** Every group that has members or committed offsets. */
export const listGroups: Operation<'LIST_GROUPS'> = ({ broker }) => ({
  groups: broker.groups.list().map((listing) => describeGroup(broker, listing)),
})

function describeGroup(broker: Broker, { group, state, memberCount }: GroupListing): GroupOverview {
  const offsets = describeOffsets(broker, group)
  const description = memberCount === 0 ? undefined : broker.groups.describe(group)
  const assigned = description === undefined ? [] : describeMembers(description).flatMap(({ partitions }) => partitions)
  return {
    group,
    state,
    members: memberCount,
    topics: [...new Set([...offsets, ...assigned].map(({ topic }) => topic))].toSorted(),
    partitions: offsets.length,
    lag: offsets.reduce((sum, { lag }) => sum + lag, 0),
  }
}
