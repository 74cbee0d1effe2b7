import { api } from '../api.ts'
import { array, int16, int32, int64, string } from '../schema.ts'

/**
 * Lists transactional ids (KIP-664). An empty filter lets everything pass; names of states that nobody knows come back
 * in `unknownStateFilters`.
 *
 * - v0: flexible from the beginning
 * - v1: only transactions that have been open for longer than so many milliseconds (KIP-994)
 */
export const ListTransactions = api(
  66,
  'ListTransactions',
  { versions: '0-1', flexible: 0 },
  {
    request: {
      stateFilters: array(string),
      producerIdFilters: array(int64),
      durationFilter: int64.since(1).default(-1),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16,
      unknownStateFilters: array(string),
      transactionStates: array({
        transactionalId: string,
        producerId: int64,
        transactionState: string,
      }),
    },
  },
)
