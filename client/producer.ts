import type { EventEmitter } from 'node:events'
import { promisify } from 'node:util'
import { systemClock } from '../src/base/clock.ts'
import { BatchSender } from './batch-sender.ts'
import type { DeliveredMessage, DeliverySink } from './delivery.ts'
import { BulkDelivery, DeliveryFailure, SingleDelivery } from './delivery.ts'
import type { ClientEvents } from './events.ts'
import { BrokerRefusal, ConnectionFailure } from './json-connection.ts'
import type { Link } from './link.ts'
import { readMessage } from './outgoing-record.ts'
import type { PartitionQueue, ProducerBatch } from './partition-queue.ts'
import type { ProducerMessage, ProducerOptions, ProducerSettings } from './producer-options.ts'
import { settleProducerOptions } from './producer-options.ts'
import { OutgoingRecord } from './record-batch.ts'
import { TopicRoute } from './topic-route.ts'
import type { Tracing } from './tracing.ts'

interface Signal {
  readonly signal?: AbortSignal | undefined
}

/** `sendBatch` lets the event loop turn whenever it has taken so many bytes on, so that they go out meanwhile. */
const BYTES_PER_TURN = 512 * 1024
const NOTHING = Promise.resolve()

/** What a producer works with. */
export interface ProducerParts {
  readonly link: Link
  readonly events: EventEmitter<ClientEvents>
  readonly tracing: Tracing | undefined
  readonly onClosed: () => void
}

/** A message that waits until its topic is known. */
interface EarlyMessage {
  readonly message: ProducerMessage
  readonly sink: DeliverySink
  readonly bytes: number
}

/**
 * Sends messages:
 *
 *     await using producer = client.producer()
 *     const { partition, offset } = await producer.send({ topic: 'orders', key: 'customer-7', value: '{"total":12}' })
 *
 * Messages are packed into batches, one for each partition, and several batches are on their way at a time; so it is fastest to
 * send many without waiting for each. What is lost on the way is sent again, and the broker sees by its sequence what it has
 * already: each message is stored once, and those of a partition stay in the order in which they were sent.
 *
 * Memory is bounded: `send` refuses what does not fit, and `room` waits until something does. `sendBatch` waits by itself.
 */
export class Producer {
  readonly #link: Link
  readonly #settings: ProducerSettings
  readonly #sender: BatchSender
  readonly #onClosed: () => void
  readonly #tracing: Tracing | undefined
  readonly #record = new OutgoingRecord()
  readonly #routes = new Map<string, TopicRoute>()
  /** Topics that the broker is being asked about, with the messages that wait for the answer. */
  readonly #early = new Map<string, EarlyMessage[]>()
  readonly #loading = new Set<Promise<void>>()
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = () => this.#end(this.#signal?.reason as Error)
  #lastRoute: TopicRoute | undefined
  #bufferedBytes = 0
  #roomWaiters: (() => void)[] = []
  /** Why no message is taken on any more. */
  #ended: Error | undefined
  #closing: Promise<void> | undefined

  /** Use `client.producer()`. */
  constructor(parts: ProducerParts, options: ProducerOptions) {
    const { link, events } = parts
    this.#settings = settleProducerOptions(options)
    this.#link = link
    this.#tracing = parts.tracing
    this.#onClosed = parts.onClosed
    const { idempotent, compression, ...rest } = this.#settings
    this.#sender = new BatchSender(
      link,
      events,
      { ...rest, isIdempotent: idempotent, isCompressed: compression === 'gzip' },
      (batch, error) => this.#noteSettled(batch, error),
    )
    this.#signal = options.signal
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (this.#signal?.aborted === true) this.#onAbort()
  }

  /** How many bytes are under way: taken on, and not yet delivered or given up. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Whether `send` takes a message on now. */
  get hasRoom(): boolean {
    return this.#bufferedBytes < this.#settings.bufferBytesMax
  }

  /**
   * Sends a message, and resolves when it is delivered. It is in its place among the messages of its partition as soon as `send`
   * returns, so many can be sent without waiting. When the signal fires, the promise is rejected with its reason; the message
   * may be delivered all the same.
   *
   * @throws BrokerRefusal when the broker does not take it; DeliveryFailure `timeout`, or `full` when there is no room; RangeError
   *   or TypeError for a message that cannot be; ConnectionFailure `closed` when producer or client are closed. All of these
   *   come by the promise.
   */
  send(message: ProducerMessage, options?: Signal): Promise<DeliveredMessage> {
    const signal = options?.signal
    if (signal === undefined) {
      return new Promise((resolve, reject) => this.#accept(message, new SingleDelivery(resolve, reject)))
    }
    return withSignal(signal, () => this.send(message))
  }

  /**
   * Sends messages in their order, however many, and resolves when all of them are delivered. It takes the next ones only when
   * there is room for them, so they may come from a generator.
   *
   * @throws SendBatchFailure when some of them were not delivered; it tells what became of each. The signal's reason when it
   *   fires: those that were taken on by then may be delivered.
   */
  async sendBatch(messages: Iterable<ProducerMessage>, { signal }: Signal = {}): Promise<readonly DeliveredMessage[]> {
    const bulk = new BulkDelivery()
    let bytesBefore = this.#bufferedBytes
    for (const message of messages) {
      if (!this.hasRoom) await this.room({ signal })
      if (this.#bufferedBytes - bytesBefore > BYTES_PER_TURN) await turn()
      bytesBefore = Math.min(bytesBefore, this.#bufferedBytes)
      signal?.throwIfAborted()
      if (this.#ended !== undefined) throw this.#ended
      const sink = bulk.next()
      try {
        this.#accept(message, sink)
      } catch (error) {
        sink.failed(error as Error)
      }
    }
    bulk.end()
    return signal === undefined ? bulk.promise : withSignal(signal, () => bulk.promise)
  }

  /**
   * Resolves when there is room for more messages; at once when there is:
   *
   *     for (const order of orders) {
   *       await producer.room()
   *       producer.send({ topic: 'orders', value: order }).catch(report)
   *     }
   *
   * @throws the signal's reason
   */
  room({ signal }: Signal = {}): Promise<void> {
    if (this.hasRoom) return NOTHING
    const promise = new Promise<void>((resolve) => this.#roomWaiters.push(resolve))
    return signal === undefined ? promise : withSignal(signal, () => promise)
  }

  /**
   * Sends what waits for more messages, and resolves when everything that was sent before is delivered or given up. What becomes of
   * each message its own promise tells.
   *
   * @throws the signal's reason
   */
  flush({ signal }: Signal = {}): Promise<void> {
    return signal === undefined ? this.#flush() : withSignal(signal, () => this.#flush())
  }

  /**
   * Takes no more messages, delivers what is under way, and ends the connection. When the signal fires, what is still under way
   * then fails.
   */
  close({ signal }: Signal = {}): Promise<void> {
    this.#closing ??= this.#close()
    if (signal !== undefined) {
      const end = () => this.#end(signal.reason as Error)
      if (signal.aborted) end()
      else signal.addEventListener('abort', end, { once: true })
    }
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ------------------------------------------------------------------------------------------------ taking messages on

  #accept(message: ProducerMessage, sink: DeliverySink): void {
    if (this.#tracing === undefined) return this.#takeOn(message, sink)
    const traced = this.#tracing.send(message, sink)
    try {
      this.#takeOn(traced.message, traced.sink)
    } catch (error) {
      traced.sink.failed(error as Error)
    }
  }

  #takeOn(message: ProducerMessage, sink: DeliverySink): void {
    if (this.#ended !== undefined) throw this.#ended
    const { topic } = message
    if (!this.hasRoom) {
      const { bufferBytesMax } = this.#settings
      throw new DeliveryFailure(
        'full',
        `Cannot take on a message for topic "${topic}", ${this.#bufferedBytes} of at most ${bufferBytesMax} bytes are under way: wait for producer.room()`,
      )
    }
    let route = this.#lastRoute
    if (route?.topic !== topic) {
      route = this.#routes.get(topic)
      this.#lastRoute = route
    }
    // A partition that is not there may have been added meanwhile.
    const isNew = message.partition !== undefined && route !== undefined && message.partition >= route.partitionCount
    if (route?.isKnown === true && !isNew) this.#append(route, message, sink)
    else this.#wait(message, sink)
  }

  #append(route: TopicRoute, message: ProducerMessage, sink: DeliverySink): void {
    const record = this.#record
    readMessage(message, record)
    const queue = this.#choose(route, message.partition)
    let batch = queue.open
    if (batch !== undefined && !route.hasRoom(batch, record.sizeBytes)) {
      this.#sender.close(queue)
      batch = undefined
    }
    batch ??= this.#begin(route, queue)
    this.#bufferedBytes += batch.add(record, sink)
    if (message.partition === undefined && !record.hasKey) route.stickTo(batch)
    if (!route.hasRoom(batch, 0)) this.#sender.close(queue)
  }

  #choose(route: TopicRoute, partition: number | undefined): PartitionQueue {
    if (partition !== undefined) return route.at(partition)
    const record = this.#record
    return record.hasKey ? route.ofKey(record.hashKey()) : route.ofNone(record.sizeBytes)
  }

  #begin(route: TopicRoute, queue: PartitionQueue): ProducerBatch {
    const batch = this.#sender.begin(queue)
    const { metadataMaxAgeMs } = this.#settings
    if (systemClock.monotonic() - route.loadedAt > metadataMaxAgeMs && !this.#early.has(route.topic)) {
      this.#load(route.topic)
    }
    return batch
  }

  /** The topic has to be asked for first. */
  #wait(message: ProducerMessage, sink: DeliverySink): void {
    const { topic, key = null, value } = message
    if (typeof topic !== 'string' || topic === '') {
      throw new TypeError(`Cannot send to topic ${JSON.stringify(topic)}: its name is needed`)
    }
    const bytes = (key?.length ?? 0) + (value?.length ?? 0)
    this.#bufferedBytes += bytes
    const early = this.#early.get(topic)
    if (early === undefined) this.#load(topic, { message, sink, bytes })
    else early.push({ message, sink, bytes })
  }

  #load(topic: string, ...early: EarlyMessage[]): void {
    this.#early.set(topic, early)
    const loading = this.#learn(topic, early)
    this.#loading.add(loading)
    void loading.then(() => this.#loading.delete(loading))
  }

  /** Asks the broker about a topic, then sends what has waited for that. */
  async #learn(topic: string, early: readonly EarlyMessage[]): Promise<void> {
    const route = this.#routes.get(topic) ?? new TopicRoute(topic)
    let failure: Error | undefined
    try {
      const { topics } = await this.#link.call('METADATA', { topics: [topic] })
      route.learn(topics[0], this.#settings.batchBytes)
      this.#routes.set(topic, route)
    } catch (error) {
      failure = this.#ended ?? (error as Error)
      if (error instanceof BrokerRefusal) route.isKnown = false
    }
    this.#early.delete(topic)
    for (const { message, sink, bytes } of early) {
      this.#giveRoom(bytes)
      try {
        if (failure !== undefined) throw failure
        this.#append(route, message, sink)
      } catch (error) {
        sink.failed(error as Error)
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ room, and the end

  #noteSettled(batch: ProducerBatch, error: Error | undefined): void {
    this.#giveRoom(batch.bufferedBytes)
    if (!(error instanceof BrokerRefusal) || error.code !== 'UNKNOWN_TOPIC_OR_PARTITION') return
    // It has been deleted, or made anew with fewer partitions.
    const route = this.#routes.get(batch.queue.topic)
    if (route !== undefined) route.isKnown = false
  }

  #giveRoom(bytes: number): void {
    this.#bufferedBytes -= bytes
    // Not for each message that fits: batches are to fill.
    if (this.#roomWaiters.length === 0 || this.#bufferedBytes > this.#settings.bufferBytesMax / 2) return
    for (const resolve of this.#roomWaiters.splice(0)) resolve()
  }

  async #flush(): Promise<void> {
    await Promise.all(this.#loading)
    await this.#sender.flush()
  }

  async #close(): Promise<void> {
    this.#ended ??= new ConnectionFailure('closed', 'The producer was closed')
    await this.#flush()
    this.#end(this.#ended)
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#sender.failAll(error)
    this.#link.close()
    this.#onClosed()
  }
}

/** Lets the event loop turn once. */
const turn = promisify(setImmediate)

/** What `work` resolves with, unless the signal fires first. */
async function withSignal<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  signal.throwIfAborted()
  const stop = { now: () => {} }
  const aborted = new Promise<never>((_, reject) => {
    stop.now = () => reject(signal.reason as Error)
  })
  signal.addEventListener('abort', stop.now, { once: true })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', stop.now)
  }
}
