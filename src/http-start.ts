import { setImmediate } from 'node:timers/promises'
import type { Clock, Timer } from './base/clock.ts'
import type { Config } from './config/config.ts'
import { SETTINGS } from './config/config.ts'
import type { ApiParts } from './http/api.ts'
import type { Health } from './http/health.ts'
import type { HttpServer } from './http/http-server.ts'
import type { TestControls } from './http/test-controls.ts'
import type { Metrics } from './metrics/metrics.ts'
import { explainListening } from './start-error.ts'

/**
 * HTTP's libraries occupy the process for 90 ms, so the door of the log opens first, and whoever waits at it is served
 * before they do. But when opening the log takes long, orchestrators must be able to ask how it is.
 */
const AFTER_DOOR_MS = 40
const AFTER_FIRST_CLIENTS_MS = 160
const AFTER_START_MS = 250
/** How long HTTP may take to finish what it has begun, once all else is closed. */
const HTTP_CLOSING_MS = 500

/** HTTP on its way: loaded and opened at the moment when that disturbs least. */
export class HttpStart {
  readonly #server: Promise<HttpServer | undefined>
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #isEager: boolean
  #begin: () => void = () => {}
  #isAbandoned = false

  constructor(parts: {
    readonly clock: Clock
    readonly config: Config
    readonly health: Health
    readonly metrics: Metrics
    readonly api: ApiParts
    /** Whether to begin at once, whomever that disturbs. */
    readonly isEager: boolean
    readonly testControls: TestControls | undefined
  }) {
    const { clock, config, health, metrics, api, isEager, testControls } = parts
    this.#clock = clock
    this.#isEager = isEager
    const begun = new Promise<void>((resolve) => {
      this.#begin = resolve
    })
    this.#timer = clock.setTimer(AFTER_START_MS, this.#begin)
    if (isEager) this.#begin()
    this.#server = begun.then(async () => {
      if (this.#isAbandoned) return undefined
      const { HttpServer } = await import('./http/http-server.ts')
      const { httpAddress: address, httpConnectionsMax: connectionsMax } = config
      return explainListening(SETTINGS.httpAddress, address, () =>
        HttpServer.listen({ address, health, metrics, connectionsMax, api, testControls }),
      )
    })
    // Whoever waits for it will hear; but if the start fails before, nobody does.
    this.#server.catch(() => {})
  }

  /** The door of the log is open, and HTTP can follow as soon as nobody is disturbed. */
  async finish(isAnyoneHere: () => boolean): Promise<HttpServer> {
    this.#timer.cancel()
    if (!this.#isEager) {
      await this.#pass(AFTER_DOOR_MS)
      if (isAnyoneHere()) await this.#pass(AFTER_FIRST_CLIENTS_MS)
    }
    this.#begin()
    const server = await this.#server
    if (server === undefined) throw new TypeError('an abandoned start is not finished')
    return server
  }

  async close(): Promise<void> {
    this.#isAbandoned = true
    this.#timer.cancel()
    this.#begin()
    const server = await this.#server.catch(() => undefined)
    const timer = this.#clock.setTimer(HTTP_CLOSING_MS, () => server?.destroyConnections())
    await server?.close()
    timer.cancel()
  }

  /** Lets some time pass, and then those have their turn who came meanwhile. */
  async #pass(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#clock.setTimer(delayMs, resolve)
    })
    await setImmediate()
  }
}
