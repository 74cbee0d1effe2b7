import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

/**
 * Makes another replica the leader. A single broker leads everything already: ELECTION_NOT_NEEDED. `topicPartitions`
 * null asks for all, and the answer then lists only those for which something was done.
 *
 * - v1: unclean elections; an error of the whole request (KIP-460)
 * - v2: flexible
 */
export const ElectLeaders = api(
  43,
  'ElectLeaders',
  { versions: '0-2', flexible: 2 },
  {
    request: {
      /** 0 the preferred replica, 1 any, also one that has not all records. */
      electionType: int8.since(1).default(0),
      topicPartitions: array({ topic: string, partitions: array(int32) }).nullable,
      timeoutMs: int32.default(60_000),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16.since(1),
      replicaElectionResults: array({
        topic: string,
        partitionResult: array({
          partitionId: int32,
          errorCode: int16,
          errorMessage: string.nullable,
        }),
      }),
    },
  },
)
