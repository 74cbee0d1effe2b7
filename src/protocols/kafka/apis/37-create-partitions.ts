import { api } from '../api.ts'
import { array, bool, int16, int32, string } from '../schema.ts'

/**
 * Adds partitions to topics, each with its own result. `count` is the new total: INVALID_PARTITIONS unless it is more
 * than there are.
 *
 * - v2: flexible
 * - v3: THROTTLING_QUOTA_EXCEEDED (KIP-599)
 */
export const CreatePartitions = api(
  37,
  'CreatePartitions',
  { versions: '0-3', flexible: 2 },
  {
    request: {
      topics: array({
        name: string,
        count: int32,
        /** The brokers of each new partition; null leaves them to the broker. */
        assignments: array({ brokerIds: array(int32) }).nullable,
      }),
      timeoutMs: int32,
      validateOnly: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      results: array({
        name: string,
        errorCode: int16,
        errorMessage: string.nullable.default(null),
      }),
    },
  },
)
