import type { BrokerErrorName } from '../base/broker-error.ts'
import { quoteId } from './transactional-id.ts'

// A transaction moves through these states. What is asked of it, and what comes of that:
//
// | state          | InitProducerId           | add partitions, groups   | commit                  | abort                   |
// | -------------- | ------------------------ | ------------------------ | ----------------------- | ----------------------- |
// | (unknown)      | new producer → Empty     | INVALID_PRODUCER_ID_MAP… | INVALID_PRODUCER_ID_MA… | INVALID_PRODUCER_ID_MA… |
// | Empty          | next epoch → Empty       | → Ongoing                | INVALID_TXN_STATE       | INVALID_TXN_STATE       |
// | Ongoing        | fence → PrepareAbort,    | taken                    | → PrepareCommit, waits  | → PrepareAbort, waits   |
// |                | waits                    |                          |                         |                         |
// | PrepareCommit  | waits                    | waits                    | waits                   | INVALID_TXN_STATE       |
// | PrepareAbort   | waits                    | waits                    | INVALID_TXN_STATE       | waits                   |
// | CompleteCommit | next epoch → Empty       | → Ongoing                | done already            | INVALID_TXN_STATE       |
// | CompleteAbort  | next epoch → Empty       | → Ongoing                | INVALID_TXN_STATE       | done already            |
//
// Whoever waits is looked at again once the transaction has ended, and told CONCURRENT_TRANSACTIONS if that takes too long.
// In every state a producer with another id gets INVALID_PRODUCER_ID_MAPPING and one with another epoch PRODUCER_FENCED.
//
// When the timeout of an Ongoing transaction is over: fence → PrepareAbort. When all markers of a Prepare… state are written
// and the offsets of its groups were applied or dropped: → Complete…. When nobody has used a transactional id in another
// state than Ongoing and Prepare… for long: → unknown.
//
// To fence is to go to the next epoch: whoever has the one before cannot write any more. Of Kafka's other two states, Dead is
// a transactional id that is just being forgotten, and PrepareEpochFence a transaction on its way from Ongoing to
// PrepareAbort with the new epoch. Both steps are one row here, so nobody ever sees these.

/** Every state that Kafka knows, by its names. */
export const TRANSACTION_STATES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const
export type TransactionState = Exclude<(typeof TRANSACTION_STATES)[number], 'Dead' | 'PrepareEpochFence'>

/** Who writes. Of the same producer id, a larger epoch locks out the smaller ones. */
export interface ProducerIdentity {
  readonly producerId: number
  /** 0 to 32,767 */
  readonly producerEpoch: number
}

/** Who writes, in whose name. */
export interface TransactionalProducer extends ProducerIdentity {
  readonly transactionalId: string
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** All that is known of a transactional id. Never changed: what comes after it is a new object. */
export interface Transaction extends TransactionalProducer {
  readonly state: TransactionState
  /**
   * Who the producer was before it asked for a new epoch saying who it was: it may ask the same again when the answer was
   * lost on the way, and gets the same answer.
   */
  readonly previous: ProducerIdentity | undefined
  readonly timeoutMs: number
  /** Where it writes, by topic. */
  readonly partitions: ReadonlyMap<string, ReadonlySet<number>>
  /** Which groups' offsets it commits. */
  readonly groups: ReadonlySet<string>
  /** On the wall clock; undefined while there is no open transaction. */
  readonly startedAtMs: number | undefined
  readonly changedAtMs: number
}

/** What happens to a transactional id. */
export type TransactionEvent =
  | {
      readonly kind: 'init'
      readonly transactionalId: string
      readonly timeoutMs: number
      /** Who the producer says it is, if it does (KIP-360). */
      readonly expected: ProducerIdentity | undefined
      /** A producer id that nobody had before; given once it was asked for. */
      readonly newProducerId?: number
    }
  | {
      readonly kind: 'add partitions'
      readonly producer: ProducerIdentity
      readonly partitions: readonly TopicPartition[]
    }
  | { readonly kind: 'add group'; readonly producer: ProducerIdentity; readonly group: string }
  | { readonly kind: 'end'; readonly producer: ProducerIdentity; readonly isCommit: boolean }
  | { readonly kind: 'timeout' }
  /** All markers are written and the offsets were applied or dropped. */
  | { readonly kind: 'ended' }
  /** Nobody has used it since `unusedSinceMs` or before, on the wall clock. */
  | { readonly kind: 'expire'; readonly unusedSinceMs: number }

/** What is to become of an event. */
export type Decision =
  /** Nothing changes. */
  | { readonly kind: 'answer' }
  | { readonly kind: 'refuse'; readonly error: BrokerErrorName; readonly reason: string }
  /** The same event comes again when the transaction has ended. */
  | { readonly kind: 'wait' }
  /** The same event comes again with a new producer id. */
  | { readonly kind: 'new producer id' }
  /** Once `next` is durable, the event is answered; or it comes again when the transaction has ended. */
  | { readonly kind: 'change'; readonly next: Transaction | undefined; readonly reply: 'once stored' | 'once ended' }

/** Epochs are 16 bits wide. The last one is kept for fencing whoever has the one before. */
export const EPOCH_MAX = 32_767
const EPOCH_GIVEN_MAX = EPOCH_MAX - 1
const NO_PARTITIONS: ReadonlyMap<string, ReadonlySet<number>> = new Map()
const NO_GROUPS: ReadonlySet<string> = new Set()
const ANSWER: Decision = { kind: 'answer' }
const WAIT: Decision = { kind: 'wait' }

/** Says what becomes of an event, `now` on the wall clock. The table above is what it does. */
export function decide(before: Transaction | undefined, event: TransactionEvent, now: number): Decision {
  switch (event.kind) {
    case 'init':
      return decideInit(before, event, now)
    case 'add partitions':
    case 'add group': {
      const known = checkProducer(before, event.producer)
      if ('kind' in known) return known
      if (isEnding(known)) return WAIT
      return event.kind === 'add group'
        ? addGroup(known, event.group, now)
        : addPartitions(known, event.partitions, now)
    }
    case 'end': {
      const known = checkProducer(before, event.producer)
      return 'kind' in known ? known : decideEnd(known, event.isCommit, now)
    }
    case 'timeout':
      return before?.state === 'Ongoing' ? change(fence(before, undefined, now)) : ANSWER
    case 'ended':
      return before !== undefined && isEnding(before) ? change(complete(before, now)) : ANSWER
    case 'expire':
      return isUnused(before, event.unusedSinceMs) ? change(undefined) : ANSWER
  }
}

/** Whether it is decided how the transaction ends, and not done yet. */
export function isEnding({ state }: Transaction): boolean {
  return state === 'PrepareCommit' || state === 'PrepareAbort'
}

/** Whether a partition belongs to the open transaction: only then its producer may write there. */
export function isWritable(transaction: Transaction, topic: string, partition: number): boolean {
  return transaction.state === 'Ongoing' && transaction.partitions.get(topic)?.has(partition) === true
}

/** How many partitions a transaction has written to, or is going to. */
export function countPartitions({ partitions }: Transaction): number {
  let count = 0
  for (const ofTopic of partitions.values()) count += ofTopic.size
  return count
}

/** The transaction if it is this producer's. */
function checkProducer(
  transaction: Transaction | undefined,
  { producerId, producerEpoch }: ProducerIdentity,
): Transaction | Extract<Decision, { kind: 'refuse' }> {
  if (transaction?.producerId !== producerId) {
    const reason =
      transaction === undefined
        ? 'nobody has initialised this transactional id, or not for long'
        : `it has producer ${transaction.producerId}`
    return { kind: 'refuse', error: 'INVALID_PRODUCER_ID_MAPPING', reason }
  }
  return transaction.producerEpoch === producerEpoch ? transaction : fenced(transaction, producerEpoch)
}

function decideInit(
  before: Transaction | undefined,
  event: Extract<TransactionEvent, { kind: 'init' }>,
  now: number,
): Decision {
  const { transactionalId, timeoutMs, expected, newProducerId } = event
  const idle = {
    transactionalId,
    state: 'Empty',
    previous: undefined,
    timeoutMs,
    partitions: NO_PARTITIONS,
    groups: NO_GROUPS,
    startedAtMs: undefined,
    changedAtMs: now,
  } as const
  if (before === undefined) {
    if (newProducerId === undefined) return { kind: 'new producer id' }
    return change({ ...idle, producerId: newProducerId, producerEpoch: 0 })
  }
  const isRepeated = expected !== undefined && isSame(expected, before.previous)
  if (expected !== undefined && !isRepeated && !isSame(expected, before)) return fenced(before, expected.producerEpoch)
  if (isEnding(before)) return WAIT
  if (before.state === 'Ongoing') {
    if (isRepeated) return fenced(before, expected.producerEpoch)
    return { kind: 'change', next: fence(before, expected, now), reply: 'once ended' }
  }
  const { producerId, producerEpoch } = before
  if (isRepeated && producerEpoch <= EPOCH_GIVEN_MAX) {
    return before.timeoutMs === timeoutMs ? ANSWER : change({ ...before, timeoutMs, changedAtMs: now })
  }
  if (producerEpoch < EPOCH_GIVEN_MAX) {
    return change({ ...idle, previous: expected, producerId, producerEpoch: producerEpoch + 1 })
  }
  if (newProducerId === undefined) return { kind: 'new producer id' }
  return change({ ...idle, previous: expected, producerId: newProducerId, producerEpoch: 0 })
}

function addPartitions(before: Transaction, added: readonly TopicPartition[], now: number): Decision {
  const missing = added.filter(({ topic, partition }) => before.partitions.get(topic)?.has(partition) !== true)
  if (missing.length === 0) return ANSWER
  const changed = new Map<string, Set<number>>()
  for (const { topic, partition } of missing) {
    const ofTopic = changed.get(topic) ?? new Set(before.partitions.get(topic))
    changed.set(topic, ofTopic.add(partition))
  }
  const partitions = new Map([...before.partitions, ...changed])
  return change({ ...begin(before, now), partitions })
}

function addGroup(before: Transaction, group: string, now: number): Decision {
  if (before.groups.has(group)) return ANSWER
  return change({ ...begin(before, now), groups: new Set(before.groups).add(group) })
}

function decideEnd(before: Transaction, isCommit: boolean, now: number): Decision {
  const [prepare, complete] = isCommit
    ? (['PrepareCommit', 'CompleteCommit'] as const)
    : (['PrepareAbort', 'CompleteAbort'] as const)
  if (before.state === 'Ongoing') {
    return { kind: 'change', next: { ...before, state: prepare, changedAtMs: now }, reply: 'once ended' }
  }
  if (before.state === prepare) return WAIT
  if (before.state === complete) return ANSWER
  const reason =
    before.state === 'Empty' ? 'there is no open transaction' : `its last transaction is in ${before.state}`
  return { kind: 'refuse', error: 'INVALID_TXN_STATE', reason }
}

function begin(before: Transaction, now: number): Transaction {
  return { ...before, state: 'Ongoing', startedAtMs: before.startedAtMs ?? now, changedAtMs: now }
}

/** The markers will carry the new epoch, so that no partition takes anything in the old one after them. */
function fence(before: Transaction, previous: ProducerIdentity | undefined, now: number): Transaction {
  return { ...before, state: 'PrepareAbort', producerEpoch: before.producerEpoch + 1, previous, changedAtMs: now }
}

function complete(before: Transaction, now: number): Transaction {
  return {
    ...before,
    state: before.state === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort',
    partitions: NO_PARTITIONS,
    groups: NO_GROUPS,
    startedAtMs: undefined,
    changedAtMs: now,
  }
}

function isUnused(transaction: Transaction | undefined, sinceMs: number): boolean {
  if (transaction === undefined || transaction.state === 'Ongoing' || isEnding(transaction)) return false
  return transaction.changedAtMs <= sinceMs
}

function isSame(one: ProducerIdentity, other: ProducerIdentity | undefined): boolean {
  return one.producerId === other?.producerId && one.producerEpoch === other.producerEpoch
}

function fenced({ transactionalId, producerEpoch }: Transaction, epoch: number): Extract<Decision, { kind: 'refuse' }> {
  const reason = `epoch ${epoch} is not that of transactional id ${quoteId(transactionalId)}, which is in ${producerEpoch}`
  return { kind: 'refuse', error: 'PRODUCER_FENCED', reason }
}

function change(next: Transaction | undefined): Decision {
  return { kind: 'change', next, reply: 'once stored' }
}
