import type { StoreChange } from '../store/store.ts'
import { TRANSACTION_STATES } from './transaction.ts'
import type { ProducerIdentity, Transaction, TransactionState } from './transaction.ts'

// Rows of the table `transactions`, one for each transactional id, which is the key. Values are JSON, so that an older broker
// can read what a newer one added:
//   {"version":1,"state":"Ongoing","producerId":7,"producerEpoch":3,"previous":{…}?,"timeoutMs":60000,
//    "partitions":{"orders":[0,5]},"groups":["billing"],"startedAtMs":…?,"changedAtMs":…}
const ROW_VERSION = 1

interface TransactionRow extends ProducerIdentity {
  readonly state: TransactionState
  readonly previous?: ProducerIdentity
  readonly timeoutMs: number
  readonly partitions: Readonly<Record<string, readonly number[]>>
  readonly groups: readonly string[]
  readonly startedAtMs?: number
  readonly changedAtMs: number
}

/** How the store learns of a transaction, or forgets a transactional id. */
export function toStoreChange(transactionalId: string, transaction: Transaction | undefined): StoreChange {
  const value = transaction === undefined ? undefined : encodeTransaction(transaction)
  return { table: 'transactions', key: transactionalId, value }
}

function encodeTransaction({ transactionalId: _key, partitions, groups, ...rest }: Transaction): Buffer {
  const byTopic = Object.fromEntries(Array.from(partitions, ([topic, ofTopic]) => [topic, [...ofTopic]]))
  return Buffer.from(JSON.stringify({ version: ROW_VERSION, ...rest, partitions: byTopic, groups: [...groups] }))
}

/** @throws Error when this version cannot read the row */
export function decodeTransaction(transactionalId: string, value: Buffer): Transaction {
  try {
    const row: unknown = JSON.parse(value.toString())
    if (typeof row !== 'object' || row === null || !('version' in row)) throw new Error('it has no version')
    if (row.version !== ROW_VERSION) throw new Error(`it has version ${String(row.version)}`)
    return fromRow(transactionalId, row as unknown as TransactionRow)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot read the row ${JSON.stringify(transactionalId)} of transactions in the store: ${reason}`, {
      cause: error,
    })
  }
}

function fromRow(transactionalId: string, row: TransactionRow): Transaction {
  const { state, producerId, producerEpoch, previous, timeoutMs, startedAtMs, changedAtMs } = row
  if (!TRANSACTION_STATES.includes(state)) throw new Error(`it is in state ${state}`)
  return {
    transactionalId,
    state,
    producerId,
    producerEpoch,
    previous,
    timeoutMs,
    partitions: new Map(Object.entries(row.partitions).map(([topic, ofTopic]) => [topic, new Set(ofTopic)])),
    groups: new Set(row.groups),
    startedAtMs,
    changedAtMs,
  }
}
