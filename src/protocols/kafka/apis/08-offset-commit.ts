import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Stores how far a consumer group has read: the next offset it wants of each partition, and a text of the client's own
 * beside it.
 *
 * Members of a group bring generation and member id, which must be current: ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID,
 * FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS. Anybody else (tools, consumers that pick partitions themselves) brings
 * generation -1, which is taken while the group has no members.
 *
 * - v2 to v4: the client says how long the offset is to be kept; since v5 the broker decides
 * - v3: throttle time
 * - v6: leader epoch of the last record read
 * - v7: static members (KIP-345)
 * - v8: flexible
 * - v9: members of groups of the new protocol (KIP-848), with their epoch as the generation: STALE_MEMBER_EPOCH.
 *   GROUP_ID_NOT_FOUND when there is no such group
 */
export const OffsetCommit = api(
  8,
  'OffsetCommit',
  { versions: '2-9', flexible: 8 },
  {
    request: {
      groupId: string,
      generationIdOrMemberEpoch: int32.default(-1),
      memberId: string.default(''),
      groupInstanceId: string.nullable.since(7).default(null),
      retentionTimeMs: int64.in('2-4').default(-1),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          committedOffset: int64,
          committedLeaderEpoch: int32.since(6).default(-1),
          committedMetadata: string.nullable,
        }),
      }),
    },
    response: {
      throttleTimeMs: int32.since(3).default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          errorCode: int16,
        }),
      }),
    },
  },
)
