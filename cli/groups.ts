import { didYouMean } from '../src/base/nearest.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { Answer } from '../client/operations.ts'
import { CliFailure } from './failure.ts'
import { counted, groupDigits, humanDuration } from './numbers.ts'
import { headingOf, type Column } from './output.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

/** How many members a refusal names. */
const MEMBERS_SHOWN = 5

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
  /** The member that reads it: its client id, or its member id where others go by the same client id. */
  readonly member: string | null
}

/** What is known of a group and the partitions of its topics. */
export interface GroupLag {
  readonly group: string
  readonly state: string
  readonly members: number
  readonly totalLag: number
  /** The largest of all partitions; null when none is known. */
  readonly lagMs: number | null
  readonly partitions: readonly LagRow[]
}

/** What the broker knows of a group; undefined when there is no such group. */
export async function findGroup(
  connection: JsonConnection,
  group: string,
): Promise<Answer<'FETCH_OFFSETS'> | undefined> {
  try {
    return await call(connection, 'FETCH_OFFSETS', { group })
  } catch (error) {
    if (error instanceof BrokerRefusal && error.code === 'GROUP_ID_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * The same of a group that has to be there.
 *
 * @throws CliFailure with the nearest names when there is no such group.
 */
export async function readGroup(connection: JsonConnection, group: string): Promise<Answer<'FETCH_OFFSETS'>> {
  const found = await findGroup(connection, group)
  if (found !== undefined) return found
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

/**
 * Says who is in a group that has to be without members for what is to be done.
 *
 * @throws CliFailure when it has some
 */
export function refuseActive(action: string, group: string, members: Answer<'FETCH_OFFSETS'>['members']): void {
  if (members.length === 0) return
  const shown = members.slice(0, MEMBERS_SHOWN).map((member) => {
    const { client, host, partitions } = member
    return `${client || member.member} on ${host.replace(/^\//, '')}, which reads ${counted(partitions.length, 'partition')}`
  })
  if (members.length > shown.length) shown.push(`and ${groupDigits(members.length - shown.length)} more`)
  throw new CliFailure(
    6,
    'NON_EMPTY_GROUP',
    `Cannot ${action} group ${JSON.stringify(group)}: it has ${counted(members.length, 'member')}`,
    [...shown, `Stop them first; who they are:  brokerctl consumer describe ${group} --members`],
  )
}

/**
 * The lag of a group on every partition of the topics that it reads, also on those where it has committed nothing.
 *
 * @throws CliFailure when there is no such group, or no such topic
 */
export async function readLag(connection: JsonConnection, group: string, topic?: string): Promise<GroupLag> {
  const { state, members, offsets } = await readGroup(connection, group)
  const readers = readersOf(members)
  const topics =
    topic === undefined ? await readTopicsOf(connection, offsets, members) : await readTopics(connection, [topic])
  const unsorted = topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partition, logStartOffset, logEndOffset }): LagRow => {
      const committed = offsets.find((offset) => offset.topic === name && offset.partition === partition)
      return {
        topic: name,
        partition,
        committedOffset: committed?.offset ?? null,
        logStartOffset,
        logEndOffset: committed?.logEndOffset ?? logEndOffset,
        lag: committed?.lag ?? null,
        lagMs: committed?.lagMs ?? null,
        committedAt: committed?.committedAt ?? null,
        member: readers.get(`${name}/${partition}`) ?? null,
      }
    }),
  )
  const rows = unsorted.toSorted((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  )
  const ages = rows.flatMap(({ lagMs }) => (lagMs === null ? [] : [lagMs]))
  return {
    group,
    state,
    members: members.length,
    totalLag: rows.reduce((sum, row) => sum + (row.lag ?? 0), 0),
    lagMs: ages.length === 0 ? null : Math.max(...ages),
    partitions: rows,
  }
}

/** The topics in which the group has committed something, or whose partitions its members read. */
async function readTopicsOf(
  connection: JsonConnection,
  offsets: Answer<'FETCH_OFFSETS'>['offsets'],
  members: Answer<'FETCH_OFFSETS'>['members'],
): Promise<Answer<'METADATA'>['topics']> {
  const names = new Set([...offsets, ...members.flatMap(({ partitions }) => partitions)].map(({ topic }) => topic))
  if (names.size === 0) return []
  try {
    return (await call(connection, 'METADATA', { topics: [...names] })).topics
  } catch (error) {
    if (!(error instanceof BrokerRefusal) || error.code !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
    // Members may go on for a while with a topic that has been deleted.
    return (await call(connection, 'METADATA', {})).topics.filter(({ name }) => names.has(name))
  }
}

/** Who reads which partition, by `topic/partition`. */
function readersOf(members: Answer<'FETCH_OFFSETS'>['members']): Map<string, string> {
  const namesakes = new Map<string, number>()
  for (const { client } of members) namesakes.set(client, (namesakes.get(client) ?? 0) + 1)
  return new Map(
    members.flatMap(({ member, client, partitions }) => {
      const name = client !== '' && namesakes.get(client) === 1 ? client : member
      return partitions.map(({ topic, partition }) => [`${topic}/${partition}`, name] as const)
    }),
  )
}

/** The columns of a group's partitions. Who reads them stands there when anybody does. */
export function lagColumns({ members }: GroupLag): Column<LagRow>[] {
  return [
    { title: 'TOPIC', value: (row) => row.topic },
    { title: 'PARTITION', value: (row) => row.partition },
    { title: 'COMMITTED', kind: 'count', value: (row) => row.committedOffset },
    { title: 'LOG-END', kind: 'count', value: (row) => row.logEndOffset },
    { title: 'LAG', kind: 'count', value: (row) => row.lag },
    { title: 'TIME-LAG', value: (row) => timeLag(row.lagMs) },
    { title: 'MEMBER', value: (row) => row.member, ...(members === 0 && { isWide: true }) },
  ]
}

/** `3.2s`, `0s`; null when it is not known. */
function timeLag(lagMs: number | null): string | null {
  return lagMs === 0 ? '0s' : lagMs === null ? null : humanDuration(lagMs)
}

/** `GROUP analytics   STATE Stable   MEMBERS 2   TOTAL LAG 1,204   TIME LAG 3.2s`; `trend` stands at its end. */
export function lagHeading(session: Session, lag: GroupLag, trend = ''): string {
  const { colors } = session
  const total = session.isTerminal ? groupDigits(lag.totalLag) : String(lag.totalLag)
  const age = timeLag(lag.lagMs) ?? (session.isTerminal ? '–' : '-')
  return headingOf(session, {
    GROUP: lag.group,
    STATE: lag.state,
    MEMBERS: lag.members,
    'TOTAL LAG': lag.totalLag === 0 ? colors.green(total) : colors.yellow(total),
    'TIME LAG': `${age} ${trend}`.trim(),
  })
}
