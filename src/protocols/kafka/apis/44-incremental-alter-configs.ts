import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string } from '../schema.ts'

/**
 * Changes single settings of topics and brokers (KIP-339). All changes of one resource are made, or none; the same key
 * twice is INVALID_REQUEST.
 *
 * - v1: flexible
 */
export const IncrementalAlterConfigs = api(
  44,
  'IncrementalAlterConfigs',
  { versions: '0-1', flexible: 1 },
  {
    request: {
      resources: array({
        /** 2 topic, 4 broker. */
        resourceType: int8,
        resourceName: string,
        configs: array({
          name: string,
          /** 0 set, 1 back to the default, 2 append to a list, 3 take from a list. */
          configOperation: int8,
          value: string.nullable,
        }),
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
