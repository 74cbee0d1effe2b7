import { Socket } from 'node:net'

// Node can read into a buffer that it is given (`onread`), which halves the cost of receiving: no new buffer per read, no
// stream in between. For accepted sockets there is no documented way to ask for it. What works is to take the handle of a
// socket that was accepted paused, and to make a new socket of it. All that is undocumented is in this file, and where
// any of it is missing the connection reads by 'data' events instead.

/** The part of Node's TCP handle that is relied on. */
interface Handle {
  useUserBuffer(buffer: Uint8Array): void
}

/** Called with bytes that have arrived; the buffer belongs to the reader and is overwritten after the call. */
export type BytesReceived = (buffer: Buffer, start: number, end: number) => void

/** A socket whose bytes go to a callback. */
export interface ReadingSocket {
  readonly socket: Socket
  /** Whether each call of the callback comes straight from the event loop, with nothing of an earlier turn pending. */
  readonly isFreshTurn: boolean
}

/**
 * Lets a socket that was accepted with `pauseOnConnect` read into `readBuffer`, which many sockets may share: the bytes
 * are handed to `received` before anything else can be read. The socket that comes back takes the place of `accepted`,
 * and is reading.
 */
export function startReading(accepted: Socket, readBuffer: Buffer, received: BytesReceived): ReadingSocket {
  const handle = takeHandle(accepted)
  if (handle === undefined) return readByEvents(accepted, received)
  let givenBuffer: Uint8Array | undefined
  const useUserBuffer = handle.useUserBuffer.bind(handle)
  handle.useUserBuffer = (buffer) => {
    givenBuffer = buffer
    useUserBuffer(buffer)
  }
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: readBuffer,
      callback(bytesRead: number) {
        received(readBuffer, 0, bytesRead)
        return true
      },
    },
  }
  const socket = new Socket(options)
  // Had Node not looked at `onread`, the bytes would go nowhere.
  if (givenBuffer !== readBuffer) return readByEvents(socket, received)
  return { socket, isFreshTurn: true }
}

function readByEvents(socket: Socket, received: BytesReceived): ReadingSocket {
  socket.on('data', (chunk: Buffer) => received(chunk, 0, chunk.length))
  socket.resume()
  return { socket, isFreshTurn: false }
}

/** The handle, no longer owned by `accepted`; undefined where it is not as it should be. */
function takeHandle(accepted: Socket): Handle | undefined {
  // Windows fills a buffer after it was handed over, so no two sockets may share one there.
  if (process.platform === 'win32') return undefined
  const inside = accepted as unknown as { _handle: unknown }
  if (!isHandle(inside._handle)) return undefined
  const handle = inside._handle
  inside._handle = null
  // Without a handle this closes nothing; it only makes the server no longer count `accepted`.
  accepted.destroy()
  return handle
}

function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'useUserBuffer') === 'function'
}
