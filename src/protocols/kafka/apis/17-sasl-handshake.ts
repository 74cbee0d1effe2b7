import { api } from '../api.ts'
import { array, int16, string } from '../schema.ts'

/**
 * Picks the mechanism by which the client will authenticate. UNSUPPORTED_SASL_MECHANISM comes with those that there are.
 *
 * - v0: the tokens follow without Kafka's headers, each behind its length
 * - v1: they travel in SaslAuthenticate requests (KIP-152)
 *
 * There will be no v2: clients up to 2.4 would choose it without knowing it (KAFKA-9577).
 */
export const SaslHandshake = api(
  17,
  'SaslHandshake',
  { versions: '0-1' },
  {
    request: {
      mechanism: string,
    },
    response: {
      errorCode: int16,
      mechanisms: array(string),
    },
  },
)
