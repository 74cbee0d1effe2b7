import { api } from '../api.ts'
import { array, bool, int16, int32, int8, string } from '../schema.ts'

/**
 * Tells the cluster's id and its brokers (KIP-700).
 *
 * - v0: flexible from the beginning
 * - v1: asks for brokers or controllers: MISMATCHED_ENDPOINT_TYPE, UNSUPPORTED_ENDPOINT_TYPE (KIP-919)
 */
export const DescribeCluster = api(
  60,
  'DescribeCluster',
  { versions: '0-1', flexible: 0 },
  {
    request: {
      includeClusterAuthorizedOperations: bool,
      /** 1 brokers, 2 controllers. */
      endpointType: int8.since(1).default(1),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      errorMessage: string.nullable.default(null),
      endpointType: int8.since(1).default(1),
      clusterId: string,
      controllerId: int32,
      brokers: array({
        brokerId: int32,
        host: string,
        port: int32,
        rack: string.nullable.default(null),
      }),
      /** The default says that nobody asked. */
      clusterAuthorizedOperations: int32.default(-2147483648),
    },
  },
)
