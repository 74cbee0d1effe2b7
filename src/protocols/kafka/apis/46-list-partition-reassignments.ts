import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Lists partitions that are moving to other brokers: none, on a single one. `topics` null asks for all (KIP-455).
 * kafka-topics --describe asks for it.
 *
 * - v0: flexible from the beginning
 */
export const ListPartitionReassignments = api(
  46,
  'ListPartitionReassignments',
  { versions: '0', flexible: 0 },
  {
    request: {
      timeoutMs: int32.default(60_000),
      topics: array({ name: string, partitionIndexes: array(int32) }).nullable.default(null),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable,
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          replicas: array(int32),
          addingReplicas: array(int32),
          removingReplicas: array(int32),
        }),
      }),
    },
  },
)
