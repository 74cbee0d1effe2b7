import type { Assignment } from '../assignment.ts'

/** A member as an assignor sees it. */
export interface AssignableMember {
  readonly id: string
  /** Of a static member; it outlives the member's id. */
  readonly instanceId: string | undefined
  /** The topics that it wants, of those that exist. */
  readonly topics: ReadonlySet<string>
  /** What it was to have until now. */
  readonly target: Assignment
}

/**
 * Distributes all partitions of the topics that anybody wants: each to exactly one member that wants its topic. A pure
 * function; the answer has every member.
 *
 * `partitionCounts` has every topic that a member wants.
 */
export type Assignor = (
  members: readonly AssignableMember[],
  partitionCounts: ReadonlyMap<string, number>,
) => ReadonlyMap<string, Assignment>
