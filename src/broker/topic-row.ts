import { parseTopicName } from '../base/topic-name.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { TopicSettings } from './topic-config.ts'

// Row of the table `topics`. Key: the topic's name. Value: JSON, so that an older broker can read what a newer one added:
//   {"version":1,"id":"…","partitions":4,"overrides":{"retention.ms":"3600000"},"createdAtMs":…,"isDeleting":true?}
const ROW_VERSION = 1

/** What is stored about a topic. */
export interface TopicRow {
  readonly id: string
  readonly name: TopicName
  readonly partitionCount: number
  readonly overrides: TopicSettings
  readonly createdAtMs: number
  /** The topic is gone for everybody, and something of it may still be there. */
  readonly isDeleting?: boolean
}

/** The row as bytes. */
export function encodeTopicRow({ id, partitionCount, overrides, createdAtMs, isDeleting = false }: TopicRow): Buffer {
  const row = {
    version: ROW_VERSION,
    id,
    partitions: partitionCount,
    overrides: Object.fromEntries(overrides),
    createdAtMs,
    ...(isDeleting && { isDeleting }),
  }
  return Buffer.from(JSON.stringify(row))
}

/** @throws Error when the row is not one that this version wrote or can read */
export function decodeTopicRow(key: string, value: Buffer): Required<TopicRow> {
  try {
    const row: unknown = JSON.parse(value.toString())
    if (typeof row !== 'object' || row === null || !('version' in row)) throw new Error('it has no version')
    if (row.version !== ROW_VERSION) throw new Error(`it has version ${String(row.version)}`)
    const { id, partitions, overrides, createdAtMs, isDeleting = false } = row as unknown as Record<string, unknown>
    const isWhole =
      typeof id === 'string' &&
      typeof partitions === 'number' &&
      typeof createdAtMs === 'number' &&
      typeof isDeleting === 'boolean' &&
      typeof overrides === 'object' &&
      overrides !== null
    if (!isWhole) throw new Error('a field is missing')
    const settings = new Map(Object.entries(overrides).map(([name, text]) => [name, String(text)]))
    return { id, name: parseTopicName(key), partitionCount: partitions, overrides: settings, createdAtMs, isDeleting }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot read the row of topic ${JSON.stringify(key)} in the store: ${reason}`, { cause: error })
  }
}
