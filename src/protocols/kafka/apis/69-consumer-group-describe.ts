import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string, struct, uuid } from '../schema.ts'

const assignment = struct({
  topicPartitions: array({
    topicId: uuid,
    topicName: string,
    partitions: array(int32),
  }),
})

/**
 * Describes groups of the new protocol (KIP-848). GROUP_ID_NOT_FOUND for a classic group too: kafka-consumer-groups then
 * asks DescribeGroups.
 *
 * - v0: flexible from the beginning
 * - v1: tells members of the classic protocol from those of the new one, in a group on its way to that (KIP-1099)
 */
export const ConsumerGroupDescribe = api(
  69,
  'ConsumerGroupDescribe',
  { versions: '0-1', flexible: 0 },
  {
    request: {
      groupIds: array(string),
      includeAuthorizedOperations: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      groups: array({
        errorCode: int16,
        errorMessage: string.nullable.default(null),
        groupId: string,
        groupState: string,
        groupEpoch: int32,
        assignmentEpoch: int32,
        assignorName: string,
        members: array({
          memberId: string,
          instanceId: string.nullable.default(null),
          rackId: string.nullable.default(null),
          memberEpoch: int32,
          clientId: string,
          clientHost: string,
          subscribedTopicNames: array(string),
          subscribedTopicRegex: string.nullable.default(null),
          /** What the member has. */
          assignment,
          /** What it shall have. */
          targetAssignment: assignment,
          /** 0 classic, 1 new, -1 not known. */
          memberType: int8.since(1).default(-1),
        }),
        /** The default says that nobody asked. */
        authorizedOperations: int32.default(-2147483648),
      }),
    },
  },
)
