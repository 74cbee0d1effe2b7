/** Where a message is in the log. */
export interface DeliveredMessage {
  readonly topic: string
  readonly partition: number
  /** -1 with `acks: 0`: nobody says. */
  readonly offset: number
}

/**
 * Why a message was not delivered, when the producer has decided that. `timeout`: it was tried for `deliveryTimeoutMs`, and
 * `cause` is what went wrong last; it may be in the log all the same. `full`: `bufferBytesMax` are under way already, and it
 * was not taken on.
 */
export type DeliveryFailureKind = 'timeout' | 'full'

/** The producer has given a message up, or has not taken it on. */
export class DeliveryFailure extends Error {
  override readonly name = 'DeliveryFailure'
  readonly kind: DeliveryFailureKind

  constructor(kind: DeliveryFailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Some messages of a `sendBatch` were not delivered. `cause` is what became of the first of them. */
export class SendBatchFailure extends Error {
  override readonly name = 'SendBatchFailure'
  /** For each message, in their order, where it is, or why it is nowhere. */
  readonly results: readonly (DeliveredMessage | Error)[]

  constructor(results: readonly (DeliveredMessage | Error)[]) {
    const errors = results.filter((result) => result instanceof Error)
    const first = errors.at(0)
    super(`Cannot deliver ${errors.length} of ${results.length} messages: ${first?.message ?? ''}`, { cause: first })
    this.results = results
  }
}

/** Is told what became of one message; exactly once. */
export interface DeliverySink {
  delivered(topic: string, partition: number, offset: number): void
  failed(error: Error): void
}

/** The promise of one message. */
export class SingleDelivery implements DeliverySink {
  readonly #resolve: (delivered: DeliveredMessage) => void
  readonly #reject: (error: Error) => void

  constructor(resolve: (delivered: DeliveredMessage) => void, reject: (error: Error) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  delivered(topic: string, partition: number, offset: number): void {
    this.#resolve({ topic, partition, offset })
  }

  failed(error: Error): void {
    this.#reject(error)
  }
}

/** The promise of many. */
export class BulkDelivery {
  readonly promise: Promise<readonly DeliveredMessage[]>
  readonly #results: (DeliveredMessage | Error | undefined)[] = []
  #left = 0
  #hasFailed = false
  #isWhole = false
  #resolve: (delivered: readonly DeliveredMessage[]) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** The sink of the next message. */
  next(): DeliverySink {
    const index = this.#results.length
    this.#results.push(undefined)
    this.#left++
    return new BulkSlot(this, index)
  }

  /** No message follows. */
  end(): void {
    this.#isWhole = true
    this.#finish()
  }

  settle(index: number, result: DeliveredMessage | Error): void {
    this.#results[index] = result
    this.#hasFailed ||= result instanceof Error
    this.#left--
    this.#finish()
  }

  #finish(): void {
    if (!this.#isWhole || this.#left > 0) return
    if (this.#hasFailed) this.#reject(new SendBatchFailure(this.#results as (DeliveredMessage | Error)[]))
    else this.#resolve(this.#results as DeliveredMessage[])
  }
}

class BulkSlot implements DeliverySink {
  readonly #bulk: BulkDelivery
  readonly #index: number

  constructor(bulk: BulkDelivery, index: number) {
    this.#bulk = bulk
    this.#index = index
  }

  delivered(topic: string, partition: number, offset: number): void {
    this.#bulk.settle(this.#index, { topic, partition, offset })
  }

  failed(error: Error): void {
    this.#bulk.settle(this.#index, error)
  }
}
