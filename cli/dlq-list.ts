import type { JsonConnection } from '../client/json-connection.ts'
import { call, type Request } from '../client/operations.ts'
import type { LetterOverview, LetterTopic } from '../src/protocols/json/wire.ts'
import { wholeNumber, type Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { LETTER_ARGUMENTS, SELECTION_OPTIONS, selectionOf, type SelectionOptions } from './letter-options.ts'
import { isoTime, localTime } from './moment.ts'
import { groupDigits } from './numbers.ts'
import { headingOf, printRows, type Column } from './output.ts'
import type { Session } from './session.ts'

const PAGE = 1000
const SHOW_DEFAULT = 20

/** Dead letters for the same reason. */
interface ReasonRow {
  readonly reason: string
  readonly pointer: string
  count: number
}

const TOPIC_COLUMNS: readonly Column<LetterTopic>[] = [
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'OPEN', kind: 'count', value: (row) => row.open },
  { title: 'REDRIVEN', kind: 'count', value: (row) => row.redriven },
  { title: 'DISCARDED', kind: 'count', value: (row) => row.discarded },
  { title: 'OLDEST', value: (row) => (row.oldest === null ? null : localTime(row.oldest)) },
]

const REASON_COLUMNS: readonly Column<ReasonRow>[] = [
  { title: 'OPEN', kind: 'count', value: (row) => row.count },
  { title: 'REASON', value: (row) => row.reason || null },
  { title: 'POINTER', value: (row) => row.pointer || '/' },
]

const LETTER_COLUMNS: readonly Column<LetterOverview>[] = [
  { title: 'ID', value: (row) => row.id },
  { title: 'TIME', value: (row) => localTime(row.time) },
  { title: 'STATE', isWide: true, value: (row) => row.state },
  { title: 'REASON', value: (row) => row.reason },
  { title: 'ORIGIN', value: (row) => row.origin },
  { title: 'GROUP', isWide: true, value: (row) => row.group },
  { title: 'KEY', value: (row) => textOf(row.key) },
  { title: 'ATTEMPTS', isWide: true, value: (row) => row.attempts },
  { title: 'REDRIVEN', isWide: true, value: (row) => row.redriveCount },
  { title: 'VALUE', kind: 'bytes', value: (row) => Math.max(0, row.valueBytes) },
  { title: 'MESSAGE', value: (row) => row.message },
]

export const dlqList: Command = {
  name: 'dlq list',
  summary: 'list the topics with dead letters, or why those of one are dead',
  arguments: [{ ...LETTER_ARGUMENTS[0], isOptional: true }],
  examples: [
    { line: 'brokerctl dlq list', does: 'how many are open, of each topic' },
    { line: 'brokerctl dlq list orders', does: 'the open ones by reason, the most frequent first' },
  ],
  exitCodes: [3],
  async run(session, [topic]) {
    const connection = await session.connect()
    if (topic !== undefined) return listReasons(session, connection, topic)
    const { topics } = await call(connection, 'LIST_DEAD_LETTERS', {})
    await printRows(session, topics, {
      columns: TOPIC_COLUMNS,
      name: (row) => row.topic,
      whenEmpty: 'There are no dead letter topics. A schema of mode dlq makes one:  brokerctl schema set --help',
    })
  },
}

interface ShowOptions extends SelectionOptions {
  readonly limit?: number
  readonly state?: Request<'LIST_DEAD_LETTERS'>['state']
}

export const dlqShow: Command<ShowOptions> = {
  name: 'dlq show',
  summary: 'show dead letters, or one of them whole',
  details: ['An id is PARTITION@OFFSET. With a single id the dead letter is shown whole, as JSON.'],
  arguments: LETTER_ARGUMENTS,
  options: [
    ...SELECTION_OPTIONS,
    {
      flags: '--state <STATE>',
      description: 'in which state (open)',
      choices: ['open', 'redriven', 'discarded', 'all'],
    },
    {
      flags: '-n, --limit <N>',
      description: `so many (${SHOW_DEFAULT})`,
      parse: wholeNumber('a number of dead letters', 1, usageFailure),
    },
  ],
  examples: [
    { line: 'brokerctl dlq show orders --where reason=required', does: 'those in which something is missing' },
    { line: 'brokerctl dlq show orders 0@1841', does: 'one of them: value, headers, why it is dead' },
    {
      line: 'brokerctl dlq show orders --state all --since -1h -n 1000 -j',
      does: 'all of the last hour, for a script',
    },
  ],
  exitCodes: [3],
  async run(session, [topic = '', ...ids], options) {
    const connection = await session.connect()
    const [id] = ids
    if (ids.length === 1 && id !== undefined) return showOne(session, connection, topic, id)
    const { limit = SHOW_DEFAULT, state = ids.length > 0 ? 'all' : 'open' } = options
    const rows: LetterOverview[] = []
    let after: string | undefined
    do {
      const page = { limit: Math.min(PAGE, limit - rows.length), ...(after !== undefined && { after }) }
      const answer = await call(connection, 'LIST_DEAD_LETTERS', {
        topic,
        state,
        ...selectionOf(ids, options),
        ...page,
      })
      rows.push(...(answer.letters ?? []))
      after = answer.next
    } while (after !== undefined && rows.length < limit)
    await printRows(session, rows, { columns: LETTER_COLUMNS, name: (row) => row.id, whenEmpty: 'There are none' })
    if (after !== undefined) session.note(`There may be more. Show them:  -n ${groupDigits(limit * 10)}`)
  },
}

async function showOne(session: Session, connection: JsonConnection, topic: string, id: string): Promise<void> {
  const [, partition, offset] = /^(\d{1,9})@(\d{1,15})$/.exec(id) ?? []
  if (partition === undefined)
    throw usageFailure(`Cannot use ${JSON.stringify(id)} as an id: PARTITION@OFFSET, as in 0@1841`)
  const request = { topic, partition: Number(partition), offset: Number(offset) }
  const { key, value, headers, time, ts, ...rest } = await call(connection, 'GET_DEAD_LETTER', request)
  const shown = {
    ...rest,
    time: isoTime(time),
    timestamp: isoTime(ts),
    key: textOf(key),
    value: textOf(value),
    headers: headers.map((header) => ({ key: header.key, value: textOf(header.value) })),
  }
  await session.write(`${JSON.stringify(shown, null, 2)}\n`)
}

async function listReasons(session: Session, connection: JsonConnection, topic: string): Promise<void> {
  const rows = new Map<string, ReasonRow>()
  let after: string | undefined
  let found: LetterTopic | undefined
  do {
    const request = { topic, summary: true, ...(after !== undefined && { after }) }
    const { reasons = [], topics, next } = await call(connection, 'LIST_DEAD_LETTERS', request)
    found ??= topics[0]
    for (const { reason, pointer, count } of reasons) {
      const key = `${reason} ${pointer}`
      const row = rows.get(key)
      if (row === undefined) rows.set(key, { reason, pointer, count })
      else row.count += count
    }
    after = next
  } while (after !== undefined)
  const sorted = [...rows.values()].toSorted((one, other) => other.count - one.count)
  await printRows(session, sorted, {
    columns: REASON_COLUMNS,
    name: (row) => row.reason,
    heading: headingOf(session, {
      TOPIC: found?.topic ?? topic,
      OPEN: found?.open ?? 0,
      REDRIVEN: found?.redriven ?? 0,
      DISCARDED: found?.discarded ?? 0,
    }),
    document: { ...found, reasons: sorted },
    whenEmpty: 'None is open',
  })
}

function textOf(base64: string | null): string | null {
  return base64 === null ? null : Buffer.from(base64, 'base64').toString()
}
