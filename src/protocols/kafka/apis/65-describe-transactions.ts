import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Describes transactional ids with the partitions of their open transactions (KIP-664). TRANSACTIONAL_ID_NOT_FOUND for
 * one that is not there.
 *
 * - v0: flexible from the beginning
 */
export const DescribeTransactions = api(
  65,
  'DescribeTransactions',
  { versions: '0', flexible: 0 },
  {
    request: {
      transactionalIds: array(string),
    },
    response: {
      throttleTimeMs: int32.default(0),
      transactionStates: array({
        errorCode: int16,
        transactionalId: string,
        /** `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`. */
        transactionState: string,
        transactionTimeoutMs: int32,
        /** -1 without an open transaction. */
        transactionStartTimeMs: int64,
        producerId: int64,
        producerEpoch: int16,
        topics: array({ topic: string, partitions: array(int32) }),
      }),
    },
  },
)
