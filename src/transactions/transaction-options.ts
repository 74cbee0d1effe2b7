const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const MIB = 1024 * 1024

/** Times and limits of transactions, those of Kafka with Kafka's defaults. */
export interface TransactionOptions {
  /** The longest time that a producer may ask for (`transaction.max.timeout.ms`). */
  readonly timeoutMsMax: number
  /** How long a transactional id is remembered that nobody uses (`transactional.id.expiration.ms`). */
  readonly idExpirationMs: number
  readonly idExpirationCheckMs: number

  // What Kafka does not have, or leaves to its clients.
  /** How long a request waits for a transaction to end before it is answered with CONCURRENT_TRANSACTIONS. */
  readonly waitMsMax: number
  /** After a marker or a row could not be written, it is tried again, at first after the one, in the end after the other. */
  readonly retryMsMin: number
  readonly retryMsMax: number
  readonly idsMax: number
  readonly partitionsPerTransactionMax: number
  readonly groupsPerTransactionMax: number
  /** What all transactions take in memory, roughly; once it is so much, nothing new is taken. */
  readonly bytesMax: number
  /** Requests that wait for the same transactional id. */
  readonly requestsPerIdMax: number
}

/** What a broker does that was told nothing else; docs/transactions.md lists it. */
export const TRANSACTION_DEFAULTS: TransactionOptions = {
  timeoutMsMax: 15 * MINUTE,
  idExpirationMs: 7 * 24 * HOUR,
  idExpirationCheckMs: 1 * HOUR,

  waitMsMax: 5 * SECOND,
  retryMsMin: 50,
  retryMsMax: 5 * SECOND,
  idsMax: 100_000,
  partitionsPerTransactionMax: 10_000,
  groupsPerTransactionMax: 1_000,
  bytesMax: 128 * MIB,
  requestsPerIdMax: 100,
}
