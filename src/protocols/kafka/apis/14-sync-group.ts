import { api } from '../api.ts'
import { array, bytes, int16, int32, string } from '../schema.ts'

/**
 * Classic groups, step two: the leader brings the assignments, everybody waits for their own. A member that the leader
 * forgot gets no bytes. What is in an assignment is between the clients.
 *
 * - v1: throttle time
 * - v3: static members (KIP-345)
 * - v4: flexible
 * - v5: protocol type and name, which must be those of the group: INCONSISTENT_GROUP_PROTOCOL (KIP-559)
 */
export const SyncGroup = api(
  14,
  'SyncGroup',
  { versions: '0-5', flexible: 4 },
  {
    request: {
      groupId: string,
      generationId: int32,
      memberId: string,
      groupInstanceId: string.nullable.since(3).default(null),
      protocolType: string.nullable.since(5).default(null),
      protocolName: string.nullable.since(5).default(null),
      assignments: array({
        memberId: string,
        assignment: bytes,
      }),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      errorCode: int16,
      protocolType: string.nullable.since(5).default(null),
      protocolName: string.nullable.since(5).default(null),
      assignment: bytes,
    },
  },
)
