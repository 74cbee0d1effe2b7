import { api } from '../api.ts'
import { bool, int16, int32, int64, string } from '../schema.ts'

/**
 * Commits or aborts a producer's transaction: a marker goes into each of its partitions, then its offsets count or are
 * forgotten. Asked again with the same outcome it succeeds again; INVALID_TXN_STATE when there is nothing to end.
 *
 * - v2: PRODUCER_FENCED
 * - v3: flexible
 * - v4: TRANSACTION_ABORTABLE (KIP-890)
 */
export const EndTxn = api(
  26,
  'EndTxn',
  { versions: '0-4', flexible: 3 },
  {
    request: {
      transactionalId: string,
      producerId: int64,
      producerEpoch: int16,
      /** False aborts. */
      committed: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
    },
  },
)
