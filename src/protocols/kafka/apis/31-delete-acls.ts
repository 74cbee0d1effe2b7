import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

/**
 * Removes the access control entries that fit one of the filters, and lists them; 29-describe-acls.ts lists what the
 * numbers mean.
 *
 * - v1: pattern types (KIP-290)
 * - v2: flexible
 * - v3: resource type "user"
 */
export const DeleteAcls = api(
  31,
  'DeleteAcls',
  { versions: '1-3', flexible: 2 },
  {
    request: {
      filters: array({
        resourceTypeFilter: int8,
        resourceNameFilter: string.nullable,
        patternTypeFilter: int8.default(3),
        principalFilter: string.nullable,
        hostFilter: string.nullable,
        operation: int8,
        permissionType: int8,
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      filterResults: array({
        errorCode: int16,
        errorMessage: string.nullable,
        matchingAcls: array({
          errorCode: int16,
          errorMessage: string.nullable,
          resourceType: int8,
          resourceName: string,
          patternType: int8.default(3),
          principal: string,
          host: string,
          operation: int8,
          permissionType: int8,
        }),
      }),
    },
  },
)
