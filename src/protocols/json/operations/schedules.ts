import type { Schedule } from '../../../delay/schedule-rows.ts'
import { RecordReader } from '../../../record/record-batch.ts'
import type { Operation } from '../context.ts'
import type { Fields } from '../fields.ts'
import { PARTITION_RANGE } from '../fields.ts'
import type { ScheduleDetails, ScheduleOverview } from '../wire.ts'

const TIME_RANGE = { min: 0, max: Number.MAX_SAFE_INTEGER }
const LIST_RANGE = { min: 1, max: 1000 }
const LIST_DEFAULT = 100
/** So much of the keys in a list, and then it ends: the next one goes on from there. */
const LIST_KEY_BYTES_MAX = 1024 * 1024
const CURSOR = /^(\d{1,16})-([0-9a-z]{11})$/

/** LIST_SCHEDULES: what waits, by the time when it is due. */
export const listSchedules: Operation<'LIST_SCHEDULES'> = ({ broker }, fields) => {
  const topic = fields.optionalText('topic')
  if (topic !== undefined) broker.topics.getExisting(topic)
  const max = fields.optionalInteger('limit', LIST_RANGE) ?? LIST_DEFAULT
  const found = broker.delay.list({
    topic,
    partition: fields.optionalInteger('partition', PARTITION_RANGE),
    fromMs: fields.optionalInteger('fromDueAt', TIME_RANGE),
    toMs: fields.optionalInteger('toDueAt', TIME_RANGE),
    after: readCursor(fields),
    max: max + 1,
  })
  const schedules: ScheduleOverview[] = []
  let bytesLeft = LIST_KEY_BYTES_MAX
  for (const schedule of found) {
    const shown = toOverview(schedule)
    bytesLeft -= shown.key?.length ?? 0
    if (schedules.length === max || (bytesLeft < 0 && schedules.length > 0)) break
    schedules.push(shown)
  }
  const last = schedules.at(-1)
  const hasMore = schedules.length < found.length && last !== undefined
  return {
    waiting: broker.delay.countWaiting(topic),
    schedules,
    ...(hasMore && { next: `${last.dueAt}-${last.id}` }),
  }
}

/** GET_SCHEDULE: one record that waits, whole. */
export const getSchedule: Operation<'GET_SCHEDULE'> = ({ broker }, fields) => {
  return toDetails(broker.delay.get(fields.text('id')))
}

/** CANCEL_SCHEDULE: never delivers it. */
export const cancelSchedule: Operation<'CANCEL_SCHEDULE'> = async ({ broker }, fields) => {
  const { topic, partition } = await broker.delay.cancel(fields.text('id'))
  return { ok: true, topic, partition }
}

/** RESCHEDULE: delivers it at another time. */
export const reschedule: Operation<'RESCHEDULE'> = async ({ broker }, fields) => {
  const id = fields.text('id')
  const wanted = fields.integer('dueAt', TIME_RANGE)
  const { topic, partition, dueAtMs } = await broker.rescheduleRecord(id, wanted)
  return { ok: true, topic, partition, dueAt: dueAtMs }
}

/** SEND_SCHEDULE_NOW: delivers it at once. */
export const sendScheduleNow: Operation<'SEND_SCHEDULE_NOW'> = async ({ broker }, fields) => {
  const { topic, partition, dueAtMs } = await broker.delay.reschedule(fields.text('id'), broker.clock.now())
  return { ok: true, topic, partition, dueAt: dueAtMs }
}

function readCursor(fields: Fields) {
  const text = fields.optionalText('after')
  if (text === undefined) return undefined
  const [, dueAt, id] = CURSOR.exec(text) ?? []
  if (id === undefined) throw fields.wrong('after', 'what an earlier answer had as "next" is needed')
  return { dueAtMs: Number(dueAt), id }
}

function toOverview({ id, topic, partition, dueAtMs, acceptedAtMs, batch }: Schedule): ScheduleOverview {
  const { key, value } = readRecord(batch)
  return {
    id,
    topic,
    partition,
    dueAt: dueAtMs,
    acceptedAt: acceptedAtMs,
    key: key?.toString('base64') ?? null,
    valueBytes: value?.length ?? -1,
  }
}

function toDetails(schedule: Schedule): ScheduleDetails {
  const { value, timestamp, headers } = readRecord(schedule.batch)
  return {
    ...toOverview(schedule),
    value: value?.toString('base64') ?? null,
    ts: timestamp,
    headers: headers.map((header) => ({ key: header.key, value: header.value?.toString('base64') ?? null })),
  }
}

function readRecord(batch: Buffer): RecordReader {
  const reader = new RecordReader()
  reader.open(batch, 0)
  reader.next()
  return reader
}
