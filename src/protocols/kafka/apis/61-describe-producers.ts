import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Lists the producers that partitions remember, to find transactions that hang (KIP-664).
 *
 * - v0: flexible from the beginning
 */
export const DescribeProducers = api(
  61,
  'DescribeProducers',
  { versions: '0', flexible: 0 },
  {
    request: {
      topics: array({ name: string, partitionIndexes: array(int32) }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          errorCode: int16,
          errorMessage: string.nullable.default(null),
          activeProducers: array({
            producerId: int64,
            /** An int16 everywhere else. */
            producerEpoch: int32,
            lastSequence: int32,
            lastTimestamp: int64,
            coordinatorEpoch: int32,
            /** -1 without an open transaction. */
            currentTxnStartOffset: int64,
          }),
        }),
      }),
    },
  },
)
