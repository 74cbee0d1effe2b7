import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Milliseconds, with a fraction, of a clock that all threads share and that never goes back. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/**
 * Calls back at a steady pace, within about a tenth of a millisecond. When the event loop is busy, ticks that were
 * missed are one.
 */
export class Pacer {
  /** 0: a tick is on its way │ 1: stop │ 2: start */
  readonly #cell: Int32Array
  readonly #startMs: Float64Array
  readonly #worker: Worker

  private constructor(periodMs: number) {
    this.#cell = new Int32Array(new SharedArrayBuffer(12))
    this.#startMs = new Float64Array(new SharedArrayBuffer(8))
    this.#worker = new Worker(new URL('./pacer-worker.js', import.meta.url), {
      workerData: { periodMs, cell: this.#cell, startMs: this.#startMs },
    })
  }

  /** Makes one whose thread is up and waits for `start`. */
  static async create(periodMs: number): Promise<Pacer> {
    const pacer = new Pacer(periodMs)
    await once(pacer.#worker, 'message')
    return pacer
  }

  /** Calls `onTick` at `startMs` and every period from then on. */
  start(startMs: number, onTick: () => void): void {
    this.#worker.on('message', () => {
      Atomics.store(this.#cell, 0, 0)
      onTick()
    })
    this.#startMs[0] = startMs
    Atomics.store(this.#cell, 2, 1)
    Atomics.notify(this.#cell, 2)
  }

  stop(): void {
    Atomics.store(this.#cell, 1, 1)
    Atomics.store(this.#cell, 2, 1)
    Atomics.notify(this.#cell, 1)
    Atomics.notify(this.#cell, 2)
    this.#worker.unref()
  }
}
