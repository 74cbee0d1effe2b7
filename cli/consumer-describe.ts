import type { Answer } from '../client/operations.ts'
import type { Command } from './command.ts'
import { lagColumns, lagHeading, readGroup, readLag, type LagRow } from './groups.ts'
import { isoTime, localTime } from './moment.ts'
import { printRows, type Column } from './output.ts'

interface Options {
  readonly members?: boolean
}

type Member = Answer<'FETCH_OFFSETS'>['members'][number]

const MEMBER_COLUMNS: readonly Column<Member>[] = [
  { title: 'MEMBER', value: (row) => row.member },
  { title: 'CLIENT', value: (row) => row.client },
  { title: 'HOST', value: (row) => row.host },
  {
    title: 'PARTITIONS',
    value: ({ partitions }) => partitions.map(({ topic, partition }) => `${topic}/${partition}`).join(' '),
  },
]

export const consumerDescribe: Command<Options> = {
  name: 'consumer describe',
  summary: 'show what a group has committed, where and when',
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [{ flags: '--members', description: 'only its members' }],
  examples: [
    { line: 'brokerctl consumer describe analytics', does: 'committed offset, lag and time for each partition' },
  ],
  exitCodes: [3],
  async run(session, [group = ''], options) {
    const connection = await session.connect()
    if (options.members === true) {
      const { members } = await readGroup(connection, group)
      return printRows(session, members, {
        columns: MEMBER_COLUMNS,
        name: (row) => row.member,
        whenEmpty: `Group "${group}" has no members`,
      })
    }
    const lag = await readLag(connection, group)
    const columns: Column<LagRow>[] = [
      ...lagColumns(lag),
      { title: 'LOG-START', kind: 'count', isWide: true, value: (row) => row.logStartOffset },
      {
        title: 'COMMITTED-AT',
        value: ({ committedAt }) =>
          committedAt === null ? null : session.isTerminal ? localTime(committedAt).slice(0, 19) : isoTime(committedAt),
      },
    ]
    await printRows(session, lag.partitions, {
      columns,
      name: () => group,
      heading: lagHeading(session, lag),
      document: lag,
    })
  },
}
