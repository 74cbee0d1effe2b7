import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string } from '../schema.ts'

/**
 * Lists the settings of topics and brokers with their sources, defaults included. `configurationKeys` null asks for all.
 *
 * - v1: where each value comes from, and what lies beneath it (KIP-226)
 * - v3: types and documentation (KIP-569)
 * - v4: flexible
 */
export const DescribeConfigs = api(
  32,
  'DescribeConfigs',
  { versions: '1-4', flexible: 4 },
  {
    request: {
      resources: array({
        /** 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group. */
        resourceType: int8,
        /** A broker's name is its node id. */
        resourceName: string,
        configurationKeys: array(string).nullable,
      }),
      includeSynonyms: bool.default(false),
      includeDocumentation: bool.since(3).default(false),
    },
    response: {
      throttleTimeMs: int32.default(0),
      results: array({
        errorCode: int16,
        errorMessage: string.nullable,
        resourceType: int8,
        resourceName: string,
        configs: array({
          name: string,
          value: string.nullable,
          readOnly: bool,
          /** 1 topic, 2 broker, 3 all brokers, 4 broker at its start, 5 default. */
          configSource: int8.default(-1),
          isSensitive: bool,
          synonyms: array({ name: string, value: string.nullable, source: int8 }).default([]),
          /** 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password. */
          configType: int8.since(3).default(0),
          documentation: string.nullable.since(3),
        }),
      }),
    },
  },
)
