import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { areEqual, filterPartitions, isSubset, NO_PARTITIONS } from './assignment.ts'
import type { Assignment } from './assignment.ts'
import { ASSIGNORS, isAssignorName } from './assignors/all.ts'
import type { MemberOfGeneration } from './classic-messages.ts'
import {
  describeMember,
  fromMemberRow,
  isBack,
  isSameRow,
  newMember,
  subscriptionOf,
  toMemberRow,
} from './consumer-member.ts'
import type { ConsumerGroupRow, ConsumerMember, ConsumerMemberRow } from './consumer-member.ts'
import { JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from './consumer-messages.ts'
import type {
  ConsumerDescription,
  ConsumerEvent,
  ConsumerHeartbeat,
  ConsumerHeartbeatAnswer,
  ConsumerState,
} from './consumer-messages.ts'
import { checkHeartbeat } from './consumer-requests.ts'
import { ConsumerRoster } from './consumer-roster.ts'
import { Deadlines } from '../base/deadlines.ts'
import type { GroupOptions } from './group-options.ts'
import { isRefusal, makeReply } from './outcome.ts'
import type { Outcome, Refusal, Reply, RowChange } from './outcome.ts'
import { reconcile } from './reconcile.ts'
import { quoteId, Refusals } from './refusals.ts'
import { areSameSubscriptions, countSubscriptionBytes, Subscriptions } from './subscriptions.ts'
import type { Subscription, TopicsView } from './subscriptions.ts'

// In a consumer group (Kafka proposal KIP-848) the broker assigns. Whenever members come, go or subscribe to something else,
// and when their topics change, the group enters another epoch and a target assignment is made for it. Each member then goes
// to its target by itself, with its heartbeats; nobody waits for everybody.
//
// | a member is | in the epoch  | answered with             | goes on when                                                    |
// | ----------- | ------------- | ------------------------- | --------------------------------------------------------------- |
// | stable      | of the target | nothing new               | there is a new target                                           |
// | revoking    | it was in     | what it may keep          | it no longer reports what it is to give away (→ stable, or      |
// |             |               |                           | waiting), or the rebalance timeout is over: it is fenced        |
// | waiting     | of the target | what is free for it       | somebody gives away what it is to get                           |
// | gone (-2)   | -2            |                           | it comes back with its instance id, or its session ends         |
//
// The group is Empty without members, Stable when all members are, and Reconciling otherwise. A partition belongs to the
// member that has it assigned or is to give it away: to one at a time, the roster says to whom. Being fenced, by the end of its
// session or by not giving away in time, takes everything from a member; it must join anew, with nothing.

/** What a consumer group is made of. */
export interface ConsumerGroupParts {
  readonly group: string
  readonly options: GroupOptions
  readonly topics: TopicsView
  /** Makes the ids of members that bring none. */
  readonly createId: () => string
}

/**
 * A group of the consumer protocol as a machine: it is told what happens and when, and says what to answer, what to store
 * and when it wants to be woken. It does nothing by itself and asks nobody for the time. The table above says what it does.
 *
 * All of it is stored. After a restart nothing has changed for its members, but that their sessions begin anew.
 */
export class ConsumerGroup {
  readonly kind = 'consumer'
  readonly #parts: ConsumerGroupParts
  readonly #refusals: Refusals

  readonly #roster = new ConsumerRoster()
  readonly #subscriptions: Subscriptions
  /** Who has been told what is assigned to it. */
  readonly #told = new Set<string>()
  #epoch = 0
  /** What the target assignment was made from. */
  #partitionCounts: ReadonlyMap<string, number> = new Map()
  /** A session or a revocation of each member: see `sessionOf` and `revocationOf`. */
  readonly #timers = new Deadlines<string>()

  // What the event that is being handled leads to.
  #now = 0
  #replies: Reply[] = []
  #isGroupChanged = false
  #expiredCount = 0

  /** An empty group. */
  constructor(parts: ConsumerGroupParts) {
    this.#parts = parts
    this.#refusals = new Refusals(parts.group)
    this.#subscriptions = new Subscriptions(parts.topics)
  }

  /** The group as it was stored; its members' sessions begin at `now`. Tell it `topics` before anything else. */
  static restore(
    parts: ConsumerGroupParts,
    row: ConsumerGroupRow,
    memberRows: Iterable<readonly [memberId: string, ConsumerMemberRow]>,
    now: number,
  ): ConsumerGroup {
    const group = new ConsumerGroup(parts)
    group.#now = now
    group.#epoch = row.epoch
    const partitionCounts = new Map<string, number>()
    for (const [memberId, memberRow] of memberRows) {
      const member = fromMemberRow(memberId, memberRow)
      group.#roster.put(member)
      group.#renew(memberId)
      if (member.progress.state === 'revoking') group.#limitRevocation(member)
      for (const [topic, { size }] of member.target)
        partitionCounts.set(topic, (partitionCounts.get(topic) ?? 0) + size)
    }
    group.#partitionCounts = partitionCounts
    group.#roster.takeChanges()
    return group
  }

  /** Lets something happen, at `now` on the monotonic clock, which never goes back. */
  handle(event: ConsumerEvent, now: number): Outcome {
    this.#now = now
    this.#take(event)
    const outcome = {
      replies: this.#replies,
      rows: this.#takeRows(),
      expiredCount: this.#expiredCount,
      deadline: this.deadline,
    }
    this.#replies = []
    this.#expiredCount = 0
    return outcome
  }

  /** How many target assignments there have been. */
  get generation(): number {
    return this.#epoch
  }

  get state(): ConsumerState {
    if (this.#roster.size === 0) return 'Empty'
    for (const { progress } of this.#roster.members()) {
      if (progress.state !== 'stable' || progress.epoch !== this.#epoch) return 'Reconciling'
    }
    return 'Stable'
  }

  get memberCount(): number {
    return this.#roster.size
  }

  /** How much memory the members take, roughly. */
  get bytes(): number {
    return this.#roster.bytes
  }

  get deadline(): number | undefined {
    return this.#timers.first?.at
  }

  /** Whether there is nothing to remember. */
  get isBlank(): boolean {
    return this.#epoch === 0
  }

  isSubscribedTo(topic: string): boolean {
    return this.#roster.isSubscribedTo(topic)
  }

  /** Whether it is certain that no member reads the topic. */
  isDoneWith(topic: string): boolean {
    return !this.isSubscribedTo(topic)
  }

  /** Everything that is stored of the group as it is now. */
  allRows(): RowChange[] {
    const members = Array.from(this.#roster.members(), (member) => ({ memberId: member.id, row: toMemberRow(member) }))
    return [{ memberId: undefined, row: this.#toRow() }, ...members]
  }

  describe(): ConsumerDescription {
    return {
      kind: 'consumer',
      group: this.#parts.group,
      state: this.state,
      epoch: this.#epoch,
      assignor: this.#roster.electAssignor(),
      members: Array.from(this.#roster.members(), describeMember),
    }
  }

  /** Where a member is; undefined if there is no such member. */
  findProgress(memberId: string): { readonly epoch: number; readonly assigned: Assignment } | undefined {
    return this.#roster.get(memberId)?.progress
  }

  /**
   * Whether this member may commit offsets now; undefined if so. Its generation is its epoch. Who is no member (-1) may
   * while the group is empty, or within a transaction of an old client, which cannot say who it is.
   */
  checkCommit({ memberId, generation, instanceId }: MemberOfGeneration, isTransactional: boolean): Refusal | undefined {
    if (generation < 0 && this.#roster.size === 0) return undefined
    if (isTransactional && generation < 0 && memberId === '' && instanceId === undefined) return undefined
    const refusal = this.#checkEpoch('commit offsets', memberId, generation)
    if (!isTransactional || refusal?.error !== 'STALE_MEMBER_EPOCH') return refusal
    return { ...refusal, error: 'ILLEGAL_GENERATION' }
  }

  /** Whether this member may fetch committed offsets now; undefined if so. Who does not say who it is, may. */
  checkFetch({ memberId, generation }: { memberId?: string | undefined; generation: number }): Refusal | undefined {
    if (memberId === undefined && generation < 0) return undefined
    return this.#checkEpoch('fetch offsets', memberId ?? '', generation)
  }

  #checkEpoch(action: string, memberId: string, epoch: number): Refusal | undefined {
    const member = this.#roster.get(memberId)
    if (member === undefined) return this.#refusals.unknownMember(action, memberId)
    if (epoch === member.progress.epoch) return undefined
    const reason = `the member is in epoch ${member.progress.epoch}`
    return this.#refusals.refuse('STALE_MEMBER_EPOCH', `${action} in epoch ${epoch} of`, reason)
  }

  #take(event: ConsumerEvent) {
    switch (event.kind) {
      case 'heartbeat': {
        const answer = this.#answer(event.request)
        this.#replies.push(makeReply(event.reply, answer))
        return
      }
      case 'topic':
        return this.#updateTopic(event.topic)
      case 'topics':
        return this.#updateTopics()
      case 'time':
        return this.#fenceLate()
    }
  }

  // Heartbeats

  #answer(request: ConsumerHeartbeat): ConsumerHeartbeatAnswer | Refusal {
    const wrong = checkHeartbeat(request, this.#refusals)
    if (wrong !== undefined) return wrong
    if (request.memberEpoch < JOIN_EPOCH) return this.#leave(request)
    const earlier = request.memberEpoch === JOIN_EPOCH ? this.#findJoining(request) : this.#findMember(request)
    if (earlier !== undefined && isRefusal(earlier)) return earlier
    const changed = this.#checkSubscription(earlier, request)
    if (changed !== undefined) return changed

    const memberId = request.memberId === '' ? this.#parts.createId() : request.memberId
    const updated = this.#update(memberId, earlier, request)
    const member = this.#goOn(updated, request.owned)
    this.#renew(member.id)
    const saysEverything =
      request.memberEpoch === JOIN_EPOCH ||
      (request.rebalanceTimeoutMs !== undefined &&
        request.subscribedTopics !== undefined &&
        request.owned !== undefined)
    const isNews = saysEverything || !this.#told.has(member.id)
    this.#told.add(member.id)
    return {
      memberId: member.id,
      memberEpoch: member.progress.epoch,
      heartbeatIntervalMs: this.#parts.options.consumerHeartbeatIntervalMs,
      assignment: isNews ? member.progress.assigned : undefined,
    }
  }

  /** Whom a joining member follows: itself before, or the static member in whose place it comes. */
  #findJoining({ memberId, instanceId }: ConsumerHeartbeat): ConsumerMember | Refusal | undefined {
    const staticId = instanceId === undefined ? undefined : this.#roster.staticId(instanceId)
    const earlier = this.#roster.get(staticId ?? memberId)
    if (instanceId !== undefined && memberId !== staticId) {
      if (this.#roster.get(memberId) !== undefined) {
        const reason = `the member id ${quoteId(memberId)} is another member's`
        return this.#refusals.refuse('INVALID_REQUEST', `join as ${quoteId(instanceId)} the`, reason)
      }
      if (earlier !== undefined && earlier.progress.epoch !== STATIC_LEAVE_EPOCH) {
        const reason = `${quoteId(earlier.id)} goes by that instance id and has not left`
        return this.#refusals.refuse('UNRELEASED_INSTANCE_ID', `join as ${quoteId(instanceId)} the`, reason)
      }
    }
    const { membersPerGroupMax } = this.#parts.options
    if (earlier !== undefined || this.#roster.size < membersPerGroupMax) return earlier
    return this.#refusals.refuse(
      'GROUP_MAX_SIZE_REACHED',
      'join',
      `it has ${this.#roster.size} members and takes no more`,
    )
  }

  #findMember(request: ConsumerHeartbeat): ConsumerMember | Refusal {
    const { memberEpoch, owned } = request
    const member = this.#findKnown('send a heartbeat', request)
    if (isRefusal(member)) return member
    const { epoch, previousEpoch, assigned } = member.progress
    if (memberEpoch === epoch) return member
    // The answer that told of the new epoch may have been lost.
    if (memberEpoch === previousEpoch && owned !== undefined && isSubset(owned, assigned) && epoch > 0) return member
    const reason = `the member is in epoch ${epoch}, it must give everything away and join again`
    return this.#refusals.refuse('FENCED_MEMBER_EPOCH', `send a heartbeat of epoch ${memberEpoch} to`, reason)
  }

  #findKnown(action: string, { memberId, instanceId }: ConsumerHeartbeat): ConsumerMember | Refusal {
    if (instanceId !== undefined) {
      const staticId = this.#roster.staticId(instanceId)
      if (staticId === undefined) return this.#refusals.unknownMember(action, instanceId)
      if (staticId !== memberId) return this.#refusals.fenced(action, instanceId, staticId)
    }
    return this.#roster.get(memberId) ?? this.#refusals.unknownMember(action, memberId)
  }

  /** Whether the subscription can be taken. Learns its pattern. */
  #checkSubscription(earlier: ConsumerMember | undefined, request: ConsumerHeartbeat): Refusal | undefined {
    if (request.subscribedTopics === undefined && request.subscribedRegex === undefined) return undefined
    const { memberBytesMax, bytesPerGroupMax } = this.#parts.options
    const wanted = subscriptionOf(earlier, request)
    const bytes = countSubscriptionBytes(wanted)
    if (bytes > memberBytesMax) {
      const reason = `the subscription has ${bytes} characters, at most ${memberBytesMax} are taken`
      return this.#refusals.refuse('INVALID_REQUEST', 'take the heartbeat for', reason)
    }
    const bytesBefore = earlier === undefined ? 0 : countSubscriptionBytes(earlier)
    if (this.#roster.bytes - bytesBefore + bytes > bytesPerGroupMax) {
      return this.#refusals.refuse('GROUP_MAX_SIZE_REACHED', 'subscribe in', 'its subscriptions take too much memory')
    }
    try {
      this.#subscriptions.learn(wanted.pattern)
      return undefined
    } catch (error) {
      if (error instanceof BrokerError) return { error: error.code, message: error.message }
      throw error
    }
  }

  /** Takes down what the member says of itself, and makes a new target if that changes what the group needs. */
  #update(memberId: string, earlier: ConsumerMember | undefined, request: ConsumerHeartbeat): ConsumerMember {
    const base = earlier ?? newMember(memberId, request)
    const { rackId = base.rackId, rebalanceTimeoutMs = base.rebalanceTimeoutMs, assignor = base.assignor } = request
    assert(assignor === undefined || isAssignorName(assignor), 'the assignor was checked')
    const subscription = subscriptionOf(earlier, request)
    const isSame = earlier !== undefined && areSameSubscriptions(earlier, subscription)
    const updated: ConsumerMember = {
      id: memberId,
      instanceId: request.instanceId ?? base.instanceId,
      rackId,
      clientId: request.clientId,
      clientHost: request.clientHost,
      rebalanceTimeoutMs,
      ...(isSame ? subscriptionOf(earlier) : subscription),
      assignor,
      topics: isSame ? base.topics : this.#resolve(subscription),
      progress: isBack(base) ? { ...base.progress, epoch: 0, previousEpoch: 0 } : base.progress,
      target: base.target,
    }
    if (earlier !== undefined && earlier.id !== memberId) this.#remove(earlier)
    if (earlier === undefined || !isSameRow(earlier, updated)) this.#roster.put(updated)
    if (!isSame || assignor !== base.assignor) this.#assign()
    return this.#roster.existing(memberId)
  }

  /** Takes a member a step towards its target. */
  #goOn(member: ConsumerMember, owned: Assignment | undefined): ConsumerMember {
    const progress = reconcile(member.progress, {
      target: member.target,
      targetEpoch: this.#epoch,
      owned,
      isFree: (topic, partition) => (this.#roster.owner(topic, partition) ?? member.id) === member.id,
    })
    if (progress === member.progress) return member
    if (!areEqual(progress.assigned, member.progress.assigned)) this.#told.delete(member.id)
    const next = { ...member, progress }
    this.#roster.put(next)
    if (progress.state === 'revoking') this.#limitRevocation(next)
    else this.#timers.delete(revocationOf(member.id))
    return next
  }

  #leave(request: ConsumerHeartbeat): ConsumerHeartbeatAnswer | Refusal {
    const member = this.#findKnown('leave', request)
    if (isRefusal(member)) return member
    if (request.memberEpoch === LEAVE_EPOCH) {
      this.#remove(member)
      this.#assign()
    } else {
      // What it was to give away it has given away, the rest is kept for it.
      const progress = { ...member.progress, epoch: STATIC_LEAVE_EPOCH, revoking: NO_PARTITIONS }
      this.#roster.put({ ...member, progress })
      this.#told.delete(member.id)
      this.#timers.delete(revocationOf(member.id))
      this.#renew(member.id)
    }
    const heartbeatIntervalMs = this.#parts.options.consumerHeartbeatIntervalMs
    return { memberId: member.id, memberEpoch: request.memberEpoch, heartbeatIntervalMs, assignment: undefined }
  }

  #fenceLate() {
    for (let key = this.#timers.takeDue(this.#now); key !== undefined; key = this.#timers.takeDue(this.#now)) {
      const member = this.#roster.get(key.slice(key.indexOf(' ') + 1))
      if (member === undefined) continue
      this.#remove(member)
      this.#expiredCount++
    }
    if (this.#expiredCount > 0) this.#assign()
  }

  #renew(memberId: string) {
    this.#timers.set(sessionOf(memberId), this.#now + this.#parts.options.consumerSessionTimeoutMs)
  }

  #limitRevocation({ id, rebalanceTimeoutMs }: ConsumerMember) {
    this.#timers.set(revocationOf(id), this.#now + rebalanceTimeoutMs)
  }

  // Topics

  /** One topic is no longer what it was. */
  #updateTopic(topic: string) {
    const partitionCount = this.#parts.topics.partitionCount(topic)
    if (partitionCount === undefined) this.#dropTopics((each) => each === topic)
    this.#subscriptions.updateTopic(topic)
    this.#resolveAll()
    const needed = this.isSubscribedTo(topic) ? partitionCount : undefined
    if (this.#partitionCounts.get(topic) !== needed) this.#assign()
  }

  #updateTopics() {
    const { topics: view } = this.#parts
    this.#dropTopics((topic) => view.partitionCount(topic) === undefined)
    this.#subscriptions.relearn(this.#roster.patterns())
    this.#resolveAll()
    const needed = this.#countPartitions()
    const isSame = [...needed].every(([topic, partitionCount]) => this.#partitionCounts.get(topic) === partitionCount)
    if (!isSame || needed.size !== this.#partitionCounts.size) this.#assign()
  }

  /**
   * Takes the partitions of topics that are gone away from everyone at once: nobody can be reading them. A topic that is made
   * anew under the same name is another one, whose partitions are then assigned as any others.
   */
  #dropTopics(isGone: (topic: string) => boolean) {
    for (const member of this.#roster.members()) {
      const { progress, target } = member
      const isAffected = [progress.assigned, progress.revoking, target].some((each) => [...each.keys()].some(isGone))
      if (!isAffected) continue
      const rest = (assignment: Assignment) => filterPartitions(assignment, (topic) => !isGone(topic))
      const { assigned, revoking } = progress
      const left = { ...progress, assigned: rest(assigned), revoking: rest(revoking) }
      this.#roster.put({ ...member, progress: left, target: rest(target) })
      this.#told.delete(member.id)
    }
  }

  /** Members with the same subscription share what it comes to: there may be many of both. */
  #resolve(subscription: Subscription): ReadonlySet<string> {
    for (const other of this.#roster.members()) if (areSameSubscriptions(other, subscription)) return other.topics
    return this.#subscriptions.resolve(subscription)
  }

  /** What subscriptions come to is not stored, so that nothing is when it changes. */
  #resolveAll() {
    this.#roster.resolveAll((member) => this.#resolve(member))
  }

  #countPartitions(): ReadonlyMap<string, number> {
    return this.#roster.countPartitions((topic) => this.#parts.topics.partitionCount(topic))
  }

  // Members and who has what

  /** Enters the next epoch and makes its target assignment. */
  #assign() {
    this.#epoch++
    this.#isGroupChanged = true
    this.#partitionCounts = this.#countPartitions()
    const members = [...this.#roster.members()]
    const targets = ASSIGNORS[this.#roster.electAssignor()](members, this.#partitionCounts)
    for (const member of members) {
      const target = targets.get(member.id) ?? NO_PARTITIONS
      if (!areEqual(target, member.target)) this.#roster.put({ ...member, target })
    }
    this.#subscriptions.keepOnly(this.#roster.patterns())
  }

  #remove(member: ConsumerMember) {
    this.#roster.remove(member)
    this.#told.delete(member.id)
    this.#timers.delete(sessionOf(member.id))
    this.#timers.delete(revocationOf(member.id))
  }

  #toRow(): ConsumerGroupRow {
    return { kind: 'consumer', epoch: this.#epoch }
  }

  #takeRows(): RowChange[] {
    const rows: RowChange[] = []
    if (this.#isGroupChanged) {
      rows.push({ memberId: undefined, row: this.#toRow() })
    }
    for (const memberId of this.#roster.takeChanges()) {
      const member = this.#roster.get(memberId)
      rows.push({ memberId, row: member === undefined ? undefined : toMemberRow(member) })
    }
    this.#isGroupChanged = false
    return rows
  }
}

/** The timers of a member. */
function sessionOf(memberId: string): string {
  return `session ${memberId}`
}

function revocationOf(memberId: string): string {
  return `revocation ${memberId}`
}
