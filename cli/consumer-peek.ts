import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { readLag, type LagRow } from './groups.ts'
import { counted } from './numbers.ts'
import { fromWire, type LogRecord } from './record.ts'
import { compileFormat, FORMAT_HELP, type RecordFormatter } from './record-format.ts'
import { printerFor } from './record-printer.ts'
import type { Session } from './session.ts'

const AFTER = 2
const COUNT_MAX = 10_000
const FETCH_BYTES = 64 * 1024

interface Options {
  readonly before?: number
  readonly after?: number
  readonly topic?: string
  readonly partition?: number
  readonly format?: RecordFormatter
  readonly pretty?: boolean
  readonly raw?: boolean
}

export const consumerPeek: Command<Options> = {
  name: 'consumer peek',
  summary: 'show the records that a group would read next',
  details: [
    'For each partition, the records from the committed offset on, and with -B those before it, which the group has done. The group is not moved, and its members do not notice.',
    'Where nothing is committed yet, it is the consumer who says where to begin: nothing is shown. Where it stands each line on stderr says, records go to stdout.',
    `Formats (-f): ${FORMAT_HELP}`,
  ],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [
    {
      flags: '-B, --before <N>',
      description: 'also the last N records before the committed offset (0)',
      parse: countOf,
    },
    { flags: '-A, --after <N>', description: `the next N records (${AFTER})`, parse: countOf },
    { flags: '--topic <TOPIC>', description: 'only this topic', completes: 'topic' },
    {
      flags: '-p, --partition <N>',
      description: 'only this partition',
      parse: wholeNumber('a partition', 0, usageFailure),
    },
    { flags: '-f, --format <FORMAT>', description: "print records so, as in '%p %o %k %v\\n'", parse: compileFormat },
    { flags: '--pretty', description: 'whole values, JSON indented' },
    { flags: '--raw', description: 'only values, a line feed after each; also on a terminal' },
  ],
  examples: [
    { line: 'brokerctl consumer peek analytics', does: 'the next two records of each partition' },
    {
      line: 'brokerctl consumer peek analytics --topic orders -p 2 -B 1 -A 5',
      does: 'around the place where it is stuck',
    },
    { line: 'brokerctl consumer peek analytics -A 1 -j | jq .value', does: 'for a program' },
  ],
  exitCodes: [3],
  async run(session, [group = ''], options) {
    const printer = printerFor(session, options)
    const connection = await session.connect()
    const { partitions } = await readLag(connection, group, options.topic)
    const wanted = partitions.filter(({ partition }) => (options.partition ?? partition) === partition)
    if (wanted.length === 0) throw usageFailure(`Group "${group}" reads no partition ${options.partition}`)
    for (const row of wanted) await peek(session, connection, row, { printer, ...options })
  },
}

function countOf(text: string): number {
  const count = wholeNumber('a number of records', 0, usageFailure)(text)
  if (count <= COUNT_MAX) return count
  throw usageFailure(`Cannot show ${count} records of each partition: ${COUNT_MAX} at most`)
}

async function peek(
  session: Session,
  connection: JsonConnection,
  row: LagRow,
  { printer, before = 0, after = AFTER }: Options & { readonly printer: RecordFormatter },
): Promise<void> {
  const { topic, partition, committedOffset, logStartOffset, logEndOffset, lag } = row
  const { dim } = session.noteColors
  const place = `${topic}/${partition}`
  if (committedOffset === null) return session.note(dim(`${place}: nothing committed yet`))
  const next = Math.max(committedOffset, logStartOffset)
  const done = await readRecords(connection, row, {
    from: Math.max(logStartOffset, committedOffset - before),
    until: committedOffset,
    countMax: before,
  })
  await print(session, printer, done)
  const expired = next > committedOffset ? `, ${counted(next - committedOffset, 'record')} expired unread` : ''
  session.note(dim(`${place}: next is ${next} of ${logEndOffset}, lag ${lag ?? 0}${expired}`))
  await print(
    session,
    printer,
    await readRecords(connection, row, { from: next, until: logEndOffset, countMax: after }),
  )
}

/** Records between two offsets, at most so many; there are fewer where compaction or transactions leave gaps. */
async function readRecords(
  connection: JsonConnection,
  { topic, partition }: LagRow,
  { from, until, countMax }: { readonly from: number; readonly until: number; readonly countMax: number },
): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  let next = from
  while (next < until && found.length < countMax) {
    const request = { topic, partition, offset: next, maxBytes: FETCH_BYTES, maxWaitMs: 0 }
    const { records, nextOffset = 0 } = await call(connection, 'FETCH', request)
    for (const record of records) {
      const isMeant = record.offset >= next && record.offset < until && found.length < countMax
      if (isMeant) found.push(fromWire(topic, partition, record))
    }
    const reached = Math.max(nextOffset, (records.at(-1)?.offset ?? -1) + 1)
    // What is there may not be for consumers yet: records of a transaction that goes on.
    if (reached <= next) break
    next = reached
  }
  return found
}

async function print(session: Session, printer: RecordFormatter, records: readonly LogRecord[]): Promise<void> {
  if (records.length > 0) await session.write(Buffer.concat(records.map(printer)))
}
