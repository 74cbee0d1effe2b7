import { assert } from './assert.ts'

const SMALLEST_BYTES = 4096
const LARGEST_BYTES = 16 * 1024 * 1024
/** Bytes that one size class keeps for later; what comes back beyond that is left to the garbage collector. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024

/**
 * Lends buffers, so that a large read costs no new memory: a fresh megabyte costs more than filling it does. Sizes are
 * powers of two; a buffer larger than 16 MiB is made for the occasion and not kept.
 */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>()

  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    const size = sizeClass(bytes)
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size)
  }

  /** Takes back what `take` gave; nobody may look at it afterwards. */
  giveBack(buffer: Buffer): void {
    assert(buffer.byteOffset === 0, 'only whole buffers come back to the pool')
    if (buffer.length > LARGEST_BYTES) return
    const kept = this.#free.get(buffer.length)
    if (kept === undefined) this.#free.set(buffer.length, [buffer])
    else if ((kept.length + 1) * buffer.length <= KEPT_BYTES_MAX) kept.push(buffer)
  }
}

function sizeClass(bytes: number): number {
  if (bytes > LARGEST_BYTES) return bytes
  let size = SMALLEST_BYTES
  while (size < bytes) size *= 2
  return size
}
