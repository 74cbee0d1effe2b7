import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import {
  getBaseSequence,
  getLastOffsetDelta,
  getMaxTimestamp,
  getProducerEpoch,
  getProducerId,
  getRecordCount,
  isTransactional,
  type TransactionMarker,
} from '../record/record-batch.ts'
import { AbortedTransactions } from './aborted-transactions.ts'

/** The last batches of a producer that are remembered: as many as a client may have on their way. */
export const BATCHES_KEPT = 5
/** Producers that a partition remembers; beyond that, those go that were silent longest. */
export const PRODUCERS_MAX = 10_000
/** Of those, what goes at once, so that not every new one has to look for another. */
const FORGOTTEN_SHARE = 1 / 16
/** Sequences begin again at 0 after this one. */
const SEQUENCE_MAX = 0x7fffffff
const NONE = -1

/** A batch that a producer may send again. */
export interface KeptBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly firstSequence: number
  readonly lastSequence: number
}

/** What a partition knows of a producer. Replaced, never edited: what it was before can be taken back. */
export interface ProducerEntry {
  readonly producerId: number
  readonly epoch: number
  /** Of the last marker, -1 before the first. */
  readonly coordinatorEpoch: number
  /** The largest timestamp of the last batch, as the producer said it. */
  readonly lastTimestamp: number
  /** When it was heard of last, by our own clock. */
  readonly seenMs: number
  /** The first offset of its open transaction, -1 without one. */
  readonly transactionStart: number
  /** The last ones, the oldest first. None after a new epoch that came with a marker. */
  readonly batches: readonly KeptBatch[]
}

/** A transaction that has begun and that consumers of committed records must not be past yet. */
interface Transaction {
  readonly producerId: number
  readonly firstOffset: number
  /** -1 as long as it is open. */
  markerOffset: number
  isAborted: boolean
}

/** One step, to be taken back when the log does not keep what it was for. */
interface Change {
  readonly offset: number
  readonly producerId: number
  readonly before: ProducerEntry | undefined
  readonly opened: Transaction | undefined
  readonly ended: Transaction | undefined
}

/**
 * What a partition knows of its producers, by Kafka's rules for idempotent and transactional ones.
 *
 * It is brought up to date when a batch gets its offset, before the batch is written: the next batch of the same producer
 * is already waiting. Whatever is then not written is taken back (`rollBack`), so that the state is always that of a log
 * which ends where the real one does. Everything in it can be read from the headers of the log again.
 */
export class ProducerStates {
  readonly #producers = new Map<number, ProducerEntry>()
  /** What is appended and not written, in order. */
  #changes: Change[] = []
  /** By first offset: the open ones, and those whose marker no consumer may read yet. */
  #transactions: Transaction[] = []
  readonly aborted = new AbortedTransactions()

  /** Whether there is nothing to remember. */
  get isEmpty(): boolean {
    return this.#producers.size === 0 && this.#transactions.length === 0 && this.aborted.count === 0
  }

  get count(): number {
    return this.#producers.size
  }

  /** All of them, in no order that means anything. */
  list(): ProducerEntry[] {
    return [...this.#producers.values()]
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.#producers.get(producerId)
  }

  /** Where the earliest transaction begins that is open, or that ended at or above the high watermark it was told last. */
  get firstUnstableOffset(): number | undefined {
    return this.#transactions.at(0)?.firstOffset
  }

  /**
   * Looks whether a batch may be appended. Returns the earlier one when it is there already, exactly the same by its
   * sequences; undefined when it is new.
   *
   * @throws BrokerError INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE, POLICY_VIOLATION
   */
  check(batch: Buffer): KeptBatch | undefined {
    const producerId = getProducerId(batch, 0)
    const epoch = getProducerEpoch(batch, 0)
    const firstSequence = getBaseSequence(batch, 0)
    const known = this.#producers.get(producerId)
    if (known === undefined) {
      this.#makeRoom()
      return undefined
    }
    if (epoch === known.epoch) {
      const lastSequence = addToSequence(firstSequence, getLastOffsetDelta(batch, 0))
      for (const kept of known.batches) {
        if (kept.firstSequence === firstSequence && kept.lastSequence === lastSequence) return kept
      }
    }
    if (epoch < known.epoch) throw staleEpoch(producerId, epoch, known.epoch)
    const isNewEpoch = epoch > known.epoch
    const last = isNewEpoch ? undefined : known.batches.at(-1)
    const expected = last === undefined ? 0 : addToSequence(last.lastSequence, 1)
    if (firstSequence !== expected) {
      throw new BrokerError(
        'OUT_OF_ORDER_SEQUENCE_NUMBER',
        `Cannot append a batch of producer ${producerId}, epoch ${epoch}, with sequence ${firstSequence}: ${expected} is next`,
      )
    }
    if (known.transactionStart !== NONE && !isTransactional(batch, 0)) {
      throw new BrokerError(
        'INVALID_TXN_STATE',
        `Cannot append a batch of producer ${producerId} outside its transaction: it is open since offset ${known.transactionStart}`,
      )
    }
    return undefined
  }

  /**
   * Looks whether a marker may be appended.
   *
   * @throws BrokerError INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED
   */
  checkMarker({ producerId, producerEpoch, coordinatorEpoch }: TransactionMarker): void {
    const known = this.#producers.get(producerId)
    if (known === undefined) return
    if (producerEpoch < known.epoch) throw staleEpoch(producerId, producerEpoch, known.epoch)
    if (coordinatorEpoch < known.coordinatorEpoch) {
      throw new BrokerError(
        'TRANSACTION_COORDINATOR_FENCED',
        `Cannot end the transaction of producer ${producerId} with coordinator epoch ${coordinatorEpoch}: ${known.coordinatorEpoch} is known`,
      )
    }
  }

  /** Notes a batch of a producer whose header lies at `at` and which has got its offset; `now` is our own time. */
  append(batch: Buffer, at: number, baseOffset: number, now: number): void {
    const producerId = getProducerId(batch, at)
    const epoch = getProducerEpoch(batch, at)
    const firstSequence = getBaseSequence(batch, at)
    const lastOffsetDelta = getLastOffsetDelta(batch, at)
    const before = this.#producers.get(producerId)
    const lastSequence = addToSequence(firstSequence, lastOffsetDelta)
    const kept = { baseOffset, lastOffset: baseOffset + lastOffsetDelta, firstSequence, lastSequence }
    // What compaction has emptied lies below the last stable offset: its transaction is over.
    const isOfTransaction = isTransactional(batch, at) && getRecordCount(batch, at) > 0
    let transactionStart = before?.transactionStart ?? NONE
    let opened: Transaction | undefined
    if (isOfTransaction && transactionStart === NONE) {
      transactionStart = baseOffset
      opened = { producerId, firstOffset: baseOffset, markerOffset: NONE, isAborted: false }
      this.#transactions.push(opened)
    }
    const earlier = before?.epoch === epoch ? before.batches : []
    this.#put(baseOffset, before, opened, undefined, {
      producerId,
      epoch,
      coordinatorEpoch: before?.coordinatorEpoch ?? NONE,
      lastTimestamp: getMaxTimestamp(batch, at),
      seenMs: now,
      transactionStart,
      batches: [...earlier.slice(1 - BATCHES_KEPT), kept],
    })
  }

  /** Notes the marker at `offset`. */
  appendMarker(marker: TransactionMarker, offset: number, now: number): void {
    const { producerId, producerEpoch, coordinatorEpoch, isCommit, timestamp } = marker
    const before = this.#producers.get(producerId)
    const firstOffset = before?.transactionStart ?? NONE
    let ended: Transaction | undefined
    if (firstOffset !== NONE) {
      ended = this.#transactions.find((open) => open.firstOffset === firstOffset)
      assert(ended !== undefined, 'an open transaction is among those that hold consumers back')
      ended.markerOffset = offset
      ended.isAborted = !isCommit
      if (!isCommit) {
        const lastOffset = before?.batches.at(-1)?.lastOffset ?? offset - 1
        const stableOffset = this.#transactions.find((open) => open.markerOffset === NONE)?.firstOffset ?? offset + 1
        this.aborted.add({ producerId, firstOffset, lastOffset, markerOffset: offset, stableOffset })
      }
    }
    this.#put(offset, before, undefined, ended, {
      producerId,
      epoch: producerEpoch,
      coordinatorEpoch,
      lastTimestamp: timestamp,
      seenMs: now,
      transactionStart: NONE,
      batches: before?.epoch === producerEpoch ? before.batches : [],
    })
  }

  /** Everything below `offset` is in the log: it is not taken back any more. */
  settle(offset: number): void {
    const last = this.#changes.at(-1)
    if (last === undefined) return
    if (last.offset < offset) this.#changes.length = 0
    else this.#changes = this.#changes.filter((change) => change.offset >= offset)
  }

  /** The log ends at `offset`: what was appended from there on is as if it had never been. */
  rollBack(offset: number): void {
    for (let change = this.#changes.at(-1); change !== undefined && change.offset >= offset;) {
      const { producerId, before, opened, ended } = change
      if (before === undefined) this.#producers.delete(producerId)
      else this.#producers.set(producerId, before)
      if (opened !== undefined) this.#transactions = this.#transactions.filter((other) => other !== opened)
      if (ended !== undefined) {
        if (ended.isAborted) this.aborted.removeLast()
        ended.markerOffset = NONE
        ended.isAborted = false
      }
      this.#changes.pop()
      change = this.#changes.at(-1)
    }
  }

  /** Consumers may read up to here: transactions whose markers lie below need not hold them back any more. */
  noteHighWatermark(highWatermark: number): void {
    const isOver = ({ markerOffset }: Transaction) => markerOffset !== NONE && markerOffset < highWatermark
    if (this.#transactions.some(isOver)) this.#transactions = this.#transactions.filter((other) => !isOver(other))
  }

  /** Forgets producers that were silent since `since` (our own time) and have no open transaction. */
  expire(since: number): void {
    for (const [producerId, entry] of this.#producers) {
      if (entry.seenMs < since && entry.transactionStart === NONE) this.#producers.delete(producerId)
    }
  }

  /** The producers as they were when the log ended at `endOffset`, which is where it is written to, or later. */
  entriesBefore(endOffset: number): ProducerEntry[] {
    const producers = new Map<number, ProducerEntry | undefined>(this.#producers)
    for (let i = this.#changes.length - 1; i >= 0 && this.#changes[i].offset >= endOffset; i--) {
      producers.set(this.#changes[i].producerId, this.#changes[i].before)
    }
    return [...producers.values()].filter((entry) => entry !== undefined)
  }

  /** Takes what a snapshot kept: producers, and the numbers of the aborted transactions. */
  restore(entries: readonly ProducerEntry[], aborted: readonly number[]): void {
    for (const entry of entries) {
      this.#producers.set(entry.producerId, entry)
      const { producerId, transactionStart: firstOffset } = entry
      if (firstOffset !== NONE) {
        this.#transactions.push({ producerId, firstOffset, markerOffset: NONE, isAborted: false })
      }
    }
    this.#transactions.sort((a, b) => a.firstOffset - b.firstOffset)
    this.aborted.restore(aborted)
  }

  #put(
    offset: number,
    before: ProducerEntry | undefined,
    opened: Transaction | undefined,
    ended: Transaction | undefined,
    entry: ProducerEntry,
  ): void {
    this.#producers.set(entry.producerId, entry)
    this.#changes.push({ offset, producerId: entry.producerId, before, opened, ended })
  }

  /** Makes room for one more, if there is none. */
  #makeRoom(): void {
    if (this.#producers.size < PRODUCERS_MAX) return
    const idle = this.list().filter(({ transactionStart }) => transactionStart === NONE)
    if (idle.length === 0) {
      throw new BrokerError(
        'POLICY_VIOLATION',
        `Cannot append a batch of one more producer: ${PRODUCERS_MAX} have open transactions in this partition`,
      )
    }
    idle.sort((a, b) => a.seenMs - b.seenMs)
    const count = Math.max(1, Math.floor(PRODUCERS_MAX * FORGOTTEN_SHARE))
    for (const { producerId } of idle.slice(0, count)) this.#producers.delete(producerId)
  }
}

/** The sequence that comes `count` after another one. */
export function addToSequence(sequence: number, count: number): number {
  return sequence > SEQUENCE_MAX - count ? sequence + count - SEQUENCE_MAX - 1 : sequence + count
}

function staleEpoch(producerId: number, epoch: number, known: number): BrokerError {
  return new BrokerError(
    'INVALID_PRODUCER_EPOCH',
    `Cannot append a batch of producer ${producerId} with epoch ${epoch}: another one goes on with epoch ${known}`,
  )
}
