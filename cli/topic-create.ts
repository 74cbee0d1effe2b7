import { parseTopicName } from '../src/base/topic-name.ts'
import type { TopicMetadata } from '../src/protocols/json/wire.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted } from './numbers.ts'
import { printOutcomes } from './output.ts'
import { keyAndValue } from './topics.ts'

interface Options {
  readonly partitions?: number
  readonly retention?: string
  readonly retentionBytes?: string
  readonly config?: readonly (readonly [string, string])[]
  readonly ifNotExists?: boolean
  readonly dryRun?: boolean
}

export const topicCreate: Command<Options> = {
  name: 'topic create',
  summary: 'create topics',
  details: [
    'A topic that is there already with the same settings is fine. With other settings the command ends with code 6, unless --if-not-exists says that any will do.',
  ],
  arguments: [
    { name: 'NAME', description: 'its name: letters, digits, dots, underscores and hyphens', isVariadic: true },
  ],
  options: [
    {
      flags: '-p, --partitions <N>',
      description: 'how many partitions (1)',
      parse: wholeNumber('a number of partitions', 1, usageFailure),
    },
    {
      flags: '--retention <DURATION>',
      description: 'how long records are kept: 7d, 1h30m, -1 for ever (retention.ms)',
    },
    {
      flags: '--retention-bytes <SIZE>',
      description: 'how much of each partition is kept: 1GB, 512MB, -1 for all (retention.bytes)',
    },
    {
      flags: '-c, --config <KEY=VALUE>',
      description: "any other setting, by Kafka's key; may be repeated",
      isRepeatable: true,
      parse: keyAndValue,
    },
    { flags: '--if-not-exists', description: 'a topic of that name is fine whatever its settings' },
    { flags: '--dry-run', description: 'say what would be done' },
  ],
  examples: [
    { line: 'brokerctl topic create orders --partitions 4', does: 'a topic with four partitions' },
    {
      line: 'brokerctl topic create logs metrics --retention 24h --retention-bytes 1GB -c segment.bytes=16MB',
      does: 'two topics that keep a day, but at most 1 GB of each partition',
    },
  ],
  exitCodes: [6],
  async run(session, names, options) {
    const config = Object.fromEntries([
      ...(options.retention === undefined ? [] : [['retention.ms', options.retention] as const]),
      ...(options.retentionBytes === undefined ? [] : [['retention.bytes', options.retentionBytes] as const]),
      ...(options.config ?? []),
    ])
    const partitions = options.partitions ?? 1
    for (const name of names) parseTopicName(name)
    const connection = await session.connect()
    const outcomes: Outcome[] = []
    try {
      for (const name of names) outcomes.push(await create(connection, { name, partitions, config }, options))
    } finally {
      await printOutcomes(session, outcomes, ({ name, status, ...topic }) => {
        const what = `topic "${name}": ${describe(topic.partitions, topic.config)}`
        if (status === 'created') return `${session.colors.green('✓')} Created ${what}`
        return status === 'exists' ? `There already is ${what}` : `Would create ${what}`
      })
    }
  },
}

interface Outcome {
  readonly name: string
  readonly status: 'created' | 'exists' | 'would be created'
  readonly partitions: number
  readonly config: Readonly<Record<string, string>>
}

async function create(
  connection: JsonConnection,
  wanted: { readonly name: string; readonly partitions: number; readonly config: Readonly<Record<string, string>> },
  options: Options,
): Promise<Outcome> {
  const { name, partitions, config } = wanted
  const existing = await findTopic(connection, name)
  const existingPartitions = existing?.partitions.length ?? partitions
  if (existing && options.ifNotExists === true) {
    return { name, status: 'exists', partitions: existingPartitions, config: {} }
  }
  if (options.dryRun === true && existingPartitions === partitions) {
    return { ...wanted, status: existing ? 'exists' : 'would be created' }
  }
  if (existingPartitions !== partitions) {
    throw conflict(
      name,
      `Cannot create topic "${name}" with ${partitions} partitions: it exists with ${existingPartitions}`,
    )
  }
  try {
    const { created } = await call(connection, 'CREATE_TOPIC', { topic: name, partitions, config })
    return { ...wanted, status: created ? 'created' : 'exists' }
  } catch (error) {
    if (existing && error instanceof BrokerRefusal && error.code === 'INVALID_REQUEST')
      throw conflict(name, error.message)
    throw error
  }
}

function conflict(name: string, message: string): CliFailure {
  return new CliFailure(6, 'TOPIC_ALREADY_EXISTS', message, [
    `What it is:  brokerctl topic describe ${name}`,
    `Change it:  brokerctl topic alter ${name} --partitions N --set KEY=VALUE`,
    'Take it as it is:  --if-not-exists',
  ])
}

async function findTopic(connection: JsonConnection, name: string): Promise<TopicMetadata | undefined> {
  try {
    return (await call(connection, 'METADATA', { topics: [name] })).topics[0]
  } catch (error) {
    if (error instanceof BrokerRefusal && error.code === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
    throw error
  }
}

function describe(partitions: number, config: Readonly<Record<string, string>>): string {
  const settings = Object.entries(config).map(([key, value]) => `, ${key} ${value}`)
  return `${counted(partitions, 'partition')}${settings.join('')}`
}
