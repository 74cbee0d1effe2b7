import { connect as connectSocket, type Socket } from 'node:net'
import { systemClock, type Timer } from '../src/base/clock.ts'
import { encodeFrame, FRAME_HEADER_BYTES, type ErrorAnswer } from '../src/protocols/json/wire.ts'

/** No answer of the broker is longer; something that claims to be is not a broker. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

/** The broker understood the request and refused it. `code` is one of docs/errors.md. */
export class BrokerRefusal extends Error {
  override readonly name = 'BrokerRefusal'
  readonly code: string
  /** For a PRODUCE of which a part was stored: what became of each partition. */
  readonly partitions: ErrorAnswer['partitions']

  constructor(code: string, message: string, partitions?: ErrorAnswer['partitions']) {
    super(message)
    this.code = code
    this.partitions = partitions
  }
}

/**
 * Why there is no answer. `unreachable`: no connection came about. `lost`: it broke, and what was in flight may or may
 * not have had its effect. `timeout`: the broker is there and does not answer. `closed`: this side ended it.
 */
export type ConnectionFailureKind = 'unreachable' | 'lost' | 'timeout' | 'closed'

/** The connection, not the broker, is why a request got no answer. */
export class ConnectionFailure extends Error {
  override readonly name = 'ConnectionFailure'
  readonly kind: ConnectionFailureKind

  constructor(kind: ConnectionFailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Where to connect to and how long to wait. Times are milliseconds. */
export interface ConnectOptions {
  readonly host: string
  readonly port: number
  /** For the connection to come about; 5 seconds unless given. */
  readonly connectTimeoutMs?: number
  /** For the answer to each request, on top of what the request itself may wait; 30 seconds unless given. */
  readonly requestTimeoutMs?: number
  /** Closes the connection when it fires. */
  readonly signal?: AbortSignal
}

interface PendingRequest {
  readonly type: number
  readonly deadline: number
  resolve(answer: object): void
  reject(error: Error): void
}

/**
 * Opens a connection to the JSON door.
 *
 * @throws ConnectionFailure `unreachable`, or `closed` when the signal fired first.
 */
export function openConnection(options: ConnectOptions): Promise<JsonConnection> {
  const { host, port, connectTimeoutMs = 5_000, requestTimeoutMs = 30_000, signal } = options
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(new ConnectionFailure('closed', `Stopped connecting to ${address}`))
    const socket = connectSocket({ host, port, noDelay: true })
    const timer = systemClock.setTimer(connectTimeoutMs, () => {
      fail(
        new ConnectionFailure('unreachable', `Cannot connect to ${address}: no answer within ${connectTimeoutMs} ms`),
      )
    })
    const onAbort = () => fail(new ConnectionFailure('closed', `Stopped connecting to ${address}`))
    const onError = (cause: NodeJS.ErrnoException) => {
      fail(
        new ConnectionFailure('unreachable', `Cannot connect to ${address} (${cause.code ?? cause.message})`, {
          cause,
        }),
      )
    }
    const settle = () => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      socket.removeListener('error', onError)
    }
    const fail = (error: ConnectionFailure) => {
      settle()
      socket.on('error', () => undefined)
      socket.destroy()
      reject(error)
    }
    signal?.addEventListener('abort', onAbort)
    socket.once('error', onError)
    socket.once('connect', () => {
      settle()
      resolve(new JsonConnection(socket, address, requestTimeoutMs, signal))
    })
  })
}

/**
 * One connection to the JSON door. Requests are pipelined: send as many as you like without waiting, answers come in
 * the order of the requests. It never reconnects; when it breaks, everything in flight is rejected with the same
 * ConnectionFailure, and so is every later request.
 */
export class JsonConnection {
  /** `host:port`, for messages. */
  readonly address: string
  /** Called once, when nothing more can be sent and this side did not end it. */
  onFailure: (failure: ConnectionFailure) => void = () => {}
  readonly #socket: Socket
  readonly #requestTimeoutMs: number
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = () => this.close()
  /** Oldest first: the next answer is for the first one. */
  readonly #pending: PendingRequest[] = []
  #failure: ConnectionFailure | undefined
  #timer: Timer | undefined
  #isCorked = false
  /** What came in and is not a whole frame yet, and how many bytes it takes to be one. */
  #parts: Buffer[] = []
  #partsBytes = 0
  #bytesWanted = FRAME_HEADER_BYTES

  /** Use `openConnection`. */
  constructor(socket: Socket, address: string, requestTimeoutMs: number, signal: AbortSignal | undefined) {
    this.address = address
    this.#socket = socket
    this.#requestTimeoutMs = requestTimeoutMs
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      this.#fail(
        new ConnectionFailure('lost', `Lost the connection to ${address} (${cause.code ?? cause.message})`, { cause }),
      )
    })
    socket.on('close', () => {
      this.#fail(new ConnectionFailure('lost', `Lost the connection to ${address}: the broker closed it`))
    })
  }

  /** Why nothing more can be sent; undefined while all is well. */
  get failure(): ConnectionFailure | undefined {
    return this.#failure
  }

  /** Requests that have no answer yet. */
  get inFlight(): number {
    return this.#pending.length
  }

  /** Bytes handed over that the system has not taken yet. */
  get bytesBuffered(): number {
    return this.#socket.writableLength
  }

  /**
   * Sends a request and resolves with the answer's payload. `payload` may be a Buffer that already is JSON. `waitMs` is
   * how long the request itself may take on purpose (a long poll).
   *
   * @throws BrokerRefusal, ConnectionFailure
   */
  request(type: number, payload: object, waitMs = 0): Promise<object> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const deadline = systemClock.monotonic() + this.#requestTimeoutMs + waitMs
      this.#pending.push({ type, deadline, resolve, reject })
      this.#timer ??= this.#watchFirst()
      this.#write(type, payload)
    })
  }

  /**
   * Sends a request that the broker will not answer (PRODUCE with `acks: 0`).
   *
   * @throws ConnectionFailure
   */
  send(type: number, payload: object): void {
    if (this.#failure) throw this.#failure
    this.#write(type, payload)
  }

  /** Resolves when the system has taken what was sent, or the connection broke. */
  drained(): Promise<void> {
    if (this.#failure || !this.#socket.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.removeListener('drain', done)
        this.#socket.removeListener('close', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.#socket.once('close', done)
    })
  }

  /** Sends what is still buffered, then closes. What is in flight is rejected at once. */
  close(): void {
    this.#fail(new ConnectionFailure('closed', `The connection to ${this.address} was closed`))
  }

  #write(type: number, payload: object) {
    // Requests made in one turn leave in one system call.
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.#socket.uncork()
      })
    }
    if (Buffer.isBuffer(payload)) {
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
      header[0] = type
      header.writeUInt32BE(payload.length, 1)
      this.#socket.write(header)
      this.#socket.write(payload)
      return
    }
    this.#socket.write(encodeFrame(type, JSON.stringify(payload)))
  }

  #receive(chunk: Buffer) {
    this.#parts.push(chunk)
    this.#partsBytes += chunk.length
    if (this.#partsBytes < this.#bytesWanted) return
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts)
    let at = 0
    let wanted = FRAME_HEADER_BYTES
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = bytes.readUInt32BE(at + 1)
      if (length > ANSWER_BYTES_MAX) return this.#fail(this.#notABroker(`an answer of ${length} bytes`))
      wanted = FRAME_HEADER_BYTES + length
      if (bytes.length - at < wanted) break
      this.#answer(bytes.readUInt8(at), bytes.toString('utf8', at + FRAME_HEADER_BYTES, at + wanted))
      if (this.#failure) return
      at += wanted
      wanted = FRAME_HEADER_BYTES
    }
    this.#parts = at < bytes.length ? [bytes.subarray(at)] : []
    this.#partsBytes = bytes.length - at
    this.#bytesWanted = wanted
  }

  #answer(type: number, text: string) {
    const answer = parseObject(text)
    if (answer === undefined) return this.#fail(this.#notABroker('an answer that is not a JSON object'))
    const refusal = refusalIn(answer)
    const request = this.#pending.shift()
    if (request === undefined) {
      return this.#fail(
        new ConnectionFailure(
          'lost',
          `${this.address} answered without being asked: ${refusal?.message ?? text.slice(0, 80)}`,
        ),
      )
    }
    if (request.type !== type) {
      this.#pending.unshift(request)
      return this.#fail(this.#notABroker(`an answer of type ${type} to a request of type ${request.type}`))
    }
    if (refusal) request.reject(refusal)
    else request.resolve(answer)
  }

  #notABroker(what: string) {
    return new ConnectionFailure('lost', `${this.address} does not speak CafeLog's JSON protocol: it sent ${what}`)
  }

  /** One timer for the oldest request is enough: answers come in order. */
  #watchFirst(): Timer | undefined {
    const first = this.#pending[0]
    if (first === undefined) return undefined
    return systemClock.setTimer(Math.max(1, first.deadline - systemClock.monotonic()), () => {
      this.#timer = undefined
      const oldest = this.#pending[0]
      if (oldest !== undefined && oldest.deadline <= systemClock.monotonic()) {
        this.#fail(
          new ConnectionFailure('timeout', `${this.address} did not answer within ${this.#requestTimeoutMs} ms`),
        )
      } else {
        this.#timer = this.#watchFirst()
      }
    })
  }

  #fail(failure: ConnectionFailure) {
    if (this.#failure) return
    this.#failure = failure
    this.#timer?.cancel()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    if (failure.kind === 'closed') this.#socket.end(() => this.#socket.destroy())
    else this.#socket.destroy()
    for (const request of this.#pending.splice(0)) request.reject(failure)
    if (failure.kind !== 'closed') this.onFailure(failure)
  }
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function refusalIn(answer: object): BrokerRefusal | undefined {
  if (!('error' in answer) || typeof answer.error !== 'object' || answer.error === null) return undefined
  const { error, partitions } = answer as ErrorAnswer
  return new BrokerRefusal(error.code, error.message, partitions)
}
