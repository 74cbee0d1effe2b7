import { assert } from '../base/assert.ts'
import { readInt64, writeInt64 } from '../base/bytes.ts'

// Row of the table `offsets`. Key: group U+0000 topic U+0000 partition in decimal. No part can contain the separator, and
// it sorts before every other character, so that the rows of a group lie together and groups are in order. Rows of
// `pending_offsets` have the id of a producer and U+0000 before that: they take effect when its transaction commits.
// Value, big endian:
//    0 version u8 = 2 │ 1 committed offset i64 │ 9 time of the commit i64, ms since 1970
//   17 leader epoch i32, -1 for none │ 21 order i64 │ 29 metadata, the rest, UTF-8
// Version 1 has 17 bytes: no leader epoch, order and metadata.
const ROW_VERSION = 2
const HEAD_BYTES = 29
const FIRST_VERSION_BYTES = 17
const SEPARATOR = '\u0000'

/** Names one committed offset. */
export interface OffsetName {
  readonly group: string
  readonly topic: string
  readonly partition: number
}

/** Where a group is in one partition. */
export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  /** The next offset that the group wants. */
  readonly offset: number
  /** Of the record before that, as the client says; -1 when it did not. */
  readonly leaderEpoch: number
  /** A text that the client keeps beside it. */
  readonly metadata: string
  readonly committedAtMs: number
}

/** The same in the store. */
export interface OffsetRow extends CommittedOffset {
  readonly group: string
  /** Which of all commits it was, so that a transaction that ends late does not undo what was committed after it. */
  readonly order: number
}

export function encodeOffsetKey({ group, topic, partition }: OffsetName): string {
  return `${group}${SEPARATOR}${topic}${SEPARATOR}${partition}`
}

export function encodePendingKey(producerId: number, name: OffsetName): string {
  return `${producerId}${SEPARATOR}${encodeOffsetKey(name)}`
}

export function encodeOffsetValue({ offset, committedAtMs, leaderEpoch, order, metadata }: OffsetRow): Buffer {
  const value = Buffer.allocUnsafe(HEAD_BYTES + Buffer.byteLength(metadata))
  value[0] = ROW_VERSION
  writeInt64(value, 1, offset)
  writeInt64(value, 9, committedAtMs)
  value.writeInt32BE(leaderEpoch, 17)
  writeInt64(value, 21, order)
  value.write(metadata, HEAD_BYTES)
  return value
}

export function decodeOffsetRow(key: string, value: Buffer): OffsetRow {
  const [group, topic, partition, ...more] = key.split(SEPARATOR)
  const shown = JSON.stringify(key)
  assert(partition !== undefined && more.length === 0, `the key ${shown} has a group, a topic and a partition`)
  const isFirst = value[0] === 1 && value.length === FIRST_VERSION_BYTES
  assert(isFirst || (value[0] === ROW_VERSION && value.length >= HEAD_BYTES), `the row ${shown} is of version 1 or 2`)
  return {
    group,
    topic,
    partition: Number(partition),
    offset: readInt64(value, 1),
    committedAtMs: readInt64(value, 9),
    leaderEpoch: isFirst ? -1 : value.readInt32BE(17),
    order: isFirst ? 0 : readInt64(value, 21),
    metadata: isFirst ? '' : value.toString('utf8', HEAD_BYTES),
  }
}

export function decodePendingRow(key: string, value: Buffer): { producerId: number; row: OffsetRow } {
  const end = key.indexOf(SEPARATOR)
  return { producerId: Number(key.slice(0, end)), row: decodeOffsetRow(key.slice(end + 1), value) }
}
