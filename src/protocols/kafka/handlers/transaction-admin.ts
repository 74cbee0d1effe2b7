import type { Transaction } from '../../../transactions/transaction.ts'
import { TRANSACTION_STATES } from '../../../transactions/transaction.ts'
import type { ResponseOf } from '../api.ts'
import type { DescribeTransactions } from '../apis/65-describe-transactions.ts'
import type { ListTransactions } from '../apis/66-list-transactions.ts'
import type { RequestContext } from '../context.ts'
import type { ErrorName } from '../error-codes.ts'
import type { Handler } from '../registry.ts'

type Described = ResponseOf<typeof DescribeTransactions>['transactionStates'][number]

const STATE_NAMES: readonly string[] = TRANSACTION_STATES

/** What is known of transactional ids, each once: an answer must not grow with how often somebody asks for the same. */
export const describeTransactions: Handler<typeof DescribeTransactions, RequestContext> = (request, context) => ({
  transactionStates: Array.from(new Set(request.transactionalIds), (transactionalId): Described => {
    if (transactionalId === '') return describeNothing(context, transactionalId, 'INVALID_REQUEST')
    const transaction = context.broker.transactions.get(transactionalId)
    if (transaction === undefined) return describeNothing(context, transactionalId, 'TRANSACTIONAL_ID_NOT_FOUND')
    const { state, timeoutMs, startedAtMs, producerId, producerEpoch, partitions } = transaction
    return {
      errorCode: 0,
      transactionalId,
      transactionState: state,
      transactionTimeoutMs: timeoutMs,
      transactionStartTimeMs: startedAtMs ?? -1,
      producerId,
      producerEpoch,
      topics: Array.from(partitions, ([topic, ofTopic]) => ({ topic, partitions: [...ofTopic] })),
    }
  }),
})

function describeNothing(context: RequestContext, transactionalId: string, error: ErrorName): Described {
  return {
    errorCode: context.refuse(error),
    transactionalId,
    transactionState: '',
    transactionTimeoutMs: 0,
    transactionStartTimeMs: -1,
    producerId: -1,
    producerEpoch: -1,
    topics: [],
  }
}

/** All transactional ids that pass the filters. */
export const listTransactions: Handler<typeof ListTransactions, RequestContext> = (request, { broker }) => {
  const { stateFilters, durationFilter } = request
  const states = new Set(stateFilters)
  const producerIds = new Set(request.producerIdFilters)
  const now = broker.clock.now()
  const isMeant = ({ state, producerId, startedAtMs = now }: Transaction) =>
    (states.size === 0 || states.has(state)) &&
    (producerIds.size === 0 || producerIds.has(producerId)) &&
    (durationFilter < 0 || now - startedAtMs > durationFilter)
  return {
    errorCode: 0,
    unknownStateFilters: [...states].filter((name) => !STATE_NAMES.includes(name)),
    transactionStates: broker.transactions.list().flatMap((transaction) => {
      const { transactionalId, producerId, state } = transaction
      return isMeant(transaction) ? [{ transactionalId, producerId, transactionState: state }] : []
    }),
  }
}
