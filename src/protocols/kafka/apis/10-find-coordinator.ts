import { api } from '../api.ts'
import { array, int16, int32, int8, string } from '../schema.ts'

/**
 * Tells which broker coordinates a group or a transactional id: this one.
 *
 * - v1: the kind of the key, and an error message; v0 knows groups only
 * - v3: flexible
 * - v4: several keys at once, each with its own error (KIP-699)
 * - v5: TRANSACTION_ABORTABLE (KIP-890)
 * - v6: share groups (KIP-932), with keys of the form `group:topicId:partition`
 */
export const FindCoordinator = api(
  10,
  'FindCoordinator',
  { versions: '0-6', flexible: 3 },
  {
    request: {
      key: string.in('0-3').default(''),
      /** 0 group, 1 transactional id, 2 share group. */
      keyType: int8.since(1).default(0),
      coordinatorKeys: array(string).since(4).default([]),
    },
    response: {
      throttleTimeMs: int32.since(1).default(0),
      errorCode: int16.in('0-3').default(0),
      errorMessage: string.nullable.in('1-3').default(''),
      nodeId: int32.in('0-3').default(0),
      host: string.in('0-3').default(''),
      port: int32.in('0-3').default(0),
      coordinators: array({
        key: string,
        nodeId: int32,
        host: string,
        port: int32,
        errorCode: int16,
        errorMessage: string.nullable,
      })
        .since(4)
        .default([]),
    },
  },
)
