import { api } from '../api.ts'
import { int16, int32, string } from '../schema.ts'

/**
 * Classic groups: a member is alive. REBALANCE_IN_PROGRESS tells it to join again; ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID
 * and FENCED_INSTANCE_ID that it is no longer part of the group.
 *
 * - v1: throttle time
 * - v3: static members (KIP-345)
 * - v4: flexible
 */
export const Heartbeat = api(
  12,
  'Heartbeat',
  { versions: '0-4', flexible: 4 },
  {
    request: {
      groupId: string,
      generationId: int32,
      memberId: string,
      groupInstanceId: string.nullable.since(3).default(null),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      errorCode: int16,
    },
  },
)
