import { api } from '../api.ts'
import { array, bytes, int16, int32, int8, string } from '../schema.ts'

/**
 * Adds, changes and removes users that authenticate by SCRAM, each with its own result (KIP-554). The client sends the
 * password salted; the broker derives from it what it keeps.
 *
 * - v0: flexible from the beginning
 */
export const AlterUserScramCredentials = api(
  51,
  'AlterUserScramCredentials',
  { versions: '0', flexible: 0 },
  {
    request: {
      deletions: array({
        name: string,
        /** 1 SCRAM-SHA-256, 2 SCRAM-SHA-512. */
        mechanism: int8,
      }),
      upsertions: array({
        name: string,
        mechanism: int8,
        iterations: int32,
        salt: bytes,
        saltedPassword: bytes,
      }),
    },
    response: {
      throttleTimeMs: int32.default(0),
      results: array({
        user: string,
        errorCode: int16,
        errorMessage: string.nullable,
      }),
    },
  },
)
