import { viewBytes } from '../../base/bytes.ts'
import type { ViewedBytes } from '../../base/bytes.ts'

const BYTES_MIN = 64 * 1024
/** An arena that had to grow beyond this is let go at the next `reset`. */
const BYTES_KEPT = 16 * 1024 * 1024

/**
 * Memory for what must stay until the turn of the event loop ends: filled from front to back, and free all at once. When it
 * is full a new one is taken; what lies in the old one stays where it is.
 */
export class TurnArena {
  #bytes: ViewedBytes = viewBytes(Buffer.allocUnsafeSlow(BYTES_MIN))
  #at = 0

  get bytes(): ViewedBytes {
    return this.#bytes
  }
  /** Where there is room. */
  get at(): number {
    return this.#at
  }

  /** Makes sure of room for so many bytes. */
  reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.buffer.length) return
    const larger = Math.max(bytes, Math.min(this.#bytes.buffer.length * 2, BYTES_KEPT))
    this.#bytes = viewBytes(Buffer.allocUnsafeSlow(larger))
    this.#at = 0
  }

  /** Keeps so many of the bytes that were written from `at` on. */
  keep(bytes: number): Buffer {
    const kept = this.#bytes.buffer.subarray(this.#at, this.#at + bytes)
    this.#at += bytes
    return kept
  }

  /** Everything is about to be overwritten. */
  reset(): void {
    this.#at = 0
    if (this.#bytes.buffer.length > BYTES_KEPT) this.#bytes = viewBytes(Buffer.allocUnsafeSlow(BYTES_MIN))
  }
}
