import { api } from '../api.ts'
import { array, int16, int32, string, struct, uuid } from '../schema.ts'

/**
 * The new protocol of consumer groups (KIP-848), all of it: a member says what it wants and what it has, the broker what
 * it shall have. The broker works out the assignments and moves partitions one by one: a member gets a partition when
 * the one before has said that it let go.
 *
 * Member epoch 0 joins, -1 leaves, -2 leaves for a while (static members), any other is a heartbeat. Null in the request
 * stands for "as before"; `assignment` null in the response as well.
 *
 * FENCED_MEMBER_EPOCH tells a member to join anew, UNKNOWN_MEMBER_ID the same, UNRELEASED_INSTANCE_ID that the static
 * member is still there, UNSUPPORTED_ASSIGNOR that the broker does not know the assignor asked for.
 *
 * - v0: flexible from the beginning; the broker makes up the member id
 * - v1: the client does, and may subscribe by a regular expression: INVALID_REGULAR_EXPRESSION
 */
export const ConsumerGroupHeartbeat = api(
  68,
  'ConsumerGroupHeartbeat',
  { versions: '0-1', flexible: 0 },
  {
    request: {
      groupId: string,
      memberId: string,
      memberEpoch: int32,
      instanceId: string.nullable.default(null),
      rackId: string.nullable.default(null),
      rebalanceTimeoutMs: int32.default(-1),
      subscribedTopicNames: array(string).nullable.default(null),
      subscribedTopicRegex: string.nullable.since(1).default(null),
      serverAssignor: string.nullable.default(null),
      /** What the member has. */
      topicPartitions: array({ topicId: uuid, partitions: array(int32) }).nullable.default(null),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable.default(null),
      memberId: string.nullable.default(null),
      memberEpoch: int32,
      heartbeatIntervalMs: int32,
      /** What the member shall have. */
      assignment: struct({
        topicPartitions: array({ topicId: uuid, partitions: array(int32) }),
      }).nullable.default(null),
    },
  },
)
