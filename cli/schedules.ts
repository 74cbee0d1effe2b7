import { call } from '../client/operations.ts'
import { systemClock } from '../src/base/clock.ts'
import type { ScheduleOverview } from '../src/protocols/json/wire.ts'
import { wholeNumber, type Command, type CommandArgument, type CommandOption } from './command.ts'
import { usageFailure } from './failure.ts'
import { isoTime, localTime, parseDuration, readComingMoment } from './moment.ts'
import { groupDigits } from './numbers.ts'
import { printOutcomes, printRows, type Column } from './output.ts'
import type { Session } from './session.ts'

const PAGE = 1000
const LIST_DEFAULT = 100

/** The options that say when a record is due. */
export const DUE_OPTIONS: readonly CommandOption[] = [
  {
    flags: '--at <TIME>',
    description: 'deliver then and not before: 2026-12-24T18:00, 18:00, Unix seconds',
    parse: moment,
  },
  { flags: '--delay <DURATION>', description: 'deliver so much later: 10m, 1h30m', parse: parseDuration },
]

/** The values of these options. */
export interface DueOptions {
  readonly at?: number
  readonly delay?: number
}

const IDS: readonly CommandArgument[] = [
  { name: 'ID', description: 'ids, as schedule list shows them', isVariadic: true },
]

interface ListOptions {
  readonly topic?: string
  readonly limit?: number
}

const COLUMNS: readonly Column<ScheduleOverview>[] = [
  { title: 'ID', value: (row) => row.id },
  { title: 'DUE', value: (row) => localTime(row.dueAt) },
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'KEY', value: (row) => (row.key === null ? null : Buffer.from(row.key, 'base64').toString()) },
  { title: 'VALUE', kind: 'bytes', value: (row) => Math.max(0, row.valueBytes) },
]

export const scheduleList: Command<ListOptions> = {
  name: 'schedule list',
  summary: 'list the records that wait until they are due',
  options: [
    { flags: '--topic <TOPIC>', description: 'only of this topic', completes: 'topic' },
    {
      flags: '-n, --limit <N>',
      description: `so many, those that are due first (${LIST_DEFAULT})`,
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
  ],
  examples: [
    { line: 'brokerctl schedule list', does: 'what is due next' },
    { line: 'brokerctl schedule list --topic reminders -n 10 --output name', does: 'ids only' },
  ],
  exitCodes: [3],
  async run(session, _words, { topic, limit = LIST_DEFAULT }) {
    const connection = await session.connect()
    const rows: ScheduleOverview[] = []
    let after: string | undefined
    let waiting = 0
    do {
      const request = { limit: Math.min(PAGE, limit - rows.length), ...(topic && { topic }), ...(after && { after }) }
      const answer = await call(connection, 'LIST_SCHEDULES', request)
      rows.push(...answer.schedules)
      waiting = answer.waiting
      after = answer.next
    } while (after !== undefined && rows.length < limit)
    await printRows(session, rows, {
      columns: COLUMNS,
      name: (row) => row.id,
      whenEmpty: 'Nothing waits. To send something later:  brokerctl produce TOPIC --delay 10m --value hello',
    })
    if (rows.length < waiting) session.note(`${groupDigits(rows.length)} of ${groupDigits(waiting)} that wait`)
  },
}

export const scheduleGet: Command = {
  name: 'schedule get',
  summary: 'show a record that waits, whole',
  arguments: [{ name: 'ID', description: 'its id, as schedule list shows it' }],
  examples: [{ line: 'brokerctl schedule get 0000000001a', does: 'key, value, headers and times, as JSON' }],
  exitCodes: [3],
  async run(session, [id = '']) {
    const connection = await session.connect()
    const { key, value, headers, dueAt, acceptedAt, ts, ...rest } = await call(connection, 'GET_SCHEDULE', { id })
    const text = (base64: string | null) => (base64 === null ? null : Buffer.from(base64, 'base64').toString())
    const shown = {
      ...rest,
      dueAt: isoTime(dueAt),
      acceptedAt: isoTime(acceptedAt),
      timestamp: isoTime(ts),
      key: text(key),
      value: text(value),
      headers: headers.map((header) => ({ key: header.key, value: text(header.value) })),
    }
    await session.write(`${JSON.stringify(shown, null, 2)}\n`)
  },
}

export const scheduleCancel: Command = {
  name: 'schedule cancel',
  summary: 'never deliver records that wait',
  details: ['Asks first. Where nobody can answer, in a script, it wants --yes.'],
  arguments: IDS,
  examples: [{ line: 'brokerctl schedule cancel 0000000001a --yes', does: 'does not ask' }],
  exitCodes: [3],
  async run(session, ids) {
    const connection = await session.connect()
    await session.confirm(ids.length === 1 ? 'Cancel this record?' : `Cancel these ${ids.length} records?`)
    const outcomes: { name: string; status: 'cancelled' }[] = []
    try {
      for (const id of ids) {
        await call(connection, 'CANCEL_SCHEDULE', { id })
        outcomes.push({ name: id, status: 'cancelled' })
      }
    } finally {
      await printOutcomes(session, outcomes, ({ name }) => `${session.colors.green('✓')} Cancelled ${name}`)
    }
  },
}

export const scheduleReschedule: Command<DueOptions> = {
  name: 'schedule reschedule',
  summary: 'deliver records that wait at another time',
  arguments: IDS,
  options: DUE_OPTIONS,
  examples: [
    { line: 'brokerctl schedule reschedule 0000000001a --delay 1h', does: 'an hour from now' },
    { line: 'brokerctl schedule reschedule 0000000001a --at 2026-12-24T18:00', does: 'then, by local time' },
  ],
  exitCodes: [3],
  async run(session, ids, options) {
    const dueAt = dueAtOf(options)
    if (dueAt === undefined) throw usageFailure('When are they to be delivered? --at TIME or --delay DURATION')
    const connection = await session.connect()
    await move(session, ids, (id) => call(connection, 'RESCHEDULE', { id, dueAt }))
  },
}

export const scheduleSendNow: Command = {
  name: 'schedule send-now',
  summary: 'deliver records that wait at once',
  arguments: IDS,
  examples: [{ line: 'brokerctl schedule send-now 0000000001a', does: 'it is in its topic a moment later' }],
  exitCodes: [3],
  async run(session, ids) {
    const connection = await session.connect()
    await move(session, ids, (id) => call(connection, 'SEND_SCHEDULE_NOW', { id }))
  },
}

async function move(
  session: Session,
  ids: readonly string[],
  one: (id: string) => Promise<{ readonly dueAt: number }>,
): Promise<void> {
  const outcomes: { name: string; status: 'rescheduled'; dueAt: string | null }[] = []
  try {
    for (const id of ids) {
      const { dueAt } = await one(id)
      outcomes.push({ name: id, status: 'rescheduled', dueAt: isoTime(dueAt) })
    }
  } finally {
    await printOutcomes(session, outcomes, ({ name, dueAt }) => `${session.colors.green('✓')} ${name} is due ${dueAt}`)
  }
}

/**
 * When a record is due by its options, Unix milliseconds; undefined for now.
 *
 * @throws CliFailure when both are given
 */
export function dueAtOf({ at, delay }: DueOptions): number | undefined {
  if (at !== undefined && delay !== undefined) throw usageFailure('--at and --delay exclude each other')
  return delay === undefined ? at : systemClock.now() + delay
}

function moment(text: string): number {
  const found = readComingMoment(text.replace(/^@/, ''), systemClock.now())
  if (found !== undefined) return found
  throw usageFailure(`Cannot use ${JSON.stringify(text)} as a time: 2026-12-24T18:00, 18:00, or seconds since 1970`)
}
