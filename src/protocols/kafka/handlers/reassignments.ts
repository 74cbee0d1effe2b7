import type { ElectLeaders } from '../apis/43-elect-leaders.ts'
import type { AlterPartitionReassignments } from '../apis/45-alter-partition-reassignments.ts'
import type { ListPartitionReassignments } from '../apis/46-list-partition-reassignments.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'

// A single broker leads everything and has nowhere to move it to.

/** The leader stays. */
export const electLeaders: Handler<typeof ElectLeaders, RequestContext> = ({ topicPartitions }, context) => ({
  errorCode: 0,
  replicaElectionResults: (topicPartitions ?? []).map(({ topic, partitions }) => ({
    topic,
    partitionResult: partitions.map((partitionId) => {
      const refusal = new Refusal('ELECTION_NOT_NEEDED', 'There is one broker, and it is the leader')
      return { partitionId, ...refuseUnlessUnknown(context, topic, partitionId, refusal) }
    }),
  })),
})

/** Nothing is moved, and no move is stopped. */
export const alterPartitionReassignments: Handler<typeof AlterPartitionReassignments, RequestContext> = (
  { topics },
  context,
) => ({
  errorCode: 0,
  errorMessage: null,
  responses: topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex, replicas }) => {
      const refusal =
        replicas === null
          ? new Refusal('NO_REASSIGNMENT_IN_PROGRESS', 'Nothing is being moved')
          : new Refusal('INVALID_REPLICA_ASSIGNMENT', 'There is one broker, and nothing can be moved')
      return { partitionIndex, ...refuseUnlessUnknown(context, name, partitionIndex, refusal) }
    }),
  })),
})

/** Nothing is being moved. */
export const listPartitionReassignments: Handler<typeof ListPartitionReassignments, RequestContext> = () => ({
  errorCode: 0,
  errorMessage: null,
  topics: [],
})

function refuseUnlessUnknown(context: RequestContext, topic: string, partition: number, refusal: Refusal) {
  try {
    context.broker.getLog(topic, partition)
  } catch (error) {
    return context.describe(error)
  }
  return context.describe(refusal)
}
