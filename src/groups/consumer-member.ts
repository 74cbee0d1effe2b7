import type { Assignment } from './assignment.ts'
import { fromPlain, NO_PARTITIONS, toPlain } from './assignment.ts'
import type { AssignorName } from './assignors/all.ts'
import { STATIC_LEAVE_EPOCH } from './consumer-messages.ts'
import type { ConsumerHeartbeat, ConsumerMemberDescription } from './consumer-messages.ts'
import type { Progress, ProgressState } from './reconcile.ts'
import type { Subscription } from './subscriptions.ts'

/** A member of a consumer group as it is now. Never changed: a member that has changed is a new object. */
export interface ConsumerMember {
  readonly id: string
  readonly instanceId: string | undefined
  readonly rackId: string | undefined
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  /** The topics that it names, in order, each once. */
  readonly names: readonly string[]
  /** Empty for none. */
  readonly pattern: string
  readonly assignor: AssignorName | undefined
  /** The topics that names and pattern come to, of those that exist. */
  readonly topics: ReadonlySet<string>
  readonly progress: Progress
  readonly target: Assignment
}

/** A consumer group in the store. */
export interface ConsumerGroupRow {
  readonly kind: 'consumer'
  readonly epoch: number
}

type PlainAssignment = ReturnType<typeof toPlain>

/** A member of it in the store. */
export interface ConsumerMemberRow {
  readonly instanceId?: string | undefined
  readonly rackId?: string | undefined
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly names: readonly string[]
  readonly pattern: string
  readonly assignor?: AssignorName | undefined
  readonly state: ProgressState
  readonly epoch: number
  readonly previousEpoch: number
  readonly assigned: PlainAssignment
  readonly revoking: PlainAssignment
  readonly target: PlainAssignment
}

export function toMemberRow(member: ConsumerMember): ConsumerMemberRow {
  const { instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs, names, pattern, assignor } = member
  const { state, epoch, previousEpoch, assigned, revoking } = member.progress
  return {
    instanceId,
    rackId,
    clientId,
    clientHost,
    rebalanceTimeoutMs,
    names,
    pattern,
    assignor,
    state,
    epoch,
    previousEpoch,
    assigned: toPlain(assigned),
    revoking: toPlain(revoking),
    target: toPlain(member.target),
  }
}

/** Which topics its subscription comes to, is to be found out. */
export function fromMemberRow(id: string, row: ConsumerMemberRow): ConsumerMember {
  const { state, epoch, previousEpoch } = row
  const progress = { state, epoch, previousEpoch, assigned: fromPlain(row.assigned), revoking: fromPlain(row.revoking) }
  return {
    id,
    instanceId: row.instanceId,
    rackId: row.rackId,
    clientId: row.clientId,
    clientHost: row.clientHost,
    rebalanceTimeoutMs: row.rebalanceTimeoutMs,
    names: row.names,
    pattern: row.pattern,
    assignor: row.assignor,
    topics: new Set(),
    progress,
    target: fromPlain(row.target),
  }
}

export function describeMember(member: ConsumerMember): ConsumerMemberDescription {
  const { id, instanceId, rackId, clientId, clientHost, names, pattern, progress, target } = member
  return {
    memberId: id,
    instanceId,
    rackId,
    memberEpoch: progress.epoch,
    clientId,
    clientHost,
    subscribedTopics: names,
    subscribedRegex: pattern,
    assignment: progress.assigned,
    target,
  }
}

/** A member that has said nothing but its names yet. */
export function newMember(id: string, { instanceId, clientId, clientHost }: ConsumerHeartbeat): ConsumerMember {
  return {
    id,
    instanceId,
    rackId: undefined,
    clientId,
    clientHost,
    rebalanceTimeoutMs: 0,
    names: [],
    pattern: '',
    assignor: undefined,
    topics: new Set<string>(),
    progress: { state: 'stable', epoch: 0, previousEpoch: 0, assigned: NO_PARTITIONS, revoking: NO_PARTITIONS },
    target: NO_PARTITIONS,
  }
}

/** Whether this is a static member that had left for a while. */
export function isBack({ progress }: ConsumerMember): boolean {
  return progress.epoch === STATIC_LEAVE_EPOCH
}

/** Whether there is nothing new to store about a member. */
export function isSameRow(left: ConsumerMember, right: ConsumerMember): boolean {
  return (Object.keys(left) as (keyof ConsumerMember)[]).every((key) => key === 'topics' || left[key] === right[key])
}

/** What a member wants to read after this request. */
export function subscriptionOf(earlier: ConsumerMember | undefined, request?: ConsumerHeartbeat): Subscription {
  const names = request?.subscribedTopics === undefined ? (earlier?.names ?? []) : toNames(request.subscribedTopics)
  return { names, pattern: request?.subscribedRegex ?? earlier?.pattern ?? '' }
}

function toNames(topics: readonly string[]): readonly string[] {
  return [...new Set(topics)].toSorted()
}
