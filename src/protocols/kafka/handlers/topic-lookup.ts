import { NO_UUID } from '../schema.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { PartitionLog } from '../../../log/log-engine.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'

/** The numbers of all partitions of a topic. */
export function partitionNumbers({ partitionCount }: Topic): number[] {
  return Array.from({ length: partitionCount }, (_, partition) => partition)
}

/**
 * The topic with this id.
 *
 * @throws Refusal UNKNOWN_TOPIC_ID
 */
export function getTopicById(context: RequestContext, id: string): Topic {
  const topic = id === NO_UUID ? undefined : context.broker.topics.getById(id)
  if (topic === undefined) throw new Refusal('UNKNOWN_TOPIC_ID', `There is no topic with the id ${id}`)
  return topic
}

/**
 * Compares the leader epoch that a client believes in with the real one; -1 is a client that does not know it, and so is
 * 0 from librdkafka.
 *
 * @throws Refusal FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH
 */
export function checkLeaderEpoch({ topic, partition, leaderEpoch }: PartitionLog, believed: number): void {
  if (believed <= 0 || believed === leaderEpoch) return
  throw new Refusal(
    believed < leaderEpoch ? 'FENCED_LEADER_EPOCH' : 'UNKNOWN_LEADER_EPOCH',
    `Topic "${topic}", partition ${partition} is in leader epoch ${leaderEpoch}, not ${believed}`,
  )
}
