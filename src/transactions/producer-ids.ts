import type { Store } from '../store/store.ts'

/** Row of the store's table `meta`: the first producer id that has not been set aside, in decimal digits. */
const KEY = 'next-producer-id'
/** So many are set aside at a time. Those that are not given out before the broker stops are lost, of 2^53. */
const BLOCK = 1000
/** 0 is nobody: some clients say so who mean that they have no id yet. */
const FIRST = 1

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
