import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { NativeClient, type PublishOptions } from './native-client.ts'
import { encodeFrame, findFrameEnd } from './wire.ts'

const directory = mkdtempSync(join(tmpdir(), 'cafelog-native-'))
const client = NativeClient.build(directory)
const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** A server that cuts what it receives into pieces and answers each; the answer may be sent later. */
function listen(
  findEnd: (received: Buffer) => number | undefined,
  answer: (piece: Buffer, send: (bytes: Buffer | string) => void) => void,
): Promise<number> {
  const server = createServer((socket) => {
    let received: Buffer = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (let end = findEnd(received); end !== undefined; end = findEnd(received)) {
        const piece = received.subarray(0, end)
        received = received.subarray(end)
        answer(piece, (bytes) => socket.write(bytes))
      }
    })
  })
  servers.push(server)
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })
}

const findLineEnd = (received: Buffer) => {
  const end = received.indexOf('\r\n')
  return end < 0 ? undefined : end + 2
}

function publish(port: number, protocol: PublishOptions['protocol'], request: Buffer | string, prelude?: string) {
  const requestPath = join(directory, 'request')
  const preludePath = prelude === undefined ? undefined : join(directory, 'prelude')
  writeFileSync(requestPath, request)
  if (preludePath !== undefined && prelude !== undefined) writeFileSync(preludePath, prelude)
  const counts = { window: 8, warmUpRequests: 100, requests: 1000, serverPid: process.pid }
  return client?.publish({ protocol, port, requestPath, preludePath, ...counts })
}

const figures = { requests: 1000, seconds: expect.any(Number), p50Us: expect.any(Number), maxUs: expect.any(Number) }

test.runIf(client)('load client keeps its window on the JSON door and counts answers', async () => {
  let received = 0
  let waiting: (() => void)[] = []
  let most = 0
  const port = await listen(findFrameEnd, (_piece, send) => {
    received++
    waiting.push(() => send(encodeFrame(2, { topic: 'bench', baseOffset: received })))
    most = Math.max(most, waiting.length)
    if (waiting.length === 1) setImmediate(() => waiting.splice(0).forEach((answer) => answer()))
  })
  expect(await publish(port, 'json', encodeFrame(2, { topic: 'bench' }))).toMatchObject(figures)
  expect(received).toBe(1100)
  expect(most).toBeLessThanOrEqual(8)
  waiting = []
})

test.runIf(client)('load client does not pass refusals off as speed', async () => {
  const port = await listen(findFrameEnd, (_piece, send) =>
    send(encodeFrame(2, { error: { code: 'UNKNOWN_TOPIC_OR_PARTITION', message: 'There is no such topic' } })),
  )
  await expect(publish(port, 'json', encodeFrame(2, {}))).rejects.toThrow(
    /1100 of 1100 requests were refused.*UNKNOWN_TOPIC_OR_PARTITION/,
  )
})

test.runIf(client)('load client speaks with JetStream and answers its pings', async () => {
  let pongs = 0
  let published = 0
  const port = await listen(findLineEnd, (line, send) => {
    const text = line.toString()
    if (text.startsWith('PUB')) {
      const ack = `{"stream":"bench","seq":${++published}}`
      if (published % 50 === 0) send('PING\r\n')
      send(`MSG _INBOX.x 1 ${ack.length}\r\n${ack}\r\n`)
    } else if (text.startsWith('PONG')) pongs++
    else if (text.startsWith('SUB')) send('INFO {}\r\n')
  })
  const result = await publish(port, 'nats', 'PUB bench _INBOX.x 5\r\nhello\r\n', 'CONNECT {}\r\nSUB _INBOX.x 1\r\n')
  expect(result).toMatchObject(figures)
  expect(published).toBe(1100)
  expect(pongs).toBeGreaterThan(0)
})

test.runIf(client)('load client speaks with Redis', async () => {
  const port = await listen(findLineEnd, (_line, send) => send('$15\r\n1700000000000-0\r\n'))
  expect(await publish(port, 'redis', 'XADD bench * v hello\r\n')).toMatchObject(figures)
  const refusing = await listen(findLineEnd, (_line, send) => send('-ERR no\r\n'))
  await expect(publish(refusing, 'redis', 'XADD bench * v hello\r\n')).rejects.toThrow(/refused/)
})

test.runIf(client)('load client fetches from where the last answer ended', async () => {
  const offsets: number[] = []
  const port = await listen(findFrameEnd, (piece, send) => {
    const { offset }: { offset: number } = JSON.parse(piece.toString('utf8', 5))
    offsets.push(offset)
    const records = Array.from({ length: 10 }, (_, index) => ({ offset: offset + index, value: 'eA==' }))
    send(encodeFrame(3, { records, highWatermark: 50 }))
  })
  const fetched = client?.fetch({ port, topic: 'bench', bytesMax: 1000, records: 50, serverPid: process.pid })
  expect(await fetched).toMatchObject({ requests: 5, records: 50 })
  expect(offsets).toEqual([0, 10, 20, 30, 40])
})

test.runIf(client)('load client wakes all that wait with one PRODUCE', async () => {
  const waiting: (() => void)[] = []
  const port = await listen(findFrameEnd, (piece, send) => {
    if (piece[0] === 3) {
      waiting.push(() => send(encodeFrame(3, { records: [{ offset: 7, value: 'eA==' }], highWatermark: 8 })))
      return
    }
    send(encodeFrame(2, { baseOffset: 7 }))
    waiting.splice(0).forEach((answer) => answer())
  })
  const producePath = join(directory, 'produce')
  writeFileSync(producePath, encodeFrame(2, { topic: 'bench' }))
  const options = { port, topic: 'bench', offset: 7, waiters: 50, parkMs: 100, producePath, serverPid: process.pid }
  expect(await client?.wake(options)).toMatchObject({ waiters: 50, parkedCores: expect.any(Number) })
})
