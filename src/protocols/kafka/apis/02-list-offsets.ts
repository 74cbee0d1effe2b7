import { api } from '../api.ts'
import { array, int16, int32, int64, int8, string } from '../schema.ts'

/**
 * Finds offsets by time: the first record whose timestamp is the given one or later, to the record. Nothing that late:
 * offset and timestamp -1, without an error. Some timestamps have a meaning of their own:
 *
 * | timestamp | what is found |
 * |---|---|
 * | -1 | the end: the high watermark, or the last stable offset for isolation level 1 |
 * | -2 | the log start offset |
 * | -3 (v7) | the record with the largest timestamp (KIP-734) |
 * | -4 (v8) | the earliest record on local disk: the log start offset here (KIP-405) |
 * | -5 (v9) | the latest record in tiered storage: none here, offset -1 (KIP-1005) |
 *
 * - v1: the first that answers with one offset, and its timestamp
 * - v2: isolation level
 * - v4: leader epochs
 * - v6: flexible
 */
export const ListOffsets = api(
  2,
  'ListOffsets',
  { versions: '1-9', flexible: 6 },
  {
    request: {
      /** -1 from clients. */
      replicaId: int32,
      isolationLevel: int8.since(2).default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          currentLeaderEpoch: int32.since(4).default(-1),
          timestamp: int64,
        }),
      }),
    },
    response: {
      throttleTimeMs: int32.since(2).default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          errorCode: int16,
          timestamp: int64.default(-1),
          offset: int64.default(-1),
          leaderEpoch: int32.since(4).default(-1),
        }),
      }),
    },
  },
)
