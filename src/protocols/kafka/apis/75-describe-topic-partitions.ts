import { api } from '../api.ts'
import { array, bool, int16, int32, string, struct, uuid } from '../schema.ts'

/**
 * Describes topics a page of partitions at a time (KIP-966). No topics asks for all of them; they come in the order of
 * their names, and `nextCursor` says where the next page begins, null that there is none. Topics are never created.
 *
 * - v0: flexible from the beginning
 */
export const DescribeTopicPartitions = api(
  75,
  'DescribeTopicPartitions',
  { versions: '0', flexible: 0 },
  {
    request: {
      topics: array({ name: string }),
      responsePartitionLimit: int32.default(2000),
      cursor: struct({ topicName: string, partitionIndex: int32 }).nullable.default(null),
    },
    response: {
      throttleTimeMs: int32.default(0),
      topics: array({
        errorCode: int16,
        name: string.nullable,
        topicId: uuid,
        isInternal: bool.default(false),
        partitions: array({
          errorCode: int16,
          partitionIndex: int32,
          leaderId: int32,
          leaderEpoch: int32.default(-1),
          replicaNodes: array(int32),
          isrNodes: array(int32),
          eligibleLeaderReplicas: array(int32).nullable.default(null),
          lastKnownElr: array(int32).nullable.default(null),
          offlineReplicas: array(int32).default([]),
        }),
        /** The default says that nobody asked. */
        topicAuthorizedOperations: int32.default(-2147483648),
      }),
      nextCursor: struct({ topicName: string, partitionIndex: int32 }).nullable.default(null),
    },
  },
)
