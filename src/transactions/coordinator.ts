import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { silentLogger } from '../base/logger.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Store } from '../store/store.ts'
import { Ending } from './ending.ts'
import type { EndingParts, TransactionTargets } from './ending.ts'
import { Orphans } from './orphans.ts'
import type { OpenTransaction } from './orphans.ts'
import { concurrent, notStored, refuse, stopping } from './refusals.ts'
import { countPartitions, decide, isEnding, isWritable } from './transaction.ts'
import type {
  Decision,
  ProducerIdentity,
  TopicPartition,
  Transaction,
  TransactionalProducer,
  TransactionEvent,
} from './transaction.ts'
import { decodeTransaction, toStoreChange } from './transaction-rows.ts'
import { checkTransactionalId, quoteId } from './transactional-id.ts'
import { TRANSACTION_DEFAULTS } from './transaction-options.ts'
import type { TransactionOptions } from './transaction-options.ts'

/** What the coordinator works with. */
export interface TransactionCoordinatorParts {
  readonly store: Store
  readonly clock: Clock
  readonly targets: TransactionTargets
  /** Gives out producer ids, each once for ever. */
  readonly producerIds: { next(): Promise<number> }
  readonly metrics?: Metrics
  readonly logger?: Logger
  /** What is to be other than TRANSACTION_DEFAULTS. */
  readonly options?: Partial<TransactionOptions>
}

/** A producer that wants to use a transactional id. */
export interface InitRequest {
  readonly transactionalId: string
  /** How long a transaction may take before it is aborted. */
  readonly timeoutMs: number
  /** Who the producer was so far, if it says so: it then must be the last one. */
  readonly expected?: ProducerIdentity | undefined
}

type Refusal = Extract<Decision, { kind: 'refuse' }>

/** Somebody who waits for what becomes of an event. */
interface Request {
  readonly event: TransactionEvent
  /** Told exactly once. */
  readonly settle: (error: unknown, transaction: Transaction | undefined) => void
}

interface WaitingRequest {
  readonly request: Request
  readonly timer: Timer
}

/** A transactional id that is in use. */
interface Entry {
  readonly transactionalId: string
  /** As it is in the store. */
  transaction: Transaction | undefined
  /** What has not been looked at yet: one thing happens after the other. */
  readonly queue: Request[]
  /** Whether a row of it, or a producer id for it, is on its way. */
  isBusy: boolean
  /** For the transaction that is ending. */
  waiting: WaitingRequest[]
  ending: Ending | undefined
  /** Why it is ending, as far as that is not only commit or abort. */
  hasTimedOut: boolean
  timeout: Timer | undefined
  bytes: number
}

/** Rough sizes of what is kept in memory, in bytes. */
const ENTRY_BYTES = 1024
const PARTITION_BYTES = 48
const NAME_BYTES = 200
/** So many transactional ids at a time are forgotten, so that others get their turn. */
const EXPIRED_AT_A_TIME = 1000

/**
 * All transactions. Each transactional id is a small machine (transaction.ts) that decides; this runs them: one event after the
 * other for each id, its row stored before it counts and before anybody is answered.
 *
 * A transaction ends in five steps, each of which survives a crash: the row that says how it ends is durable; markers are
 * appended to its partitions; these are durable; the offsets of its groups are applied or dropped; the row that says so is
 * durable. After a start, transactions whose end was decided are driven on from the second step, and open ones have what is
 * left of their time.
 */
export class TransactionCoordinator {
  readonly #parts: TransactionCoordinatorParts
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #options: TransactionOptions
  readonly #endingParts: EndingParts
  readonly #entries = new Map<string, Entry>()
  readonly #byProducer = new Map<number, Entry>()
  readonly #orphans: Orphans
  #expiryTimer: Timer | undefined
  #bytes = 0
  #isOpen = false
  #isClosed = false

  constructor(parts: TransactionCoordinatorParts) {
    this.#parts = parts
    this.#clock = parts.clock
    this.#logger = parts.logger ?? silentLogger
    this.#options = { ...TRANSACTION_DEFAULTS, ...parts.options }
    const { targets } = parts
    this.#endingParts = { targets, clock: this.#clock, logger: this.#logger, options: this.#options }
    this.#orphans = new Orphans(this.#endingParts)
  }

  /**
   * Takes up all transactions as they are in the store, and goes on with what was under way. Once, before anything else.
   *
   * @throws Error when there is a row that this version cannot read
   */
  open(): void {
    assert(!this.#isOpen, 'the coordinator is opened once')
    this.#isOpen = true
    for (const [transactionalId, value] of this.#parts.store.entries('transactions')) {
      const entry = this.#makeEntry(transactionalId)
      this.#take(entry, decodeTransaction(transactionalId, value))
    }
    this.#expireLater()
  }

  /**
   * Takes the transactions that are open in a partition's log, and aborts those that nobody is going to end: a power cut took
   * the marker from a log that is not flushed always. Readers would wait for them for ever.
   */
  abortOrphans(open: readonly OpenTransaction[]): void {
    for (const orphan of open) if (!this.#isClosed && !this.#isKnown(orphan)) this.#orphans.abort(orphan)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Answers whoever waits, and does nothing by itself from now on. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#expiryTimer?.cancel()
    this.#orphans.close()
    for (const entry of this.#entries.values()) {
      entry.timeout?.cancel()
      entry.ending?.cancel()
      const waiting = entry.waiting.splice(0)
      for (const { timer } of waiting) timer.cancel()
      for (const { event, settle } of [...waiting.map(({ request }) => request), ...entry.queue.splice(0)]) {
        settle(stopping(entry.transactionalId, event), undefined)
      }
    }
  }

  /**
   * Gives a producer the identity under which it writes in the name of a transactional id, and locks out who had it before;
   * an open transaction is aborted first. Resolves when that is durable.
   *
   * @throws BrokerError INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS,
   * POLICY_VIOLATION, COORDINATOR_NOT_AVAILABLE
   */
  async initProducer({ transactionalId, timeoutMs, expected }: InitRequest): Promise<ProducerIdentity> {
    checkTransactionalId(transactionalId)
    const { timeoutMsMax } = this.#options
    if (timeoutMs <= 0 || timeoutMs > timeoutMsMax) {
      throw new BrokerError(
        'INVALID_TRANSACTION_TIMEOUT',
        `Cannot initialise transactional id ${quoteId(transactionalId)} with a timeout of ${timeoutMs} ms: it must be 1 to ${timeoutMsMax}`,
      )
    }
    const event = { kind: 'init', transactionalId, timeoutMs, expected } as const
    const transaction = await this.#submit(this.#findOrMake(transactionalId), event)
    assert(transaction !== undefined, 'whoever was initialised is there')
    const { producerId, producerEpoch } = transaction
    return { producerId, producerEpoch }
  }

  /**
   * Takes partitions into the producer's transaction, which begins with them if there is none; resolves when that is durable.
   *
   * @throws BrokerError INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, POLICY_VIOLATION,
   * COORDINATOR_NOT_AVAILABLE
   */
  async addPartitions(producer: TransactionalProducer, partitions: readonly TopicPartition[]): Promise<void> {
    await this.#request(producer.transactionalId, { kind: 'add partitions', producer, partitions })
  }

  /** The same for a group whose offsets the transaction is going to commit. */
  async addGroup(producer: TransactionalProducer, group: string): Promise<void> {
    await this.#request(producer.transactionalId, { kind: 'add group', producer, group })
  }

  /**
   * Commits or aborts the producer's transaction; resolves when everybody can see that. If this takes long, because a disk
   * is full, it resolves when it is at least certain to happen.
   *
   * @throws BrokerError INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE, CONCURRENT_TRANSACTIONS,
   * COORDINATOR_NOT_AVAILABLE
   */
  async end(producer: TransactionalProducer, isCommit: boolean): Promise<void> {
    await this.#request(producer.transactionalId, { kind: 'end', producer, isCommit })
  }

  /**
   * Whether a producer may write to a partition now, within its transaction. What it appends in the same turn belongs to it.
   *
   * @throws BrokerError INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE
   */
  checkProduce(producerId: number, producerEpoch: number, topic: string, partition: number): void {
    const transaction = this.#byProducer.get(producerId)?.transaction
    this.#checkEpoch('append a transactional batch', transaction, { producerId, producerEpoch })
    if (isWritable(transaction, topic, partition)) return
    throw new BrokerError(
      'INVALID_TXN_STATE',
      `Cannot append a transactional batch to topic "${topic}", partition ${partition}: it is not in an open transaction of ${quoteId(transaction.transactionalId)}`,
    )
  }

  /**
   * Whether a producer may commit offsets of a group now, within its transaction.
   *
   * @throws BrokerError INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE
   */
  checkOffsetCommit(producer: TransactionalProducer, group: string): void {
    const transaction = this.#entries.get(producer.transactionalId)?.transaction
    this.#checkEpoch('commit offsets in a transaction', transaction, producer)
    if (transaction.state === 'Ongoing' && transaction.groups.has(group)) return
    throw new BrokerError(
      'INVALID_TXN_STATE',
      `Cannot commit offsets of group ${quoteId(group)}: it is not in an open transaction of ${quoteId(transaction.transactionalId)}`,
    )
  }

  /** Undefined for a transactional id that nobody has initialised. */
  get(transactionalId: string): Transaction | undefined {
    return this.#entries.get(transactionalId)?.transaction
  }

  /** All of them, by transactional id. */
  list(): readonly Transaction[] {
    const all: Transaction[] = []
    for (const { transaction } of this.#entries.values()) if (transaction !== undefined) all.push(transaction)
    return all.toSorted((left, right) => (left.transactionalId < right.transactionalId ? -1 : 1))
  }

  #checkEpoch(
    action: string,
    transaction: Transaction | undefined,
    { producerId, producerEpoch }: ProducerIdentity,
  ): asserts transaction is Transaction {
    if (transaction?.producerId !== producerId) {
      throw new BrokerError(
        'INVALID_PRODUCER_ID_MAPPING',
        `Cannot ${action} of producer ${producerId}: no transactional id has it`,
      )
    }
    if (transaction.producerEpoch === producerEpoch) return
    this.#parts.metrics?.producersFenced.add(1)
    throw new BrokerError(
      'INVALID_PRODUCER_EPOCH',
      `Cannot ${action} of producer ${producerId} in epoch ${producerEpoch}: it is in ${transaction.producerEpoch}`,
    )
  }

  // One event after the other

  async #request(transactionalId: string, event: TransactionEvent): Promise<void> {
    checkTransactionalId(transactionalId)
    const entry = this.#entries.get(transactionalId)
    if (entry !== undefined) {
      await this.#submit(entry, event)
      return
    }
    if (this.#isClosed) throw stopping(transactionalId, event)
    const decision = decide(undefined, event, this.#clock.now())
    if (decision.kind === 'refuse') throw this.#refuse(transactionalId, event, decision)
  }

  #submit(entry: Entry, event: TransactionEvent): Promise<Transaction | undefined> {
    if (this.#isClosed) throw stopping(entry.transactionalId, event)
    if (entry.queue.length + entry.waiting.length >= this.#options.requestsPerIdMax) {
      throw concurrent(entry.transactionalId, event)
    }
    return new Promise((resolve, reject) => {
      const settle = (error: unknown, transaction: Transaction | undefined) => {
        if (error === undefined) resolve(transaction)
        else reject(error)
      }
      entry.queue.push({ event, settle })
      this.#run(entry)
    })
  }

  #run(entry: Entry) {
    while (!entry.isBusy && !this.#isClosed) {
      const request = entry.queue.shift()
      if (request === undefined) break
      this.#handle(entry, request)
    }
    if (entry.transaction === undefined && !entry.isBusy && entry.queue.length === 0) this.#forget(entry)
  }

  #refuse(transactionalId: string, event: TransactionEvent, { error, reason }: Refusal): BrokerError {
    if (error === 'PRODUCER_FENCED') this.#parts.metrics?.producersFenced.add(1)
    return refuse(error, transactionalId, event, reason)
  }

  #handle(entry: Entry, request: Request) {
    const { event, settle } = request
    const decision = decide(entry.transaction, event, this.#clock.now())
    switch (decision.kind) {
      case 'answer':
        return settle(undefined, entry.transaction)
      case 'refuse':
        return settle(this.#refuse(entry.transactionalId, event, decision), undefined)
      case 'wait':
        return this.#wait(entry, request, concurrent(entry.transactionalId, event))
      case 'new producer id':
        return this.#handleWithNewId(entry, request)
      case 'change':
        return this.#change(entry, request, decision)
    }
  }

  #handleWithNewId(entry: Entry, { event, settle }: Request) {
    assert(event.kind === 'init', 'only who is initialised gets a producer id')
    entry.isBusy = true
    this.#parts.producerIds.next().then(
      (newProducerId) => {
        entry.queue.unshift({ event: { ...event, newProducerId }, settle })
        this.#goOn(entry)
      },
      (error: unknown) => {
        settle(notStored(entry.transactionalId, event, error), undefined)
        this.#goOn(entry)
      },
    )
  }

  #change(entry: Entry, request: Request, { next, reply }: Extract<Decision, { kind: 'change' }>) {
    const { event, settle } = request
    const { transactionalId } = entry
    const refusal = next === undefined ? undefined : this.#checkLimits(entry, event, next)
    if (refusal !== undefined) return settle(refusal, undefined)
    entry.isBusy = true
    this.#parts.store.commit([toStoreChange(transactionalId, next)]).then(
      () => {
        if (event.kind === 'timeout') entry.hasTimedOut = true
        // It is decided now: who asked for it may be told so, should the rest take long.
        if (reply === 'once ended')
          this.#wait(entry, request, event.kind === 'end' ? undefined : concurrent(transactionalId, event))
        this.#take(entry, next)
        if (reply === 'once stored') settle(undefined, next)
        this.#goOn(entry)
      },
      (error: unknown) => {
        this.#logger.error({ err: error, transactionalId }, 'cannot store a transaction')
        settle(notStored(transactionalId, event, error), undefined)
        this.#goOn(entry)
      },
    )
  }

  #goOn(entry: Entry) {
    entry.isBusy = false
    if (!this.#isClosed) return this.#run(entry)
    for (const { event, settle } of entry.queue.splice(0)) {
      settle(stopping(entry.transactionalId, event), undefined)
    }
  }

  /** `late` is what it is told when the transaction has not ended in time. */
  #wait(entry: Entry, request: Request, late: BrokerError | undefined) {
    if (this.#isClosed) return request.settle(stopping(entry.transactionalId, request.event), undefined)
    const timer = this.#clock.setTimer(this.#options.waitMsMax, () => {
      entry.waiting = entry.waiting.filter((waiting) => waiting.request !== request)
      request.settle(late, entry.transaction)
    })
    entry.waiting.push({ request, timer })
  }

  // States

  /** Goes over to a state that is in the store, and does what it asks for. */
  #take(entry: Entry, next: Transaction | undefined) {
    const before = entry.transaction
    entry.transaction = next
    if (before !== undefined && before.producerId !== next?.producerId) this.#byProducer.delete(before.producerId)
    if (next !== undefined) this.#byProducer.set(next.producerId, entry)
    this.#countBytes(entry, next === undefined ? 0 : estimateBytes(next))
    if (this.#isClosed) return
    const isOngoing = next?.state === 'Ongoing'
    if (!isOngoing) {
      entry.timeout?.cancel()
      entry.timeout = undefined
    } else if (entry.timeout === undefined) this.#startTimeout(entry, next)
    if (next !== undefined && isEnding(next)) this.#startEnding(entry, next)
  }

  #startTimeout(entry: Entry, { timeoutMs, startedAtMs }: Transaction) {
    const now = this.#clock.now()
    // The wall clock may have jumped while the broker was down.
    const leftMs = Math.min(timeoutMs, Math.max(0, (startedAtMs ?? now) + timeoutMs - now))
    this.#abortAfter(entry, leftMs)
  }

  #abortAfter(entry: Entry, delayMs: number) {
    entry.timeout = this.#clock.setTimer(delayMs, () => {
      const { transactionalId } = entry
      this.#logger.info({ transactionalId }, 'a transaction has taken too long and is aborted')
      this.#tell(entry, { kind: 'timeout' }, () => {
        if (!this.#isClosed && entry.transaction?.state === 'Ongoing') this.#abortAfter(entry, this.#options.retryMsMax)
      })
    })
  }

  #startEnding(entry: Entry, transaction: Transaction) {
    const { producerId, producerEpoch, state } = transaction
    const partitions = listPartitions(transaction)
    const work = { producerId, producerEpoch, isCommit: state === 'PrepareCommit', partitions }
    entry.ending = new Ending(work, this.#endingParts, () => this.#ended(entry, transaction))
  }

  #ended(entry: Entry, ended: Transaction) {
    const tryAgain = () => {
      if (this.#isClosed) return
      entry.timeout = this.#clock.setTimer(this.#options.retryMsMax, () => this.#ended(entry, ended))
    }
    this.#tell(entry, { kind: 'ended' }, tryAgain, () => {
      entry.ending = undefined
      this.#count(entry, ended)
      entry.hasTimedOut = false
      const waiting = entry.waiting.splice(0)
      for (const { timer } of waiting) timer.cancel()
      entry.queue.unshift(...waiting.map(({ request }) => request))
    })
  }

  #count({ hasTimedOut }: Entry, { state, startedAtMs }: Transaction) {
    const { metrics } = this.#parts
    if (metrics === undefined) return
    const result = hasTimedOut ? 'timeout' : state === 'PrepareCommit' ? 'commit' : 'abort'
    metrics.transactionsEnded.child(result).add(1)
    if (startedAtMs !== undefined) {
      metrics.transactionDurationSeconds.observe(Math.max(0, this.#clock.now() - startedAtMs) / 1000)
    }
  }

  /** Lets something happen that no client has asked for, before all that clients ask for. */
  #tell(entry: Entry, event: TransactionEvent, failed: () => void, done: () => void = () => {}) {
    entry.queue.unshift({ event, settle: (error) => (error === undefined ? done() : failed()) })
    this.#run(entry)
  }

  // Transactions that only a log knows

  #isKnown({ producerId, topic, partition }: OpenTransaction): boolean {
    const transaction = this.#byProducer.get(producerId)?.transaction
    return transaction?.partitions.get(topic)?.has(partition) === true
  }

  // Entries

  #findOrMake(transactionalId: string): Entry {
    const known = this.#entries.get(transactionalId)
    if (known !== undefined) return known
    const { idsMax, bytesMax } = this.#options
    const action = `initialise transactional id ${quoteId(transactionalId)}`
    if (this.#entries.size >= idsMax) {
      throw new BrokerError('POLICY_VIOLATION', `Cannot ${action}: there are ${idsMax} already`)
    }
    if (this.#bytes >= bytesMax) throw new BrokerError('POLICY_VIOLATION', `Cannot ${action}: ${NO_MEMORY}`)
    return this.#makeEntry(transactionalId)
  }

  #makeEntry(transactionalId: string): Entry {
    const entry: Entry = {
      transactionalId,
      transaction: undefined,
      queue: [],
      isBusy: false,
      waiting: [],
      ending: undefined,
      hasTimedOut: false,
      timeout: undefined,
      bytes: 0,
    }
    this.#entries.set(transactionalId, entry)
    return entry
  }

  #forget(entry: Entry) {
    if (this.#entries.get(entry.transactionalId) === entry) this.#entries.delete(entry.transactionalId)
  }

  #countBytes(entry: Entry, bytes: number) {
    this.#bytes += bytes - entry.bytes
    entry.bytes = bytes
  }

  #checkLimits({ transactionalId, bytes }: Entry, event: TransactionEvent, next: Transaction): BrokerError | undefined {
    if (event.kind !== 'add partitions' && event.kind !== 'add group') return undefined
    const { partitionsPerTransactionMax, groupsPerTransactionMax, bytesMax } = this.#options
    const beyond = (reason: string) => refuse('POLICY_VIOLATION', transactionalId, event, reason)
    if (countPartitions(next) > partitionsPerTransactionMax) {
      return beyond(`a transaction has at most ${partitionsPerTransactionMax} partitions`)
    }
    if (next.groups.size > groupsPerTransactionMax) {
      return beyond(`a transaction has at most ${groupsPerTransactionMax} groups`)
    }
    return this.#bytes - bytes + estimateBytes(next) > bytesMax ? beyond(NO_MEMORY) : undefined
  }

  #expireLater() {
    const checkAgain = () => {
      if (!this.#isClosed) this.#expireLater()
    }
    const { idExpirationCheckMs, idExpirationMs } = this.#options
    this.#expiryTimer = this.#clock.setTimer(Math.min(idExpirationCheckMs, idExpirationMs), () => {
      this.#expire().then(checkAgain, (error: unknown) => {
        this.#logger.error({ err: error }, 'cannot forget transactional ids')
        checkAgain()
      })
    })
  }

  async #expire() {
    const unusedSinceMs = this.#clock.now() - this.#options.idExpirationMs
    const unused = [...this.#entries.values()].filter(({ transaction }) => {
      return transaction !== undefined && transaction.changedAtMs <= unusedSinceMs
    })
    while (unused.length > 0 && !this.#isClosed) {
      const some = unused.splice(0, EXPIRED_AT_A_TIME)
      await Promise.all(some.map((entry) => this.#submit(entry, { kind: 'expire', unusedSinceMs })))
    }
  }
}

const NO_MEMORY = 'all transactions together take too much memory'

function listPartitions({ partitions }: Transaction): TopicPartition[] {
  return [...partitions].flatMap(([topic, ofTopic]) => Array.from(ofTopic, (partition) => ({ topic, partition })))
}

function estimateBytes(transaction: Transaction): number {
  const names = transaction.partitions.size + transaction.groups.size
  return ENTRY_BYTES + names * NAME_BYTES + countPartitions(transaction) * PARTITION_BYTES
}
