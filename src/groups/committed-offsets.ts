import { assert } from '../base/assert.ts'
import { readInt64, writeInt64 } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import type { Store, StoreChange } from '../store/store.ts'
import { parseGroupId } from './group-id.ts'

// Row of the table `offsets`. Key: group U+0000 topic U+0000 partition in decimal. No part can contain the separator, and
// it sorts before every other character, so that the rows of a group lie together and groups are in order.
// Value, big endian:  0 version u8 = 1 │ 1 committed offset i64 │ 9 time of the commit i64, ms since 1970
const ROW_VERSION = 1
const ROW_BYTES = 17
const SEPARATOR = '\u0000'

/** Where a group is in one partition. */
export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  /** The next offset that the group wants. */
  readonly offset: number
  readonly committedAtMs: number
}

/** One offset to store. */
export interface OffsetCommit {
  readonly group: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

type Partitions = Map<number, CommittedOffset>
type TopicsOfGroup = Map<string, Partitions>

/**
 * The committed offsets of all consumer groups. Commits are durable before they resolve, those that are under way at the
 * same time sharing a sync; reads come from memory and show what is durable.
 *
 * A group exists while it has an offset. Whether a topic and a partition exist, the caller knows.
 */
export class CommittedOffsets {
  readonly #store: Store
  readonly #clock: Clock
  readonly #groups = new Map<string, TopicsOfGroup>()
  /** How many commits of a row are under way. Who removes rows must remove those too that are only on their way. */
  readonly #underWay = new Map<string, { readonly row: RowName; count: number }>()

  /** Reads all rows of the store. */
  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    for (const [key, value] of store.entries('offsets')) this.#apply(decodeRow(key, value))
  }

  /**
   * Stores the next offset that a group wants; resolves when that is durable.
   *
   * @throws BrokerError INVALID_GROUP_ID, KAFKA_STORAGE_ERROR
   */
  async commit({ group: groupText, topic, partition, offset }: OffsetCommit): Promise<void> {
    const row = { group: parseGroupId(groupText), topic, partition, offset, committedAtMs: this.#clock.now() }
    const key = encodeKey(row)
    const underWay = this.#underWay.get(key) ?? { row, count: 0 }
    underWay.count++
    this.#underWay.set(key, underWay)
    try {
      await this.#store.commit([{ table: 'offsets', key, value: encodeValue(row) }])
      this.#apply(row)
    } finally {
      if (--underWay.count === 0) this.#underWay.delete(key)
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

  /** The offsets of a group by topic and partition; undefined when there is no such group. */
  list(group: string): readonly CommittedOffset[] | undefined {
    const topics = this.#groups.get(group)
    if (topics === undefined) return undefined
    const offsets = [...topics.values()].flatMap((partitions) => [...partitions.values()])
    return offsets.toSorted(byTopicAndPartition)
  }

  /**
   * Forgets the offsets of a group, those of one topic if it is given, and returns how many there were; resolves when
   * that is durable. A commit that is under way is forgotten too, one that begins later is not.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  remove({ group, topic }: { readonly group: string; readonly topic?: string }): Promise<number> {
    return this.#removeRows((row) => row.group === group && (topic === undefined || row.topic === topic), [group])
  }

  /** The same for all groups and one topic: for when the topic is deleted. */
  removeTopic(topic: string): Promise<number> {
    return this.#removeRows((row) => row.topic === topic, this.#groups.keys())
  }

  async #removeRows(isMeant: (row: RowName) => boolean, groups: Iterable<string>): Promise<number> {
    const rows = new Map<string, RowName>()
    for (const group of groups) {
      for (const { topic, partition } of this.list(group) ?? []) {
        const row = { group, topic, partition }
        if (isMeant(row)) rows.set(encodeKey(row), row)
      }
    }
    for (const [key, { row }] of this.#underWay) if (isMeant(row)) rows.set(key, row)
    // The store keeps the order: what is under way is written before this.
    const changes = Array.from(rows.keys(), (key): StoreChange => ({ table: 'offsets', key, value: undefined }))
    if (changes.length > 0) await this.#store.commit(changes)
    for (const row of rows.values()) this.#forget(row)
    return rows.size
  }

  #apply({ group, topic, partition, offset, committedAtMs }: Row) {
    const topics = this.#groups.get(group) ?? new Map<string, Partitions>()
    const partitions = topics.get(topic) ?? new Map<number, CommittedOffset>()
    partitions.set(partition, { topic, partition, offset, committedAtMs })
    topics.set(topic, partitions)
    this.#groups.set(group, topics)
  }

  #forget({ group, topic, partition }: RowName) {
    const topics = this.#groups.get(group)
    const partitions = topics?.get(topic)
    partitions?.delete(partition)
    if (partitions?.size === 0) topics?.delete(topic)
    if (topics?.size === 0) this.#groups.delete(group)
  }
}

interface RowName {
  readonly group: string
  readonly topic: string
  readonly partition: number
}

interface Row extends RowName {
  readonly offset: number
  readonly committedAtMs: number
}

function encodeKey({ group, topic, partition }: RowName): string {
  return `${group}${SEPARATOR}${topic}${SEPARATOR}${partition}`
}

function encodeValue({ offset, committedAtMs }: Row): Buffer {
  const value = Buffer.alloc(ROW_BYTES)
  value[0] = ROW_VERSION
  writeInt64(value, 1, offset)
  writeInt64(value, 9, committedAtMs)
  return value
}

function decodeRow(key: string, value: Buffer): Row {
  const [group, topic, partition, ...more] = key.split(SEPARATOR)
  assert(
    partition !== undefined && more.length === 0,
    `the key ${JSON.stringify(key)} has a group, a topic and a partition`,
  )
  assert(
    value[0] === ROW_VERSION && value.length === ROW_BYTES,
    `the row ${JSON.stringify(key)} is of version ${ROW_VERSION}`,
  )
  return { group, topic, partition: Number(partition), offset: readInt64(value, 1), committedAtMs: readInt64(value, 9) }
}

function byTopicAndPartition(left: CommittedOffset, right: CommittedOffset): number {
  if (left.topic !== right.topic) return left.topic < right.topic ? -1 : 1
  return left.partition - right.partition
}
