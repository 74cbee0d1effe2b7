import type { Clock } from '../base/clock.ts'
import type { Store, StoreChange } from '../store/store.ts'
import { parseGroupId } from './group-id.ts'
import {
  decodeOffsetRow,
  decodePendingRow,
  encodeOffsetKey,
  encodeOffsetValue,
  encodePendingKey,
} from './offset-rows.ts'
import type { CommittedOffset, OffsetName, OffsetRow } from './offset-rows.ts'

/** One offset to store. */
export interface OffsetCommit extends OffsetName {
  readonly offset: number
  readonly leaderEpoch?: number | undefined
  readonly metadata?: string | undefined
}

/** Which offsets are to go. */
export interface OffsetRemoval {
  readonly group: string
  readonly topic?: string
  /** Those of the above for which this is true. */
  readonly isMeant?: (name: OffsetName) => boolean
  /** What else is to happen in the same step. */
  readonly also?: readonly StoreChange[]
}

type Partitions = Map<number, OffsetRow>
type TopicsOfGroup = Map<string, Partitions>
/** The offsets that one transaction is going to commit, by their keys in the table `offsets`. */
type PendingOffsets = Map<string, OffsetRow>

/**
 * The committed offsets of all consumer groups. Commits are durable before they resolve, those that are under way at the
 * same time sharing a sync; reads come from memory and show what is durable.
 *
 * Offsets that a transaction commits are kept aside by the id of its producer until the transaction ends; from the moment
 * at which they are staged, `isPending` says that the committed ones will change.
 *
 * Whether a topic and a partition exist and whether a member may commit, the caller knows.
 */
export class CommittedOffsets {
  readonly #store: Store
  readonly #clock: Clock
  readonly #groups = new Map<string, TopicsOfGroup>()
  /** How many commits of a row are under way. Who removes rows must remove those too that are only on their way. */
  readonly #underWay = new Map<string, { row: OffsetRow; count: number }>()
  readonly #pending = new Map<number, PendingOffsets>()
  #count = 0
  #lastOrder = 0

  /** Reads all rows of the store. */
  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    for (const [key, value] of store.entries('offsets')) {
      const row = decodeOffsetRow(key, value)
      this.#apply(row)
      this.#lastOrder = Math.max(this.#lastOrder, row.order)
    }
    for (const [key, value] of store.entries('pending_offsets')) {
      const { producerId, row } = decodePendingRow(key, value)
      this.#pendingOf(producerId).set(encodeOffsetKey(row), row)
      this.#lastOrder = Math.max(this.#lastOrder, row.order)
    }
  }

  /** How many there are, with those that are only on their way. */
  get count(): number {
    return this.#count + this.#underWay.size
  }

  /**
   * Stores the next offset that a group wants; resolves when that is durable.
   *
   * @throws BrokerError INVALID_GROUP_ID, KAFKA_STORAGE_ERROR
   */
  commit(commit: OffsetCommit): Promise<void> {
    return this.commitAll([commit])
  }

  /** Stores several, all or none. */
  async commitAll(commits: readonly OffsetCommit[]): Promise<void> {
    const rows = commits.map((commit) => this.#toRow(commit))
    const keys = rows.map(encodeOffsetKey)
    for (const [index, row] of rows.entries()) {
      const { count = 0 } = this.#underWay.get(keys[index]) ?? {}
      this.#underWay.set(keys[index], { row, count: count + 1 })
    }
    try {
      await this.#store.commit(
        rows.map((row, index): StoreChange => ({ table: 'offsets', key: keys[index], value: encodeOffsetValue(row) })),
      )
      for (const row of rows) this.#apply(row)
    } finally {
      for (const key of keys) {
        const underWay = this.#underWay.get(key)
        if (underWay !== undefined && --underWay.count === 0) this.#underWay.delete(key)
      }
    }
  }

  /** The committed offset, or undefined when the group has none in that partition. */
  get(group: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#groups.get(group)?.get(topic)?.get(partition)
  }

  /** The ids of all groups that have an offset, in order. */
  groups(): readonly string[] {
    return [...this.#groups.keys()].toSorted()
  }

  /** How many groups have an offset. */
  get groupCount(): number {
    return this.#groups.size
  }

  /** Whether a group has an offset. */
  has(group: string): boolean {
    return this.#groups.has(group)
  }

  /** The offsets of a group by topic and partition; undefined when there is no such group. */
  list(group: string): readonly CommittedOffset[] | undefined {
    const topics = this.#groups.get(group)
    if (topics === undefined) return undefined
    const offsets = [...topics.values()].flatMap((partitions) => [...partitions.values()])
    return offsets.toSorted(byTopicAndPartition)
  }

  /**
   * Forgets the offsets of a group, those of one topic if it is given, also those that a transaction is going to commit,
   * and returns how many there were without these; resolves when that is durable. A commit that is under way is forgotten
   * too, one that begins later is not.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  remove({ group, topic, isMeant = () => true, also }: OffsetRemoval): Promise<number> {
    const isOfGroup = (name: OffsetName) => name.group === group && (topic === undefined || name.topic === topic)
    return this.#removeRows((name) => isOfGroup(name) && isMeant(name), [group], also)
  }

  /** The same for all groups and one topic: for when the topic is deleted. */
  removeTopic(topic: string): Promise<number> {
    return this.#removeRows((name) => name.topic === topic, this.#groups.keys())
  }

  /**
   * Keeps offsets aside that the running transaction of a producer is going to commit; resolves when that is durable.
   *
   * @throws BrokerError INVALID_GROUP_ID, KAFKA_STORAGE_ERROR
   */
  async stage(producerId: number, commits: readonly OffsetCommit[]): Promise<void> {
    const staged = commits.map((commit) => this.#toRow(commit))
    const pending = this.#pendingOf(producerId)
    const before = new Map(pending)
    for (const row of staged) pending.set(encodeOffsetKey(row), row)
    try {
      await this.#store.commit(
        staged.map((row): StoreChange => {
          return { table: 'pending_offsets', key: encodePendingKey(producerId, row), value: encodeOffsetValue(row) }
        }),
      )
    } catch (error) {
      this.#unstage(producerId, staged, before)
      throw error
    }
  }

  /**
   * Commits what the transaction of a producer has staged, or drops it: all in one step. Resolves when that is durable, and
   * at once when there is nothing, so that it may be done again.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async endTransaction(producerId: number, isCommit: boolean): Promise<void> {
    const staged = [...(this.#pending.get(producerId)?.values() ?? [])]
    if (staged.length === 0) return
    const changes = staged.map((row): StoreChange => {
      return { table: 'pending_offsets', key: encodePendingKey(producerId, row), value: undefined }
    })
    const committed = isCommit ? staged.filter((row) => row.order > this.#newestOrder(row)) : []
    for (const row of committed) {
      changes.push({ table: 'offsets', key: encodeOffsetKey(row), value: encodeOffsetValue(row) })
    }
    await this.#store.commit(changes)
    for (const row of committed) this.#apply(row)
    this.#unstage(producerId, staged)
  }

  /** Whether a transaction that is under way is going to commit this one. */
  isPending(name: OffsetName): boolean {
    if (this.#pending.size === 0) return false
    const key = encodeOffsetKey(name)
    for (const pending of this.#pending.values()) if (pending.has(key)) return true
    return false
  }

  /** Whether a transaction that is under way is going to commit any of a group. */
  hasPending(group: string): boolean {
    for (const pending of this.#pending.values())
      for (const row of pending.values()) if (row.group === group) return true
    return false
  }

  #toRow({ group, topic, partition, offset, leaderEpoch = -1, metadata = '' }: OffsetCommit): OffsetRow {
    const order = ++this.#lastOrder
    const committedAtMs = this.#clock.now()
    return { group: parseGroupId(group), topic, partition, offset, leaderEpoch, metadata, committedAtMs, order }
  }

  async #removeRows(
    isMeant: (name: OffsetName) => boolean,
    groups: Iterable<string>,
    also: readonly StoreChange[] = [],
  ): Promise<number> {
    const rows = new Map<string, OffsetName>()
    for (const group of groups) {
      for (const { topic, partition } of this.list(group) ?? []) {
        const name = { group, topic, partition }
        if (isMeant(name)) rows.set(encodeOffsetKey(name), name)
      }
    }
    for (const [key, { row }] of this.#underWay) if (isMeant(row)) rows.set(key, row)
    const changes = Array.from(rows.keys(), (key): StoreChange => ({ table: 'offsets', key, value: undefined }))
    const unstaged: [producerId: number, staged: OffsetRow[]][] = []
    for (const [producerId, pending] of this.#pending) {
      const staged = [...pending.values()].filter(isMeant)
      unstaged.push([producerId, staged])
      for (const row of staged) {
        changes.push({ table: 'pending_offsets', key: encodePendingKey(producerId, row), value: undefined })
      }
    }
    // The store keeps the order: what is under way is written before this.
    if (changes.length + also.length > 0) await this.#store.commit([...changes, ...also])
    for (const name of rows.values()) this.#forget(name)
    for (const [producerId, staged] of unstaged) this.#unstage(producerId, staged)
    return rows.size
  }

  #pendingOf(producerId: number): PendingOffsets {
    const pending = this.#pending.get(producerId) ?? new Map<string, OffsetRow>()
    this.#pending.set(producerId, pending)
    return pending
  }

  /** Forgets staged offsets, or goes back to those of `before`, unless the same ones were staged again meanwhile. */
  #unstage(producerId: number, staged: readonly OffsetRow[], before?: PendingOffsets) {
    const pending = this.#pending.get(producerId)
    for (const row of staged) {
      const key = encodeOffsetKey(row)
      const earlier = before?.get(key)
      if (pending?.get(key) !== row) continue
      if (earlier === undefined) pending.delete(key)
      else pending.set(key, earlier)
    }
    if (pending?.size === 0) this.#pending.delete(producerId)
  }

  /** The order of the last commit of a row, even if it is only on its way. */
  #newestOrder(name: OffsetName): number {
    const underWay = this.#underWay.get(encodeOffsetKey(name))
    const committed = this.#groups.get(name.group)?.get(name.topic)?.get(name.partition)
    return underWay?.row.order ?? committed?.order ?? -1
  }

  #apply(row: OffsetRow) {
    const { group, topic, partition } = row
    const topics = this.#groups.get(group) ?? new Map<string, Partitions>()
    const partitions = topics.get(topic) ?? new Map<number, OffsetRow>()
    if (!partitions.has(partition)) this.#count++
    partitions.set(partition, row)
    topics.set(topic, partitions)
    this.#groups.set(group, topics)
  }

  #forget({ group, topic, partition }: OffsetName) {
    const topics = this.#groups.get(group)
    const partitions = topics?.get(topic)
    if (partitions?.delete(partition) === true) this.#count--
    if (partitions?.size === 0) topics?.delete(topic)
    if (topics?.size === 0) this.#groups.delete(group)
  }
}

function byTopicAndPartition(left: CommittedOffset, right: CommittedOffset): number {
  if (left.topic !== right.topic) return left.topic < right.topic ? -1 : 1
  return left.partition - right.partition
}
