import {
  areEqual,
  countPartitions,
  filterPartitions,
  haveCommon,
  intersect,
  NO_PARTITIONS,
  subtract,
  unite,
} from './assignment.ts'
import type { Assignment } from './assignment.ts'

/**
 * How far a member is on its way to its target: `stable`: there, for the epoch it is in. `revoking`: it is to give
 * partitions away and has not said yet that it has. `waiting`: others have not given away all that it is to get.
 */
export type ProgressState = 'stable' | 'revoking' | 'waiting'

/** What a member of a consumer group has, and has to do next. */
export interface Progress {
  readonly state: ProgressState
  readonly epoch: number
  /** The one before: a member whose answer was lost still asks with it. */
  readonly previousEpoch: number
  /** What the member may read now. */
  readonly assigned: Assignment
  /** What it is to give away. Until it says so it may still be reading these. */
  readonly revoking: Assignment
}

/** What the next step depends on. */
export interface Circumstances {
  readonly target: Assignment
  readonly targetEpoch: number
  /** What the member says it has; undefined when it says nothing. */
  readonly owned: Assignment | undefined
  /** Whether a partition that the member does not have is given away by everybody else. */
  isFree(topic: string, partition: number): boolean
}

/**
 * One member's next step towards its target, as Kafka proposal KIP-848 has it: what is to go goes first. The member stays
 * in its epoch until it has confirmed that; then it enters the epoch of the target, and gets whatever of it is free, and
 * the rest as it becomes free. Returns the same object when there is nothing to do.
 */
export function reconcile(member: Progress, circumstances: Circumstances): Progress {
  const { targetEpoch, owned } = circumstances
  switch (member.state) {
    case 'stable':
      return member.epoch === targetEpoch ? member : step(member, member.epoch, circumstances)
    case 'revoking':
      if (mayOwn(owned, member.revoking)) return member
      // Another epoch, so that a commit from before is told apart from one after.
      return step(member, member.epoch + 1, circumstances)
    case 'waiting': {
      const next = step(member, member.epoch, circumstances)
      const isSame = next.state === 'waiting' && next.epoch === member.epoch
      return isSame && areEqual(next.assigned, member.assigned) ? member : next
    }
  }
}

function step(member: Progress, epoch: number, circumstances: Circumstances): Progress {
  const { target, targetEpoch, owned } = circumstances
  const kept = intersect(member.assigned, target)
  const revoking = subtract(member.assigned, kept)
  if (mayOwn(owned, revoking)) {
    return { state: 'revoking', epoch, previousEpoch: member.epoch, assigned: kept, revoking }
  }
  const missing = subtract(target, kept)
  const free = filterPartitions(missing, (topic, partition) => circumstances.isFree(topic, partition))
  return {
    state: countPartitions(free) === countPartitions(missing) ? 'stable' : 'waiting',
    epoch: targetEpoch,
    previousEpoch: member.epoch,
    assigned: unite(kept, free),
    revoking: NO_PARTITIONS,
  }
}

/** A member that says nothing may have anything. */
function mayOwn(owned: Assignment | undefined, partitions: Assignment): boolean {
  return partitions.size > 0 && (owned === undefined || haveCommon(owned, partitions))
}
