import { Ending } from './ending.ts'
import type { EndingParts } from './ending.ts'
import type { ProducerIdentity, TopicPartition } from './transaction.ts'

/** An open transaction in a log. */
export interface OpenTransaction extends ProducerIdentity, TopicPartition {}

/**
 * Transactions that are open in a log and that nobody is going to end: a power cut took the marker from a log that is not
 * flushed always. Readers would wait for them for ever, so they are aborted.
 */
export class Orphans {
  readonly #parts: EndingParts
  readonly #endings = new Set<Ending>()

  constructor(parts: EndingParts) {
    // The offsets of its groups were applied or dropped long ago.
    this.#parts = { ...parts, targets: { ...parts.targets, endOffsets: () => Promise.resolve() } }
  }

  abort({ producerId, producerEpoch, topic, partition }: OpenTransaction): void {
    this.#parts.logger.warn({ producerId, topic, partition }, 'aborting a transaction that nobody knows of')
    const work = { producerId, producerEpoch, isCommit: false, partitions: [{ topic, partition }] }
    const ending = new Ending(work, this.#parts, () => this.#endings.delete(ending))
    this.#endings.add(ending)
  }

  /** Gives up on those that could not be ended yet. */
  close(): void {
    for (const ending of this.#endings) ending.cancel()
  }
}
