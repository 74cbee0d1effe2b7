import { api } from '../api.ts'
import { array, int16, int32, string } from '../schema.ts'

/**
 * Deletes groups with their committed offsets, each with its own error: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND.
 *
 * - v2: flexible
 */
export const DeleteGroups = api(
  42,
  'DeleteGroups',
  { versions: '0-2', flexible: 2 },
  {
    request: {
      groupsNames: array(string),
    },
    response: {
      throttleTimeMs: int32.default(0),
      results: array({ groupId: string, errorCode: int16 }),
    },
  },
)
