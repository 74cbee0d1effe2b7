import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { BufferPool } from '../base/buffer-pool.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Surroundings } from './connection.ts'
import { Connection } from './connection.ts'
import * as limits from './limits.ts'
import type { Protocol } from './protocol.ts'
import { TurnEnd } from './turn-end.ts'

/** Where to listen. Without a host: all interfaces, IPv6 and IPv4. Port 0: any free one. */
export interface ListenAddress {
  readonly host?: string | undefined
  readonly port: number
}

/** A door on a TCP port: accepts connections and lets its protocol have their frames. */
export class Listener {
  readonly #protocol: Protocol
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #connectionsMax: number
  readonly #countElsewhere: () => number
  readonly #refusalsMax: number
  readonly #server: Server
  readonly #surroundings: Surroundings
  readonly #connections = new Set<Connection>()
  readonly #totals = { outputBytes: 0, unfinishedBytes: 0 }
  #refusedCount = 0
  #isDraining = false
  #sweep: Timer | undefined
  #allClosed: (() => void) | undefined

  constructor(options: {
    readonly protocol: Protocol
    readonly clock: Clock
    readonly logger: Logger
    readonly metrics: Metrics
    /** Connections served at the same time; one more is told so and closed. */
    readonly connectionsMax: number
    /** Connections of other listeners that count too. */
    readonly countElsewhere?: () => number
  }) {
    this.#protocol = options.protocol
    this.#clock = options.clock
    this.#metrics = options.metrics
    this.#connectionsMax = options.connectionsMax
    this.#countElsewhere = options.countElsewhere ?? (() => 0)
    const refusalsWanted = Math.floor(options.connectionsMax * limits.REFUSALS_SHARE)
    this.#refusalsMax = Math.min(limits.REFUSALS_AT_ONCE_MAX, Math.max(limits.REFUSALS_AT_ONCE_LEAST, refusalsWanted))
    this.#surroundings = {
      protocol: options.protocol,
      clock: options.clock,
      logger: options.logger,
      pool: new BufferPool(),
      turnEnd: new TurnEnd(),
      readBuffer: Buffer.allocUnsafeSlow(limits.READ_BUFFER_BYTES),
      totals: this.#totals,
      inflightBytes: options.metrics.inflightBytes,
      closed: (connection) => this.#closed(connection),
      unfinishedBytesExceeded: () => this.#dropLongestUnfinished(),
    }
    this.#server = createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: limits.TCP_KEEP_ALIVE_MS,
    })
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  /**
   * Starts listening and returns where, with the port that was found for port 0.
   *
   * @throws the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL)
   */
  async listen(address: ListenAddress): Promise<{ host: string; port: number }> {
    const where: { port: number; host?: string } = { port: address.port }
    if (address.host !== undefined && address.host !== '') where.host = address.host
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...where, backlog: 1024 }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    // An error after that (a failed accept) concerns one connection that never came to be.
    this.#server.on('error', (error) => this.#surroundings.logger.warn({ err: error }, 'cannot accept a connection'))
    const bound = this.#server.address() as AddressInfo
    return { host: bound.address, port: bound.port }
  }

  /**
   * Stops accepting, answers what is in flight, closes every connection; resolves when all are closed, at the latest
   * after `timeoutMs`, when those that are left are cut off.
   */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#server.listening) this.#server.close()
    const allClosed = new Promise<void>((resolve) => {
      this.#allClosed = resolve
    })
    this.#isDraining = true
    for (const connection of this.#connections) connection.end()
    this.#sweep?.cancel()
    this.#sweepLater()
    const timer = this.#clock.setTimer(timeoutMs, () => {
      for (const connection of this.#connections) connection.destroy()
    })
    if (this.#connections.size > 0) await allClosed
    timer.cancel()
    this.#sweep?.cancel()
  }

  #accept(socket: Socket): void {
    const served = this.#connections.size - this.#refusedCount + this.#countElsewhere()
    const isRefused = served >= this.#connectionsMax
    this.#metrics.connections.child(this.#protocol.name, isRefused ? 'rejected' : 'accepted').add(1)
    if (isRefused && this.#refusedCount >= this.#refusalsMax) {
      socket.destroy()
      return
    }
    const refusal = isRefused
      ? `Cannot serve another connection: ${this.#connectionsMax} are open, and no more are allowed`
      : undefined
    this.#connections.add(new Connection(socket, this.#surroundings, refusal))
    if (isRefused) this.#refusedCount++
    this.#countConnections()
    if (this.#sweep === undefined) this.#sweepLater()
  }

  #closed(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    if (connection.isRefused) this.#refusedCount--
    this.#countConnections()
    if (this.#connections.size === 0) this.#allClosed?.()
  }

  #countConnections(): void {
    this.#metrics.tcpConnections.child(this.#protocol.name).set(this.#connections.size)
  }

  #sweepLater(): void {
    const intervalMs = this.#isDraining ? limits.SWEEP_INTERVAL_DRAINING_MS : limits.SWEEP_INTERVAL_MS
    this.#sweep = this.#clock.setTimer(intervalMs, () => {
      this.#sweep = undefined
      const now = this.#clock.monotonic()
      const lingerMs = this.#isDraining ? limits.LINGER_TIMEOUT_DRAINING_MS : limits.LINGER_TIMEOUT_MS
      for (const connection of this.#connections) connection.checkTimes(now, lingerMs)
      if (this.#connections.size > 0) this.#sweepLater()
    })
  }

  #dropLongestUnfinished(): void {
    let longest: Connection | undefined
    for (const connection of this.#connections) {
      const since = connection.unfinishedSinceMs
      if (since === undefined) continue
      if (longest?.unfinishedSinceMs === undefined || since < longest.unfinishedSinceMs) longest = connection
    }
    if (longest === undefined) return
    this.#metrics.throttled.child('memory').add(1)
    this.#surroundings.logger.warn(
      { peer: longest.peer, unfinishedBytes: this.#totals.unfinishedBytes },
      'closed the connection whose frame was unfinished for longest: the unfinished frames of all take too much memory',
    )
    longest.destroy()
  }
}
