import { systemClock } from '../src/base/clock.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { readGroup } from './groups.ts'
import { counted } from './numbers.ts'
import { locate, parsePlace, type Place } from './offset-range.ts'
import { printRows } from './output.ts'
import { readTopics } from './topics.ts'

interface Options {
  readonly topic?: readonly string[]
  readonly partition?: number
  readonly to?: Place
  readonly execute?: boolean
}

interface Row {
  readonly topic: string
  readonly partition: number
  /** null when nothing is committed. */
  readonly from: number | null
  readonly to: number
  readonly lag: number
}

export const consumerReset: Command<Options> = {
  name: 'consumer reset',
  summary: 'move the committed offsets of a group',
  details: [
    'Shows what would change; only with --execute it changes anything. A group with members is refused: stop them first.',
  ],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [
    {
      flags: '--to <PLACE>',
      description: 'start, end, an offset, +N or -N (from where it is), @TIME (@-1h, @10:30)',
      parse: (text) => parsePlace(text, systemClock.now()),
    },
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
  ],
  exitCodes: [3, 6],
  async run(session, [group = ''], options) {
    const { to } = options
    if (!to) throw usageFailure('Where to?  --to start, end, an offset, +N, -N or @TIME')
    const connection = await session.connect()
    const rows = await plan(connection, group, to, options)
    await printRows(session, rows, {
      columns: [
        { title: 'TOPIC', value: (row) => row.topic },
        { title: 'PARTITION', value: (row) => row.partition },
        { title: 'FROM', kind: 'count', value: (row) => row.from },
        { title: 'TO', kind: 'count', value: (row) => row.to },
        { title: 'LAG-THEN', kind: 'count', value: (row) => row.lag },
      ],
      name: (row) => row.topic,
      whenEmpty: 'Nothing to move',
    })
    if (options.execute !== true) {
      session.note('Nothing was changed: this was a dry run. Do it with --execute')
      return
    }
    for (const { topic, partition, to: offset } of rows)
      await call(connection, 'COMMIT', { group, topic, partition, offset })
    session.note(`${session.noteColors.green('✓')} Moved ${counted(rows.length, 'partition')} of group "${group}"`)
  },
}

async function plan(connection: JsonConnection, group: string, to: Place, options: Options): Promise<Row[]> {
  const { members, offsets } = await readGroup(connection, group)
  if (members.length > 0) {
    throw new CliFailure(
      6,
      'NON_EMPTY_GROUP',
      `Group "${group}" has ${members.length} members: they would go on where they are`,
      [`Stop them first:  brokerctl consumer describe ${group} --members`],
    )
  }
  const names = options.topic ?? [...new Set(offsets.map((offset) => offset.topic))].toSorted()
  const rows: Row[] = []
  for (const topic of await readTopics(connection, names)) {
    const times =
      to.kind === 'time'
        ? (await call(connection, 'LIST_OFFSETS', { topic: topic.name, timestamp: to.timestamp })).offsets
        : []
    const wanted = topic.partitions.filter(
      ({ partition }) => options.partition === undefined || partition === options.partition,
    )
    if (wanted.length === 0) {
      throw new CliFailure(
        3,
        'UNKNOWN_TOPIC_OR_PARTITION',
        `There is no partition ${options.partition} in topic "${topic.name}"`,
      )
    }
    for (const bounds of wanted) {
      const { partition, logStartOffset, highWatermark, logEndOffset } = bounds
      const from =
        offsets.find((offset) => offset.topic === topic.name && offset.partition === partition)?.offset ?? null
      // Here +N and -N count from where the group is, as with Kafka's --shift-by.
      const base = from ?? logStartOffset
      const found = times.find((time) => time.partition === partition)
      const wish =
        to.kind === 'beforeEnd'
          ? base - to.count
          : locate(to, found === undefined ? bounds : { ...bounds, offsetAtTime: found.offset }, base)
      const target = Math.min(Math.max(wish, logStartOffset), highWatermark)
      rows.push({ topic: topic.name, partition, from, to: target, lag: logEndOffset - target })
    }
  }
  return rows
}
