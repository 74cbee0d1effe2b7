import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Moves partitions to other brokers, or with `replicas` null stops a move (KIP-455). On a single broker there is nothing
 * to move to: INVALID_REPLICA_ASSIGNMENT; and nothing to stop: NO_REASSIGNMENT_IN_PROGRESS.
 *
 * - v0: flexible from the beginning
 */
export const AlterPartitionReassignments = api(
  45,
  'AlterPartitionReassignments',
  { versions: '0', flexible: 0 },
  {
    request: {
      timeoutMs: int32.default(60_000),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          replicas: array(int32).nullable.default(null),
        }),
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable,
      responses: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          errorCode: int16,
          errorMessage: string.nullable,
        }),
      }),
    },
  },
)
