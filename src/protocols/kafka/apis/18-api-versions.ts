import { api } from '../api.ts'
import { array, bool, int16, int32, int64, string } from '../schema.ts'

/**
 * Tells which APIs there are, in which versions: the first request of nearly every client, allowed before it has
 * authenticated. The answer is made from what is registered.
 *
 * A version that is not known is not read at all, but answered in the form of v0 with UNSUPPORTED_VERSION and one row,
 * the versions of this API (KIP-511); the client then tries again. That is why the header of the response never has
 * tagged fields: a client must be able to read it without knowing what the broker took its request for.
 *
 * - v1: throttle time
 * - v3: flexible; the client's name and version, INVALID_REQUEST unless they look like ones; features
 * - v4: a feature's range may begin with 0. In v3 such a feature has to be left out (KAFKA-17011)
 */
export const ApiVersions = api(
  18,
  'ApiVersions',
  { versions: '0-4', flexible: 3, hasPlainResponseHeader: true },
  {
    request: {
      clientSoftwareName: string.since(3).default(''),
      clientSoftwareVersion: string.since(3).default(''),
    },
    response: {
      errorCode: int16,
      apiKeys: array({
        apiKey: int16,
        minVersion: int16,
        maxVersion: int16,
      }),
      throttleTimeMs: int32.since(1).default(0),
      supportedFeatures: array({ name: string, minVersion: int16, maxVersion: int16 }).tag(0).since(3),
      /** -1 when it is not known. */
      finalizedFeaturesEpoch: int64.tag(1).since(3).default(-1),
      finalizedFeatures: array({ name: string, maxVersionLevel: int16, minVersionLevel: int16 }).tag(2).since(3),
      zkMigrationReady: bool.tag(3).since(3).default(false),
    },
  },
)
