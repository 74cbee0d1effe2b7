import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string, uuid } from '../schema.ts'

/**
 * Creates topics, each with its own error. `validateOnly` only says what would happen.
 *
 * `assignments` names the brokers of each partition; number of partitions and replication factor are -1 then.
 *
 * - v4: -1 may stand for the broker's defaults (KIP-464)
 * - v5: flexible; the answer says what was created, with all configs (KIP-525)
 * - v6: THROTTLING_QUOTA_EXCEEDED (KIP-599)
 * - v7: the answer has the topic's id
 */
export const CreateTopics = api(
  19,
  'CreateTopics',
  { versions: '2-7', flexible: 5 },
  {
    request: {
      topics: array({
        name: string,
        numPartitions: int32,
        replicationFactor: int16,
        assignments: array({ partitionIndex: int32, brokerIds: array(int32) }).default([]),
        configs: array({ name: string, value: string.nullable }).default([]),
      }),
      timeoutMs: int32.default(60_000),
      validateOnly: bool.default(false),
    },
    response: {
      throttleTimeMs: int32.default(0),
      topics: array({
        name: string,
        topicId: uuid.since(7),
        errorCode: int16,
        errorMessage: string.nullable,
        /** Why `configs` is null. */
        topicConfigErrorCode: int16.tag(0).since(5),
        numPartitions: int32.since(5).default(-1),
        replicationFactor: int16.since(5).default(-1),
        configs: array({
          name: string,
          value: string.nullable,
          readOnly: bool,
          /** 1 topic, 4 broker, 5 default; DescribeConfigs lists them. */
          configSource: int8.default(-1),
          isSensitive: bool,
        })
          .nullable.since(5)
          .default([]),
      }),
    },
  },
)
