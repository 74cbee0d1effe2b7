import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Takes partitions into a producer's transaction, before it writes to them.
 *
 * - v2: PRODUCER_FENCED
 * - v3: flexible
 *
 * Versions 4 and 5 carry several transactions and are for brokers among themselves. They must not be advertised:
 * @platformatic/kafka takes the highest it sees.
 */
export const AddPartitionsToTxn = api(
  24,
  'AddPartitionsToTxn',
  { versions: '0-3', flexible: 3 },
  {
    request: {
      transactionalId: string,
      producerId: int64,
      producerEpoch: int16,
      topics: array({
        name: string,
        partitions: array(int32),
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      resultsByTopic: array({
        name: string,
        resultsByPartition: array({
          partitionIndex: int32,
          partitionErrorCode: int16,
        }),
      }),
    },
  },
)
