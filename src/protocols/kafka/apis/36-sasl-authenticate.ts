import { api } from '../api.ts'
import { bytes, int16, int64, string } from '../schema.ts'

/**
 * Carries one step of the authentication that SaslHandshake began, there and back. SASL_AUTHENTICATION_FAILED ends it
 * and the connection.
 *
 * - v1: how long it is good for; the client authenticates again on the same connection before that (KIP-368). 0: forever
 * - v2: flexible
 */
export const SaslAuthenticate = api(
  36,
  'SaslAuthenticate',
  { versions: '0-2', flexible: 2 },
  {
    request: {
      authBytes: bytes,
    },
    response: {
      errorCode: int16,
      errorMessage: string.nullable,
      authBytes: bytes,
      sessionLifetimeMs: int64.since(1).default(0),
    },
  },
)
