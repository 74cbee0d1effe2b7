import { assert } from '../base/assert.ts'
import { checkJoin } from './classic-admission.ts'
import type {
  ClassicDescription,
  ClassicEvent,
  ClassicState,
  JoinAnswer,
  JoinedMember,
  JoinRequest,
  LeaveAnswer,
  LeavingMember,
  MemberOfGeneration,
  SyncAnswer,
  SyncRequest,
} from './classic-messages.ts'
import { areSameProtocols, ClassicRoster, metadataOf, withoutDuplicates } from './classic-roster.ts'
import type { ClassicMember } from './classic-roster.ts'
import { fromMemberRow, toMemberRow } from './classic-rows.ts'
import type { ClassicGroupRow, ClassicMemberRow } from './classic-rows.ts'
import { CONSUMER_PROTOCOL_TYPE, readSubscribedTopics } from './consumer-protocol.ts'
import { Deadlines } from '../base/deadlines.ts'
import type { GroupOptions } from './group-options.ts'
import { makeReply } from './outcome.ts'
import type { Outcome, Refusal, Reply, ReplyTo, RowChange } from './outcome.ts'
import { quoteId, Refusals } from './refusals.ts'

// A classic group lets its members agree: they join, one of them leads and assigns, and the broker hands everyone its part.
//
// | state               | join                                  | sync                   | heartbeat     | moves on when                              |
// | ------------------- | ------------------------------------- | ---------------------- | ------------- | ------------------------------------------ |
// | Empty               | waits → PreparingRebalance            | UNKNOWN_MEMBER_ID      | UNKNOWN_…     | somebody joins                             |
// | PreparingRebalance  | waits                                 | REBALANCE_IN_PROGRESS  | REBALANCE_IN… | all have joined, or the rebalance timeout  |
// |                     |                                       |                        |               | is over → CompletingRebalance, or Empty    |
// | CompletingRebalance | same again: answered; else rebalance  | waits for the leader's | fine          | the leader's sync → Stable                 |
// | Stable              | leader, or changed: rebalance; else   | answered               | fine          | somebody comes, goes, dies or changes      |
// |                     | answered                              |                        |               | → PreparingRebalance                       |
//
// Dead is Kafka's word for a group that is not there; nothing else is. Once the broker stops, joins and syncs are answered with
// COORDINATOR_NOT_AVAILABLE in every state, also those that wait; the rest goes on.
//
// An empty group waits for more members a little before its first generation. Members that have not joined when the
// rebalance timeout is over are dropped, static ones when their session ends. Members that do not sync within the rebalance
// timeout are dropped too. Whoever waits in a join or a sync has no session that could end, but for those who are new.

const NOTHING = Buffer.alloc(0)
/** How long to wait again for static members when not one of them has joined in time. */
const POSTPONED_JOIN_MS_MIN = 1000

/**
 * A group of the classic protocol as a machine: it is told what happens and when, and says what to answer, what to store
 * and when it wants to be woken. It does nothing by itself and asks nobody for the time. The table above says what it does.
 *
 * What is stored is what Kafka stores: the group as it was when it became stable or empty last. After a restart it is that
 * again, its members have a whole session to be heard of, and nothing changes for them.
 */
export class ClassicGroup {
  readonly kind = 'classic'
  readonly #group: string
  readonly #options: GroupOptions
  readonly #createId: () => string
  readonly #refusals: Refusals

  readonly #roster = new ClassicRoster()
  #state: ClassicState = 'Empty'
  #generation = 0
  #protocol: string | undefined
  /** Member ids that were given out and have not joined yet. */
  readonly #invited = new Set<string>()
  /** Who has been told of this generation and not asked for its assignment yet. */
  readonly #unsynced = new Set<string>()
  /** Set while an empty group waits for its first members. */
  #initialDelay: { hasNewcomer: boolean; remainingMs: number } | undefined
  /** `join`, `sync`, or a member: see `sessionOf`. */
  readonly #timers = new Deadlines<string>()
  readonly #storedIds = new Set<string>()
  #isClosed = false

  // What the event that is being handled leads to.
  #now = 0
  #replies: Reply[] = []
  #rows: RowChange[] = []
  #expiredCount = 0

  /** An empty group. `createId` makes what is unique about a member id. */
  constructor(group: string, options: GroupOptions, createId: () => string) {
    this.#group = group
    this.#options = options
    this.#createId = createId
    this.#refusals = new Refusals(group)
  }

  /** The group as it was stored; its members' sessions begin at `now`. */
  static restore(
    parts: { readonly group: string; readonly options: GroupOptions; readonly createId: () => string },
    row: ClassicGroupRow,
    memberRows: Iterable<readonly [memberId: string, ClassicMemberRow]>,
    now: number,
  ): ClassicGroup {
    const group = new ClassicGroup(parts.group, parts.options, parts.createId)
    group.#now = now
    group.#generation = row.generation
    group.#protocol = row.protocol
    for (const [memberId, memberRow] of memberRows) {
      const member = fromMemberRow(memberId, memberRow)
      group.#roster.add(member, row.protocolType)
      group.#storedIds.add(memberId)
      group.#renew(member)
    }
    group.#roster.protocolType = row.protocolType
    group.#roster.restoreLeader(row.leader)
    if (group.#roster.size > 0) group.#state = 'Stable'
    return group
  }

  /** Lets something happen, at `now` on the monotonic clock, which never goes back. */
  handle(event: ClassicEvent, now: number): Outcome {
    this.#now = now
    this.#take(event)
    const outcome = {
      replies: this.#replies,
      rows: this.#rows,
      expiredCount: this.#expiredCount,
      deadline: this.deadline,
    }
    this.#replies = []
    this.#rows = []
    this.#expiredCount = 0
    return outcome
  }

  /** Everything that is stored of the group as it is now; nothing while it is between two generations. */
  allRows(): RowChange[] {
    if (this.#state !== 'Stable' && this.#state !== 'Empty') return []
    const { leader, protocolType } = this.#roster
    const generation = this.#generation
    const row: ClassicGroupRow = { kind: 'classic', generation, protocolType, protocol: this.#protocol, leader }
    const members = Array.from(this.#roster.members(), (member) => ({ memberId: member.id, row: toMemberRow(member) }))
    return [{ memberId: undefined, row }, ...members]
  }

  /** How many generations there have been. */
  get generation(): number {
    return this.#generation
  }

  get state(): ClassicState {
    return this.#state
  }

  get memberCount(): number {
    return this.#roster.size
  }

  /** How much memory the members take, roughly. */
  get bytes(): number {
    return this.#roster.bytes
  }

  get protocolType(): string {
    return this.#roster.protocolType
  }

  /** Whether its members are consumers, whose bytes can be read. */
  get isConsumerProtocol(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE
  }

  get deadline(): number | undefined {
    return this.#timers.first?.at
  }

  /** Whether there is nothing to remember: it never had a generation, and nobody was invited. */
  get isBlank(): boolean {
    return this.#state === 'Empty' && this.#generation === 0 && this.#invited.size === 0
  }

  /** Whether a member may be reading the topic, as far as one can know. */
  isSubscribedTo(topic: string): boolean {
    if (this.#roster.size === 0 || !this.isConsumerProtocol) return false
    const topics = this.#readSubscriptions()
    return topics === undefined || topics.has(topic)
  }

  /** Whether it is certain that no member reads the topic. */
  isDoneWith(topic: string): boolean {
    if (this.#roster.size === 0) return true
    return this.#state === 'Stable' && this.isConsumerProtocol && !this.isSubscribedTo(topic)
  }

  describe(): ClassicDescription {
    const isStable = this.#state === 'Stable'
    return {
      kind: 'classic',
      group: this.#group,
      state: this.#state,
      protocolType: this.protocolType,
      protocol: isStable ? (this.#protocol ?? '') : '',
      generation: this.#generation,
      members: Array.from(
        this.#roster.members(),
        ({ id, instanceId, clientId, clientHost, protocols, assignment }) => ({
          memberId: id,
          instanceId,
          clientId,
          clientHost,
          metadata: isStable ? metadataOf(protocols, this.#protocol ?? '') : NOTHING,
          assignment: isStable ? assignment : NOTHING,
        }),
      ),
    }
  }

  /**
   * Whether this member may commit offsets now; undefined if so. Who belongs to no generation (-1) may while the group is
   * empty, or within a transaction of an old client, which cannot say who it is.
   */
  checkCommit(member: MemberOfGeneration, isTransactional: boolean): Refusal | undefined {
    const { memberId, generation, instanceId } = member
    if (generation < 0 && this.#state === 'Empty') return undefined
    const isNamed = generation >= 0 || memberId !== '' || instanceId !== undefined
    if (!isNamed) {
      if (isTransactional || this.#state === 'Empty') return undefined
      const reason = `it has ${this.memberCount} members, who commit for themselves`
      return this.#refusals.refuse('UNKNOWN_MEMBER_ID', 'commit offsets from outside for', reason)
    }
    const refusal = this.#checkMember('commit offsets', member) ?? this.#checkGeneration('commit offsets', generation)
    if (refusal !== undefined || isTransactional || this.#state !== 'CompletingRebalance') return refusal
    return this.#refusals.rebalancing('commit offsets')
  }

  #take(event: ClassicEvent) {
    switch (event.kind) {
      case 'join':
        return this.#join(event.request, event.reply)
      case 'sync':
        return this.#sync(event.request, event.reply)
      case 'heartbeat':
        return this.#heartbeat(event.request, event.reply)
      case 'leave':
        return this.#leave(event.members, event.reply)
      case 'sign of life': {
        const member = this.#roster.get(event.memberId)
        if (member !== undefined && this.#state !== 'CompletingRebalance') this.#renew(member)
        return
      }
      case 'time':
        for (let key = this.#timers.takeDue(this.#now); key !== undefined; key = this.#timers.takeDue(this.#now)) {
          if (key === 'join') this.#endJoins()
          else if (key === 'sync') this.#endSyncs()
          else this.#endSession(key.slice(SESSION.length))
        }
        return
      case 'close':
        return this.#close()
    }
  }

  // Joining

  #join(request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    const { memberId, instanceId } = request
    const refusal = this.#checkJoin(request)
    if (refusal !== undefined) {
      const isFull = refusal.error === 'GROUP_MAX_SIZE_REACHED'
      if (isFull && this.#invited.delete(memberId)) this.#timers.delete(sessionOf(memberId))
      this.#reply(reply, { ...refusal, memberId })
      return this.#completeIfAllJoined()
    }
    if (memberId === '') return this.#joinNew(request, reply)
    if (this.#invited.has(memberId) && instanceId === undefined) return this.#add(memberId, request, reply)
    const stranger = this.#checkMember('join', request)
    if (stranger !== undefined) return this.#reply(reply, { ...stranger, memberId })
    this.#joinAgain(this.#existing(memberId), request, reply)
  }

  #checkJoin(request: JoinRequest): Refusal | undefined {
    if (this.#isClosed) return this.#refusals.stopping()
    return checkJoin(request, {
      options: this.#options,
      roster: this.#roster,
      refusals: this.#refusals,
      invited: this.#invited,
      isPreparing: this.#state === 'PreparingRebalance',
    })
  }

  #joinNew(request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    const { instanceId, clientId } = request
    const memberId = `${instanceId ?? toIdPrefix(clientId)}-${this.#createId()}`
    const earlierId = instanceId === undefined ? undefined : this.#roster.staticId(instanceId)
    if (earlierId !== undefined) return this.#replace(earlierId, memberId, request, reply)
    if (instanceId !== undefined || !request.requiresMemberId) return this.#add(memberId, request, reply)
    this.#invited.add(memberId)
    this.#timers.set(sessionOf(memberId), this.#now + request.sessionTimeoutMs)
    const reason = `join again with ${quoteId(memberId)}`
    const refusal = this.#refusals.refuse('MEMBER_ID_REQUIRED', 'join without a member id the', reason)
    this.#reply(reply, { ...refusal, memberId })
  }

  #add(memberId: string, request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    const { instanceId, clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, protocolType } = request
    const member: ClassicMember = {
      id: memberId,
      instanceId,
      clientId,
      clientHost,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocols: withoutDuplicates(request.protocols),
      assignment: NOTHING,
      isNew: true,
      join: reply,
      sync: undefined,
    }
    if (this.#initialDelay !== undefined) this.#initialDelay.hasNewcomer = true
    this.#invited.delete(memberId)
    this.#roster.add(member, protocolType)
    // It may not know its id yet and cannot send heartbeats. When its connection is gone, nobody notices, because nothing is
    // read from it while it waits. So its wait is limited; whoever is still there tries again.
    this.#timers.set(sessionOf(memberId), this.#now + this.#options.newMemberJoinTimeoutMs)
    this.#rebalanceOrGoOn()
  }

  /** What a member that is known already wants with its join depends on the state: see the table. */
  #joinAgain(member: ClassicMember, request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    const isLeader = member.id === this.#roster.leader
    const isSame = areSameProtocols(member.protocols, withoutDuplicates(request.protocols))
    const knowsAll = this.#state === 'CompletingRebalance' || (this.#state === 'Stable' && !isLeader)
    if (knowsAll && isSame) {
      this.#renew(member)
      return this.#reply(reply, this.#describeGeneration(member))
    }
    this.#update(member, request, reply)
    this.#rebalanceOrGoOn()
  }

  #update(member: ClassicMember, request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    this.#roster.offer(member, withoutDuplicates(request.protocols))
    member.sessionTimeoutMs = request.sessionTimeoutMs
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
    if (member.join !== undefined) this.#reply(member.join, this.#refusals.overtaken('join'))
    member.join = reply
  }

  /** A static member is back under a new id. Whoever still uses the old one is fenced. */
  #replace(earlierId: string, memberId: string, request: JoinRequest, reply: ReplyTo<JoinAnswer>) {
    const leaderBefore = this.#roster.leader
    const earlier = this.#existing(earlierId)
    const fenced = this.#refusals.fenced('go on', request.instanceId ?? '', memberId)
    if (earlier.join !== undefined) this.#reply(earlier.join, { ...fenced, memberId: earlierId })
    if (earlier.sync !== undefined) this.#reply(earlier.sync, fenced)
    this.#timers.delete(sessionOf(earlierId))
    if (this.#unsynced.delete(earlierId)) this.#unsynced.add(memberId)

    const member = this.#roster.rename(earlierId, memberId)
    Object.assign(member, { clientId: request.clientId, clientHost: request.clientHost })
    Object.assign(member, { join: undefined, sync: undefined, isNew: false })
    this.#update(member, request, reply)
    this.#renew(member)
    const isUnchanged = this.#state === 'Stable' && this.#roster.chooseProtocol() === this.#protocol
    if (!isUnchanged) return this.#rebalanceOrGoOn()
    member.join = undefined
    const answer = this.#describeGeneration(member)
    const mayKeep = request.supportsSkippingAssignment
    this.#reply(reply, {
      ...answer,
      members: mayKeep ? answer.members : [],
      // A leader that cannot be told to keep the assignment takes itself for a follower, and only fetches its part.
      leader: mayKeep ? answer.leader : (leaderBefore ?? ''),
      skipAssignment: mayKeep && memberId === this.#roster.leader,
    })
    this.#store()
  }

  // From generation to generation

  #rebalanceOrGoOn() {
    if (this.#state === 'PreparingRebalance') this.#completeIfAllJoined()
    else this.#prepareRebalance()
  }

  #prepareRebalance() {
    if (this.#state === 'CompletingRebalance') {
      for (const member of this.#roster.members()) {
        this.#roster.assign(member, NOTHING)
        this.#answerSync(member, this.#refusals.rebalancing('sync'))
      }
    }
    this.#unsynced.clear()
    this.#timers.delete('sync')
    const wasEmpty = this.#state === 'Empty'
    this.#state = 'PreparingRebalance'
    if (wasEmpty) {
      const delayMs = this.#options.initialRebalanceDelayMs
      const remainingMs = Math.max(this.#roster.rebalanceTimeoutMs - delayMs, 0)
      this.#initialDelay = { hasNewcomer: false, remainingMs }
      this.#timers.set('join', this.#now + delayMs)
    } else if (this.#haveAllJoined()) this.#completeJoins()
    else this.#timers.set('join', this.#now + this.#roster.rebalanceTimeoutMs)
  }

  #haveAllJoined(): boolean {
    return this.#invited.size === 0 && this.#roster.countJoining() === this.#roster.size
  }

  #completeIfAllJoined() {
    const isWaiting = this.#state === 'PreparingRebalance' && this.#initialDelay === undefined
    if (isWaiting && this.#haveAllJoined()) this.#completeJoins()
  }

  /** The time for joining is over. */
  #endJoins() {
    const initial = this.#initialDelay
    if (initial === undefined || !initial.hasNewcomer || initial.remainingMs === 0) return this.#completeJoins()
    const delayMs = Math.min(this.#options.initialRebalanceDelayMs, initial.remainingMs)
    this.#initialDelay = { hasNewcomer: false, remainingMs: initial.remainingMs - delayMs }
    this.#timers.set('join', this.#now + delayMs)
  }

  #completeJoins() {
    this.#timers.delete('join')
    this.#initialDelay = undefined
    for (const { id, instanceId, join } of this.#roster.members()) {
      if (join === undefined && instanceId === undefined) this.#expire(id)
    }
    if (!this.#roster.electJoiningLeader() && this.#roster.size > 0) {
      // There are only static members, and none is here. They have until the end of their sessions.
      const waitMs = Math.max(this.#roster.rebalanceTimeoutMs, POSTPONED_JOIN_MS_MIN)
      return this.#timers.set('join', this.#now + waitMs)
    }
    this.#generation++
    if (this.#roster.size === 0) {
      this.#state = 'Empty'
      this.#protocol = undefined
      return this.#store()
    }
    this.#state = 'CompletingRebalance'
    this.#protocol = this.#roster.chooseProtocol()
    for (const member of this.#roster.members()) {
      if (member.join === undefined) continue
      this.#reply(member.join, this.#describeGeneration(member))
      this.#renew(member)
      this.#unsynced.add(member.id)
      member.join = undefined
      member.isNew = false
    }
    this.#timers.set('sync', this.#now + this.#roster.rebalanceTimeoutMs)
  }

  #describeGeneration({ id }: ClassicMember): JoinAnswer {
    const { leader, protocolType } = this.#roster
    const protocol = this.#protocol ?? ''
    const members: readonly JoinedMember[] = id === leader ? this.#roster.describeFor(protocol) : []
    const generation = this.#generation
    return { memberId: id, generation, protocolType, protocol, leader: leader ?? '', members, skipAssignment: false }
  }

  // Syncing

  #sync(request: SyncRequest, reply: ReplyTo<SyncAnswer>) {
    const refusal = this.#checkSync(request)
    if (refusal !== undefined) return this.#reply(reply, refusal)
    const member = this.#existing(request.memberId)
    this.#unsynced.delete(member.id)
    if (this.#unsynced.size === 0) this.#timers.delete('sync')
    if (member.sync !== undefined) this.#reply(member.sync, this.#refusals.overtaken('sync'))
    member.sync = reply
    if (this.#state === 'Stable') return this.#answerSync(member)
    if (member.id === this.#roster.leader) this.#assign(request.assignments)
  }

  #checkSync(request: SyncRequest): Refusal | undefined {
    const { generation, protocolType, protocol, assignments } = request
    if (this.#isClosed) return this.#refusals.stopping()
    const stranger = this.#checkMember('sync', request) ?? this.#checkGeneration('sync', generation)
    if (stranger !== undefined) return stranger
    const isOther = (given: string | undefined, own: string | undefined) =>
      given !== undefined && own !== undefined && given !== own
    if (isOther(protocolType, this.protocolType) || isOther(protocol, this.#protocol)) {
      const action = `sync by protocol ${quoteId(`${protocolType ?? ''} ${protocol ?? ''}`)} with`
      const reason = `it has chosen ${quoteId(`${this.protocolType} ${this.#protocol ?? ''}`)}`
      return this.#refusals.refuse('INCONSISTENT_GROUP_PROTOCOL', action, reason)
    }
    if (this.#state === 'PreparingRebalance') return this.#refusals.rebalancing('sync')
    const bytes = assignments.reduce((sum, { assignment }) => sum + assignment.length, 0)
    const { assignmentBytesMax } = this.#options
    if (bytes <= assignmentBytesMax) return undefined
    return this.#refusals.refuse(
      'INVALID_REQUEST',
      `assign ${bytes} bytes in`,
      `at most ${assignmentBytesMax} are taken`,
    )
  }

  /** Whom the leader has forgotten gets nothing. */
  #assign(assignments: SyncRequest['assignments']) {
    const byMember = new Map(assignments.map(({ memberId, assignment }) => [memberId, assignment]))
    this.#state = 'Stable'
    for (const member of this.#roster.members()) {
      this.#roster.assign(member, byMember.get(member.id) ?? NOTHING)
      this.#answerSync(member)
    }
    this.#store()
  }

  /** Tells a member that waits for it its assignment, or that there is none. Its session begins anew. */
  #answerSync(member: ClassicMember, refusal?: Refusal) {
    if (member.sync === undefined) return
    const protocol = this.#protocol ?? ''
    this.#reply(member.sync, refusal ?? { protocolType: this.protocolType, protocol, assignment: member.assignment })
    member.sync = undefined
    this.#renew(member)
  }

  /** The time for syncing is over. */
  #endSyncs() {
    if (this.#unsynced.size === 0) return
    for (const memberId of this.#unsynced) this.#expire(memberId)
    this.#prepareRebalance()
  }

  // Staying and leaving

  #heartbeat(request: MemberOfGeneration, reply: ReplyTo<object>) {
    const refusal =
      this.#checkMember('send a heartbeat', request) ?? this.#checkGeneration('send a heartbeat', request.generation)
    if (refusal !== undefined) return this.#reply(reply, refusal)
    this.#renew(this.#existing(request.memberId))
    this.#reply(reply, this.#state === 'PreparingRebalance' ? this.#refusals.rebalancing('send a heartbeat') : {})
  }

  #leave(leaving: readonly LeavingMember[], reply: ReplyTo<LeaveAnswer>) {
    const members = leaving.map(({ memberId, instanceId }) => {
      const refusal = this.#leaveOne({ memberId, instanceId })
      return refusal === undefined ? { memberId, instanceId } : { memberId, instanceId, refusal }
    })
    this.#reply(reply, { members })
    const hasLeft = members.some(({ refusal }) => refusal === undefined)
    if (hasLeft && this.#state !== 'Empty') this.#rebalanceOrGoOn()
  }

  #leaveOne({ memberId, instanceId }: LeavingMember): 'UNKNOWN_MEMBER_ID' | 'FENCED_INSTANCE_ID' | undefined {
    const staticId = instanceId === undefined ? undefined : this.#roster.staticId(instanceId)
    if (instanceId !== undefined && staticId === undefined) return 'UNKNOWN_MEMBER_ID'
    const leavingId = memberId === '' ? staticId : memberId
    if (staticId !== undefined && staticId !== leavingId) return 'FENCED_INSTANCE_ID'
    if (leavingId !== undefined && this.#invited.delete(leavingId)) {
      this.#timers.delete(sessionOf(leavingId))
      return undefined
    }
    if (leavingId === undefined || this.#roster.get(leavingId) === undefined) return 'UNKNOWN_MEMBER_ID'
    this.#drop(leavingId)
    return undefined
  }

  #endSession(memberId: string) {
    const member = this.#roster.get(memberId)
    if (this.#invited.delete(memberId)) return this.#completeIfAllJoined()
    if (member === undefined) return
    // Whoever waits is there; its session begins anew when it is answered. A new member has waited long enough.
    if (!member.isNew && (member.join !== undefined || member.sync !== undefined)) return
    this.#expire(memberId)
    this.#rebalanceOrGoOn()
  }

  #expire(memberId: string) {
    this.#expiredCount++
    this.#drop(memberId)
  }

  /** Removes a member and answers what it waits for: it would have to join as a new one. */
  #drop(memberId: string) {
    const { join, sync } = this.#existing(memberId)
    const dropped = this.#refusals.unknownMember('go on', memberId)
    if (join !== undefined) this.#reply(join, { ...dropped, memberId: '' })
    if (sync !== undefined) this.#reply(sync, dropped)
    this.#roster.remove(memberId)
    this.#unsynced.delete(memberId)
    this.#timers.delete(sessionOf(memberId))
  }

  #close() {
    this.#isClosed = true
    for (const member of this.#roster.members()) {
      if (member.join !== undefined) this.#reply(member.join, { ...this.#refusals.stopping(), memberId: member.id })
      if (member.sync !== undefined) this.#reply(member.sync, this.#refusals.stopping())
      member.join = undefined
      member.sync = undefined
    }
  }

  #renew({ id, sessionTimeoutMs }: ClassicMember) {
    this.#timers.set(sessionOf(id), this.#now + sessionTimeoutMs)
  }

  #existing(memberId: string): ClassicMember {
    const member = this.#roster.get(memberId)
    assert(member !== undefined, `${memberId} is a member`)
    return member
  }

  #readSubscriptions(): ReadonlySet<string> | undefined {
    const all = new Set<string>()
    for (const { protocols } of this.#roster.members()) {
      const topics = readSubscribedTopics(metadataOf(protocols, this.#protocol ?? ''))
      if (topics === undefined) return undefined
      for (const topic of topics) all.add(topic)
    }
    return all
  }

  #store() {
    for (const memberId of this.#storedIds) {
      if (this.#roster.get(memberId) === undefined) this.#rows.push({ memberId, row: undefined })
    }
    this.#rows.push(...this.allRows())
    this.#storedIds.clear()
    for (const { id } of this.#roster.members()) this.#storedIds.add(id)
  }

  #reply<Answer>(to: ReplyTo<Answer>, answer: Answer | Refusal) {
    this.#replies.push(makeReply(to, answer))
  }

  #checkMember(action: string, { memberId, instanceId }: LeavingMember): Refusal | undefined {
    if (instanceId !== undefined) {
      const staticId = this.#roster.staticId(instanceId)
      if (staticId === undefined) return this.#refusals.unknownMember(action, instanceId)
      if (staticId !== memberId) return this.#refusals.fenced(action, instanceId, staticId)
    }
    return this.#roster.get(memberId) === undefined ? this.#refusals.unknownMember(action, memberId) : undefined
  }

  #checkGeneration(action: string, generation: number): Refusal | undefined {
    if (generation === this.#generation) return undefined
    return this.#refusals.illegalGeneration(action, generation, this.#generation)
  }
}

const SESSION = 'session '

/** The timer of a member or an invited one. */
function sessionOf(memberId: string): string {
  return `${SESSION}${memberId}`
}

/** Member ids begin with the client's name, and are part of keys in the store. */
function toIdPrefix(clientId: string): string {
  return clientId.slice(0, 100).replaceAll(/[\p{Cc}\p{Cs}]/gu, '_')
}
