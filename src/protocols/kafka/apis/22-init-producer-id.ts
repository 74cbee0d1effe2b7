import { api } from '../api.ts'
import { int16, int32, int64, string } from '../schema.ts'

/**
 * Gives a producer the id and epoch under which it numbers its batches, so that none is written twice. Producers of the
 * Java client ask for one by default, so nothing works without this.
 *
 * Without a transactional id the producer id is new each time, with epoch 0. With one, the id stays and the epoch grows,
 * which locks out whoever used it before (PRODUCER_FENCED); an open transaction is aborted first, and the client may be
 * told CONCURRENT_TRANSACTIONS until that is done.
 *
 * - v2: flexible
 * - v3: a producer may bring its id and epoch, to go on after an INVALID_PRODUCER_EPOCH (KIP-360)
 * - v4: PRODUCER_FENCED
 * - v5: TRANSACTION_ABORTABLE (KIP-890)
 */
export const InitProducerId = api(
  22,
  'InitProducerId',
  { versions: '0-5', flexible: 2 },
  {
    request: {
      transactionalId: string.nullable,
      transactionTimeoutMs: int32,
      producerId: int64.since(3).default(-1),
      producerEpoch: int16.since(3).default(-1),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      producerId: int64.default(-1),
      producerEpoch: int16,
    },
  },
)
