import type { Broker } from '../../../broker/broker.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { Operation } from '../context.ts'
import type { PartitionMetadata, TopicMetadata } from '../wire.ts'

/** There is one broker, and this is its number. */
const BROKER_ID = 1

/** What topics there are, how far each partition goes, and how they are set. */
export const metadata: Operation<'METADATA'> = ({ broker }, fields) => {
  const names = fields.optionalTextList('topics')
  const topics = names?.map((name) => broker.topics.getExisting(name)) ?? broker.topics.list()
  return {
    clusterId: broker.identity.clusterId,
    brokerId: BROKER_ID,
    version: broker.identity.version,
    topics: topics.map((topic) => describeTopic(broker, topic)),
  }
}

function describeTopic(broker: Broker, topic: Topic): TopicMetadata {
  const partitions = Array.from({ length: topic.partitionCount }, (_, partition) =>
    describePartition(broker, topic, partition),
  )
  const config = Object.fromEntries(broker.topics.describeConfig(topic))
  return { name: topic.name, id: topic.id, partitions, config }
}

function describePartition(broker: Broker, topic: Topic, partition: number): PartitionMetadata {
  const log = broker.getLog(topic.name, partition)
  return {
    partition,
    leaderEpoch: log.leaderEpoch,
    logStartOffset: log.logStartOffset,
    highWatermark: log.highWatermark,
    logEndOffset: log.logEndOffset,
    sizeBytes: log.sizeBytes,
    segments: log.segmentCount,
  }
}
