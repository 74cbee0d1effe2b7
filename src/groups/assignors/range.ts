import type { Assignment } from '../assignment.ts'
import type { AssignableMember, Assignor } from './assignor.ts'

/**
 * Gives each member a run of neighbouring partitions of each topic, in the order of the members' instance ids or ids, the
 * first ones one more when it does not come out even. Topics with as many partitions and the same members are distributed
 * alike, so that records with the same key in both go to the same member.
 */
export const assignRanges: Assignor = (members, partitionCounts) => {
  const assigned = new Map(members.map(({ id }) => [id, new Map<string, ReadonlySet<number>>()]))
  const inOrder = members.toSorted(byInstanceAndId)
  for (const [topic, partitionCount] of partitionCounts) {
    const takers = inOrder.filter(({ topics }) => topics.has(topic))
    let first = 0
    for (const [index, { id }] of takers.entries()) {
      const end = first + Math.floor(partitionCount / takers.length) + (index < partitionCount % takers.length ? 1 : 0)
      const partitions = new Set<number>()
      while (first < end) partitions.add(first++)
      if (partitions.size > 0) assigned.get(id)?.set(topic, partitions)
    }
  }
  return assigned satisfies ReadonlyMap<string, Assignment>
}

/** Static members first: they keep their place when they come back under another id. */
function byInstanceAndId(left: AssignableMember, right: AssignableMember): number {
  if (left.instanceId === undefined || right.instanceId === undefined) {
    if (left.instanceId !== right.instanceId) return left.instanceId === undefined ? 1 : -1
    return left.id < right.id ? -1 : 1
  }
  return left.instanceId < right.instanceId ? -1 : 1
}
