import { api } from '../api.ts'
import { array, int16, int32, NO_UUID, string, uuid } from '../schema.ts'

/**
 * Deletes topics with all their records, each with its own error.
 *
 * - v4: flexible
 * - v5: error messages; THROTTLING_QUOTA_EXCEEDED (KIP-599)
 * - v6: topics by name or, with a null name, by id: UNKNOWN_TOPIC_ID (KIP-516)
 */
export const DeleteTopics = api(
  20,
  'DeleteTopics',
  { versions: '1-6', flexible: 4 },
  {
    request: {
      topics: array({ name: string.nullable.default(null), topicId: uuid.default(NO_UUID) })
        .since(6)
        .default([]),
      topicNames: array(string).in('0-5').default([]),
      timeoutMs: int32,
    },
    response: {
      throttleTimeMs: int32.default(0),
      responses: array({
        name: string.nullableSince(6),
        topicId: uuid.since(6),
        errorCode: int16,
        errorMessage: string.nullable.since(5).default(null),
      }),
    },
  },
)
