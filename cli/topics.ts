import { didYouMean } from '../src/base/nearest.ts'
import type { TopicMetadata } from '../src/protocols/json/wire.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { CliFailure } from './failure.ts'

/**
 * What the broker knows of these topics, in the same order.
 *
 * @throws CliFailure with the nearest names when one is not there.
 */
export async function readTopics(connection: JsonConnection, names: readonly string[]): Promise<TopicMetadata[]> {
  try {
    const { topics } = await call(connection, 'METADATA', { topics: names })
    return names.map((name) => findTopic(topics, name))
  } catch (error) {
    if (!(error instanceof BrokerRefusal) || error.code !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
    const { topics } = await call(connection, 'METADATA', {})
    return names.map((name) => findTopic(topics, name))
  }
}

function findTopic(topics: readonly TopicMetadata[], name: string): TopicMetadata {
  const topic = topics.find((candidate) => candidate.name === name)
  if (topic) return topic
  const guess = didYouMean(
    name,
    topics.map((candidate) => candidate.name),
  )
  throw new CliFailure(3, 'UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${JSON.stringify(name)}${guess}`, [
    `Create it:  brokerctl topic create ${name} --partitions 4`,
    'What is there:  brokerctl topic list',
  ])
}

/** The records that a consumer can read. */
export function recordCount(topic: TopicMetadata): number {
  return topic.partitions.reduce((sum, partition) => sum + partition.highWatermark - partition.logStartOffset, 0)
}

export function sizeBytes(topic: TopicMetadata): number {
  return topic.partitions.reduce((sum, partition) => sum + partition.sizeBytes, 0)
}

/** `-c key=value`, several times → one object. @throws CliFailure */
export function keyAndValue(text: string): readonly [string, string] {
  const equals = text.indexOf('=')
  if (equals <= 0)
    throw new CliFailure(
      2,
      'USAGE',
      `Cannot use ${JSON.stringify(text)} as a setting: KEY=VALUE, as in retention.ms=7d`,
    )
  return [text.slice(0, equals), text.slice(equals + 1)]
}
