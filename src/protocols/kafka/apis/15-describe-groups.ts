import { api } from '../api.ts'
import { array, bool, bytes, int16, int32, string } from '../schema.ts'

/**
 * Describes classic groups with their members. A group that is not there has the state `Dead` and no error: clients
 * rely on it. Groups of the new protocol are described by ConsumerGroupDescribe.
 *
 * - v1: throttle time
 * - v3: operations that the client is authorized for
 * - v4: static members (KIP-345)
 * - v5: flexible
 */
export const DescribeGroups = api(
  15,
  'DescribeGroups',
  { versions: '0-5', flexible: 5 },
  {
    request: {
      groups: array(string),
      includeAuthorizedOperations: bool.since(3).default(false),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      groups: array({
        errorCode: int16,
        groupId: string,
        groupState: string,
        protocolType: string,
        /** The name of the protocol that was picked. */
        protocolData: string,
        members: array({
          memberId: string,
          groupInstanceId: string.nullable.since(4).default(null),
          clientId: string,
          clientHost: string,
          memberMetadata: bytes,
          memberAssignment: bytes,
        }),
        /** The default says that nobody asked. */
        authorizedOperations: int32.since(3).default(-2147483648),
      }),
    },
  },
)
