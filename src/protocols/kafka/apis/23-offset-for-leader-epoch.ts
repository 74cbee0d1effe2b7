import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Tells where the records of a leader epoch end, by which a consumer finds out whether what it has read is still in the
 * log (KIP-320). The current epoch ends at the log end; an older one where the next began, and the answer names the
 * largest epoch up to the one asked for; one that never was is answered with -1, -1.
 *
 * - v2: the leader epoch that the client believes in: FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH
 * - v3: replica id
 * - v4: flexible
 */
export const OffsetForLeaderEpoch = api(
  23,
  'OffsetForLeaderEpoch',
  { versions: '2-4', flexible: 4 },
  {
    request: {
      /** -1 from consumers, -2 from tools that may look beyond the high watermark. */
      replicaId: int32.since(3).default(-2),
      topics: array({
        topic: string,
        partitions: array({
          partition: int32,
          currentLeaderEpoch: int32.default(-1),
          leaderEpoch: int32,
        }),
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      topics: array({
        topic: string,
        partitions: array({
          errorCode: int16,
          partition: int32,
          leaderEpoch: int32.default(-1),
          endOffset: int64.default(-1),
        }),
      }),
    },
  },
)
