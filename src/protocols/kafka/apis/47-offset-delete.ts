import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Deletes single committed offsets of a group (KIP-496): GROUP_SUBSCRIBED_TO_TOPIC for those of a topic that members of
 * the group are reading.
 *
 * - v0: the only one, and not flexible
 */
export const OffsetDelete = api(
  47,
  'OffsetDelete',
  { versions: '0' },
  {
    request: {
      groupId: string,
      topics: array({
        name: string,
        partitions: array({ partitionIndex: int32 }),
      }),
    },
    response: {
      errorCode: int16,
      throttleTimeMs: int32.default(0),
      topics: array({
        name: string,
        partitions: array({ partitionIndex: int32, errorCode: int16 }),
      }),
    },
  },
)
