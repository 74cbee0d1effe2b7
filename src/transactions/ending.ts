import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { AppendWaiter } from '../log/log-engine.ts'
import type { ProducerIdentity, TopicPartition } from './transaction.ts'
import type { TransactionOptions } from './transaction-options.ts'

/** The record that ends a producer's transaction in one partition. */
export interface TransactionMarker extends ProducerIdentity {
  /** Which coordinator wrote it; there is one, and it is always 0. */
  readonly coordinatorEpoch: number
  /** False aborts. */
  readonly isCommit: boolean
  readonly timestamp: number
}

/** What transactions need of a partition's log. */
export interface TransactionLog {
  /**
   * Appends the marker; `waiter` is told when it is as safe as a batch with `acks=all`.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  endTransaction(marker: TransactionMarker, waiter: AppendWaiter): number
}

/** Where transactions find logs and committed offsets. */
export interface TransactionTargets {
  /** Undefined for a partition that is not there any more. */
  findLog(topic: string, partition: number): TransactionLog | undefined
  /** Applies the offsets that were staged for a producer, or drops them; resolves when that is durable. May be done again. */
  endOffsets(producerId: number, isCommit: boolean): Promise<void>
}

/** What is to be ended, and how. */
export interface EndingWork extends ProducerIdentity {
  readonly isCommit: boolean
  readonly partitions: readonly TopicPartition[]
}

export interface EndingParts {
  readonly targets: TransactionTargets
  readonly clock: Clock
  readonly logger: Logger
  readonly options: TransactionOptions
}

/**
 * Ends one transaction: a marker goes into each of its partitions, and once all of them are durable the offsets of its groups
 * are applied or dropped. What fails is tried again, with growing pauses, until it is done: it was decided, and somebody may
 * have been told. Partitions that are gone need no marker.
 */
export class Ending {
  readonly #work: EndingWork
  readonly #parts: EndingParts
  readonly #done: () => void
  /** Partitions without a durable marker. */
  readonly #left: Set<TopicPartition>
  #inFlight = 0
  #retryMs: number
  #timer: Timer | undefined
  #isCancelled = false

  /** Begins at once; `done` is called later, once, unless it was cancelled. */
  constructor(work: EndingWork, parts: EndingParts, done: () => void) {
    this.#work = work
    this.#parts = parts
    this.#done = done
    this.#left = new Set(work.partitions)
    this.#retryMs = parts.options.retryMsMin
    this.#writeMarkers()
  }

  /** Does nothing any more. A marker that was appended stays. */
  cancel(): void {
    this.#isCancelled = true
    this.#timer?.cancel()
  }

  #writeMarkers() {
    this.#inFlight = this.#left.size
    if (this.#inFlight === 0) return this.#endOffsets()
    for (const target of this.#left) this.#writeMarker(target)
  }

  #writeMarker(target: TopicPartition) {
    const { targets, clock } = this.#parts
    const { producerId, producerEpoch, isCommit } = this.#work
    const log = targets.findLog(target.topic, target.partition)
    if (log === undefined) return this.#markerWritten(target, undefined)
    const marker = { producerId, producerEpoch, coordinatorEpoch: 0, isCommit, timestamp: clock.now() }
    try {
      log.endTransaction(marker, { appended: (error) => this.#markerWritten(target, error) })
    } catch (error) {
      this.#markerWritten(target, error)
    }
  }

  #markerWritten(target: TopicPartition, error: unknown) {
    if (error === undefined) this.#left.delete(target)
    else this.#complain(error, target)
    // The log knows of a later epoch: nothing of this one is open there, and trying again would come to the same.
    if (error instanceof BrokerError && error.code === 'INVALID_PRODUCER_EPOCH') this.#left.delete(target)
    this.#inFlight--
    assert(this.#inFlight >= 0, 'a marker settles once')
    if (this.#inFlight > 0) return
    if (this.#left.size === 0) this.#endOffsets()
    else this.#tryAgain(() => this.#writeMarkers())
  }

  #endOffsets() {
    if (this.#isCancelled) return
    const { producerId, isCommit } = this.#work
    this.#parts.targets.endOffsets(producerId, isCommit).then(
      () => {
        if (!this.#isCancelled) this.#done()
      },
      (error: unknown) => {
        this.#complain(error, {})
        this.#tryAgain(() => this.#endOffsets())
      },
    )
  }

  #tryAgain(step: () => void) {
    if (this.#isCancelled) return
    this.#timer = this.#parts.clock.setTimer(this.#retryMs, step)
    this.#retryMs = Math.min(this.#retryMs * 2, this.#parts.options.retryMsMax)
  }

  #complain(error: unknown, where: Partial<TopicPartition>) {
    const { producerId } = this.#work
    this.#parts.logger.warn({ err: error, producerId, ...where }, 'cannot end a transaction yet, will try again')
  }
}
