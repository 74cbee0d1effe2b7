import { summarizeGroup } from '../../../broker/group-details.ts'
import type { Operation } from '../context.ts'

/** Every group that has members or committed offsets. */
export const listGroups: Operation<'LIST_GROUPS'> = ({ broker }) => ({
  groups: broker.groups.list().map((listing) => summarizeGroup(broker, listing)),
})
