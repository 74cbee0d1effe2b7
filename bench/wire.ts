import { connect, type Socket } from 'node:net'
import { FRAME_HEADER_BYTES } from '../src/protocols/json/wire.ts'

/** One frame of the JSON door. */
export function encodeFrame(type: number, payload: unknown): Buffer {
  const text = JSON.stringify(payload)
  const length = Buffer.byteLength(text)
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length)
  frame.writeUInt8(type, 0)
  frame.writeUInt32BE(length, 1)
  frame.write(text, FRAME_HEADER_BYTES)
  return frame
}

/** How long the first frame of `bytes` is, or undefined while it is not all there. */
export function findFrameEnd(bytes: Buffer, at = 0): number | undefined {
  if (bytes.length - at < FRAME_HEADER_BYTES) return undefined
  const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 1)
  return end <= bytes.length ? end : undefined
}

/** A connection for the few requests that prepare or check a measurement: one at a time, any protocol. */
export class PlainConnection {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #wake: () => void = () => {}
  #failure: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', (error) => {
      this.#failure = error
    })
    socket.on('close', () => {
      this.#failure ??= new Error('the server closed the connection')
      this.#wake()
    })
  }

  /** Connects to a port, of the loopback interface unless a host is named. */
  static open(port: number, host = '127.0.0.1'): Promise<PlainConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, host)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new PlainConnection(socket))
      })
    })
  }

  /**
   * Sends `bytes` and waits until `findEnd` says where the answer ends; returns the answer. Ten seconds are enough for
   * everything that is asked here.
   */
  async exchange(bytes: Buffer | string, findEnd: (received: Buffer) => number | undefined): Promise<Buffer> {
    if (bytes.length > 0) this.#socket.write(bytes)
    const deadline = setTimeout(() => this.#socket.destroy(new Error('no answer for ten seconds')), 10_000)
    try {
      for (;;) {
        const end = findEnd(this.#received)
        if (end !== undefined) {
          const answer = this.#received.subarray(0, end)
          this.#received = this.#received.subarray(end)
          return answer
        }
        if (this.#failure) throw this.#failure
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      clearTimeout(deadline)
    }
  }

  /** One request to the JSON door; throws what the broker answers with `error`. */
  async request<T>(type: number, payload: unknown): Promise<T> {
    const answer = await this.exchange(encodeFrame(type, payload), (received) => findFrameEnd(received))
    const decoded: T & { error?: { code: string; message: string } } = JSON.parse(
      answer.toString('utf8', FRAME_HEADER_BYTES),
    )
    if (decoded.error) throw new Error(`${decoded.error.code}: ${decoded.error.message}`)
    return decoded
  }

  close(): void {
    this.#socket.destroy()
  }
}
