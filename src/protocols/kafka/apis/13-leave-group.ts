import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Classic groups: a member leaves, so that the others need not wait for its session to run out.
 *
 * - v1: throttle time
 * - v3: several members at once, also by the instance ids of static ones, each with its own error (KIP-345)
 * - v4: flexible
 * - v5: the reason (KIP-800)
 */
export const LeaveGroup = api(
  13,
  'LeaveGroup',
  { versions: '0-5', flexible: 4 },
  {
    request: {
      groupId: string,
      memberId: string.in('0-2').default(''),
      members: array({
        memberId: string,
        groupInstanceId: string.nullable.default(null),
        reason: string.nullable.since(5).default(null),
      })
        .since(3)
        .default([]),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      errorCode: int16,
      members: array({
        memberId: string,
        groupInstanceId: string.nullable,
        errorCode: int16,
      })
        .since(3)
        .default([]),
    },
  },
)
