import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { RedriveOverview } from '../src/protocols/json/wire.ts'
import { wholeNumber, type Command } from './command.ts'
import { checkLetters, printCheck } from './dlq-check.ts'
import { CliFailure, usageFailure, type ExitCode } from './failure.ts'
import {
  CHANGE_OPTIONS,
  LETTER_ARGUMENTS,
  ORDER_OPTIONS,
  orderOf,
  parseRate,
  SELECTION_OPTIONS,
  selectionOf,
  whoAsks,
  type ChangeOptions,
  type OrderOptions,
  type SelectionOptions,
} from './letter-options.ts'
import { localTime } from './moment.ts'
import { counted, groupDigits } from './numbers.ts'
import { printOutcomes, printRows, type Column } from './output.ts'
import type { Session } from './session.ts'

const ASK_INTERVAL_MS = 250

interface RedriveOptions extends SelectionOptions, OrderOptions, ChangeOptions {
  readonly rate?: number
  readonly wait?: boolean
}

const WAIT_OPTION = { flags: '--no-wait', description: 'end at once; dlq history shows how far it is' }

export const dlqRedrive: Command<RedriveOptions> = {
  name: 'dlq redrive',
  summary: 'send dead letters again, to the topics that they came from',
  details: [
    'Shows what would be sent, as dlq check does; only with --execute it sends. It goes on in the broker, whatever becomes of this program, also after the broker was killed, and sends each record once.',
    'What does not fit the schema of its topic, or was redriven three times already, is not sent and stays open; the code is 4 then.',
  ],
  arguments: LETTER_ARGUMENTS,
  options: [
    ...SELECTION_OPTIONS,
    ...ORDER_OPTIONS,
    { flags: '--rate <N/s>', description: 'so many records a second (as fast as it goes)', parse: parseRate },
    ...CHANGE_OPTIONS,
    WAIT_OPTION,
  ],
  examples: [
    { line: 'brokerctl dlq redrive orders', does: 'what would be sent' },
    { line: 'brokerctl dlq redrive orders --execute --rate 100/s', does: 'send all that fit, slowly' },
    {
      line: 'brokerctl dlq redrive orders --where reason=required --rename /amt=/amount --set /currency=EUR --execute',
      does: 'repair and send those in which something is missing',
    },
    { line: 'brokerctl dlq redrive mailer.dlq 0@17 --to mails-test --execute', does: 'one, to another topic' },
  ],
  exitCodes: [3, 4, 6],
  async run(session, [topic = '', ...ids], options) {
    const connection = await session.connect()
    const request = { topic, ...selectionOf(ids, options), ...orderOf(options) }
    if (options.execute !== true) {
      await printCheck(session, topic, await checkLetters(connection, request))
      session.note('Nothing was sent: this was a dry run. Do it with --execute')
      return
    }
    const { rate, limit, note } = options
    const more = { ...(rate !== undefined && { rate }), ...limitAndNote(limit, note), by: whoAsks() }
    const { redrive } = await call(connection, 'REDRIVE', { ...request, ...more })
    return finish(session, connection, redrive, options.wait)
  },
}

export const dlqDiscard: Command<SelectionOptions & ChangeOptions & Pick<RedriveOptions, 'wait'>> = {
  name: 'dlq discard',
  summary: 'close dead letters that nobody will send again',
  details: [
    'Shows how many it would be; only with --execute it closes them. They stay in their topic until retention removes them.',
  ],
  arguments: LETTER_ARGUMENTS,
  options: [...SELECTION_OPTIONS, ...CHANGE_OPTIONS, WAIT_OPTION],
  examples: [
    { line: 'brokerctl dlq discard orders --where reason=parse', does: 'how many are no JSON at all' },
    { line: 'brokerctl dlq discard orders 0@17 0@18 --note "a load test" --execute', does: 'these two' },
  ],
  exitCodes: [3, 6],
  async run(session, [topic = '', ...ids], options) {
    const connection = await session.connect()
    const request = { topic, ...selectionOf(ids, options) }
    if (options.execute !== true) {
      const count = await countOpen(connection, request)
      const would = `${counted(Math.min(count, options.limit ?? count), 'dead letter')} of "${topic}" would be discarded`
      await printOutcomes(session, [{ name: topic, open: count }], () => would)
      session.note('Nothing was changed: this was a dry run. Do it with --execute')
      return
    }
    const more = { ...limitAndNote(options.limit, options.note), by: whoAsks() }
    const { redrive } = await call(connection, 'DISCARD_DEAD_LETTERS', { ...request, ...more })
    return finish(session, connection, redrive, options.wait)
  },
}

const HISTORY_COLUMNS: readonly Column<RedriveOverview>[] = [
  { title: 'ID', value: (row) => row.id },
  { title: 'STARTED', value: (row) => localTime(row.startedAt) },
  { title: 'WHAT', value: (row) => row.kind },
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'STATE', value: (row) => row.state },
  { title: 'DONE', kind: 'count', value: (row) => row.done },
  { title: 'STAYED', kind: 'count', value: (row) => row.rejected + row.refused + row.failed },
  { title: 'LEFT', kind: 'count', value: (row) => row.left },
  { title: 'BY', value: (row) => row.by },
  { title: 'NOTE', value: (row) => row.note || null },
]

export const dlqHistory: Command<{ readonly limit?: number }> = {
  name: 'dlq history',
  summary: 'show what was redriven and discarded, how far it is, and by whom',
  arguments: [{ ...LETTER_ARGUMENTS[0], isOptional: true }],
  options: [
    {
      flags: '-n, --limit <N>',
      description: 'so many, the latest (20)',
      parse: wholeNumber('a number', 1, usageFailure),
    },
  ],
  examples: [{ line: 'brokerctl dlq history orders', does: 'what was done with the dead letters of a topic' }],
  exitCodes: [3],
  async run(session, [topic], { limit }) {
    const connection = await session.connect()
    const request = { ...(topic !== undefined && { topic }), ...(limit !== undefined && { limit }) }
    const { redrives } = await call(connection, 'LIST_REDRIVES', request)
    await printRows(session, redrives, {
      columns: HISTORY_COLUMNS,
      name: (row) => String(row.id),
      whenEmpty: 'Nothing was redriven or discarded yet',
    })
  },
}

export const dlqCancel: Command = {
  name: 'dlq cancel',
  summary: 'end a redrive or discard before its end',
  details: ['What it has sent or discarded stays so. A new redrive finds what is left.'],
  arguments: [{ name: 'ID', description: 'its id, as dlq history shows it' }],
  examples: [{ line: 'brokerctl dlq cancel 7', does: 'sends no more' }],
  async run(session, [id = '']) {
    const parsed = wholeNumber('the id of a redrive', 1, usageFailure)(id)
    const connection = await session.connect()
    const { redrive } = await call(connection, 'CANCEL_REDRIVE', { id: parsed })
    await printOutcomes(session, [outcomeOf(redrive)], () => sentence(session, redrive))
  },
}

/** Waits until it is over, and says what came of it. */
async function finish(
  session: Session,
  connection: JsonConnection,
  begun: RedriveOverview,
  waits = true,
): Promise<ExitCode> {
  const interrupted = session.takeInterrupts()
  let job = begun
  while (waits && (job.state === 'running' || job.state === 'cancelling')) {
    await sleep(ASK_INTERVAL_MS, undefined, { signal: interrupted }).catch(() => undefined)
    if (interrupted.aborted) {
      session.note(
        `It goes on in the broker. How far it is:  brokerctl dlq history; end it:  brokerctl dlq cancel ${job.id}`,
      )
      throw new CliFailure(130, 'INTERRUPTED', `Interrupted after ${counted(job.done, 'dead letter')}`)
    }
    job = (await call(connection, 'LIST_REDRIVES', { id: job.id })).redrives[0] ?? job
  }
  await printOutcomes(session, [outcomeOf(job)], () => sentence(session, job))
  const stayed = job.rejected + job.refused + job.failed
  if (stayed === 0) return 0
  for (const { id, message } of job.problems.slice(0, 3)) session.warn(`${id} stays open: ${message}`)
  session.note(`All that stay:  brokerctl dlq check ${job.topic}`)
  return 4
}

function outcomeOf({ topic, id, kind, state, done, rejected, refused, failed }: RedriveOverview) {
  return { name: topic, id, kind, state, done, rejected, refused, failed }
}

function sentence(
  session: Session,
  { id, kind, topic, state, done, rejected, refused, failed }: RedriveOverview,
): string {
  const { green } = session.colors
  if (state === 'running' || state === 'cancelling') return `${green('✓')} The ${kind} ${id} of "${topic}" is under way`
  const verb = kind === 'redrive' ? 'Redrove' : 'Discarded'
  const stayed = rejected + refused + failed
  const rest = stayed === 0 ? '' : `; ${groupDigits(stayed)} stay open`
  const end = state === 'cancelled' ? ', then it was cancelled' : ''
  return `${green('✓')} ${verb} ${counted(done, 'dead letter')} of "${topic}"${rest}${end}`
}

async function countOpen(connection: JsonConnection, request: object & { readonly topic: string }): Promise<number> {
  let count = 0
  let after: string | undefined
  do {
    const page = { ...request, summary: true, ...(after !== undefined && { after }) }
    const { reasons = [], next } = await call(connection, 'LIST_DEAD_LETTERS', page)
    count += reasons.reduce((sum, reason) => sum + reason.count, 0)
    after = next
  } while (after !== undefined)
  return count
}

function limitAndNote(limit: number | undefined, note: string | undefined) {
  return { ...(limit !== undefined && { limit }), ...(note !== undefined && { note }) }
}
