import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Lists all groups. An empty filter lets everything pass.
 *
 * - v1: throttle time
 * - v3: flexible
 * - v4: states (KIP-518)
 * - v5: types: `classic`, `consumer` (KIP-848)
 */
export const ListGroups = api(
  16,
  'ListGroups',
  { versions: '0-5', flexible: 3 },
  {
    request: {
      statesFilter: array(string).since(4).default([]),
      typesFilter: array(string).since(5).default([]),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      errorCode: int16,
      groups: array({
        groupId: string,
        protocolType: string,
        groupState: string.since(4),
        groupType: string.since(5),
      }),
    },
  },
)
