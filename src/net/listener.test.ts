import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import { silentLogger } from '../base/logger.ts'
import { Metrics } from '../metrics/metrics.ts'
import * as limits from './limits.ts'
import { Listener } from './listener.ts'
import type { Channel, Protocol, Session } from './protocol.ts'

// The protocol of these tests: frames of one command byte and three bytes of length. 'e' sends the payload back, 'p' does
// so when the test says so, 'b' sends as many bytes as the payload says, 'n' answers nothing, 'q' ends the connection.
class TestProtocol implements Protocol {
  readonly name = 'json'
  readonly frameHeaderBytes = 4
  readonly payloadBytesMax = 1_000_000
  readonly sessions: TestSession[] = []
  turns = 0

  getPayloadBytes(buffer: Buffer, at: number) {
    return buffer.readUIntBE(at + 1, 3)
  }
  turnBegan() {
    this.turns++
  }
  open(channel: Channel, refusal: string | undefined) {
    const session = new TestSession(channel, refusal)
    this.sessions.push(session)
    return session
  }
}

class TestSession implements Session {
  inFlight = 0
  isClosed = false
  isWaiting = false
  readonly taken: string[] = []
  readonly channel: Channel
  readonly #refusal: string | undefined
  readonly #parked: string[] = []

  constructor(channel: Channel, refusal: string | undefined) {
    this.channel = channel
    this.#refusal = refusal
  }
  takeFrame(buffer: Buffer, start: number, end: number) {
    if (this.isWaiting) return false
    const command = String.fromCharCode(buffer[start])
    const payload = buffer.latin1Slice(start + 4, end)
    this.taken.push(command)
    if (this.#refusal !== undefined) {
      this.channel.sendText(this.#refusal)
      this.channel.end()
    } else if (command === 'e') this.channel.sendText(payload)
    else if (command === 'b') this.channel.sendBytes(Buffer.alloc(Number(payload), 'x'), undefined)
    else if (command === 'q') this.channel.end()
    else if (command === 'p') {
      this.inFlight++
      this.#parked.push(payload)
    }
    return true
  }
  refuseFrame(_buffer: Buffer, _at: number) {
    this.channel.sendText('too long')
  }
  wrapUp() {
    this.answerParked()
  }
  closed() {
    this.isClosed = true
  }
  answerParked() {
    for (const payload of this.#parked.splice(0)) {
      this.inFlight--
      this.channel.sendText(payload)
    }
    this.channel.unblock()
  }
}

function frame(command: string, payload = ''): Buffer {
  const header = Buffer.alloc(4)
  header.write(command)
  header.writeUIntBE(payload.length, 1, 3)
  return Buffer.concat([header, Buffer.from(payload, 'latin1')])
}

/** Real time, except for the listener's timers, which are fired by hand. */
class HandClock implements Clock {
  #aheadMs = 0
  readonly #timers = new Set<{ atMs: number; callback: () => void }>()
  now() {
    return systemClock.now()
  }
  monotonic() {
    return systemClock.monotonic() + this.#aheadMs
  }
  setTimer(delayMs: number, callback: () => void) {
    const timer = { atMs: this.monotonic() + delayMs, callback }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }
  advance(milliseconds: number) {
    this.#aheadMs += milliseconds
    for (const timer of this.#timers) {
      if (timer.atMs > this.monotonic() || !this.#timers.delete(timer)) continue
      timer.callback()
    }
  }
}

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

async function start({ connectionsMax = 100 } = {}) {
  const protocol = new TestProtocol()
  const clock = new HandClock()
  const metrics = new Metrics()
  const listener = new Listener({ protocol, clock, logger: silentLogger, metrics, connectionsMax })
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 })
  cleanUps.push(async () => {
    const drained = listener.drain(0)
    clock.advance(0)
    await drained
  })
  return { protocol, clock, metrics, listener, port }
}

/** A client that collects what it is sent. */
async function dial(port: number) {
  const socket: Socket = connect(port, '127.0.0.1')
  cleanUps.push(() => socket.destroy())
  let received = ''
  let isEnded = false
  let isClosed = false
  socket.on('data', (chunk) => (received += chunk.toString('latin1')))
  socket.on('end', () => (isEnded = true))
  socket.on('close', () => (isClosed = true))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  return {
    socket,
    get received() {
      return received
    },
    get isEnded() {
      return isEnded
    },
    get isClosed() {
      return isClosed
    },
  }
}

const until = (claim: () => boolean) => expect.poll(claim, { interval: 2, timeout: 5_000 }).toBe(true)

/** Lets Node's sockets seem not to read into a given buffer, as a future version or another platform may have it. */
async function hideOnread(): Promise<() => void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const prototype = Object.getPrototypeOf(Reflect.get(server, '_handle')) as object
  server.close()
  Object.defineProperty(prototype, 'useUserBuffer', { value: undefined, configurable: true })
  return () => Reflect.deleteProperty(prototype, 'useUserBuffer')
}

describe.each(['one buffer for all', 'data events'])('reading by %s', (way) => {
  let restore = () => {}
  beforeAll(async () => {
    if (way === 'data events') restore = await hideOnread()
  })
  afterAll(() => restore())

  test('connection answers what comes in one read with one write', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    const chunks: number[] = []
    client.socket.on('data', (chunk) => chunks.push(chunk.length))
    client.socket.write(Buffer.concat(Array.from({ length: 1000 }, (_, index) => frame('e', `${index};`))))
    const expected = Array.from({ length: 1000 }, (_, index) => `${index};`).join('')
    await until(() => client.received === expected)
    expect(chunks.length).toBeLessThanOrEqual(2)
    expect(protocol.turns).toBeGreaterThan(0)
  })

  test('connections share one read buffer without mixing up their frames', async () => {
    const { port } = await start()
    const clients = await Promise.all(Array.from({ length: 8 }, () => dial(port)))
    const payload = (client: number, round: number) => `${client}:${round} `.repeat(1 + ((client * 7 + round) % 900))
    for (let round = 0; round < 40; round++) {
      for (const [index, client] of clients.entries()) client.socket.write(frame('e', payload(index, round)))
    }
    for (const [index, client] of clients.entries()) {
      const expected = Array.from({ length: 40 }, (_, round) => payload(index, round)).join('')
      await until(() => client.received.length === expected.length)
      expect(client.received).toBe(expected)
    }
  })

  test('connection mixes text and bytes in their order', async () => {
    const { port } = await start()
    const client = await dial(port)
    client.socket.write(
      Buffer.concat([frame('e', 'a'), frame('b', '3'), frame('e', 'b'), frame('b', '70000'), frame('e', 'c')]),
    )
    await until(() => client.received === `axxxb${'x'.repeat(70_000)}c`)
  })

  test('connection stops reading while its session waits, and goes on afterwards', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    client.socket.write(frame('e', 'a'))
    await until(() => client.received === 'a')
    const session = protocol.sessions[0]
    session.isWaiting = true
    for (let index = 0; index < 2000; index++) client.socket.write(frame('e', 'b'.repeat(10_000)))
    await until(() => client.socket.writableLength > 0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(session.taken).toEqual(['e'])
    session.isWaiting = false
    session.channel.unblock()
    await until(() => client.received.length === 1 + 2000 * 10_000)
  })

  test('connection takes no more requests than allowed in flight', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    client.socket.write(Buffer.concat(Array.from({ length: 1500 }, () => frame('p', '.'))))
    await until(() => protocol.sessions[0]?.taken.length === limits.REQUESTS_IN_FLIGHT_MAX)
    protocol.sessions[0].answerParked()
    await until(() => protocol.sessions[0].taken.length === 1500)
    protocol.sessions[0].answerParked()
    await until(() => client.received.length === 1500)
  })

  test('connection whose client does not read starts no requests above the soft limit', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    client.socket.pause()
    for (let index = 0; index < 200; index++) client.socket.write(frame('b', '1000000'))
    await until(() => (protocol.sessions[0]?.channel.outputBytes ?? 0) >= limits.OUTPUT_BYTES_SOFT_MAX - 1_000_000)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(protocol.sessions[0].channel.outputBytes).toBeLessThanOrEqual(limits.OUTPUT_BYTES_SOFT_MAX + 1_000_000)
    client.socket.resume()
    await until(() => client.received.length === 200_000_000)
    expect(protocol.sessions[0].channel.outputBytes).toBe(0)
  })

  test('connection is cut off when more than the hard limit waits for its client', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    client.socket.pause()
    client.socket.write(frame('p', 'x'))
    await until(() => protocol.sessions[0]?.inFlight === 1)
    const session = protocol.sessions[0]
    const piece = Buffer.alloc(1_000_000)
    const pieces = limits.OUTPUT_BYTES_HARD_MAX / piece.length + 16
    for (let index = 0; index < pieces && !session.isClosed; index++) session.channel.sendBytes(piece, undefined)
    expect(session.isClosed).toBe(true)
  })

  test('connection with an over-long frame is answered, closed, and read to its end without a reset', async () => {
    const { port } = await start()
    const client = await dial(port)
    const long = Buffer.alloc(4)
    long.write('e')
    long.writeUIntBE(1_000_001, 1, 3)
    let error: Error | undefined
    client.socket.on('error', (cause) => (error = cause))
    client.socket.write(Buffer.concat([frame('e', 'a'), long, Buffer.alloc(1_000_001)]))
    await until(() => client.isEnded)
    expect(client.received).toBe('atoo long')
    client.socket.end()
    await until(() => client.isClosed)
    expect(error).toBeUndefined()
  })

  test('connection that its client has finished is answered and then closed', async () => {
    const { protocol, port } = await start()
    const client = await dial(port)
    client.socket.end(Buffer.concat([frame('e', 'a'), frame('p', 'b'), frame('e', 'c')]))
    await until(() => client.isClosed)
    expect(client.received.split('').toSorted()).toEqual(['a', 'b', 'c'])
    expect(protocol.sessions[0].isClosed).toBe(true)
  })

  test('connection that breaks closes its session', async () => {
    const { protocol, port, listener, metrics } = await start()
    const client = await dial(port)
    client.socket.write(frame('p', 'x'))
    await until(() => protocol.sessions[0]?.inFlight === 1)
    expect(metrics.tcpConnections.child('json').value).toBe(1)
    client.socket.resetAndDestroy()
    await until(() => protocol.sessions[0].isClosed)
    expect(listener.connectionCount).toBe(0)
    expect(metrics.tcpConnections.child('json').value).toBe(0)
  })

  test('listener tells connections over the limit that there are too many', async () => {
    const { protocol, port, metrics } = await start({ connectionsMax: 2 })
    const first = await dial(port)
    const second = await dial(port)
    const third = await dial(port)
    third.socket.write(frame('e', 'x'))
    await until(() => third.isEnded)
    expect(third.received).toBe('Cannot serve another connection: 2 are open, and no more are allowed')
    first.socket.destroy()
    await until(() => protocol.sessions[0].isClosed)
    const fourth = await dial(port)
    fourth.socket.write(frame('e', 'y'))
    second.socket.write(frame('e', 'z'))
    await until(() => fourth.received === 'y' && second.received === 'z')
    expect(metrics.connections.child('json', 'rejected').value).toBe(1)
    expect(metrics.connections.child('json', 'accepted').value).toBe(3)
  })

  test('listener closes a connection whose frame does not end, and not one that only waits', async () => {
    const { protocol, clock, port } = await start()
    const half = await dial(port)
    const parked = await dial(port)
    half.socket.write(Buffer.concat([frame('e', 'a'), frame('e', 'abcdef').subarray(0, 6)]))
    parked.socket.write(frame('p', 'x'))
    await until(() => half.received === 'a' && protocol.sessions[1]?.inFlight === 1)
    clock.advance(limits.FRAME_TIMEOUT_MS - 1000)
    half.socket.write(frame('e', 'abcdef').subarray(6, 7))
    expect(protocol.sessions[0].isClosed).toBe(false)
    clock.advance(2000)
    await until(() => half.isClosed)
    expect(parked.isClosed).toBe(false)
  })

  test('listener ends an idle connection, and not one with a request in flight', async () => {
    const { protocol, clock, port } = await start()
    const idle = await dial(port)
    const parked = await dial(port)
    idle.socket.write(frame('e', 'a'))
    parked.socket.write(frame('p', 'x'))
    await until(() => idle.received === 'a' && protocol.sessions[1]?.inFlight === 1)
    clock.advance(limits.IDLE_TIMEOUT_MS - 10_000)
    expect(idle.isEnded).toBe(false)
    clock.advance(limits.SWEEP_INTERVAL_MS + 10_000)
    await until(() => idle.isEnded)
    expect(parked.isEnded).toBe(false)
  })

  test('listener cuts off a client that takes nothing of what waits for it', async () => {
    const { protocol, clock, port } = await start()
    const client = await dial(port)
    client.socket.pause()
    for (let index = 0; index < 20; index++) client.socket.write(frame('b', '1000000'))
    await until(() => (protocol.sessions[0]?.channel.outputBytes ?? 0) > 1_000_000)
    clock.advance(limits.OUTPUT_STALL_TIMEOUT_MS - 10_000)
    expect(protocol.sessions[0].isClosed).toBe(false)
    clock.advance(limits.SWEEP_INTERVAL_MS + 10_000)
    await until(() => protocol.sessions[0].isClosed)
  })

  test('listener drains: answers what is in flight, closes all, accepts no more', async () => {
    const { protocol, clock, listener, port } = await start()
    const client = await dial(port)
    client.socket.write(Buffer.concat([frame('e', 'a'), frame('p', 'b')]))
    await until(() => protocol.sessions[0]?.inFlight === 1)
    const drained = listener.drain(10_000)
    await until(() => client.isEnded)
    expect(client.received).toBe('ab')
    client.socket.end()
    await drained
    clock.advance(20_000)
    const late = connect(port, '127.0.0.1')
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => late.once('error', resolve))
    expect(error.code).toBe('ECONNREFUSED')
  })

  test('listener that drains does not wait for clients that keep their side open', async () => {
    const { protocol, clock, listener, port } = await start()
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    cleanUps.push(() => client.destroy())
    client.on('data', () => {})
    client.write(frame('e', 'a'))
    await until(() => protocol.sessions[0]?.taken.length === 1)
    const drained = listener.drain(10_000)
    await new Promise((resolve) => client.once('end', resolve))
    clock.advance(limits.LINGER_TIMEOUT_DRAINING_MS + limits.SWEEP_INTERVAL_DRAINING_MS)
    await drained
    expect(protocol.sessions[0].isClosed).toBe(true)
  })

  test('listener cuts off what is left when the time for draining is over', async () => {
    const { protocol, clock, listener, port } = await start()
    const client = await dial(port)
    client.socket.write(frame('p', 'x'))
    await until(() => protocol.sessions[0]?.inFlight === 1)
    protocol.sessions[0].wrapUp = () => {}
    const drained = listener.drain(1_000)
    clock.advance(1_001)
    await drained
    expect(protocol.sessions[0].isClosed).toBe(true)
  })

  test('listener listens on all interfaces when it is given none', async () => {
    const protocol = new TestProtocol()
    const metrics = new Metrics()
    const options = { protocol, clock: systemClock, logger: silentLogger, metrics, connectionsMax: 10 }
    const listener = new Listener(options)
    cleanUps.push(() => listener.drain(0))
    const { port } = await listener.listen({ port: 0 })
    const client = await dial(port)
    client.socket.write(frame('e', 'four'))
    await until(() => client.received === 'four')
    const second = new Listener(options)
    await expect(second.listen({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})
