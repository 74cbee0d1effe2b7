import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

/**
 * Lists which users can authenticate by SCRAM, and how (KIP-554). `users` null or empty asks for all; one that is not
 * there is RESOURCE_NOT_FOUND.
 *
 * - v0: flexible from the beginning
 */
export const DescribeUserScramCredentials = api(
  50,
  'DescribeUserScramCredentials',
  { versions: '0', flexible: 0 },
  {
    request: {
      users: array({ name: string }).nullable,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable,
      results: array({
        user: string,
        errorCode: int16,
        errorMessage: string.nullable,
        credentialInfos: array({
          /** 1 SCRAM-SHA-256, 2 SCRAM-SHA-512. */
          mechanism: int8,
          iterations: int32,
        }),
      }),
    },
  },
)
