import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Commits offsets of a group as part of a transaction: they count when the transaction commits, and until then readers
 * that want stable offsets are told UNSTABLE_OFFSET_COMMIT.
 *
 * - v2: leader epoch of the last record read
 * - v3: flexible; generation and member, checked as by OffsetCommit (KIP-447)
 * - v4: TRANSACTION_ABORTABLE (KIP-890)
 */
export const TxnOffsetCommit = api(
  28,
  'TxnOffsetCommit',
  { versions: '0-4', flexible: 3 },
  {
    request: {
      transactionalId: string,
      groupId: string,
      producerId: int64,
      producerEpoch: int16,
      generationId: int32.since(3).default(-1),
      memberId: string.since(3).default(''),
      groupInstanceId: string.nullable.since(3).default(null),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          committedOffset: int64,
          committedLeaderEpoch: int32.since(2).default(-1),
          committedMetadata: string.nullable,
        }),
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
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
