import { randomUUID } from 'node:crypto'
import { assert } from '../base/assert.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { silentLogger } from '../base/logger.ts'
import type { Store, StoreChange } from '../store/store.ts'
import type { Tracer } from '../tracing/tracer.ts'
import type { Assignment } from './assignment.ts'
import { ClassicGroup } from './classic-group.ts'
import type {
  ClassicDescription,
  JoinAnswer,
  JoinRequest,
  LeaveAnswer,
  LeavingMember,
  MemberOfGeneration,
  SyncAnswer,
  SyncRequest,
} from './classic-messages.ts'
import type { CommittedOffsets } from './committed-offsets.ts'
import { ConsumerGroup } from './consumer-group.ts'
import type { ConsumerDescription, ConsumerHeartbeat, ConsumerHeartbeatAnswer } from './consumer-messages.ts'
import { JOIN_EPOCH } from './consumer-messages.ts'
import { Deadlines } from '../base/deadlines.ts'
import { parseGroupId } from './group-id.ts'
import { GroupOffsets, nonEmptyGroup, toRefusal, unknownGroup } from './group-offsets.ts'
import type { GroupsForOffsets } from './group-offsets.ts'
import { GROUP_DEFAULTS } from './group-options.ts'
import type { GroupOptions } from './group-options.ts'
import { decodeGroups, encodeGroupKey, encodeGroupRow } from './group-rows.ts'
import type { StoredGroup } from './group-rows.ts'
import type { Outcome, Refusal, ReplyTo, RowChange } from './outcome.ts'
import { Refusals } from './refusals.ts'
import { ReplyQueue } from './reply-queue.ts'
import type { TopicsView } from './subscriptions.ts'

/** What the coordinator works with. */
export interface GroupCoordinatorParts {
  readonly store: Store
  readonly clock: Clock
  readonly committedOffsets: CommittedOffsets
  readonly logger?: Logger
  /** What is to be other than GROUP_DEFAULTS. */
  readonly options?: Partial<GroupOptions>
  /** Makes what is unique about a member id. */
  readonly createId?: () => string
  readonly observer?: GroupObserver
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
}

/** Is told of what happens in groups, to count it. */
export interface GroupObserver {
  /** All members of a group have their partitions, so long after the first of them lost some or wanted more. */
  rebalanced(seconds: number): void
  /** Members were dropped because they were not heard of in time. */
  expired(memberCount: number): void
}

/** With the group that it concerns. */
export type InGroup<Request> = Request & { readonly group: string }

/** A group in a list of all. */
export interface GroupListing {
  readonly group: string
  readonly kind: 'classic' | 'consumer'
  readonly state: GroupState
  /** Empty for a group that only has offsets. */
  readonly protocolType: string
  readonly memberCount: number
  /** How many generations or target assignments there have been. */
  readonly generation: number
}

export type GroupDescription = ClassicDescription | ConsumerDescription
export type GroupState = GroupDescription['state']

type Machine = ClassicGroup | ConsumerGroup

/** A group that has or had members, or is about to. */
interface Entry {
  readonly group: string
  machine: Machine
  emptySinceMs: number | undefined
  readonly replies: ReplyQueue
  /** The last change of each row that the store has or was given. */
  readonly rows: Map<string, StoreChange>
  /** How much memory its members take. */
  bytes: number
  /** Since when its members are between two assignments, on the monotonic clock. */
  rebalancingSince: number | undefined
  /** Something could not be stored: the next time all of it is. */
  isBehind: boolean
}

/** Timers of the machine's clock do not go further. */
const TIMER_MS_MAX = 0x7fffffff
const NAME_CHARACTERS_MAX = 255

/**
 * All consumer groups, for every door. Each group is a machine that decides; this runs them: it hands them what happens,
 * wakes them when they want to, stores what they say, and gives their answers once everything these tell of is durable.
 *
 * A group is of one of two kinds, and can become one of the other kind while it is empty. There are also groups that nobody
 * ever joined and that only have offsets, see GroupOffsets.
 *
 * Nothing here waits between looking and changing. Answers may be given before the call that asks for them returns.
 */
export class GroupCoordinator {
  /** Committing, fetching and deleting offsets. */
  readonly offsets: GroupOffsets
  readonly #store: Store
  readonly #clock: Clock
  readonly #committed: CommittedOffsets
  readonly #logger: Logger
  readonly #options: GroupOptions
  readonly #createId: () => string
  readonly #observer: GroupObserver | undefined

  #topics: TopicsView | undefined
  readonly #groups = new Map<string, Entry>()
  readonly #deadlines = new Deadlines<Entry>()
  #timer: { readonly at: number; readonly timer: Timer } | undefined
  #expiryTimer: Timer | undefined
  /** How much memory the members of all groups take. */
  #bytes = 0
  #isClosed = false

  constructor(parts: GroupCoordinatorParts) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#committed = parts.committedOffsets
    this.#logger = parts.logger ?? silentLogger
    this.#options = { ...GROUP_DEFAULTS, ...parts.options }
    this.#createId = parts.createId ?? randomUUID
    this.#observer = parts.observer
    this.offsets = new GroupOffsets({
      committed: this.#committed,
      groups: this.#forOffsets(),
      options: this.#options,
      clock: this.#clock,
      tracer: parts.tracer,
    })
  }

  /**
   * Takes up all groups as they are in the store, and begins. Once, before anything else, when all topics are known.
   *
   * @throws Error when there is a row that this version cannot read
   */
  open(topics: TopicsView): void {
    assert(this.#topics === undefined, 'the coordinator is opened once')
    this.#topics = topics
    for (const stored of decodeGroups(this.#store.entries('groups'))) this.#restore(stored, topics)
    this.#expireLater()
  }

  /** Answers whoever waits, and does nothing by itself from now on. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#expiryTimer?.cancel()
    this.#timer?.timer.cancel()
    for (const entry of this.#groups.values()) {
      if (entry.machine.kind === 'classic') this.#run(entry, entry.machine.handle({ kind: 'close' }, this.#now()))
    }
  }

  /** To be told of every topic that was created, altered or deleted, when that is so. */
  topicChanged(topic: string): void {
    for (const entry of this.#groups.values()) {
      if (entry.machine.kind === 'consumer')
        this.#run(entry, entry.machine.handle({ kind: 'topic', topic }, this.#now()))
    }
  }

  // The classic protocol. Bytes are copied: the caller may use its buffers again.

  /** Answers when the group is complete; see ClassicGroup. */
  join(request: InGroup<JoinRequest>, reply: ReplyTo<JoinAnswer>): void {
    const { group, memberId } = request
    const entry = this.#findForJoin(group, memberId)
    if ('error' in entry) return reply({ ...entry, memberId })
    const before = entry.machine
    if (before.kind === 'consumer' && (before.memberCount > 0 || memberId !== '')) {
      const refusals = new Refusals(group)
      if (before.memberCount === 0) return reply({ ...refusals.unknownMember('join', memberId), memberId })
      const reason = 'its members use the consumer protocol'
      return reply({ ...refusals.refuse('INCONSISTENT_GROUP_PROTOCOL', 'join', reason), memberId })
    }
    const machine = before.kind === 'classic' ? before : this.#makeClassicGroup(group)
    const protocols = request.protocols.map(({ name, metadata }) => ({ name, metadata: Buffer.from(metadata) }))
    const event = { kind: 'join', request: { ...request, ...shorten(request), protocols }, reply } as const
    const outcome = machine.handle(event, this.#now())
    if (!machine.isBlank) entry.machine = machine
    this.#run(entry, outcome)
  }

  /** Answers when the leader has assigned. */
  sync(request: InGroup<SyncRequest>, reply: ReplyTo<SyncAnswer>): void {
    const entry = this.#findClassic('sync', request)
    if ('error' in entry) return reply(entry)
    const assignments = request.assignments.map(({ memberId, assignment }) => {
      return { memberId, assignment: Buffer.from(assignment) }
    })
    const event = { kind: 'sync', request: { ...request, assignments }, reply } as const
    this.#run(entry, entry.machine.handle(event, this.#now()))
  }

  heartbeat(request: InGroup<MemberOfGeneration>, reply: ReplyTo<object>): void {
    const entry = this.#findClassic('send a heartbeat', request)
    if ('error' in entry) return reply(entry)
    this.#run(entry, entry.machine.handle({ kind: 'heartbeat', request, reply }, this.#now()))
  }

  leave(
    { group, members }: InGroup<{ readonly members: readonly LeavingMember[] }>,
    reply: ReplyTo<LeaveAnswer>,
  ): void {
    const entry = this.#groups.get(group)
    if (entry?.machine.kind !== 'classic') {
      return reply({ members: members.map((member) => ({ ...member, refusal: 'UNKNOWN_MEMBER_ID' })) })
    }
    this.#run(entry, entry.machine.handle({ kind: 'leave', members, reply }, this.#now()))
  }

  // The consumer protocol

  /** Takes what a member of a consumer group says, joining and leaving included; see ConsumerGroup. */
  consumerHeartbeat(request: InGroup<ConsumerHeartbeat>, reply: ReplyTo<ConsumerHeartbeatAnswer>): void {
    const { group, memberId, memberEpoch } = request
    const entry = memberEpoch === JOIN_EPOCH ? this.#findOrMake(group, 'consumer') : this.#groups.get(group)
    if (entry === undefined) {
      // Kafka answers GROUP_ID_NOT_FOUND, which a consumer takes for the end; of this one it joins again.
      const refusals = new Refusals(group)
      return reply(
        memberEpoch > JOIN_EPOCH
          ? refusals.unknownMember('send a heartbeat', memberId)
          : toRefusal(unknownGroup(group)),
      )
    }
    if ('error' in entry) return reply(entry)
    const before = entry.machine
    if (before.kind === 'classic' && (memberEpoch !== JOIN_EPOCH || !isUnused(before))) {
      const reason = 'its members use the classic protocol'
      return reply(new Refusals(group).refuse('GROUP_ID_NOT_FOUND', 'take part in', reason))
    }
    const machine = before.kind === 'consumer' ? before : this.#makeConsumerGroup(group)
    const event = { kind: 'heartbeat', request: { ...request, ...shorten(request) }, reply } as const
    const outcome = machine.handle(event, this.#now())
    if (!machine.isBlank) entry.machine = machine
    this.#run(entry, outcome)
  }

  /** In which epoch a member of a consumer group is and what it may read; undefined if there is no such member. */
  findConsumerMember(
    group: string,
    memberId: string,
  ): { readonly epoch: number; readonly assigned: Assignment } | undefined {
    const machine = this.#groups.get(group)?.machine
    return machine?.kind === 'consumer' ? machine.findProgress(memberId) : undefined
  }

  // Administration

  /** All groups, by name. */
  list(): readonly GroupListing[] {
    const listed = Array.from(this.#groups.values(), ({ group, machine }): GroupListing => {
      const { kind, state, memberCount, generation } = machine
      const protocolType = kind === 'classic' ? machine.protocolType : 'consumer'
      return { group, kind, state, protocolType, memberCount, generation }
    })
    for (const group of this.#committed.groups()) {
      if (this.#groups.has(group)) continue
      listed.push({ group, kind: 'classic', state: 'Empty', protocolType: '', memberCount: 0, generation: 0 })
    }
    return listed.toSorted((left, right) => (left.group < right.group ? -1 : 1))
  }

  /** A group with its members; undefined if there is no such group. */
  describe(group: string): GroupDescription | undefined {
    const entry = this.#groups.get(group)
    if (entry !== undefined) return entry.machine.describe()
    if (!this.#committed.has(group)) return undefined
    return { kind: 'classic', group, state: 'Empty', protocolType: '', protocol: '', generation: 0, members: [] }
  }

  /**
   * Deletes a group with all its offsets and returns how many these were; resolves when that is durable.
   *
   * @throws BrokerError GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, KAFKA_STORAGE_ERROR
   */
  async delete(group: string): Promise<number> {
    const entry = this.#groups.get(group)
    if (entry === undefined && !this.#committed.has(group)) throw unknownGroup(group)
    const memberCount = entry?.machine.memberCount ?? 0
    if (memberCount > 0) throw nonEmptyGroup('delete', group, memberCount)
    // Whoever joins from now on joins a new group.
    return this.#committed.remove({ group, also: entry === undefined ? [] : this.#forget(entry) })
  }

  // Finding groups

  #findForJoin(group: string, memberId: string): Entry | Refusal {
    if (this.#isClosed) return new Refusals(group).stopping()
    if (memberId === '') return this.#findOrMake(group, 'classic')
    return this.#groups.get(group) ?? new Refusals(group).unknownMember('join', memberId)
  }

  /** For somebody who wants to become a member. */
  #findOrMake(group: string, kind: Machine['kind']): Entry | Refusal {
    const { groupsMax, bytesMax } = this.#options
    if (this.#bytes >= bytesMax) {
      this.#logger.warn({ group, bytesMax }, 'no memory for another member of a consumer group')
      return new Refusals(group).refuse(
        'GROUP_MAX_SIZE_REACHED',
        'join',
        'the members of all groups take too much memory',
      )
    }
    const known = this.#groups.get(group)
    if (known !== undefined) return known
    try {
      parseGroupId(group)
    } catch (error) {
      return toRefusal(error)
    }
    if (!this.#committed.has(group) && !this.#hasRoom()) {
      this.#logger.warn({ group, groupsMax }, 'no room for another consumer group')
      return new Refusals(group).refuse('POLICY_VIOLATION', 'make', `there are ${groupsMax} groups already`)
    }
    const machine = kind === 'classic' ? this.#makeClassicGroup(group) : this.#makeConsumerGroup(group)
    return this.#add({ group, machine, emptySinceMs: undefined })
  }

  #findClassic(
    action: string,
    { group, memberId }: InGroup<MemberOfGeneration>,
  ): (Entry & { machine: ClassicGroup }) | Refusal {
    const entry = this.#groups.get(group)
    if (entry !== undefined && isClassic(entry)) return entry
    return new Refusals(group).unknownMember(action, memberId)
  }

  #hasRoom(): boolean {
    return Math.max(this.#groups.size, this.#committed.groupCount) < this.#options.groupsMax
  }

  #makeClassicGroup(group: string): ClassicGroup {
    return new ClassicGroup(group, this.#options, this.#createId)
  }

  #makeConsumerGroup(group: string): ConsumerGroup {
    return new ConsumerGroup(this.#consumerParts(group, this.#view()))
  }

  #consumerParts(group: string, topics: TopicsView) {
    return { group, options: this.#options, createId: this.#createId, topics }
  }

  #view(): TopicsView {
    assert(this.#topics !== undefined, 'the coordinator is open')
    return this.#topics
  }

  #forOffsets(): GroupsForOffsets {
    const hasRoom = () => this.#hasRoom()
    return {
      get: (group) => this.#groups.get(group)?.machine,
      get hasRoom() {
        return hasRoom()
      },
      showLife: (group, memberId) => {
        const entry = this.#groups.get(group)
        if (entry === undefined || entry.machine.kind !== 'classic') return
        this.#run(entry, entry.machine.handle({ kind: 'sign of life', memberId }, this.#now()))
      },
    }
  }

  #add({ group, machine, emptySinceMs }: Pick<Entry, 'group' | 'machine' | 'emptySinceMs'>): Entry {
    const entry = {
      group,
      machine,
      emptySinceMs,
      replies: new ReplyQueue(),
      rows: new Map<string, StoreChange>(),
      bytes: 0,
      rebalancingSince: undefined,
      isBehind: false,
    }
    this.#groups.set(group, entry)
    return entry
  }

  #restore({ group, row, members }: StoredGroup, topics: TopicsView) {
    const now = this.#now()
    const createId = this.#createId
    const machine =
      row.kind === 'classic'
        ? ClassicGroup.restore({ group, options: this.#options, createId }, row, members, now)
        : ConsumerGroup.restore(this.#consumerParts(group, topics), row, members, now)
    const entry = this.#add({ group, machine, emptySinceMs: row.emptySinceMs })
    for (const memberId of [undefined, ...members.keys()]) {
      const key = encodeGroupKey(group, memberId)
      entry.rows.set(key, { table: 'groups', key, value: undefined })
    }
    if (machine.kind === 'consumer') return this.#run(entry, machine.handle({ kind: 'topics' }, now))
    this.#run(entry, { replies: [], rows: [], expiredCount: 0, deadline: machine.deadline })
  }

  // Running them

  /** Does what a group wants after an event. */
  #run(entry: Entry, outcome: Outcome) {
    const { replies, rows, deadline } = outcome
    this.#observe(entry, outcome)
    if (deadline === undefined) this.#deadlines.delete(entry)
    else this.#deadlines.set(entry, deadline)
    this.#countBytes(entry, entry.machine.bytes)
    const changes = entry.machine.isBlank ? this.#forget(entry) : this.#toChanges(entry, rows)
    this.#setTimer()
    if (changes.length === 0) return entry.replies.send(replies)
    for (const change of changes) entry.rows.set(change.key, change)
    const settle = entry.replies.hold(replies)
    this.#store.commit(changes).then(
      () => {
        for (const change of changes) {
          const isGone = change.value === undefined && entry.rows.get(change.key) === change
          if (isGone) entry.rows.delete(change.key)
        }
        settle(undefined)
      },
      (error: unknown) => {
        entry.isBehind = true
        this.#logger.error({ error, group: entry.group }, 'cannot store a consumer group')
        settle(toRefusal(error))
      },
    )
  }

  #observe(entry: Entry, { rows, expiredCount }: Outcome) {
    const { machine } = entry
    if (expiredCount > 0) this.#observer?.expired(expiredCount)
    // A consumer group looks at all of its members to tell its state, which is where it was unless there are rows.
    if (machine.kind === 'consumer' && rows.length === 0) return
    const { state } = machine
    if (state !== 'Stable' && state !== 'Empty') entry.rebalancingSince ??= this.#now()
    else if (entry.rebalancingSince !== undefined) {
      if (state === 'Stable') this.#observer?.rebalanced((this.#now() - entry.rebalancingSince) / 1000)
      entry.rebalancingSince = undefined
    }
  }

  #toChanges(entry: Entry, rows: readonly RowChange[]): StoreChange[] {
    if (rows.length === 0 && !entry.isBehind) return []
    const { group, machine } = entry
    if (machine.memberCount > 0) entry.emptySinceMs = undefined
    else entry.emptySinceMs ??= this.#clock.now()
    const all = entry.isBehind ? machine.allRows() : []
    const values = new Map<string, Buffer | undefined>()
    if (all.length > 0) {
      // What could not be stored before, and what could not be removed.
      entry.isBehind = false
      for (const key of entry.rows.keys()) values.set(key, undefined)
    }
    for (const { memberId, row } of [...rows, ...all]) {
      const emptySince = memberId === undefined ? { emptySinceMs: entry.emptySinceMs } : {}
      values.set(encodeGroupKey(group, memberId), row === undefined ? undefined : encodeGroupRow(row, emptySince))
    }
    this.#logger.debug({ group, state: machine.state, members: machine.memberCount }, 'consumer group has changed')
    return Array.from(values, ([key, value]): StoreChange => ({ table: 'groups', key, value }))
  }

  /** There is nothing to know of the group any more. Returns how the store forgets it too. */
  #forget(entry: Entry): StoreChange[] {
    this.#countBytes(entry, 0)
    this.#groups.delete(entry.group)
    this.#deadlines.delete(entry)
    return Array.from(entry.rows.keys(), (key): StoreChange => ({ table: 'groups', key, value: undefined }))
  }

  #countBytes(entry: Entry, bytes: number) {
    this.#bytes += bytes - entry.bytes
    entry.bytes = bytes
  }

  #now(): number {
    return this.#clock.monotonic()
  }

  /** One timer, for the group that wants to be woken first. */
  #setTimer() {
    const at = this.#deadlines.first?.at
    if (this.#timer?.at === at || this.#isClosed) return
    this.#timer?.timer.cancel()
    this.#timer = undefined
    if (at === undefined) return
    const delayMs = Math.min(Math.max(0, Math.ceil(at - this.#now())), TIMER_MS_MAX)
    this.#timer = { at, timer: this.#clock.setTimer(delayMs, () => this.#wake()) }
  }

  #wake() {
    this.#timer = undefined
    const now = this.#now()
    for (let entry = this.#deadlines.takeDue(now); entry !== undefined; entry = this.#deadlines.takeDue(now)) {
      this.#run(entry, entry.machine.handle({ kind: 'time' }, now))
    }
    this.#setTimer()
  }

  #expireLater() {
    this.#expiryTimer = this.#clock.setTimer(this.#options.offsetsRetentionCheckMs, () => {
      this.#expire().then(
        () => {
          if (!this.#isClosed) this.#expireLater()
        },
        (error: unknown) => {
          this.#logger.error({ error }, 'cannot expire committed offsets')
          if (!this.#isClosed) this.#expireLater()
        },
      )
    })
  }

  /** Forgets offsets that nobody reads any more, and groups that have neither members nor offsets. */
  async #expire() {
    for (const group of new Set([...this.#groups.keys(), ...this.#committed.groups()])) {
      if (this.#isClosed) return
      await this.offsets.expire(group, this.#groups.get(group)?.emptySinceMs)
      const entry = this.#groups.get(group)
      const isUsed = entry === undefined || !isUnused(entry.machine) || this.#committed.has(group)
      if (!isUsed && !this.#committed.hasPending(group)) await this.delete(group)
    }
  }
}

function isClassic(entry: Entry): entry is Entry & { machine: ClassicGroup } {
  return entry.machine.kind === 'classic'
}

/** Whether nobody is in the group or on the way into it. */
function isUnused(machine: Machine): boolean {
  return machine.state === 'Empty' && machine.deadline === undefined
}

/** Names that clients give themselves are for people to read. */
function shorten({ clientId, clientHost }: { readonly clientId: string; readonly clientHost: string }) {
  return { clientId: clientId.slice(0, NAME_CHARACTERS_MAX), clientHost: clientHost.slice(0, NAME_CHARACTERS_MAX) }
}
