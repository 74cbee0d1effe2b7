import { EventEmitter } from 'node:events'
import { Admin } from './admin.ts'
import type { ConsumerOptions } from './consumer-options.ts'
import { Consumer } from './consumer.ts'
import type { CircuitState, ClientEvents } from './events.ts'
import type { LinkOptions } from './link.ts'
import { Circuit, Link } from './link.ts'
import { Producer } from './producer.ts'
import type { ProducerOptions } from './producer-options.ts'
import type { OpenTelemetryApi } from './tracing.ts'
import { Tracing } from './tracing.ts'

export type { Admin } from './admin.ts'
export type {
  AutoOffsetReset,
  ConsumerEvents,
  ConsumerOptions,
  ConsumerSettings,
  DeadLetterOptions,
  ExplicitPartition,
  GroupConsumerOptions,
  OnHandlerError,
  PartitionConsumerOptions,
} from './consumer-options.ts'
export { HandlerError, OffsetUnknown } from './consumer-options.ts'
export type { Consumer, PartitionStatus } from './consumer.ts'
export { DEAD_LETTER_HEADERS } from './dead-letters.ts'
export type { CircuitState, ClientEvents } from './events.ts'
export type { DeliveredMessage, DeliveryFailureKind } from './delivery.ts'
export { DeliveryFailure, SendBatchFailure } from './delivery.ts'
export { BrokerRefusal, ConnectionFailure } from './json-connection.ts'
export type { CallOptions } from './link.ts'
export type { Acks } from './produce-request.ts'
export type { Producer } from './producer.ts'
export type { ProducerHeader, ProducerHeaders, ProducerMessage, ProducerOptions } from './producer-options.ts'
export { PRODUCER_DEFAULTS } from './producer-options.ts'
export type { Bytes } from './record-batch.ts'
export type { OpenTelemetryApi, TracingSpan } from './tracing.ts'
export type { MessageIterator } from './message-iterator.ts'
export type {
  BatchContext,
  EachBatch,
  EachMessage,
  MessageBatch,
  MessageContext,
  RunOptions,
} from './message-runner.ts'
export type { Message, MessageHeader } from './message.ts'
export type { PartitionOffset } from './offset-committer.ts'
export type { TopicPartition } from './partitions.ts'
export { LIST_OFFSETS_END, LIST_OFFSETS_START } from './operations.ts'

/** How a client is to be; everything may be left out. Times are milliseconds. */
export interface ClientOptions extends Partial<Omit<LinkOptions, 'host' | 'port'>> {
  /** `host:port` of the JSON door; `localhost:7070` unless given. */
  readonly broker?: string
  /** `@opentelemetry/api`, for spans of what is sent and processed, with their context in the headers of messages. */
  readonly openTelemetry?: OpenTelemetryApi
}

/** What a client does that was told nothing else. */
export const CLIENT_DEFAULTS = {
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 30_000,
  retryDelayMs: 100,
  retryDelayMsMax: 10_000,
  retryForMs: 120_000,
  circuitFailures: 5,
  circuitOpenMs: 2_000,
} as const satisfies Partial<LinkOptions>

const BROKER_DEFAULT = 'localhost:7070'
const PORT_MAX = 65_535

/**
 * A client of one broker:
 *
 *     await using client = new CafeLogClient({ broker: 'localhost:7070' })
 *     await client.admin().createTopic({ topic: 'orders', partitions: 4 })
 *
 * It connects when something is asked, and again by itself whenever a connection breaks. Requests that fail for reasons that may
 * pass are sent again, with a delay that grows; after several failures in a row a circuit breaker lets nothing through for a
 * moment. All of that can be watched: `client.on('circuit', ({ state }) => …)`.
 */
export class CafeLogClient extends EventEmitter<ClientEvents> {
  readonly #options: LinkOptions
  readonly #circuit: Circuit
  readonly #links = new Set<Link>()
  readonly #tracing: Tracing | undefined
  readonly #consumers = new Set<Consumer>()
  #admin: Admin | undefined

  /** @throws RangeError for an address or a time that cannot be */
  constructor({ broker = BROKER_DEFAULT, openTelemetry, ...options }: ClientOptions = {}) {
    super()
    this.#options = { ...CLIENT_DEFAULTS, ...withoutGaps(options), ...parseAddress(broker) }
    this.#circuit = new Circuit(this.#options, this)
    this.#tracing = openTelemetry === undefined ? undefined : new Tracing(openTelemetry)
  }

  /** Where the circuit breaker stands. */
  get circuit(): CircuitState {
    return this.#circuit.state
  }

  /** Topics, offsets and groups; always the same one. */
  admin(): Admin {
    this.#admin ??= new Admin(this.#openLink())
    return this.#admin
  }

  /**
   * A producer with a connection of its own. Close it when all is sent, before the client is closed.
   *
   * @throws RangeError for options that cannot be
   */
  producer(options: ProducerOptions = {}): Producer {
    const link = this.#openLink()
    const onClosed = () => this.#links.delete(link)
    return new Producer({ link, events: this, tracing: this.#tracing, onClosed }, options)
  }

  /**
   * A consumer with connections of its own, of a group's share of topics or of the partitions that one names.
   *
   * @throws RangeError for options that cannot be
   */
  consumer(options: ConsumerOptions): Consumer {
    const links = { control: this.#openLink(), eager: this.#openLink(), patient: this.#openLink() }
    const onClosed = () => {
      this.#consumers.delete(consumer)
      for (const link of Object.values(links)) this.#links.delete(link)
    }
    const consumer = new Consumer({ links, tracing: this.#tracing, onClosed }, options)
    this.#consumers.add(consumer)
    return consumer
  }

  /**
   * Closes the consumers, then ends all connections. Whatever is still under way fails with a ConnectionFailure of the kind
   * `closed`.
   */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#consumers, (consumer) => consumer.close()))
    for (const link of this.#links) link.close()
    this.#links.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #openLink(): Link {
    const link = new Link(this.#options, this.#circuit, this)
    this.#links.add(link)
    return link
  }
}

/** What is said to be undefined counts as left out. */
function withoutGaps(options: Partial<LinkOptions>): Partial<LinkOptions> {
  const said = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [name, value] of said) {
    if (!Number.isFinite(value) || (value as number) < 0) {
      throw new RangeError(`Cannot use ${name} ${JSON.stringify(value)}: a number from 0 up is needed`)
    }
  }
  return Object.fromEntries(said)
}

function parseAddress(address: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address) ?? []
  const host = bracketed ?? plain
  if (host !== undefined && Number(port) > 0 && Number(port) <= PORT_MAX) return { host, port: Number(port) }
  throw new RangeError(
    `Cannot use broker ${JSON.stringify(address)}: "host:port" is needed, such as "${BROKER_DEFAULT}"`,
  )
}
