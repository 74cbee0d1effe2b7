import type { ReplyTo } from './outcome.ts'

/** A way of assigning that a member offers, by name, with whatever it wants the leader to know. The broker passes it on. */
export interface ClassicProtocol {
  readonly name: string
  readonly metadata: Buffer
}

/** A member wants to take part in the next generation. */
export interface JoinRequest {
  /** Empty at the first time. */
  readonly memberId: string
  /** Of a static member: it keeps its place under this name when it comes back. */
  readonly instanceId?: string | undefined
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  /** The best one first. */
  readonly protocols: readonly ClassicProtocol[]
  /** Whether a member without an id is only told its id, and joins with that (JoinGroup from version 4 on). */
  readonly requiresMemberId: boolean
  /** Whether the leader can be told to leave everything as it is (JoinGroup from version 9 on). */
  readonly supportsSkippingAssignment: boolean
}

/** The generation that the member is in. */
export interface JoinAnswer {
  readonly memberId: string
  readonly generation: number
  readonly protocolType: string
  readonly protocol: string
  readonly leader: string
  /** For the leader: everybody, with what they said about the chosen protocol. For the others nobody. */
  readonly members: readonly JoinedMember[]
  /** The leader is to keep the assignment and only fetch its own part. */
  readonly skipAssignment: boolean
}

export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | undefined
  readonly metadata: Buffer
}

/** Says which member of which generation asks. */
export interface MemberOfGeneration {
  readonly memberId: string
  readonly generation: number
  readonly instanceId?: string | undefined
}

/** A member wants its assignment; the leader brings everybody's. */
export interface SyncRequest extends MemberOfGeneration {
  /** Compared with the group's when they are given (SyncGroup from version 5 on). */
  readonly protocolType?: string | undefined
  readonly protocol?: string | undefined
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}

export interface SyncAnswer {
  readonly protocolType: string
  readonly protocol: string
  readonly assignment: Buffer
}

/** Who is to leave. A static member may be named by its instance id alone: then an administrator removes it. */
export interface LeavingMember {
  readonly memberId: string
  readonly instanceId?: string | undefined
}

export interface LeaveAnswer {
  /** In the order of the request. */
  readonly members: readonly (LeavingMember & { readonly refusal?: 'UNKNOWN_MEMBER_ID' | 'FENCED_INSTANCE_ID' })[]
}

/** Whatever can happen to a classic group. */
export type ClassicEvent =
  | { readonly kind: 'join'; readonly request: JoinRequest; readonly reply: ReplyTo<JoinAnswer> }
  | { readonly kind: 'sync'; readonly request: SyncRequest; readonly reply: ReplyTo<SyncAnswer> }
  | { readonly kind: 'heartbeat'; readonly request: MemberOfGeneration; readonly reply: ReplyTo<object> }
  | { readonly kind: 'leave'; readonly members: readonly LeavingMember[]; readonly reply: ReplyTo<LeaveAnswer> }
  /** A member has committed offsets, which shows that it is alive. */
  | { readonly kind: 'sign of life'; readonly memberId: string }
  /** The deadline has come. */
  | { readonly kind: 'time' }
  /** The broker stops: whoever waits is answered. */
  | { readonly kind: 'close' }

/** Where a classic group is; classic-group.ts has the table. */
export type ClassicState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

/** A classic group as others see it. */
export interface ClassicDescription {
  readonly kind: 'classic'
  readonly group: string
  readonly state: ClassicState
  /** Empty for a group that only has offsets. */
  readonly protocolType: string
  /** The protocol that was chosen; empty while there is none. */
  readonly protocol: string
  readonly generation: number
  readonly members: readonly ClassicMemberDescription[]
}

export interface ClassicMemberDescription {
  readonly memberId: string
  readonly instanceId: string | undefined
  readonly clientId: string
  readonly clientHost: string
  /** What the member said about the chosen protocol; empty unless the group is stable. */
  readonly metadata: Buffer
  readonly assignment: Buffer
}
