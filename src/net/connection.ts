import type { Socket } from 'node:net'
import type { BufferPool } from '../base/buffer-pool.ts'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Gauge } from '../metrics/instruments.ts'
import type { FrameTaker } from './frame-reader.ts'
import { FrameReader } from './frame-reader.ts'
import * as limits from './limits.ts'
import { Output } from './output.ts'
import type { Channel, Lent, Protocol, Session } from './protocol.ts'
import { startReading } from './shared-reading.ts'
import type { Flushable, TurnEnd } from './turn-end.ts'

/** What the connections of one listener share. */
export interface Surroundings {
  readonly protocol: Protocol
  readonly clock: Clock
  readonly logger: Logger
  readonly pool: BufferPool
  readonly turnEnd: TurnEnd
  readonly readBuffer: Buffer
  /** Bytes of all connections together: answers that wait for their clients, and frames that are not complete. */
  readonly totals: { outputBytes: number; unfinishedBytes: number }
  readonly inflightBytes: Gauge
  closed(connection: Connection): void
  /** The unfinished frames of all connections together have become too large. */
  unfinishedBytesExceeded(): void
}

/**
 * One client. Cuts its bytes into frames for the session, sends the session's answers, and keeps both within limits:
 *
 * - the session refuses a frame (it must wait for an earlier request), too many requests are in flight, or too many
 *   answer bytes wait: the frame is kept and the socket not read, until something of that changes;
 * - the kernel does not take what was flushed: the socket is not read until it has;
 * - no further request is wanted (the client has finished, or the framing is broken, or the broker stops): what comes is
 *   thrown away, what is in flight is answered, then the socket is closed.
 */
export class Connection implements Channel, FrameTaker, Flushable {
  readonly #surroundings: Surroundings
  readonly #socket: Socket
  readonly #session: Session
  readonly #reader: FrameReader
  readonly #output: Output
  readonly #isFreshTurn: boolean
  readonly #isRefused: boolean
  #reservedBytes = 0
  /** What of the two totals is ours. */
  #countedOutputBytes = 0
  #countedUnfinishedBytes = 0
  #isFlushScheduled = false
  #isRetryScheduled = false
  #isTurnScheduled = false
  #isReading = true
  #isEnding = false
  #isClosed = false
  #endedAtMs: number | undefined
  #heardAtMs: number
  #progressAtMs: number
  #frameBeganAtMs: number
  #frameCountAtBegin = -1

  /** `accepted` is a socket that was accepted paused; it must not be touched by anyone else afterwards. */
  constructor(accepted: Socket, surroundings: Surroundings, refusal: string | undefined) {
    this.#surroundings = surroundings
    this.#isRefused = refusal !== undefined
    const now = surroundings.clock.monotonic()
    this.#heardAtMs = now
    this.#progressAtMs = now
    this.#frameBeganAtMs = now
    this.#reader = new FrameReader(surroundings.protocol, surroundings.pool, this)
    const { socket, isFreshTurn } = startReading(accepted, surroundings.readBuffer, this.#received)
    this.#socket = socket
    this.#isFreshTurn = isFreshTurn
    this.#output = new Output(socket, this.#sent)
    this.#session = surroundings.protocol.open(this, refusal)
    socket.on('end', () => this.end())
    socket.on('error', (error) => surroundings.logger.debug({ peer: this.peer, err: error }, 'connection failed'))
    socket.on('close', () => this.#closed())
  }

  get peer(): string {
    return `${this.#socket.remoteAddress ?? 'unknown'}:${this.#socket.remotePort ?? 0}`
  }
  get local(): { readonly host: string; readonly port: number } {
    const { localAddress = '', localPort = 0 } = this.#socket
    // A socket that serves both families shows IPv4 addresses inside IPv6 ones.
    return { host: localAddress.replace(/^::ffff:(?=\d+\.)/, ''), port: localPort }
  }
  get outputBytes(): number {
    return this.#output.queuedBytes + this.#reservedBytes
  }
  /** Whether this connection was only accepted to be told that there are too many. */
  get isRefused(): boolean {
    return this.#isRefused
  }
  /** When the frame began that is not complete; undefined when there is none. */
  get unfinishedSinceMs(): number | undefined {
    return this.#reader.keptBytes > 0 && !this.#reader.isWaiting ? this.#frameBeganAtMs : undefined
  }

  grantOutput(wantedBytes: number): number {
    const own = this.outputBytes
    const isScarce = this.#surroundings.totals.outputBytes + wantedBytes > limits.OUTPUT_BYTES_TOTAL_MAX
    if (own === 0) return isScarce ? Math.min(wantedBytes, limits.OUTPUT_BYTES_SCARCE) : wantedBytes
    return isScarce || own + wantedBytes > limits.OUTPUT_BYTES_SOFT_MAX ? 0 : wantedBytes
  }

  sendText(text: string): void {
    this.#output.addText(text)
    this.#hasOutput()
  }

  sendBytes(bytes: Buffer, owner: Lent | undefined): void {
    if (this.#isClosed) {
      owner?.release()
      return
    }
    this.#output.addBytes(bytes, owner)
    this.#hasOutput()
  }

  reserveOutput(bytes: number): void {
    this.#reservedBytes += bytes
    this.#countOutput()
    if (bytes < 0) this.unblock()
    else this.#checkOutput()
  }

  unblock(): void {
    if (!this.#reader.isWaiting || this.#isRetryScheduled) return
    this.#isRetryScheduled = true
    // Not at once: frames are handed over in turns of their own.
    setImmediate(this.#retry)
  }

  end(): void {
    if (this.#isEnding || this.#isClosed) return
    this.#isEnding = true
    this.#reader.stop()
    this.#countUnfinished()
    this.#session.wrapUp()
    this.#steer()
    this.#endWhenAnswered()
  }

  /** Closes at once, whatever is in flight. */
  destroy(): void {
    this.#socket.destroy()
    this.#closed()
  }

  /** Closes the connection if it has used up one of its times; `lingerMs` is the one after its end. */
  checkTimes(nowMs: number, lingerMs: number): void {
    const overdue = this.#findOverdue(nowMs, lingerMs)
    if (overdue === undefined) return
    this.#surroundings.logger.debug({ peer: this.peer }, overdue)
    if (overdue === IDLE) this.end()
    else this.destroy()
  }

  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    if (this.#session.inFlight >= limits.REQUESTS_IN_FLIGHT_MAX) return false
    if (this.outputBytes >= limits.OUTPUT_BYTES_SOFT_MAX) return false
    return this.#session.takeFrame(buffer, start, end)
  }

  refuseFrame(buffer: Buffer, at: number): void {
    this.#session.refuseFrame(buffer, at)
    this.end()
  }

  flush(): void {
    this.#isFlushScheduled = false
    if (this.#isClosed) return
    const now = this.#surroundings.clock.monotonic()
    this.#heardAtMs = now
    if (!this.#output.isSending) this.#progressAtMs = now
    this.#output.flush()
    this.#endWhenAnswered()
    this.#steer()
  }

  readonly #received = (buffer: Buffer, start: number, end: number) => {
    if (this.#isEnding) return
    const { clock, protocol } = this.#surroundings
    const now = clock.monotonic()
    this.#heardAtMs = now
    if (this.#isFreshTurn) protocol.turnBegan()
    else this.#beginTurnLater()
    this.#run(() => this.#reader.receive(buffer, start, end))
    if (this.#reader.frameCount !== this.#frameCountAtBegin || this.#reader.keptBytes === 0) {
      this.#frameBeganAtMs = now
      this.#frameCountAtBegin = this.#reader.frameCount
    }
  }

  #beginTurnLater(): void {
    if (this.#isTurnScheduled) return
    this.#isTurnScheduled = true
    setImmediate(() => {
      this.#isTurnScheduled = false
      this.#surroundings.protocol.turnBegan()
    })
  }

  readonly #retry = () => {
    this.#isRetryScheduled = false
    if (this.#isEnding || this.#isClosed) return
    this.#surroundings.protocol.turnBegan()
    this.#run(() => this.#reader.retry())
  }

  readonly #sent = () => {
    this.#progressAtMs = this.#surroundings.clock.monotonic()
    this.#countOutput()
    this.unblock()
    this.#steer()
  }

  #run(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#surroundings.logger.error({ peer: this.peer, err: error }, 'closed a connection after a mistake of ours')
      this.destroy()
      return
    }
    this.#countUnfinished()
    this.#steer()
  }

  #hasOutput(): void {
    this.#countOutput()
    this.#checkOutput()
    if (this.#isClosed || this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    this.#surroundings.turnEnd.add(this)
  }

  #checkOutput(): void {
    if (this.#isClosed || this.outputBytes <= limits.OUTPUT_BYTES_HARD_MAX) return
    this.#surroundings.logger.warn(
      { peer: this.peer, outputBytes: this.outputBytes },
      'closed a connection whose client does not read its answers',
    )
    this.destroy()
  }

  #endWhenAnswered(): void {
    if (!this.#isEnding || this.#endedAtMs !== undefined) return
    if (this.#session.inFlight > 0 || !this.#output.isEmpty) return
    this.#endedAtMs = this.#surroundings.clock.monotonic()
    this.#socket.end()
  }

  /** Reads the socket or does not, as the state of things demands. */
  #steer(): void {
    if (this.#isClosed) return
    const isChoked = this.#socket.writableLength > limits.UNSENT_BYTES_MAX
    const mayRead = this.#isEnding || (!isChoked && !this.#reader.isWaiting)
    if (mayRead === this.#isReading) return
    this.#isReading = mayRead
    if (mayRead) {
      // The time in which we did not read does not count as the client's.
      this.#frameBeganAtMs = this.#surroundings.clock.monotonic()
      this.#socket.resume()
    } else {
      this.#socket.pause()
    }
  }

  #countOutput(): void {
    const outputBytes = this.#isClosed ? 0 : this.outputBytes
    this.#surroundings.totals.outputBytes += outputBytes - this.#countedOutputBytes
    this.#countedOutputBytes = outputBytes
  }

  #countUnfinished(): void {
    const unfinishedBytes = this.#isClosed ? 0 : this.#reader.keptBytes
    const { totals, inflightBytes } = this.#surroundings
    const change = unfinishedBytes - this.#countedUnfinishedBytes
    if (change === 0) return
    totals.unfinishedBytes += change
    inflightBytes.add(change)
    this.#countedUnfinishedBytes = unfinishedBytes
    if (totals.unfinishedBytes > limits.UNFINISHED_BYTES_TOTAL_MAX) this.#surroundings.unfinishedBytesExceeded()
  }

  #findOverdue(nowMs: number, lingerMs: number): string | undefined {
    if (this.#endedAtMs !== undefined) {
      const isSent = this.#socket.writableLength === 0
      if (isSent && nowMs - this.#endedAtMs > lingerMs) return 'closed a connection after its end'
    }
    if (this.#isRefused && nowMs - this.#heardAtMs > limits.REFUSAL_TIMEOUT_MS) return 'closed a refused connection'
    const unfinishedSinceMs = this.unfinishedSinceMs
    if (unfinishedSinceMs !== undefined && this.#isReading && nowMs - unfinishedSinceMs > limits.FRAME_TIMEOUT_MS) {
      return 'closed a connection whose frame did not end'
    }
    if (this.#output.queuedBytes > 0 && nowMs - this.#progressAtMs > limits.OUTPUT_STALL_TIMEOUT_MS) {
      return 'closed a connection whose client does not read'
    }
    const isIdle = !this.#isEnding && this.#session.inFlight === 0 && this.outputBytes === 0
    return isIdle && nowMs - this.#heardAtMs > limits.IDLE_TIMEOUT_MS ? IDLE : undefined
  }

  #closed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isEnding = true
    this.#reader.stop()
    this.#session.closed()
    this.#output.drop()
    this.#countOutput()
    this.#countUnfinished()
    this.#surroundings.closed(this)
  }
}

const IDLE = 'closed an idle connection'
