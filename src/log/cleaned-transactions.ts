import {
  decodeMarkerBatch,
  getBaseOffset,
  getLastOffsetDelta,
  getProducerId,
  isTransactional,
} from '../record/record-batch.ts'
import type { AbortedTransaction } from './aborted-transactions.ts'

/** Where a pass over transactions is, to come back to. */
export interface TransactionsMark {
  readonly next: number
  readonly aborted: ReadonlyMap<number, boolean>
  readonly committed: ReadonlySet<number>
}

/**
 * Follows the transactions of a log from its beginning, batch by batch, for the cleaner: which batches were rolled back, and
 * which markers have nothing left that they are about.
 */
export class CleanedTransactions {
  /** By first offset. */
  readonly #list: readonly AbortedTransaction[]
  #next = 0
  /** Producers within a transaction that was rolled back, and whether a batch of it was met. */
  #aborted = new Map<number, boolean>()
  /** Producers of which a batch was met that belongs to a transaction that was not. */
  #committed = new Set<number>()

  /** `aborted` are the transactions that were rolled back, from where the pass begins. */
  constructor(aborted: readonly AbortedTransaction[]) {
    this.#list = aborted
  }

  /** Notes a batch that is no control batch; true when it was rolled back. */
  meet(batch: Buffer, at: number): boolean {
    if (!isTransactional(batch, at)) return false
    this.#goTo(getBaseOffset(batch, at) + getLastOffsetDelta(batch, at))
    const producerId = getProducerId(batch, at)
    if (this.#aborted.has(producerId)) {
      this.#aborted.set(producerId, true)
      return true
    }
    this.#committed.add(producerId)
    return false
  }

  /** Notes a control batch; true when nothing is left of its transaction. */
  meetMarker(batch: Buffer, at: number): boolean {
    this.#goTo(getBaseOffset(batch, at))
    const marker = decodeMarkerBatch(batch, at)
    if (marker === undefined) return false
    const { producerId, isCommit } = marker
    if (isCommit) return !this.#committed.delete(producerId)
    const wasMet = this.#aborted.get(producerId) === true
    this.#aborted.delete(producerId)
    return !wasMet
  }

  mark(): TransactionsMark {
    return { next: this.#next, aborted: new Map(this.#aborted), committed: new Set(this.#committed) }
  }

  /** Goes back to where `mark` was. */
  rewind(mark: TransactionsMark): void {
    this.#next = mark.next
    this.#aborted = new Map(mark.aborted)
    this.#committed = new Set(mark.committed)
  }

  #goTo(offset: number): void {
    while (this.#next < this.#list.length && this.#list[this.#next].firstOffset <= offset) {
      this.#aborted.set(this.#list[this.#next++].producerId, false)
    }
  }
}
