import type { EventEmitter } from 'node:events'
import type { CircuitBreakerPolicy, IBackoff } from 'cockatiel'
import {
  BrokenCircuitError,
  circuitBreaker,
  CircuitState as PolicyState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
} from 'cockatiel'
import type { OperationName } from '../src/protocols/json/wire.ts'
import { WIRE_ERRORS } from '../src/protocols/json/wire.ts'
import type { CircuitState, ClientEvents } from './events.ts'
import type { JsonConnection } from './json-connection.ts'
import { BrokerRefusal, ConnectionFailure, openConnection } from './json-connection.ts'
import type { Answer, Request } from './operations.ts'
import { call } from './operations.ts'

/** How to reach a broker, and how patient to be. Times are milliseconds. */
export interface LinkOptions {
  readonly host: string
  readonly port: number
  /** For a connection to come about. */
  readonly connectTimeoutMs: number
  /** For an answer, on top of what the request itself may wait. */
  readonly requestTimeoutMs: number
  /** The first delay before something is sent again; each further one is about twice as long, with jitter. */
  readonly retryDelayMs: number
  readonly retryDelayMsMax: number
  /** For how long something that fails for passing reasons is tried again. */
  readonly retryForMs: number
  /** After so many failures in a row nothing is sent any more for `circuitOpenMs`; then one request tries. */
  readonly circuitFailures: number
  readonly circuitOpenMs: number
}

/** What goes with one call. */
export interface CallOptions {
  /** How long the request itself may take on purpose, in milliseconds. */
  readonly waitMs?: number
  readonly signal?: AbortSignal | undefined
}

type Events = EventEmitter<ClientEvents>

/** Whether the same request may succeed later, unchanged. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionFailure) return error.kind !== 'closed'
  // A newer broker may have codes that are not known here.
  const known: Partial<Record<string, { readonly isRetriable: boolean }>> = WIRE_ERRORS
  return error instanceof BrokerRefusal && known[error.code]?.isRetriable === true
}

/** The breaker that all links of a client share: what does not answer one of them does not answer the others. */
export class Circuit {
  readonly #policy: CircuitBreakerPolicy
  #error: Error | undefined

  constructor({ circuitFailures, circuitOpenMs }: LinkOptions, events: Events) {
    this.#policy = circuitBreaker(handleWhen(isTransient), {
      breaker: new ConsecutiveBreaker(circuitFailures),
      halfOpenAfter: circuitOpenMs,
    })
    this.#policy.onStateChange((state) => {
      const named = STATES[state]
      events.emit('circuit', { state: named, error: named === 'open' ? this.#error : undefined })
    })
  }

  get state(): CircuitState {
    return STATES[this.#policy.state]
  }

  /** @throws BrokenCircuitError while it is open, and whatever `work` throws */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#policy.execute(async () => {
      try {
        return await work()
      } catch (error) {
        this.#error = error as Error
        throw error
      }
    })
  }
}

const STATES: Readonly<Record<PolicyState, CircuitState>> = {
  [PolicyState.Closed]: 'closed',
  [PolicyState.Open]: 'open',
  [PolicyState.HalfOpen]: 'half-open',
  [PolicyState.Isolated]: 'open',
}

/**
 * A connection that comes back. Requests go through a circuit breaker, and are sent again as long as they fail for reasons that
 * may pass: with a delay that grows, up to a time.
 */
export class Link {
  readonly #options: LinkOptions
  readonly #circuit: Circuit
  readonly #events: Events
  readonly #closing = new AbortController()
  #connection: Promise<JsonConnection> | undefined

  constructor(options: LinkOptions, circuit: Circuit, events: Events) {
    this.#options = options
    this.#circuit = circuit
    this.#events = events
  }

  /**
   * Asks the broker for something that can be asked twice.
   *
   * @throws BrokerRefusal; ConnectionFailure when the broker could not be reached for `retryForMs`, or the link was closed;
   *   the signal's reason
   */
  async call<Name extends OperationName>(
    name: Name,
    request: Request<Name>,
    { waitMs = 0, signal }: CallOptions = {},
  ): Promise<Answer<Name>> {
    return await this.#retrying(name, signal, async () => call(await this.#connected(), name, request, waitMs))
  }

  /**
   * A connection to send on by oneself, which the caller gives up when it fails. `operation` is what it is wanted for.
   *
   * @throws as `call`
   */
  async connect(signal?: AbortSignal, operation: OperationName = 'HEARTBEAT'): Promise<JsonConnection> {
    return await this.#retrying(operation, signal, () => this.#connected())
  }

  /** Where the circuit breaker stands. */
  get circuit(): CircuitState {
    return this.#circuit.state
  }

  /**
   * Does something once, through the circuit breaker, for whoever tries again by itself.
   *
   * @throws BrokenCircuitError while the circuit is open; whatever `work` throws
   */
  attempt<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#circuit.run(work)
  }

  /** The delays before something is tried again: the first one; each knows the next. */
  firstDelay(): IBackoff<unknown> {
    return this.#backoff().next()
  }

  /** Ends the connection, and every attempt to have one. */
  close(): void {
    this.#closing.abort(new ConnectionFailure('closed', 'The client was closed'))
    void this.#connection?.then(
      (connection) => connection.close(),
      () => {},
    )
  }

  async #retrying<Result>(
    operation: OperationName,
    signal: AbortSignal | undefined,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const { retryForMs } = this.#options
    const deadline = AbortSignal.timeout(retryForMs)
    const ends = [this.#closing.signal, ...(signal === undefined ? [] : [signal])]
    const any = AbortSignal.any([deadline, ...ends])
    let last: Error | undefined
    const isWorthIt = (error: Error) => isTransient(error) || error instanceof BrokenCircuitError
    const policy = retry(handleWhen(isWorthIt), {
      maxAttempts: Infinity,
      backoff: this.#backoff(),
    })
    policy.onRetry(({ attempt, delay, ...reason }) => {
      if (!any.aborted && 'error' in reason) {
        this.#events.emit('retry', { operation, attempt, delayMs: delay, error: reason.error })
      }
    })
    const attempt = async () => {
      try {
        return await this.#circuit.run(work)
      } catch (error) {
        if (!(error instanceof BrokenCircuitError)) last = error as Error
        throw error
      }
    }
    let stopListening = () => {}
    // The policy would sleep through the end of its signal.
    const aborted = new Promise<never>((_resolve, reject) => {
      const give = () =>
        reject(ends.some((end) => end.aborted) ? (any.reason as Error) : (last ?? (any.reason as Error)))
      if (any.aborted) give()
      else any.addEventListener('abort', give, { once: true })
      // A signal that somebody listens to is kept until it fires, and with it whatever the call has touched.
      stopListening = () => any.removeEventListener('abort', give)
    })
    try {
      return await Promise.race([policy.execute(attempt, any), aborted])
    } finally {
      stopListening()
    }
  }

  #backoff() {
    const { retryDelayMs, retryDelayMsMax } = this.#options
    return new ExponentialBackoff({ initialDelay: retryDelayMs, maxDelay: retryDelayMsMax })
  }

  /** The connection, or a new one when there is none that works. */
  async #connected(): Promise<JsonConnection> {
    const current = (this.#connection ??= this.#open())
    try {
      const connection = await current
      if (connection.failure === undefined) return connection
    } catch (error) {
      this.#forget(current)
      throw error
    }
    this.#forget(current)
    return await this.#connected()
  }

  /** Unless somebody else has done so, and there is a newer one. */
  #forget(connection: Promise<JsonConnection>): void {
    if (this.#connection === connection) this.#connection = undefined
  }

  async #open(): Promise<JsonConnection> {
    const { host, port, connectTimeoutMs, requestTimeoutMs } = this.#options
    const { signal } = this.#closing
    const address = `${host}:${port}`
    try {
      const connection = await openConnection({ host, port, connectTimeoutMs, requestTimeoutMs, signal })
      connection.onFailure = (error) => this.#events.emit('disconnected', { address, error })
      this.#events.emit('connected', { address })
      return connection
    } catch (error) {
      this.#events.emit('disconnected', { address, error: error as Error })
      throw error
    }
  }
}
