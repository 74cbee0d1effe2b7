import type { EventEmitter } from 'node:events'
import { vi } from 'vitest'
import type { ClientOptions } from '../../client/client.ts'
import { CafeLogClient } from '../../client/client.ts'
import type { ConsumerEvents } from '../../client/consumer-options.ts'
import type { Consumer } from '../../client/consumer.ts'
import { openConnection } from '../../client/json-connection.ts'
import type { Message } from '../../client/message.ts'
import { call } from '../../client/operations.ts'
import type { CafeLog, CafeLogOptions } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'

/** A broker and clients of it that are quick to try again. */
export class ClientWorld {
  broker: CafeLog
  readonly #options: CafeLogOptions
  readonly #clients: CafeLogClient[] = []

  static async start(options: CafeLogOptions): Promise<ClientWorld> {
    // Heartbeats that come soon make tests that end soon.
    const settings = { CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: '20ms', ...options.settings }
    const complete = { ...options, settings }
    return new ClientWorld(await startCafeLog(complete), complete)
  }

  constructor(broker: CafeLog, options: CafeLogOptions) {
    this.broker = broker
    this.#options = options
  }

  client(options: ClientOptions = {}): CafeLogClient {
    const client = new CafeLogClient({
      broker: this.broker.addresses.json,
      retryDelayMs: 5,
      retryDelayMsMax: 50,
      circuitOpenMs: 50,
      ...options,
    })
    this.#clients.push(client)
    return client
  }

  /** Appends messages to one partition, with keys of their own. `ts` must be one that retention does not mind. */
  async produce(topic: string, partition: number, values: readonly string[], ts = Date.now()): Promise<void> {
    const connection = await openConnection({ host: '127.0.0.1', port: this.broker.ports.json })
    const records = values.map((value) => ({ key: btoa(`key of ${value}`), value: btoa(value), ts }))
    await call(connection, 'PRODUCE', { topic, partition, records })
    connection.close()
  }

  /** Starts the broker again where it was. */
  async restart(): Promise<void> {
    const { ports } = this.broker
    await this.broker.close()
    this.broker = await startCafeLog({ ...this.#options, ports })
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()))
    await this.broker.close()
  }
}

/** `["3", "4", "5"]` for 3 and 6. */
export function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index))
}

/** Waits until it holds. */
export function soon(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 10_000, interval: 5 })
}

/** The values of the next messages; the last of them is processed too. */
export async function take(consumer: Consumer, count: number): Promise<string[]> {
  const values: string[] = []
  const { signal, abort } = ending()
  for await (const message of consumer.messages({ signal })) {
    values.push(message.text())
    if (values.length === count) abort()
  }
  return values
}

function ending() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

/** What a consumer tells of, one line for each event, without what is in them. */
export function listen(consumer: Consumer, ...names: readonly (keyof ConsumerEvents)[]): string[] {
  const lines: string[] = []
  const emitter: EventEmitter = consumer
  for (const name of names) emitter.on(name, (event: object) => lines.push(`${name} ${describe(event)}`))
  return lines
}

function describe(event: object): string {
  const parts: string[] = []
  for (const [name, value] of Object.entries(event) as [string, unknown][]) {
    if (name === 'delayMs') continue
    if (value instanceof Error) parts.push((value as { code?: string }).code ?? value.message)
    else if (Array.isArray(value)) parts.push(value.map(describePlace).join(' '))
    else if (typeof value === 'object' && value !== null) parts.push(describePlace(value as Message))
    else parts.push(`${name}=${String(value)}`)
  }
  return parts.join(' ')
}

function describePlace(place: { topic: string; partition: number; offset?: number }): string {
  return `${place.topic}/${place.partition}${place.offset === undefined ? '' : `@${place.offset}`}`
}
