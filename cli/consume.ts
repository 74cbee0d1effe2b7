import { systemClock } from '../src/base/clock.ts'
import { wholeNumber, type Command } from './command.ts'
import { Consumption } from './consumption.ts'
import { usageFailure } from './failure.ts'
import { parseDuration } from './moment.ts'
import { parseOffsetRange, type OffsetRange } from './offset-range.ts'
import { printerFor } from './record-printer.ts'
import { compileFormat, FORMAT_HELP, type RecordFormatter } from './record-format.ts'
import { planAssignments } from './assignment.ts'

interface Options {
  readonly group?: string
  readonly fromBeginning?: boolean
  readonly reset?: boolean
  readonly offset?: OffsetRange
  readonly partition?: readonly number[]
  readonly count?: number
  readonly exit?: boolean
  readonly idleTimeout?: number
  readonly format?: RecordFormatter
  readonly pretty?: boolean
  readonly raw?: boolean
  readonly commit?: boolean
}

export const consume: Command<Options> = {
  name: 'consume',
  summary: 'read records from topics',
  details: [
    'Begins at the end and follows until Ctrl-C, unless options say otherwise. With a group it begins where the group stopped, and commits what it has printed: nothing is missed, and after a crash some records may come again.',
    'A person sees time, place, key and value of each record; a pipe gets the value and a line feed.',
    'Ranges (-o), for each partition: start, end, N (offset), +N (after the start), -N (before the end), :end (up to the present end), N:M (M not included), @TIME, @-1h, @-1h:end; TIME is 10:30, 2026-11-24T10:30:00Z, -90s, or seconds or milliseconds since 1970.',
    `Formats (-f): ${FORMAT_HELP}`,
  ],
  arguments: [{ name: 'TOPIC', description: 'topics', isVariadic: true, completes: 'topic' }],
  options: [
    {
      flags: '-g, --group <GROUP>',
      description: 'begin at the committed offsets of this group, and commit',
      completes: 'group',
    },
    { flags: '--from-beginning', description: 'begin at the oldest record; with a group, where nothing is committed' },
    { flags: '--reset', description: 'with a group: whatever is committed, begin at the beginning, or at -o' },
    {
      flags: '-o, --offset <RANGE>',
      description: 'where to begin and to stop, as in -10, :end or @-1h',
      parse: (text) => parseOffsetRange(text, systemClock.now()),
    },
    { flags: '-p, --partition <LIST>', description: 'only these partitions, as in 0,2', parse: partitionList },
    {
      flags: '-n, --count <N>',
      description: 'stop after N records',
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
    { flags: '-e, --exit', description: 'stop at the end, as it is at the start' },
    { flags: '--idle-timeout <DURATION>', description: 'stop when nothing has come for so long', parse: parseDuration },
    { flags: '-f, --format <FORMAT>', description: "print records so, as in '%p %o %k %v\\n'", parse: compileFormat },
    { flags: '--pretty', description: 'whole values, JSON indented' },
    { flags: '--raw', description: 'only values, a line feed after each; also on a terminal' },
    { flags: '--no-commit', description: 'with a group: commit nothing' },
  ],
  examples: [
    { line: 'brokerctl consume orders', does: 'what comes from now on' },
    {
      line: 'brokerctl consume user-events --group analytics --from-beginning',
      does: 'everything, once: the group remembers where it was',
    },
    { line: 'brokerctl consume orders -o -10 -e', does: 'the last ten records of each partition' },
    { line: "brokerctl consume orders -o @-1h:end -f '%d{iso} %k %v\\n'", does: 'the last hour, with time and key' },
    { line: 'brokerctl consume orders -e -j | jq .value', does: 'all of it as JSON: -e reads to the end' },
  ],
  exitCodes: [3],
  async run(session, topics, options) {
    const printer = printerFor(session, options)
    const connection = await session.connect()
    const assignments = await planAssignments(session, connection, {
      topics: [...new Set(topics)],
      partitions: options.partition,
      group: options.group,
      ...startOf(options),
      stopsAtEnd: options.exit === true,
    })
    const consumption = new Consumption(session, connection, assignments, {
      printer,
      group: options.commit === false ? undefined : options.group,
      countMax: options.count,
      idleTimeoutMs: options.idleTimeout,
      timeoutMs: session.timeoutMs,
    })
    return consumption.run()
  },
}

/** Where reading begins, and whether that counts for partitions with a committed offset too. @throws CliFailure */
function startOf(options: Options): { range: OffsetRange; ignoresCommitted: boolean; saidWhere: boolean } {
  const { offset, fromBeginning = false, reset = false, group } = options
  if (reset && group === undefined) throw usageFailure('--reset goes with --group')
  if (options.commit === false && group === undefined) throw usageFailure('--no-commit goes with --group')
  if (offset !== undefined && fromBeginning) throw usageFailure('--from-beginning and -o exclude each other')
  const start = { from: { kind: 'start' }, until: undefined } as const
  const end = { from: { kind: 'end' }, until: undefined } as const
  // From the present end to the present end there is nothing: who says -e wants what there is.
  const readsAll = fromBeginning || reset || options.exit === true
  return {
    range: offset ?? (readsAll ? start : end),
    ignoresCommitted: reset,
    saidWhere: offset !== undefined || fromBeginning,
  }
}

function partitionList(text: string): readonly number[] {
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text))
    throw usageFailure(`Cannot use ${JSON.stringify(text)} as partitions: numbers, as in 0,2`)
  return [...new Set(text.split(',').map(Number))]
}
