import { call } from '../client/operations.ts'
import type { GroupOverview, GroupState } from '../src/protocols/json/wire.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { printRows, type Column } from './output.ts'

interface Options {
  readonly state?: readonly GroupState[]
  readonly topic?: string
}

const COLUMNS: readonly Column<GroupOverview>[] = [
  { title: 'GROUP', value: (row) => row.group },
  { title: 'STATE', value: (row) => row.state },
  { title: 'MEMBERS', kind: 'count', value: (row) => row.members },
  { title: 'TOPICS', value: (row) => row.topics.join(',') },
  { title: 'PARTITIONS', kind: 'count', value: (row) => row.partitions },
  { title: 'LAG', kind: 'count', value: (row) => row.lag },
]

export const consumerList: Command<Options> = {
  name: 'consumer list',
  summary: 'list the consumer groups',
  options: [
    {
      flags: '--state <STATE>',
      description: 'only groups in this state: empty, stable, rebalancing, or one of those of describe',
      parse: parseState,
    },
    { flags: '--topic <TOPIC>', description: 'only groups that read this topic', completes: 'topic' },
  ],
  examples: [
    { line: 'brokerctl consumer list', does: 'every group with its topics and its lag' },
    { line: 'brokerctl consumer list --topic orders --output name', does: 'who reads orders' },
  ],
  async run(session, _words, options) {
    const connection = await session.connect()
    const { groups } = await call(connection, 'LIST_GROUPS', {})
    const { topic, state } = options
    const rows = groups
      .filter((group) => topic === undefined || group.topics.includes(topic))
      .filter((group) => state === undefined || state.includes(group.state))
      .toSorted((a, b) => (a.group < b.group ? -1 : 1))
    await printRows(session, rows, {
      columns: COLUMNS,
      name: (row) => row.group,
      whenEmpty:
        groups.length === 0
          ? 'No consumer groups yet. One begins with:  brokerctl consume TOPIC --group NAME --from-beginning'
          : `None of the ${groups.length} groups is like that`,
    })
  },
}

const REBALANCING: readonly GroupState[] = ['PreparingRebalance', 'CompletingRebalance', 'Reconciling']
const STATES: readonly GroupState[] = ['Empty', 'Stable', ...REBALANCING]

/** @throws CliFailure */
function parseState(text: string): readonly GroupState[] {
  const word = text.toLowerCase()
  if (word === 'rebalancing') return REBALANCING
  const state = STATES.find((candidate) => candidate.toLowerCase() === word)
  if (state !== undefined) return [state]
  throw usageFailure(
    `Cannot use ${JSON.stringify(text)} as a state: empty, stable, rebalancing, or one of ${REBALANCING.join(', ')}`,
  )
}
