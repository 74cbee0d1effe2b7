import { call } from '../client/operations.ts'
import type { Command } from './command.ts'
import { counted, humanBytes } from './numbers.ts'
import { printOutcomes } from './output.ts'
import { readTopics, recordCount, sizeBytes } from './topics.ts'

export const topicDelete: Command = {
  name: 'topic delete',
  summary: 'delete topics with all their records',
  details: ['Asks first. Where nobody can answer, in a script, it wants --yes.'],
  arguments: [{ name: 'NAME', description: 'topics', isVariadic: true, completes: 'topic' }],
  examples: [
    { line: 'brokerctl topic delete orders', does: 'says what would be lost, asks, deletes' },
    { line: 'brokerctl topic delete orders --yes', does: 'does not ask' },
  ],
  exitCodes: [3],
  async run(session, names) {
    const connection = await session.connect()
    const topics = await readTopics(connection, [...new Set(names)])
    for (const topic of topics) {
      session.note(`Topic "${topic.name}": ${counted(recordCount(topic), 'record')}, ${humanBytes(sizeBytes(topic))}`)
    }
    await session.confirm(topics.length === 1 ? 'Delete this topic?' : `Delete these ${topics.length} topics?`)
    const outcomes: { name: string; status: 'deleted' }[] = []
    try {
      for (const { name } of topics) {
        await call(connection, 'DELETE_TOPIC', { topic: name })
        outcomes.push({ name, status: 'deleted' })
      }
    } finally {
      await printOutcomes(session, outcomes, ({ name }) => `${session.colors.green('✓')} Deleted topic "${name}"`)
    }
  },
}
