import { didYouMean } from '../src/base/nearest.ts'
import { formatDuration } from '../src/base/units.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { Answer } from '../client/operations.ts'
import { CliFailure } from './failure.ts'
import { groupDigits } from './numbers.ts'
import { headingOf, type Column } from './output.ts'
import type { Session } from './session.ts'

/** A partition as a group sees it. */
export interface LagRow {
  readonly topic: string
  readonly partition: number
  /** The next offset that the group wants; null when it has committed nothing there. */
  readonly committedOffset: number | null
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly lag: number | null
  /** How old the record is that the group wants next. */
  readonly lagMs: number | null
  /** Unix milliseconds. */
  readonly committedAt: number | null
}

/** What is known of a group and the partitions of its topics. */
export interface GroupLag {
  readonly group: string
  readonly state: string
  readonly members: number
  readonly totalLag: number
  readonly partitions: readonly LagRow[]
}

/**
 * The committed offsets of a group.
 *
 * @throws CliFailure with the nearest names when there is no such group.
 */
export async function readGroup(
  connection: JsonConnection,
  group: string,
  topic?: string,
): Promise<Answer<'FETCH_OFFSETS'>> {
  try {
    return await call(connection, 'FETCH_OFFSETS', topic === undefined ? { group } : { group, topic })
  } catch (error) {
    if (!(error instanceof BrokerRefusal) || error.code !== 'GROUP_ID_NOT_FOUND') throw error
    const { groups } = await call(connection, 'LIST_GROUPS', {})
    const guess = didYouMean(
      group,
      groups.map((candidate) => candidate.group),
    )
    throw new CliFailure(
      3,
      'GROUP_ID_NOT_FOUND',
      `There is no group ${JSON.stringify(group)}${guess || ': it has committed nothing'}`,
      [`It begins with:  brokerctl consume TOPIC --group ${group}`, 'What is there:  brokerctl consumer list'],
    )
  }
}

/** The lag of a group on every partition of the topics that it reads, also on those where it has committed nothing. */
export async function readLag(connection: JsonConnection, group: string, topic?: string): Promise<GroupLag> {
  const { state, members, offsets } = await readGroup(connection, group, topic)
  const names = [...new Set(offsets.map((offset) => offset.topic))].toSorted()
  const { topics } = names.length === 0 ? { topics: [] } : await call(connection, 'METADATA', { topics: names })
  const unsorted = topics.flatMap((metadata) =>
    metadata.partitions.map(({ partition, logStartOffset, logEndOffset }): LagRow => {
      const committed = offsets.find((offset) => offset.topic === metadata.name && offset.partition === partition)
      if (!committed) {
        return {
          topic: metadata.name,
          partition,
          committedOffset: null,
          logStartOffset,
          logEndOffset,
          lag: null,
          lagMs: null,
          committedAt: null,
        }
      }
      const { offset, lag, lagMs, committedAt } = committed
      return {
        topic: metadata.name,
        partition,
        committedOffset: offset,
        logStartOffset,
        logEndOffset: committed.logEndOffset,
        lag,
        lagMs,
        committedAt,
      }
    }),
  )
  const rows = unsorted.toSorted((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  )
  return {
    group,
    state,
    members: members.length,
    totalLag: rows.reduce((sum, row) => sum + (row.lag ?? 0), 0),
    partitions: rows,
  }
}

/** The columns of a group's partitions. */
export const LAG_COLUMNS: readonly Column<LagRow>[] = [
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'COMMITTED', kind: 'count', value: (row) => row.committedOffset },
  { title: 'LOG-END', kind: 'count', value: (row) => row.logEndOffset },
  { title: 'LAG', kind: 'count', value: (row) => row.lag },
  { title: 'BEHIND', value: (row) => (row.lagMs ? formatDuration(roundMs(row.lagMs)) : null) },
]

/** Seconds are enough once there are some. */
function roundMs(milliseconds: number): number {
  return milliseconds < 10_000 ? milliseconds : Math.round(milliseconds / 1000) * 1000
}

/** `GROUP analytics   STATE Empty   MEMBERS 0   TOTAL LAG 1,204`. */
export function lagHeading(session: Session, lag: GroupLag): string {
  const { colors } = session
  const total = session.isTerminal ? groupDigits(lag.totalLag) : String(lag.totalLag)
  return headingOf(session, {
    GROUP: lag.group,
    STATE: lag.state,
    MEMBERS: lag.members,
    'TOTAL LAG': lag.totalLag === 0 ? colors.green(total) : colors.yellow(total),
  })
}
