import type { BufferPool } from '../base/buffer-pool.ts'

/** Buffers for frames that are not complete grow by this factor from this size on; smaller ones the pool rounds up. */
const GROWTH = 1.5
const GROWN_BYTES_MIN = 1024 * 1024

/** How the frames of a protocol begin. */
export interface Framing {
  readonly frameHeaderBytes: number
  readonly payloadBytesMax: number
  getPayloadBytes(buffer: Buffer, at: number): number
}

/** Who gets the frames. */
export interface FrameTaker {
  /** Returns false to get this frame again on `retry`, and nothing before it. */
  takeFrame(buffer: Buffer, start: number, end: number): boolean
  /** The header at `at` announces more than is allowed. The reader has stopped. */
  refuseFrame(buffer: Buffer, at: number): void
}

/**
 * Cuts a stream of bytes into frames. A frame that arrives whole is handed over where it lies; only one that spans reads
 * is copied, into a buffer that grows with the bytes that came and not with the length that was announced.
 */
export class FrameReader {
  /** Frames handed over so far. */
  frameCount = 0
  readonly #framing: Framing
  readonly #pool: BufferPool
  readonly #taker: FrameTaker
  #kept: Buffer | undefined
  #start = 0
  #end = 0
  #isWaiting = false
  #isStopped = false

  constructor(framing: Framing, pool: BufferPool, taker: FrameTaker) {
    this.#framing = framing
    this.#pool = pool
    this.#taker = taker
  }

  /** Bytes that are kept because their frame is not complete or was not taken. */
  get keptBytes(): number {
    return this.#end - this.#start
  }

  /** Whether a frame was refused by its taker and waits for `retry`. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** Takes the bytes that have arrived; they are not looked at after the call. */
  receive(buffer: Buffer, start: number, end: number): void {
    if (this.#isStopped) return
    let at = start
    if (this.keptBytes > 0) {
      if (this.#isWaiting) return this.#keep(buffer, start, end)
      at = this.#complete(buffer, start, end)
      if (this.#isStopped) return
      if (this.keptBytes > 0) return this.#keep(buffer, at, end)
    }
    at = this.#handOver(buffer, at, end)
    if (at < end && !this.#isStopped) this.#keep(buffer, at, end)
  }

  /** Hands over what is kept once more. */
  retry(): void {
    this.#isWaiting = false
    const kept = this.#kept
    if (kept === undefined) return
    const at = this.#handOver(kept, this.#start, this.#end)
    if (this.#isStopped) return
    this.#start = at
    if (at === this.#end) this.#drop()
  }

  /** Forgets what is kept and takes no more. */
  stop(): void {
    this.#isStopped = true
    this.#isWaiting = false
    // The buffer is left to the garbage collector: this may be called while a frame in it is being looked at.
    this.#kept = undefined
    this.#start = 0
    this.#end = 0
  }

  /** Hands over the whole frames between `start` and `end`; returns where the first one begins that was not. */
  #handOver(buffer: Buffer, start: number, end: number): number {
    const { frameHeaderBytes, payloadBytesMax } = this.#framing
    let at = start
    while (end - at >= frameHeaderBytes) {
      const payloadBytes = this.#framing.getPayloadBytes(buffer, at)
      if (payloadBytes > payloadBytesMax) {
        this.#refuse(buffer, at)
        return end
      }
      const frameEnd = at + frameHeaderBytes + payloadBytes
      if (frameEnd > end) break
      if (!this.#taker.takeFrame(buffer, at, frameEnd)) {
        this.#isWaiting = !this.#isStopped
        break
      }
      this.frameCount++
      at = frameEnd
      if (this.#isStopped) return end
    }
    return at
  }

  /** Adds to the kept frame what it lacks, and hands it over if that makes it whole. Returns where the rest begins. */
  #complete(buffer: Buffer, start: number, end: number): number {
    const { frameHeaderBytes } = this.#framing
    let at = start
    if (this.keptBytes < frameHeaderBytes) {
      at = Math.min(end, at + frameHeaderBytes - this.keptBytes)
      this.#keep(buffer, start, at)
      if (this.keptBytes < frameHeaderBytes) return at
    }
    const kept = this.#kept
    if (kept === undefined) return at
    const payloadBytes = this.#framing.getPayloadBytes(kept, this.#start)
    if (payloadBytes > this.#framing.payloadBytesMax) {
      this.#refuse(kept, this.#start)
      return end
    }
    const missing = frameHeaderBytes + payloadBytes - this.keptBytes
    const taken = Math.min(missing, end - at)
    this.#keep(buffer, at, at + taken)
    if (taken === missing) this.retry()
    return at + taken
  }

  #refuse(buffer: Buffer, at: number): void {
    this.stop()
    this.#taker.refuseFrame(buffer, at)
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    const bytes = end - start
    if (bytes === 0) return
    const room = this.#makeRoom(bytes)
    buffer.copy(room, this.#end, start, end)
    this.#end += bytes
  }

  #makeRoom(bytes: number): Buffer {
    const before = this.#kept
    if (before !== undefined && before.length - this.#end >= bytes) return before
    const keptBytes = this.keptBytes
    const isLargeEnough = before !== undefined && before.length >= keptBytes + bytes
    const room = isLargeEnough ? before : this.#pool.take(this.#grow(keptBytes + bytes))
    if (before !== undefined) {
      before.copy(room, 0, this.#start, this.#end)
      if (room !== before) this.#pool.giveBack(before)
    }
    this.#kept = room
    this.#start = 0
    this.#end = keptBytes
    return room
  }

  /**
   * A little more than is needed now: a large frame comes in hundreds of reads, and would be copied as often. What nothing
   * is written to costs no memory.
   */
  #grow(bytes: number): number {
    if (bytes < GROWN_BYTES_MIN) return bytes
    const { frameHeaderBytes, payloadBytesMax } = this.#framing
    return Math.max(bytes, Math.min(Math.ceil(bytes * GROWTH), frameHeaderBytes + payloadBytesMax))
  }

  #drop(): void {
    const kept = this.#kept
    // Not at once: what was in it may be looked at until the turn ends, and the rest of this read may want a buffer.
    if (kept !== undefined) queueMicrotask(() => this.#pool.giveBack(kept))
    this.#kept = undefined
    this.#start = 0
    this.#end = 0
  }
}
