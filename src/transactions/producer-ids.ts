import type { Store } from '../store/store.ts'
import { EPOCH_MAX } from './transaction.ts'

/** Row of the store's table `meta`: the first producer id that has not been set aside, in decimal digits. */
const KEY = 'next-producer-id'
/** So many are set aside at a time. Those that are not given out before the broker stops are lost, of 2^53. */
const BLOCK = 1000
/** 0 is nobody: some clients say so who mean that they have no id yet. */
const FIRST = 1

/** Who a producer is, as it says in each of its batches. */
export interface ProducerIdentity {
  readonly producerId: number
  /** 0 to 32,766: with each one the sequences of its batches begin anew. */
  readonly producerEpoch: number
}

/** Gives out producer ids, each once for ever: none comes again after a restart. */
export class ProducerIds {
  readonly #store: Store
  #next: number
  /** Ids below this one may be given out. */
  #end: number
  #reserving: Promise<void> | undefined

  constructor(store: Store) {
    this.#store = store
    this.#next = Number(store.get('meta', KEY)?.toString() ?? FIRST)
    this.#end = this.#next
  }

  /**
   * Resolves with an id that nobody had before. Most of the time it is there at once.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async next(): Promise<number> {
    while (this.#next >= this.#end) await (this.#reserving ??= this.#reserve())
    return this.#next++
  }

  /**
   * Resolves with the next epoch of a producer that has no transactional id and does not know any more which of its batches
   * were stored (KIP-360), or with a new producer when there is none: after the last epoch, or for an id that was never
   * given out.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async renew({ producerId, producerEpoch }: ProducerIdentity): Promise<ProducerIdentity> {
    const isKnown = producerId >= FIRST && producerId < this.#next
    // The last of all epochs is for fencing, as in transactions.
    if (isKnown && producerEpoch + 1 < EPOCH_MAX) return { producerId, producerEpoch: producerEpoch + 1 }
    return { producerId: await this.next(), producerEpoch: 0 }
  }

  async #reserve(): Promise<void> {
    try {
      const end = this.#end + BLOCK
      await this.#store.commit([{ table: 'meta', key: KEY, value: Buffer.from(String(end)) }])
      this.#end = end
    } finally {
      this.#reserving = undefined
    }
  }
}
