import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

// Resource types: 1 any, 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user (v3).
// Pattern types: 1 any, 2 match, 3 literal, 4 prefixed.
// Operations: 1 any, 2 all, 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action, 10 describe
// configs, 11 alter configs, 12 idempotent write, 13 create tokens, 14 describe tokens, 15 two-phase commit.
// Permission types: 1 any, 2 deny, 3 allow.

/**
 * Lists the access control entries that fit a filter; null in it fits everything. SECURITY_DISABLED where nothing
 * checks them.
 *
 * - v1: pattern types (KIP-290)
 * - v2: flexible
 * - v3: resource type "user"
 */
export const DescribeAcls = api(
  29,
  'DescribeAcls',
  { versions: '1-3', flexible: 2 },
  {
    request: {
      resourceTypeFilter: int8,
      resourceNameFilter: string.nullable,
      patternTypeFilter: int8.default(3),
      principalFilter: string.nullable,
      hostFilter: string.nullable,
      operation: int8,
      permissionType: int8,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable,
      resources: array({
        resourceType: int8,
        resourceName: string,
        patternType: int8.default(3),
        acls: array({
          principal: string,
          host: string,
          operation: int8,
          permissionType: int8,
        }),
      }),
    },
  },
)
