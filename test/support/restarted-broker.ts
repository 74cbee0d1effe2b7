import type { BrokerHome, BrokerProcess, StartOptions } from './broker-process.ts'
import type { RawClient, RawFrame } from './raw-client.ts'
import { rawFrame } from './raw-client.ts'

/** A broker that is ended and started again while clients use it. */
export class RestartedBroker {
  readonly #home: BrokerHome
  #current: Promise<BrokerProcess>

  readonly #options: StartOptions

  constructor(home: BrokerHome, options: StartOptions = {}) {
    this.#home = home
    this.#options = options
    this.#current = home.start(options)
  }

  /** The broker that serves, or the next one that will. */
  current(): Promise<BrokerProcess> {
    return this.#current
  }

  /** Ends it, in order or as a crash would, and starts it again; one restart after the other. */
  restart(way: 'stop' | 'kill'): Promise<void> {
    const restarting = this.#current.then(async (broker) => {
      if (way === 'kill') await broker.kill()
      else if ((await broker.stop()) !== 0) throw new Error('the broker could not stop in order')
      return this.#home.start(this.#options)
    })
    this.#current = restarting
    return restarting.then(() => undefined)
  }

  /** Connects to the broker that serves; between two lives, waits for the next one. */
  async connect(): Promise<RawClient> {
    for (;;) {
      const broker = await this.#current
      try {
        return await broker.connect()
      } catch (error) {
        // It may have gone while we connected. One that is still meant to be there must answer.
        if ((await this.#current) === broker) throw error
      }
    }
  }
}

/** Sends a request and returns its answer, or undefined when the connection ends before it comes. */
export function tryAsk(client: RawClient, type: number, payload: unknown): Promise<RawFrame | undefined> {
  client.send(rawFrame(type, payload))
  return client.next()
}
