import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { readResponseHeader } from '../../src/protocols/kafka/headers.ts'
import { Reader } from '../../src/protocols/kafka/reader.ts'
import type { BrokerProcess } from './broker-process.ts'
import type { AnyApi } from './kafka-apis.ts'

/** What became of a connection on which something was sent and the sending ended. */
export interface Aftermath {
  /** Everything that came back. */
  readonly received: Buffer
  /** Whether the broker closed in time; otherwise it still waited for something, and the client went away. */
  readonly isClosed: boolean
  readonly tookMs: number
}

/** Sends bytes on a connection of its own, ends, and waits until the broker closes; at most `patienceMs`. */
export async function sendAndEnd(port: number, bytes: Buffer, patienceMs: number): Promise<Aftermath> {
  const began = performance.now()
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const chunks: Buffer[] = []
  let isClosed = true
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.end(bytes)
  const timer = setTimeout(() => {
    isClosed = false
    socket.destroy()
  }, patienceMs)
  await closed
  clearTimeout(timer)
  return { received: Buffer.concat(chunks), isClosed, tookMs: performance.now() - began }
}

/** Reads the first answer among received bytes; undefined when there is none. Fails on bytes that are not that answer. */
export function readAnswer(api: AnyApi, version: number, received: Buffer): Record<string, unknown> | undefined {
  if (received.length === 0) return undefined
  const end = 4 + received.readInt32BE(0)
  if (received.length < end) throw new Error(`${received.length} bytes came of an answer with ${end}`)
  const reader = new Reader(received, 4, end, Infinity)
  readResponseHeader(reader, api, version)
  const answer = api.readResponse(reader, version)
  if (reader.position !== end) throw new Error(`${end - reader.position} bytes are left over`)
  return answer
}

/** Does the work for all items, so many at a time. */
export async function inParallel<Item>(items: readonly Item[], width: number, work: (item: Item) => Promise<void>) {
  let next = 0
  const workers = Array.from({ length: width }, async () => {
    while (next < items.length) await work(items[next++])
  })
  await Promise.all(workers)
}

/** What a broker process has in use that it must give back. */
export interface Footprint {
  readonly rssBytes: number
  readonly connections: number
}

/** Connections are those of the Kafka door. */
export async function readFootprint(broker: BrokerProcess): Promise<Footprint> {
  const connections = await broker.metric('cafelog_tcp_connections_current', 'protocol="kafka"')
  return { rssBytes: await broker.rssBytes(), connections: connections ?? 0 }
}

/** Looks again until memory and connections are down to this, for at most `patienceMs`; returns what was seen last. */
export async function settle(broker: BrokerProcess, most: Footprint, patienceMs: number): Promise<Footprint> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const now = await readFootprint(broker)
    const isDown = now.rssBytes <= most.rssBytes && now.connections <= most.connections
    if (isDown || performance.now() > deadline) return now
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
