import { systemClock } from '../src/base/clock.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { readLag } from './groups.ts'
import { isoTime } from './moment.ts'
import { printRows } from './output.ts'
import type { ExportedGroup } from './offsets-file.ts'

interface Options {
  readonly topic?: string
}

export const consumerExport: Command<Options> = {
  name: 'consumer export',
  summary: 'print the committed offsets of a group, for consumer reset --from-file',
  details: [
    'JSON, in which null says that nothing is committed: reset puts back that, too. With --output csv it is TOPIC,PARTITION,OFFSET as kafka-consumer-groups takes it, without the partitions that have no offset; --no-headers leaves out the titles.',
  ],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [{ flags: '--topic <TOPIC>', description: 'only this topic', completes: 'topic' }],
  examples: [
    { line: 'brokerctl consumer export analytics > before.json', does: 'before a reset' },
    { line: 'brokerctl consumer export analytics --output csv --no-headers', does: "for Kafka's tools" },
  ],
  exitCodes: [3],
  async run(session, [group = ''], options) {
    const { output } = session
    if (output !== 'table' && output !== 'json' && output !== 'csv')
      throw usageFailure(`Offsets cannot be exported as ${output}: json or csv`)
    const connection = await session.connect()
    const { partitions } = await readLag(connection, group, options.topic)
    const offsets = partitions.map(({ topic, partition, committedOffset }) => ({
      topic,
      partition,
      offset: committedOffset,
    }))
    if (output === 'csv') {
      return printRows(
        session,
        offsets.filter(({ offset }) => offset !== null),
        {
          columns: [
            { title: 'TOPIC', value: (row) => row.topic },
            { title: 'PARTITION', value: (row) => row.partition },
            { title: 'OFFSET', value: (row) => row.offset },
          ],
          name: (row) => row.topic,
        },
      )
    }
    const exported: ExportedGroup = { v: 1, group, exportedAt: isoTime(systemClock.now()) ?? '', offsets }
    await session.write(`${JSON.stringify(exported, null, 2)}\n`)
  },
}
