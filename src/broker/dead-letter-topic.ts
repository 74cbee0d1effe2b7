import type { Topic, Topics } from './topics.ts'

/** What the name of a dead letter topic ends with; before it stands the topic whose records they were. */
export const DEAD_LETTER_SUFFIX = '.dlq'

/** Somebody has to come and look, which may take longer than the week that records are kept by default. */
const DEAD_LETTER_SETTINGS = { 'retention.ms': '30d', 'max.message.bytes': '100MB' }

/** Whether a topic is for dead letters. */
export function isDeadLetterTopic(topicName: string): boolean {
  return topicName.endsWith(DEAD_LETTER_SUFFIX)
}

/**
 * Makes the dead letter topic of a topic if it is not there. It gets as many partitions, so that what was in order stays so.
 *
 * @throws BrokerError as `Topics.create`
 */
export async function ensureDeadLetterTopic(topics: Topics, topic: Topic): Promise<void> {
  const name = `${topic.name}${DEAD_LETTER_SUFFIX}`
  if (topics.get(name) !== undefined) return
  await topics.create({ name, partitionCount: topic.partitionCount, overrides: DEAD_LETTER_SETTINGS })
}
