import { expect, test } from 'vitest'
import { BufferPool } from '../base/buffer-pool.ts'
import type { FrameTaker } from './frame-reader.ts'
import { FrameReader } from './frame-reader.ts'

// Frames of these tests: two bytes of length, then the payload.
const FRAMING = {
  frameHeaderBytes: 2,
  payloadBytesMax: 20_000,
  getPayloadBytes: (buffer: Buffer, at: number) => buffer.readUInt16BE(at),
}

function frame(payload: string): Buffer {
  const header = Buffer.alloc(2)
  header.writeUInt16BE(payload.length)
  return Buffer.concat([header, Buffer.from(payload, 'latin1')])
}

/** Keeps the payloads, and does not take those for which `isRefused` says so. */
class Collector implements FrameTaker {
  readonly payloads: string[] = []
  readonly refused: number[] = []
  isRefused = (_payload: string) => false

  takeFrame(buffer: Buffer, start: number, end: number) {
    const payload = buffer.latin1Slice(start + 2, end)
    if (this.isRefused(payload)) return false
    this.payloads.push(payload)
    return true
  }
  refuseFrame(buffer: Buffer, at: number) {
    this.refused.push(buffer.readUInt16BE(at))
  }
}

function reader() {
  const taker = new Collector()
  const frames = new FrameReader(FRAMING, new BufferPool(), taker)
  // What was received is overwritten after each call, as a shared read buffer would be.
  const receive = (bytes: Buffer) => {
    const shared = Buffer.concat([Buffer.from('junk'), bytes, Buffer.from('junk')])
    frames.receive(shared, 4, 4 + bytes.length)
    shared.fill(0xff)
  }
  return { taker, frames, receive }
}

test('frame reader hands over the same frames however the bytes are cut', () => {
  const payloads = ['a', '', 'bc', 'x'.repeat(300), 'end']
  const bytes = Buffer.concat(payloads.map(frame))
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { taker, frames, receive } = reader()
    receive(bytes.subarray(0, cut))
    receive(bytes.subarray(cut))
    expect(taker.payloads).toEqual(payloads)
    expect(frames.keptBytes).toBe(0)
  }
  const { taker, receive } = reader()
  for (const byte of bytes) receive(Buffer.from([byte]))
  expect(taker.payloads).toEqual(payloads)
})

test('frame reader keeps a frame that is not taken and all behind it, and hands them over on retry', () => {
  const { taker, frames, receive } = reader()
  taker.isRefused = (payload) => payload === 'wait'
  receive(Buffer.concat([frame('first'), frame('wait'), frame('third'), frame('fourth').subarray(0, 3)]))
  expect(taker.payloads).toEqual(['first'])
  expect(frames.isWaiting).toBe(true)
  receive(frame('fourth').subarray(3))
  frames.retry()
  expect(taker.payloads).toEqual(['first'])
  expect(frames.isWaiting).toBe(true)
  taker.isRefused = () => false
  frames.retry()
  expect(taker.payloads).toEqual(['first', 'wait', 'third', 'fourth'])
  expect([frames.isWaiting, frames.keptBytes, frames.frameCount]).toEqual([false, 0, 4])
})

test('frame reader keeps a frame that spans reads and is not taken', () => {
  const { taker, frames, receive } = reader()
  taker.isRefused = (payload) => payload === 'wait'
  receive(frame('wait').subarray(0, 1))
  receive(Buffer.concat([frame('wait').subarray(1), frame('after')]))
  expect(frames.isWaiting).toBe(true)
  taker.isRefused = () => false
  frames.retry()
  expect(taker.payloads).toEqual(['wait', 'after'])
})

test('frame reader refuses an over-long frame by its header and takes nothing after it', () => {
  for (const cut of [0, 1, 2, 5]) {
    const { taker, receive } = reader()
    const long = Buffer.alloc(10)
    long.writeUInt16BE(20_001)
    const bytes = Buffer.concat([frame('ok'), long, frame('never')])
    receive(bytes.subarray(0, 4 + cut))
    receive(bytes.subarray(4 + cut))
    expect([taker.payloads, taker.refused]).toEqual([['ok'], [20_001]])
  }
})

test('frame reader takes memory for the bytes that came, not for those that were announced', () => {
  const pool = new BufferPool()
  const taken: number[] = []
  const take = pool.take.bind(pool)
  pool.take = (bytes) => {
    taken.push(bytes)
    return take(bytes)
  }
  const frames = new FrameReader(FRAMING, pool, new Collector())
  const bytes = frame('y'.repeat(20_000))
  frames.receive(bytes, 0, 3)
  expect(taken).toEqual([3])
  frames.receive(bytes, 3, bytes.length - 1)
  expect(taken).toEqual([3, 20_001])
  frames.receive(bytes, bytes.length - 1, bytes.length)
  expect(frames.frameCount).toBe(1)
})

test('frame reader does not copy a large frame again with every read', () => {
  const framing = {
    frameHeaderBytes: 4,
    payloadBytesMax: 2 ** 27,
    getPayloadBytes: (buffer: Buffer) => buffer.readUInt32BE(0),
  }
  const pool = new BufferPool()
  let [takenBytes, largestBytes] = [0, 0]
  const taking = {
    take: (bytes: number) => {
      takenBytes += bytes
      largestBytes = Math.max(largestBytes, bytes)
      return pool.take(bytes)
    },
    giveBack: (buffer: Buffer) => pool.giveBack(buffer),
  } as BufferPool
  let frames = 0
  const taker = { takeFrame: () => ++frames > 0, refuseFrame: () => {} }
  const reader = new FrameReader(framing, taking, taker)
  const [readBytes, reads] = [256 * 1024, 200]
  const bytes = Buffer.alloc(readBytes)
  for (let read = 0; read < reads; read++) {
    bytes.writeUInt32BE(read === 0 ? readBytes * reads - 4 : 0)
    reader.receive(bytes, 0, bytes.length)
  }
  expect(frames).toBe(1)
  expect(takenBytes).toBeLessThan(4 * readBytes * reads)
  expect(largestBytes).toBeLessThan(1.5 * readBytes * reads + readBytes)
})
