import { formatDuration } from '../src/base/units.ts'
import type { PartitionMetadata, TopicMetadata } from '../src/protocols/json/wire.ts'
import type { Command } from './command.ts'
import { humanBytes } from './numbers.ts'
import { headingOf, printRows, type Column } from './output.ts'
import type { Session } from './session.ts'
import { readTopics, recordCount, sizeBytes } from './topics.ts'

interface Options {
  readonly partitions?: boolean
  readonly config?: boolean
}

interface SettingRow {
  readonly key: string
  readonly value: string
  readonly source: string
}

const PARTITION_COLUMNS: readonly Column<PartitionMetadata>[] = [
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'LOG-START', kind: 'count', value: (row) => row.logStartOffset },
  { title: 'HIGH-WATERMARK', kind: 'count', value: (row) => row.highWatermark },
  { title: 'LOG-END', kind: 'count', isWide: true, value: (row) => row.logEndOffset },
  { title: 'RECORDS', kind: 'count', value: (row) => row.highWatermark - row.logStartOffset },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.sizeBytes },
  { title: 'SEGMENTS', kind: 'count', value: (row) => row.segments },
  { title: 'EPOCH', isWide: true, value: (row) => row.leaderEpoch },
]

export const topicDescribe: Command<Options> = {
  name: 'topic describe',
  summary: 'show the settings and the partitions of topics',
  arguments: [{ name: 'NAME', description: 'topics', isVariadic: true, completes: 'topic' }],
  options: [
    { flags: '--partitions', description: 'only the partitions' },
    { flags: '--config', description: 'only the settings' },
  ],
  examples: [
    { line: 'brokerctl topic describe orders', does: 'settings, and each partition with its offsets and size' },
    { line: 'brokerctl topic describe orders -j', does: 'the same as JSON' },
  ],
  exitCodes: [3],
  async run(session, names, options) {
    const connection = await session.connect()
    const topics = await readTopics(connection, names)
    if (session.output !== 'table' && session.output !== 'wide') return printDocument(session, topics, options)
    let isFirst = true
    for (const topic of topics) {
      if (!isFirst) await session.write('\n')
      isFirst = false
      await printTopic(session, topic, options)
    }
  },
}

async function printTopic(session: Session, topic: TopicMetadata, options: Options) {
  const heading = headingOf(session, {
    TOPIC: topic.name,
    PARTITIONS: topic.partitions.length,
    RECORDS: recordCount(topic),
    SIZE: session.isTerminal ? humanBytes(sizeBytes(topic)) : sizeBytes(topic),
    ...(session.output === 'wide' ? { ID: topic.id } : {}),
  })
  await session.write(`${heading}\n`)
  if (options.partitions !== true) {
    await session.write('\n')
    await printRows(session, settingsOf(topic), {
      columns: [
        { title: 'SETTING', value: (row) => row.key },
        { title: 'VALUE', value: (row) => (session.isTerminal ? readable(row) : row.value) },
        { title: 'FROM', value: (row) => row.source },
      ],
      name: (row) => row.key,
    })
  }
  if (options.config !== true) {
    await session.write('\n')
    await printRows(session, topic.partitions, { columns: PARTITION_COLUMNS, name: (row) => String(row.partition) })
  }
}

/** The forms for programs: whole topics, or one row a partition where rows are wanted. */
async function printDocument(session: Session, topics: readonly TopicMetadata[], options: Options) {
  if (options.config === true && session.output !== 'json' && session.output !== 'yaml') {
    const rows = topics.flatMap((topic) => settingsOf(topic).map((setting) => ({ topic: topic.name, ...setting })))
    const columns = (['topic', 'key', 'value', 'source'] as const).map((title) => ({
      title,
      value: (row: (typeof rows)[number]) => row[title],
    }))
    return printRows(session, rows, { columns, name: (row) => row.key })
  }
  const rows = topics.flatMap((topic) => topic.partitions.map((partition) => ({ topic: topic.name, ...partition })))
  const columns: Column<(typeof rows)[number]>[] = [{ title: 'TOPIC', value: (row) => row.topic }, ...PARTITION_COLUMNS]
  return printRows(session, rows, {
    columns,
    name: (row) => row.topic,
    document: topics.map(({ partitions, config, ...topic }) => ({
      ...topic,
      ...(options.partitions === true ? {} : { config }),
      ...(options.config === true ? {} : { partitions }),
    })),
  })
}

function settingsOf(topic: TopicMetadata): SettingRow[] {
  return Object.entries(topic.config)
    .map(([key, { value, source }]) => ({ key, value, source }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

/** Adds what a large number means: `604800000 (7d)`. */
function readable({ key, value }: SettingRow): string {
  const number = Number(value)
  if (value === '-1' && /(?:\.ms|\.bytes)$/.test(key)) return '-1 (no limit)'
  if (!Number.isSafeInteger(number) || number < 1024) return value
  if (key.endsWith('.ms')) return `${value} (${formatDuration(number)})`
  return key.endsWith('bytes') ? `${value} (${humanBytes(number)})` : value
}
