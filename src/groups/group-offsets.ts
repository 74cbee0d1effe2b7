import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import type { Tracer } from '../tracing/tracer.ts'
import type { ClassicGroup } from './classic-group.ts'
import type { MemberOfGeneration } from './classic-messages.ts'
import type { CommittedOffsets } from './committed-offsets.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import { parseGroupId } from './group-id.ts'
import type { GroupOptions } from './group-options.ts'
import type { CommittedOffset } from './offset-rows.ts'
import { isRefusal } from './outcome.ts'
import type { Refusal, ReplyTo } from './outcome.ts'
import { quoteId, Refusals } from './refusals.ts'

/** Who belongs to no generation: an administrator, or a consumer that chooses its partitions by itself. */
export const OUTSIDER: MemberOfGeneration = { memberId: '', generation: -1 }

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface OffsetToCommit extends TopicPartition {
  readonly offset: number
  readonly leaderEpoch?: number | undefined
  readonly metadata?: string | undefined
}

export interface CommitRequest {
  readonly group: string
  /** Its generation is the member epoch in a consumer group. */
  readonly member: MemberOfGeneration
  readonly offsets: readonly OffsetToCommit[]
}

/** For each offset, in the order of the request, why it was not stored; undefined when it was. */
export interface CommitAnswer {
  readonly refusals: readonly (Refusal | undefined)[]
}

export interface FetchRequest {
  readonly group: string
  /** Who asks, if it says so. */
  readonly member?: { readonly memberId?: string | undefined; readonly generation: number } | undefined
  /** Undefined for all that the group has committed. */
  readonly partitions?: readonly TopicPartition[] | undefined
}

export interface FetchedOffset extends TopicPartition {
  /** Undefined when the group has committed nothing there. */
  readonly committed: CommittedOffset | undefined
  /** Whether a transaction that is under way is going to commit another one: UNSTABLE_OFFSET_COMMIT for whoever minds. */
  readonly isUnstable: boolean
}

/** What the rules about offsets ask of the coordinator. */
export interface GroupsForOffsets {
  get(group: string): ClassicGroup | ConsumerGroup | undefined
  /** Whether there is room for one more group. */
  readonly hasRoom: boolean
  /** Tells a group that this member is alive. */
  showLife(group: string, memberId: string): void
}

/**
 * Who may commit, fetch and delete which committed offsets, and when they expire. A group that nobody ever joined exists
 * while it has offsets.
 */
export class GroupOffsets {
  readonly #committed: CommittedOffsets
  readonly #groups: GroupsForOffsets
  readonly #options: GroupOptions
  readonly #clock: Clock
  readonly #tracer: Tracer | undefined

  constructor(parts: {
    readonly committed: CommittedOffsets
    readonly groups: GroupsForOffsets
    readonly options: GroupOptions
    readonly clock: Clock
    /** Undefined as long as tracing is off. */
    readonly tracer: Tracer | undefined
  }) {
    this.#committed = parts.committed
    this.#groups = parts.groups
    this.#options = parts.options
    this.#clock = parts.clock
    this.#tracer = parts.tracer
  }

  /**
   * Stores what a group wants to read next; answers when it is durable. Whether topics and partitions exist, the caller
   * knows.
   */
  commit(request: CommitRequest, toCaller: ReplyTo<CommitAnswer>): void {
    const { group, member } = request
    const reply = this.#traced(request, toCaller)
    const refusal = this.#checkCommit(request, false)
    if (refusal !== undefined) return reply(refusal)
    if (member.memberId !== '') this.#groups.showLife(group, member.memberId)
    this.#store(request, reply, (offsets) => this.#committed.commitAll(offsets))
  }

  /** The same for a transaction of a producer: it takes effect when `endTransaction` says so. */
  stage(producerId: number, request: CommitRequest, toCaller: ReplyTo<CommitAnswer>): void {
    const reply = this.#traced(request, toCaller)
    const refusal = this.#checkCommit(request, true)
    if (refusal !== undefined) return reply(refusal)
    this.#store(request, reply, (offsets) => this.#committed.stage(producerId, offsets))
  }

  /** A reply that also ends the span of the request. */
  #traced(request: CommitRequest, reply: ReplyTo<CommitAnswer>): ReplyTo<CommitAnswer> {
    if (this.#tracer === undefined) return reply
    const work = this.#tracer.commit(request)
    return (answer) => {
      const refusal = isRefusal(answer) ? answer : answer.refusals.find((each) => each !== undefined)
      work.end(refusal === undefined ? undefined : new BrokerError(refusal.error, refusal.message))
      reply(answer)
    }
  }

  /**
   * Lets all take effect that was staged for a producer, or drops it. Resolves when that is durable; does no harm when it is
   * done again.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  endTransaction(producerId: number, isCommit: boolean): Promise<void> {
    return this.#committed.endTransaction(producerId, isCommit)
  }

  /** What a group wants to read next. A group that is not there has committed nothing. */
  fetch({ group, member, partitions }: FetchRequest): readonly FetchedOffset[] | Refusal {
    const machine = this.#groups.get(group)
    const refusal = machine?.kind === 'consumer' && member !== undefined ? machine.checkFetch(member) : undefined
    if (refusal !== undefined) return refusal
    return (partitions ?? this.#committed.list(group) ?? []).map(({ topic, partition }) => ({
      topic,
      partition,
      committed: this.#committed.get(group, topic, partition),
      isUnstable: this.#committed.isPending({ group, topic, partition }),
    }))
  }

  /**
   * Forgets offsets of topics that no member subscribes to. Resolves with the refusal of each one, or undefined, in the
   * order of the request, when that is durable.
   *
   * @throws BrokerError GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, KAFKA_STORAGE_ERROR
   */
  async delete(group: string, partitions: readonly TopicPartition[]): Promise<readonly (Refusal | undefined)[]> {
    const machine = this.#groups.get(group)
    if (machine === undefined && !this.#committed.has(group)) throw unknownGroup(group)
    if (machine?.kind === 'classic' && machine.memberCount > 0 && !machine.isConsumerProtocol) {
      throw nonEmptyGroup(`delete offsets of`, group, machine.memberCount)
    }
    const refusals = partitions.map(({ topic }) => {
      if (machine?.isSubscribedTo(topic) !== true) return undefined
      const action = `delete offsets in topic ${quoteId(topic)} of`
      return new Refusals(group).refuse('GROUP_SUBSCRIBED_TO_TOPIC', action, 'members of it subscribe to that')
    })
    const meant = partitions.filter((_partition, index) => refusals[index] === undefined)
    if (meant.length > 0) await this.#committed.remove({ group, isMeant: isOneOf(meant) })
    return refusals
  }

  /**
   * Forgets what has expired of a group: what nobody has read for the retention time, as far as one can know. `emptySinceMs`
   * is when the last member went, if there ever was one.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async expire(group: string, emptySinceMs: number | undefined): Promise<void> {
    const machine = this.#groups.get(group)
    const now = this.#clock.now()
    const sinceMs = (machine?.memberCount ?? 0) === 0 ? (emptySinceMs ?? 0) : 0
    const expired = (this.#committed.list(group) ?? []).filter(({ topic, partition, committedAtMs }) => {
      if (machine !== undefined && !machine.isDoneWith(topic)) return false
      if (now - Math.max(sinceMs, committedAtMs) < this.#options.offsetsRetentionMs) return false
      return !this.#committed.isPending({ group, topic, partition })
    })
    if (expired.length === 0) return
    await this.#committed.remove({ group, isMeant: isOneOf(expired) })
  }

  #checkCommit({ group, member, offsets }: CommitRequest, isTransactional: boolean): Refusal | undefined {
    try {
      parseGroupId(group)
    } catch (error) {
      return toRefusal(error)
    }
    const refusals = new Refusals(group)
    const machine = this.#groups.get(group)
    if (machine !== undefined) {
      const refusal = machine.checkCommit(member, isTransactional)
      if (refusal !== undefined) return refusal
    } else if (member.generation >= 0) {
      if (this.#committed.has(group)) return refusals.unknownMember('commit offsets', member.memberId)
      return toRefusal(unknownGroup(group))
    } else if (!this.#committed.has(group) && !this.#groups.hasRoom) {
      return refusals.refuse('POLICY_VIOLATION', 'make', `there are ${this.#options.groupsMax} groups already`)
    }
    const { offsetsMax } = this.#options
    if (this.#committed.count + offsets.length <= offsetsMax) return undefined
    return refusals.refuse('POLICY_VIOLATION', 'commit offsets of', `the broker keeps ${offsetsMax} and no more`)
  }

  #store(
    { group, offsets }: CommitRequest,
    reply: ReplyTo<CommitAnswer>,
    store: (offsets: (OffsetToCommit & { group: string })[]) => Promise<void>,
  ) {
    const refusals = offsets.map((offset) => this.#checkOffset(group, offset))
    const taken = offsets.filter((_offset, index) => refusals[index] === undefined)
    if (taken.length === 0) return reply({ refusals })
    store(taken.map((offset) => ({ ...offset, group }))).then(
      () => reply({ refusals }),
      (error: unknown) => {
        const failure = toRefusal(error)
        reply({ refusals: refusals.map((refusal) => refusal ?? failure) })
      },
    )
  }

  #checkOffset(group: string, { topic, partition, offset, metadata = '' }: OffsetToCommit): Refusal | undefined {
    const action = `commit topic ${quoteId(topic)}, partition ${partition} of`
    const { offsetMetadataBytesMax } = this.#options
    const metadataBytes = Buffer.byteLength(metadata)
    if (metadataBytes > offsetMetadataBytesMax) {
      const reason = `its metadata has ${metadataBytes} bytes, at most ${offsetMetadataBytesMax} are taken`
      return new Refusals(group).refuse('OFFSET_METADATA_TOO_LARGE', action, reason)
    }
    if (Number.isSafeInteger(offset) && offset >= 0) return undefined
    return new Refusals(group).refuse('INVALID_REQUEST', action, `${offset} is not an offset`)
  }
}

/** There may be very many on both sides. */
function isOneOf(partitions: readonly TopicPartition[]): (partition: TopicPartition) => boolean {
  const known = new Map<string, Set<number>>()
  for (const { topic, partition } of partitions) {
    const ofTopic = known.get(topic)
    if (ofTopic === undefined) known.set(topic, new Set([partition]))
    else ofTopic.add(partition)
  }
  return ({ topic, partition }) => known.get(topic)?.has(partition) === true
}

/** A refusal that was thrown; anything else is the broker's own mistake. */
export function toRefusal(error: unknown): Refusal {
  if (error instanceof BrokerError) return { error: error.code, message: error.message }
  return { error: 'UNKNOWN_SERVER_ERROR', message: error instanceof Error ? error.message : String(error) }
}

export function unknownGroup(group: string): BrokerError {
  return new BrokerError(
    'GROUP_ID_NOT_FOUND',
    `There is no group ${quoteId(group)}: a group exists while it has members or committed offsets`,
  )
}

export function nonEmptyGroup(action: string, group: string, memberCount: number): BrokerError {
  return new BrokerError('NON_EMPTY_GROUP', `Cannot ${action} group ${quoteId(group)}: it has ${memberCount} members`)
}
