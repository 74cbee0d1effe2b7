import type { Clock } from '../base/clock.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { Store, StoreChange } from '../store/store.ts'
import { producerKey } from './schedule-rows.ts'

/** As many batches as an idempotent producer may have on their way: only these can come again. */
const BATCHES_KEPT = 5
const KEPT_MS = 24 * 60 * 60 * 1000
const PRODUCERS_MAX = 10_000

/** A batch of an idempotent producer. */
export interface ProducerBatch {
  readonly topic: TopicName
  readonly partition: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/**
 * Which batches of idempotent producers had their delayed records taken, so that one that is sent again does not have them
 * taken again. The log cannot tell: its part of the batch and the store's become durable at different moments, and a crash
 * in between leaves either without the other. Each batch has a row of its own, stored together with its records.
 */
export class AcceptedBatches {
  readonly #store: Store
  readonly #clock: Clock
  readonly #underWay = new Map<string, Promise<void>>()
  /** By producer, the keys of its last batches, the oldest first. */
  readonly #known = new Map<string, string[]>()

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** What was promised for a batch when it came before: undefined when it did not, or was refused. */
  find(batch: ProducerBatch): Promise<void> | undefined {
    const key = keyOf(batch)
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    return this.#store.get('schedule_producers', key) === undefined ? undefined : Promise.resolve()
  }

  /** The rows to store with the records of a batch. */
  changesFor(batch: ProducerBatch): StoreChange[] {
    const key = keyOf(batch)
    const producer = producerKey(batch.topic, batch.partition, batch.producerId)
    const changes: StoreChange[] = [{ table: 'schedule_producers', key, value: Buffer.from(String(this.#clock.now())) }]
    const keys = this.#known.get(producer) ?? []
    this.#known.delete(producer)
    this.#known.set(producer, [...keys.slice(1 - BATCHES_KEPT), key])
    for (const old of keys.slice(0, 1 - BATCHES_KEPT)) {
      changes.push({ table: 'schedule_producers', key: old, value: undefined })
    }
    if (this.#known.size > PRODUCERS_MAX) {
      const [[oldest]] = this.#known
      this.#known.delete(oldest)
    }
    return changes
  }

  /** The rows and the records of a batch are on their way to the store. */
  noteUnderWay(batch: ProducerBatch, stored: Promise<void>): void {
    const key = keyOf(batch)
    this.#underWay.set(key, stored)
    const done = () => this.#underWay.delete(key)
    stored.then(done, done)
  }

  /** Removes what is too old to be sent again. At the start, when nobody knows which batches are the last ones. */
  async expire(): Promise<void> {
    const now = this.#clock.now()
    const changes: StoreChange[] = []
    for (const [key, value] of this.#store.entries('schedule_producers')) {
      if (now - Number(value.toString()) > KEPT_MS) changes.push({ table: 'schedule_producers', key, value: undefined })
    }
    if (changes.length > 0) await this.#store.commit(changes)
  }
}

function keyOf({ topic, partition, producerId, producerEpoch, baseSequence }: ProducerBatch): string {
  return `${producerKey(topic, partition, producerId)}\u0000${producerEpoch}\u0000${baseSequence}`
}
