import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { readGroup, refuseActive } from './groups.ts'
import { counted, groupDigits } from './numbers.ts'
import { printOutcomes } from './output.ts'
import type { Session } from './session.ts'

interface Options {
  readonly topic?: readonly string[]
}

export const consumerDelete: Command<Options> = {
  name: 'consumer delete',
  summary: 'delete groups with their committed offsets',
  details: [
    'Asks first. Where nobody can answer, in a script, it wants --yes. A group with members is refused: stop them first. With --topic only the offsets in that topic go; a group that has none left is gone.',
    'What consumer export has printed before, consumer reset --from-file brings back.',
  ],
  arguments: [{ name: 'GROUP', description: 'groups', isVariadic: true, completes: 'group' }],
  options: [
    {
      flags: '--topic <TOPIC>',
      description: 'only the offsets in this topic; may be repeated',
      isRepeatable: true,
      completes: 'topic',
    },
  ],
  examples: [
    { line: 'brokerctl consumer delete trial', does: 'says what would be lost, asks, deletes' },
    {
      line: 'brokerctl consumer delete trial analytics --topic orders --yes',
      does: 'what they had committed in orders',
    },
  ],
  exitCodes: [3, 6],
  run: (session, groups, { topic }) => deleteOffsets(session, groups, topic),
}

export const consumerOffsetDelete: Command<Options> = {
  name: 'consumer offset-delete',
  summary: 'delete what a group has committed in a topic',
  details: ['The same as consumer delete with --topic, for those who know it by this name.'],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [
    { flags: '--topic <TOPIC>', description: 'the topic; may be repeated', isRepeatable: true, completes: 'topic' },
  ],
  examples: [
    {
      line: 'brokerctl consumer offset-delete analytics --topic orders',
      does: 'says what would be lost, asks, deletes',
    },
  ],
  exitCodes: [3, 6],
  async run(session, groups, { topic }) {
    if (topic === undefined)
      throw usageFailure('In which topic?  --topic TOPIC', 'The whole group:  brokerctl consumer delete')
    await deleteOffsets(session, groups, topic)
  },
}

/** What is to go of one group; `topic` undefined: all of it. */
interface Deletion {
  readonly group: string
  readonly topic: string | undefined
}

/**
 * Says what would be lost, asks, deletes.
 *
 * @throws CliFailure
 */
async function deleteOffsets(session: Session, names: readonly string[], topics?: readonly string[]): Promise<void> {
  const connection = await session.connect()
  const groups = [...new Set(names)]
  const deletions: Deletion[] = []
  for (const group of groups) deletions.push(...(await planDeletions(session, connection, group, topics)))
  if (deletions.length === 0) return
  const what =
    topics !== undefined ? 'these offsets' : groups.length === 1 ? 'this group' : `these ${groups.length} groups`
  await session.confirm(`Delete ${what}?`)
  const outcomes: { name: string; topic?: string; status: 'deleted'; offsets: number }[] = []
  try {
    for (const { group, topic } of deletions) {
      const { deleted } = await call(connection, 'DELETE_OFFSETS', topic === undefined ? { group } : { group, topic })
      outcomes.push({ name: group, ...(topic !== undefined && { topic }), status: 'deleted', offsets: deleted })
    }
  } finally {
    await printOutcomes(session, outcomes, ({ name, topic, offsets }) => {
      const place = topic === undefined ? '' : ` in topic "${topic}"`
      const whole =
        topic === undefined
          ? `group "${name}" with ${counted(offsets, 'offset')}`
          : `${counted(offsets, 'offset')} of group "${name}"`
      return `${session.colors.green('✓')} Deleted ${whole}${place}`
    })
  }
}

async function planDeletions(
  session: Session,
  connection: JsonConnection,
  group: string,
  topics: readonly string[] | undefined,
): Promise<Deletion[]> {
  const { members, offsets } = await readGroup(connection, group)
  refuseActive(topics === undefined ? 'delete' : 'delete offsets of', group, members)
  if (topics === undefined) {
    const lag = offsets.reduce((sum, offset) => sum + offset.lag, 0)
    session.note(`Group "${group}": ${counted(offsets.length, 'offset')}, lag ${groupDigits(lag)}`)
    return [{ group, topic: undefined }]
  }
  return [...new Set(topics)].flatMap((topic) => {
    const count = offsets.filter((offset) => offset.topic === topic).length
    session.note(`Group "${group}": ${counted(count, 'offset')} in topic "${topic}"`)
    return count === 0 ? [] : [{ group, topic }]
  })
}
