import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Moves the log start of partitions forward: everything before `offset` is gone for readers. -1 stands for the high
 * watermark; beyond it is OFFSET_OUT_OF_RANGE, and a topic that does not delete is POLICY_VIOLATION.
 *
 * - v2: flexible
 */
export const DeleteRecords = api(
  21,
  'DeleteRecords',
  { versions: '0-2', flexible: 2 },
  {
    request: {
      topics: array({
        name: string,
        partitions: array({ partitionIndex: int32, offset: int64 }),
      }),
      timeoutMs: int32,
    },
    response: {
      throttleTimeMs: int32.default(0),
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          /** The new log start offset; -1 with an error. */
          lowWatermark: int64,
          errorCode: int16,
        }),
      }),
    },
  },
)
