import { systemClock } from '../src/base/clock.ts'
import { call } from '../client/operations.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { readMoment } from './moment.ts'
import { printRows, type Column } from './output.ts'
import { readTopics } from './topics.ts'

interface Options {
  readonly at?: string
}

interface Row {
  readonly topic: string
  readonly partition: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly records: number
  readonly sizeBytes: number
  /** With --at: the first offset from then on, null when there is none. */
  readonly offsetAt?: number | null
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'START', kind: 'count', value: (row) => row.logStartOffset },
  { title: 'END', kind: 'count', value: (row) => row.highWatermark },
  { title: 'RECORDS', kind: 'count', value: (row) => row.records },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.sizeBytes },
]

export const topicOffsets: Command<Options> = {
  name: 'topic offsets',
  summary: 'show first and last offsets, or the offset at a time',
  arguments: [{ name: 'NAME', description: 'topics', isVariadic: true, completes: 'topic' }],
  options: [{ flags: '--at <TIME>', description: 'also the first offset from a time on: @-1h, @10:30, @2026-11-24' }],
  examples: [
    { line: 'brokerctl topic offsets orders', does: 'start, end, count and bytes of each partition' },
    { line: 'brokerctl topic offsets orders --at @-1h', does: 'and where the last hour begins' },
  ],
  exitCodes: [3],
  async run(session, names, options) {
    const timestamp = options.at === undefined ? undefined : momentOf(options.at)
    const connection = await session.connect()
    const rows: Row[] = []
    for (const topic of await readTopics(connection, names)) {
      const found =
        timestamp === undefined
          ? undefined
          : (await call(connection, 'LIST_OFFSETS', { topic: topic.name, timestamp })).offsets
      for (const { partition, logStartOffset, highWatermark, sizeBytes } of topic.partitions) {
        const offset = found?.find((candidate) => candidate.partition === partition)?.offset ?? -1
        const row = {
          topic: topic.name,
          partition,
          logStartOffset,
          highWatermark,
          records: highWatermark - logStartOffset,
          sizeBytes,
        }
        rows.push(found === undefined ? row : { ...row, offsetAt: offset < 0 ? null : offset })
      }
    }
    const atColumn: Column<Row> = { title: 'AT', kind: 'count', value: (row) => row.offsetAt ?? null }
    await printRows(session, rows, {
      columns: timestamp === undefined ? COLUMNS : [...COLUMNS, atColumn],
      name: (row) => row.topic,
    })
  },
}

function momentOf(text: string): number {
  const moment = readMoment(text.replace(/^@/, ''), systemClock.now())
  if (moment === undefined)
    throw usageFailure(
      `Cannot use ${JSON.stringify(text)} as a time: @-1h, @10:30, @2026-11-24T10:30:00Z or seconds since 1970`,
    )
  return moment
}
