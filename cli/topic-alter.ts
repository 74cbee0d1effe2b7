import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { printRows } from './output.ts'
import { keyAndValue, readTopics } from './topics.ts'

interface Options {
  readonly set?: readonly (readonly [string, string])[]
  readonly unset?: readonly string[]
  readonly partitions?: number
  readonly dryRun?: boolean
}

export const topicAlter: Command<Options> = {
  name: 'topic alter',
  summary: 'change the settings of a topic, or add partitions',
  details: [
    'Partitions can be added, never taken away. With more of them most keys go to another partition than before.',
  ],
  arguments: [{ name: 'NAME', description: 'the topic', completes: 'topic' }],
  options: [
    {
      flags: '--set <KEY=VALUE>',
      description: 'a setting, as in retention.ms=7d; may be repeated',
      isRepeatable: true,
      parse: keyAndValue,
    },
    { flags: '--unset <KEY>', description: "back to the broker's value; may be repeated", isRepeatable: true },
    {
      flags: '-p, --partitions <N>',
      description: 'grow to so many partitions',
      parse: wholeNumber('a number of partitions', 1, usageFailure),
    },
    { flags: '--dry-run', description: 'say what would change' },
  ],
  examples: [
    { line: 'brokerctl topic alter orders --set retention.ms=24h', does: 'keep records for a day' },
    { line: 'brokerctl topic alter orders --unset retention.ms --dry-run', does: 'what the default would be' },
    { line: 'brokerctl topic alter orders --partitions 8', does: 'add partitions up to eight' },
  ],
  exitCodes: [3],
  async run(session, [name = ''], options) {
    if (options.set === undefined && options.unset === undefined && options.partitions === undefined) {
      throw usageFailure('Nothing to change: --set KEY=VALUE, --unset KEY or --partitions N')
    }
    const connection = await session.connect()
    await readTopics(connection, [name])
    const { changes } = await call(connection, 'ALTER_TOPIC', {
      topic: name,
      ...(options.set === undefined ? {} : { set: Object.fromEntries(options.set) }),
      ...(options.unset === undefined ? {} : { unset: options.unset }),
      ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
      dryRun: options.dryRun === true,
    })
    await printRows(session, changes, {
      columns: [
        { title: 'SETTING', value: (change) => change.key },
        { title: 'OLD', value: (change) => change.from },
        { title: 'NEW', value: (change) => change.to },
      ],
      name: (change) => change.key,
      whenEmpty: `Topic "${name}" has these settings already`,
    })
    if (changes.some((change) => change.key === 'partitions')) {
      session.warn(
        'Records of one key go to another partition from now on: their order is kept within each partition only',
      )
    }
    if (options.dryRun === true) session.note('Nothing was changed: this was a dry run')
  },
}
