import { api } from '../api.ts'
import { array, bool, float64, int16, int32, string } from '../schema.ts'

/**
 * Sets or removes quotas of users, client ids and addresses, each entity with its own error (KIP-546).
 *
 * - v1: flexible
 */
export const AlterClientQuotas = api(
  49,
  'AlterClientQuotas',
  { versions: '0-1', flexible: 1 },
  {
    request: {
      entries: array({
        /** A name of null stands for the default entity. */
        entity: array({ entityType: string, entityName: string.nullable }),
        ops: array({
          /** `producer_byte_rate`, `consumer_byte_rate`, `request_percentage` and so on. */
          key: string,
          value: float64,
          remove: bool,
        }),
      }),
      validateOnly: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      entries: array({
        errorCode: int16,
        errorMessage: string.nullable,
        entity: array({ entityType: string, entityName: string.nullable }),
      }),
    },
  },
)
