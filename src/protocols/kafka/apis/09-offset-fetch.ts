import { api } from '../api.ts'
import { array, bool, int16, int32, int64, string } from '../schema.ts'

/**
 * Reads what OffsetCommit stored. `topics` null asks for everything the group has committed (from v2 on).
 *
 * A partition without a committed offset is answered with offset -1 and empty metadata, without an error. With
 * `requireStable`, offsets that an open transaction is about to change are UNSTABLE_OFFSET_COMMIT, and the client asks
 * again.
 *
 * - v2: null for all topics; an error of the whole request
 * - v3: throttle time
 * - v5: leader epoch
 * - v6: flexible
 * - v7: `requireStable` (KIP-447)
 * - v8: several groups at once (KIP-709): everything moves into `groups`
 * - v9: member id and epoch, checked for groups of the new protocol (KIP-848): STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID
 */
export const OffsetFetch = api(
  9,
  'OffsetFetch',
  { versions: '1-9', flexible: 6 },
  {
    request: {
      groupId: string.in('0-7').default(''),
      topics: array({
        name: string,
        partitionIndexes: array(int32),
      })
        .in('0-7')
        .nullableSince(2)
        .default([]),
      groups: array({
        groupId: string,
        memberId: string.nullable.since(9).default(null),
        memberEpoch: int32.since(9).default(-1),
        topics: array({
          name: string,
          partitionIndexes: array(int32),
        }).nullable,
      })
        .since(8)
        .default([]),
      requireStable: bool.since(7).default(false),
    },
    response: {
      throttleTimeMs: int32.since(3).default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          committedOffset: int64,
          committedLeaderEpoch: int32.since(5).default(-1),
          metadata: string.nullable,
          errorCode: int16,
        }),
      })
        .in('0-7')
        .default([]),
      errorCode: int16.in('2-7').default(0),
      groups: array({
        groupId: string,
        topics: array({
          name: string,
          partitions: array({
            partitionIndex: int32,
            committedOffset: int64,
            committedLeaderEpoch: int32.default(-1),
            metadata: string.nullable,
            errorCode: int16,
          }),
        }),
        errorCode: int16.default(0),
      })
        .since(8)
        .default([]),
    },
  },
)
