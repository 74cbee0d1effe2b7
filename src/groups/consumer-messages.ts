import type { Assignment } from './assignment.ts'
import type { AssignorName } from './assignors/all.ts'
import type { ReplyTo } from './outcome.ts'

/** The epoch of a member that joins, that leaves, and of a static member that leaves and will be back. */
export const JOIN_EPOCH = 0
export const LEAVE_EPOCH = -1
export const STATIC_LEAVE_EPOCH = -2

/** What a member of a consumer group says. What is left out is as it was before; to join, everything is needed. */
export interface ConsumerHeartbeat {
  /** Empty at the first time: the member gets an id. */
  readonly memberId: string
  /** One of the epochs above, or the one that the member was told last. */
  readonly memberEpoch: number
  readonly instanceId?: string | undefined
  readonly rackId?: string | undefined
  readonly clientId: string
  readonly clientHost: string
  /** How long the member may take to give partitions away. */
  readonly rebalanceTimeoutMs?: number | undefined
  readonly subscribedTopics?: readonly string[] | undefined
  /** Topics by pattern, see TopicPattern; empty for none. */
  readonly subscribedRegex?: string | undefined
  readonly assignor?: string | undefined
  /** The partitions that the member has. */
  readonly owned?: Assignment | undefined
}

export interface ConsumerHeartbeatAnswer {
  readonly memberId: string
  readonly memberEpoch: number
  readonly heartbeatIntervalMs: number
  /** What the member may read, when that is news or the member has said everything. */
  readonly assignment: Assignment | undefined
}

/** Whatever can happen to a consumer group. */
export type ConsumerEvent =
  | {
      readonly kind: 'heartbeat'
      readonly request: ConsumerHeartbeat
      readonly reply: ReplyTo<ConsumerHeartbeatAnswer>
    }
  /** A topic was created, altered or deleted. */
  | { readonly kind: 'topic'; readonly topic: string }
  /** Anything may have happened to any topic. */
  | { readonly kind: 'topics' }
  /** The deadline has come. */
  | { readonly kind: 'time' }

/** Where a consumer group is; consumer-group.ts has the table. */
export type ConsumerState = 'Empty' | 'Reconciling' | 'Stable'

/** A consumer group as others see it. */
export interface ConsumerDescription {
  readonly kind: 'consumer'
  readonly group: string
  readonly state: ConsumerState
  /** Of the group and of its target assignment, which is made anew whenever the epoch changes. */
  readonly epoch: number
  readonly assignor: AssignorName
  readonly members: readonly ConsumerMemberDescription[]
}

export interface ConsumerMemberDescription {
  readonly memberId: string
  readonly instanceId: string | undefined
  readonly rackId: string | undefined
  readonly memberEpoch: number
  readonly clientId: string
  readonly clientHost: string
  readonly subscribedTopics: readonly string[]
  /** Empty for none. */
  readonly subscribedRegex: string
  /** What the member may read now. */
  readonly assignment: Assignment
  /** What it is to have in the end. */
  readonly target: Assignment
}
