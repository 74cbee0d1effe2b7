import { api } from '../api.ts'
import { int16, int32, int64, string } from '../schema.ts'

/**
 * Announces that a producer's transaction will also commit offsets of a group (TxnOffsetCommit).
 *
 * - v2: PRODUCER_FENCED
 * - v3: flexible
 * - v4: TRANSACTION_ABORTABLE (KIP-890)
 */
export const AddOffsetsToTxn = api(
  25,
  'AddOffsetsToTxn',
  { versions: '0-4', flexible: 3 },
  {
    request: {
      transactionalId: string,
      producerId: int64,
      producerEpoch: int16,
      groupId: string,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
    },
  },
)
