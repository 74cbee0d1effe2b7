import { call } from '../client/operations.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { printRows, type Column } from './output.ts'
import { recordCount, sizeBytes } from './topics.ts'

interface Options {
  readonly sort?: 'name' | 'size' | 'records'
}

interface Row {
  readonly name: string
  readonly id: string
  readonly partitions: number
  readonly records: number
  readonly sizeBytes: number
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'TOPIC', value: (row) => row.name },
  { title: 'PARTITIONS', kind: 'count', value: (row) => row.partitions },
  { title: 'RECORDS', kind: 'count', value: (row) => row.records },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.sizeBytes },
  { title: 'ID', isWide: true, value: (row) => row.id },
]

export const topicList: Command<Options> = {
  name: 'topic list',
  summary: 'list the topics',
  arguments: [
    { name: 'PATTERN', description: 'only names that fit: * is any text, ? one character', isOptional: true },
  ],
  options: [
    {
      flags: '--sort <BY>',
      description: 'the order; sizes and records largest first (name)',
      choices: ['name', 'size', 'records'],
    },
  ],
  examples: [
    { line: 'brokerctl topic list', does: 'every topic with its partitions, records and size' },
    { line: "brokerctl topic list 'user-*' --output name", does: 'names only, for scripts' },
  ],
  async run(session, [pattern], options) {
    const fits = pattern === undefined ? () => true : globMatcher(pattern)
    const connection = await session.connect()
    const { topics } = await call(connection, 'METADATA', {})
    const rows = topics
      .filter((topic) => fits(topic.name))
      .map((topic) => ({
        name: topic.name,
        id: topic.id,
        partitions: topic.partitions.length,
        records: recordCount(topic),
        sizeBytes: sizeBytes(topic),
      }))
      .toSorted(orderOf(options.sort ?? 'name'))
    await printRows(session, rows, {
      columns: COLUMNS,
      name: (row) => row.name,
      whenEmpty:
        topics.length === 0
          ? 'No topics yet. Create one:  brokerctl topic create orders --partitions 3'
          : `None of the ${topics.length} topics fits ${JSON.stringify(pattern)}`,
    })
  },
}

function orderOf(sort: 'name' | 'size' | 'records'): (a: Row, b: Row) => number {
  const byName = (a: Row, b: Row) => (a.name < b.name ? -1 : 1)
  if (sort === 'size') return (a, b) => b.sizeBytes - a.sizeBytes || byName(a, b)
  if (sort === 'records') return (a, b) => b.records - a.records || byName(a, b)
  return byName
}

/** `user-*` → whether a name fits. @throws CliFailure */
export function globMatcher(pattern: string): (name: string) => boolean {
  if (!/^[a-zA-Z0-9._*?-]+$/.test(pattern)) {
    throw usageFailure(`Cannot use ${JSON.stringify(pattern)} as a pattern: a topic name with * and ? in it`)
  }
  const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')}$`)
  return (name) => expression.test(name)
}
