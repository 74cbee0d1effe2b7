import type { JsonConnection } from '../client/json-connection.ts'
import { call, type Answer, type Request } from '../client/operations.ts'
import type { LetterProblem } from '../src/protocols/json/wire.ts'
import type { Command } from './command.ts'
import { CliFailure } from './failure.ts'
import {
  LETTER_ARGUMENTS,
  ORDER_OPTIONS,
  orderOf,
  SELECTION_OPTIONS,
  selectionOf,
  type OrderOptions,
  type SelectionOptions,
} from './letter-options.ts'
import { counted } from './numbers.ts'
import { headingOf, printRows, type Column } from './output.ts'
import type { Session } from './session.ts'

/** What a redrive would do. */
export type RedriveCheck = Omit<Answer<'CHECK_DEAD_LETTERS'>, 'next'>

const PROBLEMS_MAX = 100

const COLUMNS: readonly Column<LetterProblem>[] = [
  { title: 'ID', value: (row) => row.id },
  { title: 'REASON', value: (row) => row.reason },
  { title: 'POINTER', value: (row) => row.pointer || '/' },
  { title: 'MESSAGE', value: (row) => row.message },
]

export const dlqCheck: Command<SelectionOptions & OrderOptions> = {
  name: 'dlq check',
  summary: 'say which dead letters would fit now, and send nothing',
  details: [
    'Each is repaired as the options say, and held against the schema that its topic has now. The code is 7 when one would not be sent.',
  ],
  arguments: LETTER_ARGUMENTS,
  options: [...SELECTION_OPTIONS, ...ORDER_OPTIONS],
  examples: [
    { line: 'brokerctl dlq check orders', does: 'after the schema was corrected: would they fit?' },
    { line: 'brokerctl dlq check orders --where reason=required --set /currency=EUR', does: 'would this repair them?' },
  ],
  exitCodes: [3, 7],
  async run(session, [topic = '', ...ids], options) {
    const connection = await session.connect()
    const check = await checkLetters(connection, { topic, ...selectionOf(ids, options), ...orderOf(options) })
    await printCheck(session, topic, check)
    const left = check.rejected + check.refused + check.failed
    if (left === 0) return
    const message = `${counted(left, 'dead letter')} of ${left + check.sendable} would not be sent`
    throw new CliFailure(7, 'SCHEMA_VALIDATION_FAILED', message, [`Look at one:  brokerctl dlq show ${topic} ID`])
  },
}

/** Asks what a redrive would do, as often as it takes to look at all of them. */
export async function checkLetters(
  connection: JsonConnection,
  request: Request<'CHECK_DEAD_LETTERS'>,
): Promise<RedriveCheck> {
  const sum = { sendable: 0, rejected: 0, refused: 0, failed: 0 }
  const problems: LetterProblem[] = []
  let after: string | undefined
  do {
    const answer = await call(connection, 'CHECK_DEAD_LETTERS', { ...request, ...(after !== undefined && { after }) })
    for (const key of ['sendable', 'rejected', 'refused', 'failed'] as const) sum[key] += answer[key]
    problems.push(...answer.problems.slice(0, PROBLEMS_MAX - problems.length))
    after = answer.next
  } while (after !== undefined)
  return { ...sum, problems }
}

/** Prints what a redrive would do: how many it would send, and the first that would stay. */
export async function printCheck(session: Session, topic: string, check: RedriveCheck): Promise<void> {
  const { sendable, rejected, refused, failed, problems } = check
  await printRows(session, problems, {
    columns: COLUMNS,
    name: (row) => row.id,
    document: check,
    heading: headingOf(session, {
      TOPIC: topic,
      SENDABLE: sendable,
      REJECTED: rejected,
      REFUSED: refused,
      FAILED: failed,
    }),
    whenEmpty: sendable === 0 ? 'None is open' : 'All of them can be sent',
  })
}
