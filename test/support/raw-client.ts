import type { Socket } from 'node:net'
import { connect } from 'node:net'

// Written from spec.md alone, on purpose: nothing of the broker's own sources is used here.

/** An answer frame. */
export interface RawFrame {
  readonly type: number
  /** The payload as text, and as what the JSON in it says. */
  readonly text: string
  readonly json: any
}

/** One frame as bytes: type, length, payload. Anything but text and bytes is sent as JSON. */
export function rawFrame(type: number, payload: unknown): Buffer {
  const bytes = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
  const header = Buffer.alloc(5)
  header.writeUInt8(type, 0)
  header.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([header, bytes])
}

/** A client of the JSON door that sends whatever bytes it is told to and queues what comes back. */
export class RawClient {
  readonly socket: Socket
  /** The connection's end: true after the broker has sent its last byte. */
  isEnded = false
  isClosed = false
  error: Error | undefined
  bytesReceived = 0
  #received: Buffer[] = []
  #receivedBytes = 0
  #wantedBytes = 5
  readonly #frames: RawFrame[] = []
  readonly #waiting: ((frame: RawFrame | undefined) => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.bytesReceived += chunk.length
      this.#received.push(chunk)
      this.#receivedBytes += chunk.length
      this.#takeFrames()
    })
    socket.on('error', (error) => (this.error = error))
    socket.on('end', () => (this.isEnded = true))
    socket.on('close', () => {
      this.isClosed = true
      for (const resolve of this.#waiting.splice(0)) resolve(undefined)
    })
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect(port, host)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawClient(socket)
  }

  /** Answers that have come and that nobody has taken. */
  get pendingFrames(): number {
    return this.#frames.length
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** The next answer; undefined when the connection closes before there is one. */
  next(): Promise<RawFrame | undefined> {
    const frame = this.#frames.shift()
    if (frame !== undefined || this.isClosed) return Promise.resolve(frame)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Sends one request and returns its answer. Only when nothing else is in flight. */
  async ask(type: number, payload: unknown): Promise<RawFrame> {
    this.send(rawFrame(type, payload))
    const frame = await this.next()
    if (frame === undefined) throw new Error(`the connection closed before the answer to type ${type} came`)
    return frame
  }

  close(): void {
    this.socket.destroy()
  }

  #takeFrames(): void {
    if (this.#receivedBytes < this.#wantedBytes) return
    let bytes = Buffer.concat(this.#received)
    while (bytes.length >= 5) {
      const end = 5 + bytes.readUInt32BE(1)
      this.#wantedBytes = end
      if (bytes.length < end) break
      this.#wantedBytes = 5
      const text = bytes.toString('utf8', 5, end)
      const frame: RawFrame = { type: bytes[0], text, json: JSON.parse(text) }
      bytes = bytes.subarray(end)
      const resolve = this.#waiting.shift()
      if (resolve === undefined) this.#frames.push(frame)
      else resolve(frame)
    }
    this.#received = [bytes]
    this.#receivedBytes = bytes.length
  }
}
