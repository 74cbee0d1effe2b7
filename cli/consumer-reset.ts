import { systemClock } from '../src/base/clock.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { findGroup } from './groups.ts'
import { counted } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import { parseResetTarget, planReset, type ResetRow, type ResetTarget } from './reset-plan.ts'

/** How many commits are under way at the same time. */
const COMMITS_AT_ONCE = 256

interface Options {
  readonly topic?: readonly string[]
  readonly partition?: number
  readonly to?: ResetTarget
  readonly fromFile?: string
  readonly execute?: boolean
}

const COLUMNS: readonly Column<ResetRow>[] = [
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'FROM', kind: 'count', value: (row) => row.from },
  { title: 'TO', kind: 'count', value: (row) => row.to },
  { title: 'LAG-THEN', kind: 'count', value: (row) => row.lag },
]

export const consumerReset: Command<Options> = {
  name: 'consumer reset',
  summary: 'move the committed offsets of a group',
  details: [
    'Shows what would change; only with --execute it changes anything. A group with members is refused: stop them first.',
    'The way back: what consumer export has printed before, --from-file puts in its place again, whatever happened to the group meanwhile. --from-file also takes the CSV of kafka-consumer-groups, and - for stdin.',
    'An offset that the log does not hold is moved to the nearest that it does; after a time at which nothing came any more it is the end.',
  ],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [
    {
      flags: '--to <PLACE>',
      description:
        'start, end, an offset, +N or -N (from where it is), @TIME (@-1h, @10:30), group:OTHER (where that one is), file:FILE',
      parse: (text) => parseResetTarget(text, systemClock.now()),
    },
    { flags: '--from-file <FILE>', description: 'the same as --to file:FILE' },
    {
      flags: '--topic <TOPIC>',
      description: 'only this topic; may be repeated (all that the group reads)',
      isRepeatable: true,
      completes: 'topic',
    },
    {
      flags: '-p, --partition <N>',
      description: 'only this partition',
      parse: wholeNumber('a partition', 0, usageFailure),
    },
    { flags: '--execute', description: 'do it' },
  ],
  examples: [
    { line: 'brokerctl consumer reset analytics --to start', does: 'what reading everything again would mean' },
    { line: 'brokerctl consumer reset analytics --topic orders --to @-1h --execute', does: 'go back one hour' },
    { line: 'brokerctl consumer reset analytics --topic orders -p 2 --to +1 --execute', does: 'skip one record' },
    { line: 'brokerctl consumer reset analytics --from-file before.json --execute', does: 'undo, after an export' },
    { line: 'brokerctl consumer reset trial --to group:analytics --execute', does: 'a second group at the same place' },
  ],
  exitCodes: [3, 6],
  async run(session, [group = ''], options) {
    const target = targetOf(options)
    const connection = await session.connect()
    const { topic: topics, partition } = options
    const rows = await planReset(session, connection, { group, target, topics, partition })
    await printRows(session, rows, { columns: COLUMNS, name: (row) => row.topic, whenEmpty: 'Nothing to move' })
    if (options.execute !== true) {
      session.note('Nothing was changed: this was a dry run. Do it with --execute')
      if (rows.length > 0) session.note(`To be able to undo it:  brokerctl consumer export ${group} > ${group}.json`)
      return
    }
    await execute(connection, group, rows)
    session.note(`${session.noteColors.green('✓')} Moved ${counted(rows.length, 'partition')} of group "${group}"`)
  },
}

/** @throws CliFailure */
function targetOf({ to, fromFile }: Options): ResetTarget {
  if (to !== undefined && fromFile !== undefined) throw usageFailure('--to and --from-file exclude each other')
  if (fromFile !== undefined) return { kind: 'file', path: fromFile }
  if (to !== undefined) return to
  throw usageFailure('Where to?  --to start, end, an offset, +N, -N, @TIME, group:OTHER or file:FILE')
}

/** Commits what was planned. Those that belong together are under way together, and share a sync of the broker. */
async function execute(connection: JsonConnection, group: string, rows: readonly ResetRow[]): Promise<void> {
  let moved = 0
  for (let at = 0; at < rows.length; at += COMMITS_AT_ONCE) {
    const outcomes = await Promise.allSettled(
      rows.slice(at, at + COMMITS_AT_ONCE).map(({ topic, partition, to: offset }) => {
        return offset === null
          ? call(connection, 'DELETE_OFFSETS', { group, topic, partition })
          : call(connection, 'COMMIT', { group, topic, partition, offset })
      }),
    )
    moved += outcomes.filter(({ status }) => status === 'fulfilled').length
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined)
      throw await explain(connection, group, failed.reason, `${moved} of ${counted(rows.length, 'partition')}`)
  }
}

/** Somebody may have joined since the plan was made: no other commits are taken then. */
async function explain(connection: JsonConnection, group: string, reason: unknown, moved: string): Promise<unknown> {
  if (!(reason instanceof BrokerRefusal)) return reason
  const { members = [] } = (await findGroup(connection, group)) ?? {}
  if (members.length === 0) return reason
  const message = `Cannot go on with the reset of group ${JSON.stringify(group)}: a member has joined it, after ${moved} were moved`
  const help = [`Stop it and reset again; who it is:  brokerctl consumer describe ${group} --members`]
  return new CliFailure(6, 'NON_EMPTY_GROUP', message, help, { cause: reason })
}
