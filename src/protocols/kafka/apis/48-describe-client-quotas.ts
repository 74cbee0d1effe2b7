import { api } from '../api.ts'
import { array, bool, float64, int16, int32, int8, string } from '../schema.ts'

/**
 * Lists the quotas of users, client ids and addresses that fit all components of a filter (KIP-546).
 *
 * - v1: flexible
 */
export const DescribeClientQuotas = api(
  48,
  'DescribeClientQuotas',
  { versions: '0-1', flexible: 1 },
  {
    request: {
      components: array({
        /** `user`, `client-id` or `ip`. */
        entityType: string,
        /** 0 the name in `match`, 1 the default entity, 2 any name. */
        matchType: int8,
        match: string.nullable,
      }),
      /** Whether entities with further components are left out. */
      strict: bool,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable,
      entries: array({
        entity: array({ entityType: string, entityName: string.nullable }),
        values: array({ key: string, value: float64 }),
      }).nullable,
    },
  },
)
