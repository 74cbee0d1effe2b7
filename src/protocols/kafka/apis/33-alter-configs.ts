import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string } from '../schema.ts'

/**
 * Replaces all settings of a topic or broker: what is not named goes back to its default. Superseded by
 * IncrementalAlterConfigs; kafkajs and librdkafka still use it.
 *
 * - v2: flexible
 */
export const AlterConfigs = api(
  33,
  'AlterConfigs',
  { versions: '0-2', flexible: 2 },
  {
    request: {
      resources: array({
        /** 2 topic, 4 broker. */
        resourceType: int8,
        resourceName: string,
        configs: array({ name: string, value: string.nullable }),
      }),
      validateOnly: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      responses: array({
        errorCode: int16,
        errorMessage: string.nullable,
        resourceType: int8,
        resourceName: string,
      }),
    },
  },
)
