import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { startReading } from './shared-reading.ts'

async function accept(prepare: (accepted: Socket) => void = () => {}) {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const client = connect(address.port, '127.0.0.1')
  let received = ''
  const acceptedSocket = await accepted
  prepare(acceptedSocket)
  const reading = startReading(acceptedSocket, Buffer.alloc(16), (bytes, start, end) => {
    received += bytes.latin1Slice(start, end)
  })
  return { server, client, reading, received: () => received }
}

async function checkTraffic({ server, client, reading, received }: Awaited<ReturnType<typeof accept>>) {
  const sent = Array.from({ length: 100 }, (_, index) => `message ${index};`).join('')
  client.write(sent)
  await expect.poll(received).toBe(sent)
  const echoed = new Promise((resolve) => client.once('data', (chunk) => resolve(chunk.toString())))
  reading.socket.write('answer')
  expect(await echoed).toBe('answer')
  const ended = new Promise<void>((resolve) => reading.socket.once('end', resolve))
  client.end()
  await ended
  reading.socket.end()
  // The server must not go on counting the socket that was replaced.
  await new Promise((resolve) => server.close(resolve))
}

test('socket reads into the one buffer that it is given', async () => {
  const accepted = await accept()
  expect(accepted.reading.isFreshTurn).toBe(process.platform !== 'win32')
  await checkTraffic(accepted)
})

test('socket that cannot be given a buffer reads by events', async () => {
  const accepted = await accept((socket) => {
    Reflect.set(Reflect.get(socket, '_handle') as object, 'useUserBuffer', undefined)
  })
  expect(accepted.reading.isFreshTurn).toBe(false)
  await checkTraffic(accepted)
})
