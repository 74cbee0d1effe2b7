import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { encodeFrame, FRAME_HEADER_BYTES } from '../src/protocols/json/wire.ts'
import {
  BrokerRefusal,
  ConnectionFailure,
  openConnection,
  type ConnectOptions,
  type JsonConnection,
} from './json-connection.ts'
import { call } from './operations.ts'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** A server that hands each frame to `answer`, and a connection to it. */
async function connectTo(
  answer: (type: number, payload: string, socket: Socket) => void,
  options: Partial<ConnectOptions> = {},
): Promise<JsonConnection> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      while (bytes.length >= FRAME_HEADER_BYTES && bytes.length >= FRAME_HEADER_BYTES + bytes.readUInt32BE(1)) {
        const end = FRAME_HEADER_BYTES + bytes.readUInt32BE(1)
        const [type, payload] = [bytes[0], bytes.toString('utf8', FRAME_HEADER_BYTES, end)]
        bytes = bytes.subarray(end)
        answer(type, payload, socket)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const connection = await openConnection({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    ...options,
  })
  cleanups.push(() => connection.close())
  return connection
}

const echo = (type: number, payload: string, socket: Socket) => socket.write(encodeFrame(type, payload))

test('answers go to their requests in order, however the bytes arrive', async () => {
  const connection = await connectTo((type, payload, socket) => {
    for (const byte of encodeFrame(type, payload)) socket.write(Buffer.of(byte))
  })
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => connection.request(5, { n })))
  expect(answers).toEqual(Array.from({ length: 20 }, (_, n) => ({ n })))
  expect(connection.inFlight).toBe(0)
})

test('a large answer, and a payload that is JSON already', async () => {
  const connection = await connectTo(echo)
  const text = 'ä'.repeat(1_000_000)
  expect(await connection.request(3, Buffer.from(JSON.stringify({ text })))).toEqual({ text })
})

test('an operation by its name', async () => {
  const connection = await connectTo((type, payload, socket) => {
    expect([type, JSON.parse(payload)]).toEqual([6, { topics: ['orders'] }])
    socket.write(encodeFrame(6, '{"topics":[]}'))
  })
  expect(await call(connection, 'METADATA', { topics: ['orders'] })).toEqual({ topics: [] })
})

test('a refusal rejects its own request and no other', async () => {
  const refusal = { error: { code: 'INVALID_REQUEST', message: 'no' }, partitions: [] }
  const connection = await connectTo((type, payload, socket) => {
    socket.write(encodeFrame(type, payload === '{"bad":1}' ? JSON.stringify(refusal) : payload))
  })
  const bad = connection.request(5, { bad: 1 })
  const good = connection.request(5, { good: 1 })
  await expect(bad).rejects.toEqual(new BrokerRefusal('INVALID_REQUEST', 'no', []))
  expect(await good).toEqual({ good: 1 })
})

test('a lost connection rejects everything in flight and everything after', async () => {
  const connection = await connectTo((_type, _payload, socket) => socket.destroy())
  const results = await Promise.allSettled([connection.request(5, {}), connection.request(5, {})])
  for (const result of results)
    expect(result).toMatchObject({ status: 'rejected', reason: { name: 'ConnectionFailure', kind: 'lost' } })
  await expect(connection.request(5, {})).rejects.toMatchObject({ kind: 'lost' })
  expect(() => connection.send(2, {})).toThrow(ConnectionFailure)
})

test('a broker that says nothing is given up after the time for an answer and the time that was asked for', async () => {
  const connection = await connectTo(() => undefined, { requestTimeoutMs: 20 })
  const startedAt = performance.now()
  await expect(connection.request(3, {}, 30)).rejects.toMatchObject({ kind: 'timeout' })
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(45)
})

test('a late answer is no timeout while earlier ones come in time', async () => {
  let count = 0
  const connection = await connectTo(
    (type, payload, socket) => setTimeout(() => socket.write(encodeFrame(type, payload)), ++count * 30),
    {
      requestTimeoutMs: 1_000,
    },
  )
  await Promise.all([connection.request(5, {}), connection.request(5, {}), connection.request(5, {})])
})

test.each([
  ['an answer of another type', encodeFrame(6, '{}')],
  ['an answer that is no JSON', encodeFrame(5, '{')],
  ['an answer that is no object', encodeFrame(5, '[]')],
  ['an impossible length', Buffer.from([5, 255, 255, 255, 255])],
  ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
])('%s means that this is no broker', async (_name, bytes) => {
  const connection = await connectTo((_type, _payload, socket) => socket.write(bytes))
  await expect(connection.request(5, {})).rejects.toThrow(/does not speak/)
})

test('requests without an answer leave the order of the others alone', async () => {
  const seen: string[] = []
  const connection = await connectTo((type, payload, socket) => {
    seen.push(payload)
    if (type !== 2) socket.write(encodeFrame(type, payload))
  })
  connection.send(2, { n: 1 })
  const answer = connection.request(5, { n: 2 })
  connection.send(2, { n: 3 })
  expect(await answer).toEqual({ n: 2 })
  await connection.request(5, { n: 4 })
  expect(seen).toEqual(['{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}'])
})

test('closing rejects what is in flight; so does the signal', async () => {
  const connection = await connectTo(() => undefined)
  const request = connection.request(5, {})
  connection.close()
  await expect(request).rejects.toMatchObject({ kind: 'closed' })
  const controller = new AbortController()
  const other = await connectTo(() => undefined, { signal: controller.signal })
  const waiting = other.request(5, {})
  controller.abort()
  await expect(waiting).rejects.toMatchObject({ kind: 'closed' })
})

test('nobody there, nobody answering, and a signal before', async () => {
  const connection = await connectTo(echo)
  const port = Number(connection.address.split(':')[1])
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup()
  await expect(openConnection({ host: '127.0.0.1', port })).rejects.toMatchObject({
    kind: 'unreachable',
    message: `Cannot connect to 127.0.0.1:${port} (ECONNREFUSED)`,
  })
  await expect(openConnection({ host: '127.0.0.1', port, signal: AbortSignal.abort() })).rejects.toMatchObject({
    kind: 'closed',
  })
})

test('many requests are drained', async () => {
  const connection = await connectTo(echo)
  const payload = Buffer.from(JSON.stringify({ text: 'x'.repeat(100_000) }))
  const requests = Array.from({ length: 50 }, () => connection.request(2, payload))
  await connection.drained()
  await Promise.all(requests)
  expect(connection.bytesBuffered).toBe(0)
})
