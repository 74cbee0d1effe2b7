import { BrokerError } from '../base/broker-error.ts'
import type { BrokerErrorName } from '../base/broker-error.ts'
import type { TransactionEvent } from './transaction.ts'
import { quoteId } from './transactional-id.ts'

const ACTIONS: Readonly<Record<TransactionEvent['kind'], string>> = {
  init: 'initialise',
  'add partitions': 'add partitions to the transaction of',
  'add group': 'add a group to the transaction of',
  end: 'end the transaction of',
  timeout: 'abort the transaction of',
  ended: 'end the transaction of',
  expire: 'forget',
}

/** `refuse('INVALID_TXN_STATE', 't', event, 'it is over')`: Cannot end the transaction of transactional id "t": it is over. */
export function refuse(
  error: BrokerErrorName,
  transactionalId: string,
  { kind }: TransactionEvent,
  reason: string,
): BrokerError {
  return new BrokerError(error, `Cannot ${ACTIONS[kind]} transactional id ${quoteId(transactionalId)}: ${reason}`)
}

/** The transaction before this one has not ended, and whoever asks has waited long enough. */
export function concurrent(transactionalId: string, event: TransactionEvent): BrokerError {
  return refuse('CONCURRENT_TRANSACTIONS', transactionalId, event, 'its last transaction is still ending, try again')
}

export function stopping(transactionalId: string, event: TransactionEvent): BrokerError {
  return refuse('COORDINATOR_NOT_AVAILABLE', transactionalId, event, 'the broker stops')
}

/** Clients try again after this one; a storage error they would take for the end. */
export function notStored(transactionalId: string, event: TransactionEvent, cause: unknown): BrokerError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return refuse('COORDINATOR_NOT_AVAILABLE', transactionalId, event, reason)
}
