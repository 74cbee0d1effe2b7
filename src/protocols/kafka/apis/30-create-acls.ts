import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

/**
 * Adds access control entries, each with its own error; 29-describe-acls.ts lists what the numbers mean.
 *
 * - v1: pattern types (KIP-290)
 * - v2: flexible
 * - v3: resource type "user"
 */
export const CreateAcls = api(
  30,
  'CreateAcls',
  { versions: '1-3', flexible: 2 },
  {
    request: {
      creations: array({
        resourceType: int8,
        resourceName: string,
        resourcePatternType: int8.default(3),
        principal: string,
        host: string,
        operation: int8,
        permissionType: int8,
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      results: array({
        errorCode: int16,
        errorMessage: string.nullable,
      }),
    },
  },
)
