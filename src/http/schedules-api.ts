import type { Schedule } from '../delay/schedule-rows.ts'
import { RecordReader } from '../record/record-batch.ts'
import type { ApiFields } from './api-fields.ts'
import { PARTITION_RANGE } from './api-fields.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from './api-route.ts'
import { DUE_FIELDS, readDueAt, readTime } from './due-time.ts'
import { VALUE_FORMATS, writeKey, writeRecord } from './record-json.ts'

const LIMIT_RANGE = { min: 1, max: 1000 }
const LIMIT_DEFAULT = 100
/** So much of the keys in a list, and then it ends: the next one goes on from there. */
const LIST_CHARACTERS_MAX = 1024 * 1024
const CURSOR = /^(\d{1,16})-([0-9a-z]{11})$/

/** Records that wait until they are due. Who comes too late for a change is told what became of them. */
export const SCHEDULE_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/schedules',
    action: 'list schedules',
    operation: 'list_schedules',
    endpoint: 'admin',
    handle: listSchedules,
  },
  {
    method: 'GET',
    path: '/schedules/:id',
    action: 'show a schedule',
    operation: 'get_schedule',
    endpoint: 'admin',
    handle({ broker, params, query }) {
      const format = query(['format']).optionalChoice('format', VALUE_FORMATS) ?? 'auto'
      const schedule = broker.delay.get(params.id)
      const record = readRecord(schedule)
      return { body: `{${writePlace(schedule)},${writeRecord(record, format)}}` }
    },
  },
  {
    method: 'DELETE',
    path: '/schedules/:id',
    action: 'cancel a schedule',
    operation: 'cancel_schedule',
    endpoint: 'admin',
    handle: async ({ broker, params }) => ({ body: describe(await broker.delay.cancel(params.id)) }),
  },
  {
    method: 'PATCH',
    path: '/schedules/:id',
    action: 'reschedule a record',
    operation: 'reschedule',
    endpoint: 'admin',
    async handle({ broker, params, body }) {
      const fields = body(DUE_FIELDS)
      const dueAt = readDueAt(fields, broker.clock.now()) ?? fields.missing('dueAt', 'that or "delay" is needed')
      return { body: describe(await broker.rescheduleRecord(params.id, dueAt)) }
    },
  },
  {
    method: 'POST',
    path: '/schedules/:id/send-now',
    action: 'send a record now',
    operation: 'send_schedule_now',
    endpoint: 'admin',
    async handle({ broker, params, body }) {
      body([])
      return { body: describe(await broker.delay.reschedule(params.id, broker.clock.now())) }
    },
  },
]

function listSchedules({ broker, query }: ApiCall): ApiAnswer {
  const fields = query(['topic', 'partition', 'from', 'to', 'limit', 'cursor'])
  const topic = fields.optionalText('topic')
  if (topic !== undefined) broker.topics.getExisting(topic)
  const max = fields.optionalInteger('limit', LIMIT_RANGE) ?? LIMIT_DEFAULT
  const found = broker.delay.list({
    topic,
    partition: fields.optionalInteger('partition', PARTITION_RANGE),
    fromMs: readTime(fields, 'from'),
    toMs: readTime(fields, 'to'),
    after: readCursor(fields),
    max: max + 1,
  })
  const shown: string[] = []
  let charactersLeft = LIST_CHARACTERS_MAX
  for (const schedule of found) {
    const text = writeOverview(schedule)
    charactersLeft -= text.length
    if (shown.length === max || (charactersLeft < 0 && shown.length > 0)) break
    shown.push(text)
  }
  const last = found.at(shown.length - 1)
  const next = shown.length < found.length && last !== undefined ? `"${last.dueAtMs}-${last.id}"` : 'null'
  const waiting = broker.delay.countWaiting(topic)
  return { body: `{"waiting":${waiting},"schedules":[${shown.join()}],"next":${next}}` }
}

function readCursor(fields: ApiFields) {
  const text = fields.optionalText('cursor')
  if (text === undefined) return undefined
  const [, dueAt, id] = CURSOR.exec(text) ?? []
  if (id === undefined) throw fields.wrong('cursor', 'what an earlier answer had as "next" is needed')
  return { dueAtMs: Number(dueAt), id }
}

function describe({ id, topic, partition, dueAtMs }: Schedule) {
  return { id, topic, partition, dueAt: dueAtMs }
}

/** Without braces. */
function writePlace({ id, topic, partition, dueAtMs, acceptedAtMs }: Schedule): string {
  return `"id":"${id}","topic":"${topic}","partition":${partition},"dueAt":${dueAtMs},"acceptedAt":${acceptedAtMs}`
}

function writeOverview(schedule: Schedule): string {
  const { key, value } = readRecord(schedule)
  return `{${writePlace(schedule)},${writeKey(key, 'auto')},"valueBytes":${value?.length ?? 'null'}}`
}

function readRecord({ batch }: Schedule): RecordReader {
  const reader = new RecordReader()
  reader.open(batch, 0)
  reader.next()
  return reader
}
