const TOPICS = [
  { topic: 'orders', partitions: 4, config: { 'retention.ms': '7d' } },
  { topic: 'menu', partitions: 1, config: { 'cleanup.policy': 'compact' } },
]

/** Makes the topics that the program needs, and says which of them were not there yet. */
export async function prepareTopics(client) {
  const made = []
  for (const topic of TOPICS) {
    const { created } = await client.admin().createTopic(topic)
    if (created) made.push(topic.topic)
  }
  return made
}
