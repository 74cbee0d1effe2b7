import { readInt64, writeInt64 } from '../base/bytes.ts'
import { parseTopicName } from '../base/topic-name.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { StoreChange } from '../store/store.ts'

// What the store keeps of delayed records. SEP stands for the byte 0, which no topic name has.
//
//   schedules           key: id                          value: the row below
//   schedules_due       key: topic SEP dueAt SEP id      value: partition u32
//   schedule_topics     key: topic                       value: how many are waiting, in decimal digits
//   schedule_points     key: topic SEP partition         value: an offset, in decimal digits
//   schedule_producers  key: topic SEP partition SEP producerId SEP epoch SEP baseSequence
//                                                value: when it was accepted, Unix milliseconds in decimal digits
//
// `dueAt` is Unix milliseconds in 16 decimal digits, so that the byte order of the keys is that of the times. A row:
//
//   0 version u8, 1 │ 1 dueAt i64 │ 9 acceptedAt i64 │ 17 partition u32 │ 21 topicLength u16 │ 23 topic
//   │ a record batch of one record (docs/log-format.md): key, value, headers and timestamp as they will be
const ROW_VERSION = 1
const DUE_AT = 1
const ACCEPTED_AT = 9
const PARTITION_AT = 17
const TOPIC_LENGTH_AT = 21
const TOPIC_AT = 23

const SEPARATOR = '\u0000'
const BEHIND_SEPARATOR = '\u0001'
const TIME_DIGITS = 16
const ID_CHARACTERS = 11
const ID = /^[0-9a-z]{11}$/

/** A record that waits. */
export interface Schedule {
  readonly id: string
  readonly topic: TopicName
  readonly partition: number
  /** Unix milliseconds, as the next one. */
  readonly dueAtMs: number
  readonly acceptedAtMs: number
  /** A batch of this one record, uncompressed. */
  readonly batch: Buffer
}

/** The text of the id with this number. All have the same length, so that later ones follow earlier ones in the store. */
export function formatScheduleId(number: number): string {
  return number.toString(36).padStart(ID_CHARACTERS, '0')
}

/** Whether a text could be an id. */
export function isScheduleId(text: string): boolean {
  return ID.test(text)
}

/** The key of a schedule in the order of due times. */
export function dueKey({ topic, dueAtMs, id }: Pick<Schedule, 'topic' | 'dueAtMs' | 'id'>): string {
  return `${topic}${SEPARATOR}${formatTime(dueAtMs)}${SEPARATOR}${id}`
}

/** Where the keys of a topic begin that are due at `dueAtMs` or later. */
export function dueKeysFrom(topic: string, dueAtMs: number): string {
  return `${topic}${SEPARATOR}${formatTime(dueAtMs)}`
}

/** The end of all keys of a topic, in any table whose keys begin with one. */
export function endOfTopic(topic: string): string {
  return `${topic}${BEHIND_SEPARATOR}`
}

/** The first key that can follow another one. */
export function keyBehind(key: string): string {
  return `${key}${SEPARATOR}`
}

/** What `dueKey` was made of. */
export function parseDueKey(key: string): { readonly topic: string; readonly dueAtMs: number; readonly id: string } {
  const [topic, dueAt, id] = key.split(SEPARATOR)
  return { topic, dueAtMs: Number(dueAt), id }
}

/** The value behind `dueKey`. */
export function encodePartition(partition: number): Buffer {
  const value = Buffer.allocUnsafe(4)
  value.writeUInt32BE(partition)
  return value
}

/** What `encodePartition` was given. */
export function decodePartition(value: Buffer): number {
  return value.readUInt32BE()
}

/** Both rows of a schedule. */
export function rowsOf(schedule: Schedule): [StoreChange, StoreChange] {
  return [
    { table: 'schedules', key: schedule.id, value: encodeSchedule(schedule) },
    { table: 'schedules_due', key: dueKey(schedule), value: encodePartition(schedule.partition) },
  ]
}

/** Removes both rows of a schedule. */
export function withoutRowsOf(schedule: Pick<Schedule, 'topic' | 'dueAtMs' | 'id'>): [StoreChange, StoreChange] {
  return [
    { table: 'schedules', key: schedule.id, value: undefined },
    { table: 'schedules_due', key: dueKey(schedule), value: undefined },
  ]
}

/** How many of a topic are waiting; none need no row. */
export function countRow(topic: string, count: number): StoreChange {
  return { table: 'schedule_topics', key: topic, value: count === 0 ? undefined : Buffer.from(String(count)) }
}

/** From which offset on the log of a partition may hold deliveries that the store does not know of; see delivery.ts. */
export function pointRow(topic: string, partition: number, offset: number | undefined): StoreChange {
  const value = offset === undefined ? undefined : Buffer.from(String(offset))
  return { table: 'schedule_points', key: `${topic}${SEPARATOR}${partition}`, value }
}

/** What the key of `pointRow` says. */
export function parsePointKey(key: string): { readonly topic: string; readonly partition: number } {
  const [topic, partition] = key.split(SEPARATOR)
  return { topic, partition: Number(partition) }
}

/** Where the keys of an idempotent producer's batches begin. */
export function producerKey(topic: string, partition: number, producerId: number): string {
  return [topic, partition, producerId].join(SEPARATOR)
}

function encodeSchedule({ topic, partition, dueAtMs, acceptedAtMs, batch }: Schedule): Buffer {
  const row = Buffer.allocUnsafe(TOPIC_AT + topic.length + batch.length)
  row[0] = ROW_VERSION
  writeInt64(row, DUE_AT, dueAtMs)
  writeInt64(row, ACCEPTED_AT, acceptedAtMs)
  row.writeUInt32BE(partition, PARTITION_AT)
  row.writeUInt16BE(topic.length, TOPIC_LENGTH_AT)
  row.latin1Write(topic, TOPIC_AT, topic.length)
  batch.copy(row, TOPIC_AT + topic.length)
  return row
}

/** @throws Error when the row is not one that this version can read */
export function decodeSchedule(id: string, row: Buffer): Schedule {
  try {
    if (row[0] !== ROW_VERSION) throw new Error(`it has version ${row[0]}`)
    const batchAt = TOPIC_AT + row.readUInt16BE(TOPIC_LENGTH_AT)
    return {
      id,
      topic: parseTopicName(row.latin1Slice(TOPIC_AT, batchAt)),
      partition: row.readUInt32BE(PARTITION_AT),
      dueAtMs: readInt64(row, DUE_AT),
      acceptedAtMs: readInt64(row, ACCEPTED_AT),
      batch: row.subarray(batchAt),
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot read the row of schedule ${JSON.stringify(id)} in the store: ${reason}`, { cause: error })
  }
}

function formatTime(milliseconds: number): string {
  return String(milliseconds).padStart(TIME_DIGITS, '0')
}
