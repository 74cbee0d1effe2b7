import { api } from '../api.ts'
import { array, bool, bytes, int16, int32, string } from '../schema.ts'

/**
 * Classic groups, step one: a member joins, and the answer waits until all have. The leader's answer lists the members
 * with what they want (`metadata`, opaque to the broker), everybody else's lists none; the leader works out who gets
 * what and sends it with SyncGroup.
 *
 * The broker picks the protocol (an assignment strategy) that all members know and most prefer. A member that comes with
 * an empty id is answered MEMBER_ID_REQUIRED and its new id, and joins again with that (from v4 on, unless it is static).
 *
 * - v1: rebalance timeout; before, the session timeout serves for both
 * - v2: throttle time
 * - v4: MEMBER_ID_REQUIRED (KIP-394)
 * - v5: static members (KIP-345)
 * - v6: flexible
 * - v7: the answer names the protocol type, and its protocol name may be null (KIP-559)
 * - v8: the reason for joining again (KIP-800)
 * - v9: tells a leader to leave the assignment as it is (KIP-814)
 */
export const JoinGroup = api(
  11,
  'JoinGroup',
  { versions: '0-9', flexible: 6 },
  {
    request: {
      groupId: string,
      sessionTimeoutMs: int32,
      rebalanceTimeoutMs: int32.since(1).default(-1),
      memberId: string,
      groupInstanceId: string.nullable.since(5).default(null),
      /** `consumer`, `connect`, or whatever else uses groups. */
      protocolType: string,
      protocols: array({
        name: string,
        metadata: bytes,
      }),
      reason: string.nullable.since(8).default(null),
    },
    response: {
      throttleTimeMs: int32.since(2).default(0),
      errorCode: int16,
      generationId: int32.default(-1),
      protocolType: string.nullable.since(7).default(null),
      protocolName: string.nullableSince(7),
      leader: string,
      skipAssignment: bool.since(9).default(false),
      memberId: string,
      members: array({
        memberId: string,
        groupInstanceId: string.nullable.since(5).default(null),
        metadata: bytes,
      }),
    },
  },
)
