import type { Clock, Timer } from '../base/clock.ts'
import type { Isolation, PartitionLog, ReadBatches } from '../log/log-engine.ts'
import type { Tracer } from '../tracing/tracer.ts'
import { hideAborted } from './hide-aborted.ts'

/** What a fetch wants of one partition. */
export interface FetchWish {
  readonly log: PartitionLog
  readonly fromOffset: number
  /** At most so many bytes of batches, but at least one batch. */
  readonly bytesMax: number
  /** Wait until so many bytes are there; 1 is "anything". */
  readonly bytesMin: number
  /** How long to wait for them at the most, in milliseconds. */
  readonly waitMs: number
  /** With `read_committed`, batches of open transactions are not given, those of aborted ones look like control batches. */
  readonly isolation: Isolation
}

/** Told once, at once or later, what a fetch has come to. `batches` must be released, and is empty after an error. */
export type FetchDone = (error: Error | undefined, batches: ReadBatches) => void

/** A fetch that may still be waiting. */
export interface RunningFetch {
  /** Forgets it: `done` is not called any more. */
  cancel(): void
}

/** Of fetches that are woken together, so many are answered before others have a turn of the event loop. */
const TAKEN_PER_TURN = 100

const NOTHING: ReadBatches = { bytes: Buffer.alloc(0), release() {} }

/**
 * Fetches that wait for data. A parked fetch costs a map entry and a timer; nothing runs until its partition's high
 * watermark moves, and then all that wait for that partition read again.
 */
export class WaitingFetches {
  readonly #clock: Clock
  readonly #parked = new Map<PartitionLog, Set<Fetch>>()
  readonly #gauge: { add(count: number): void }
  /** Undefined as long as tracing is off. */
  readonly tracer: Tracer | undefined

  constructor(clock: Clock, gauge: { add(count: number): void }, tracer?: Tracer) {
    this.#clock = clock
    this.#gauge = gauge
    this.tracer = tracer
  }

  /** Milliseconds on the monotonic clock. */
  monotonic(): number {
    return this.#clock.monotonic()
  }

  /** Reads, and parks the fetch when there is not enough yet. */
  start(wish: FetchWish, done: FetchDone): RunningFetch {
    const fetch = new Fetch(this, wish, done)
    fetch.read()
    return fetch
  }

  /** More of this log can be read now. */
  wake(log: PartitionLog): void {
    const waiting = this.#parked.get(log)
    if (waiting === undefined) return
    this.#parked.delete(log)
    this.#gauge.add(-waiting.size)
    for (const fetches of groupAlike(waiting)) readOnce(fetches)
  }

  /** Answers everything that waits for a log that goes out of service. */
  fail(log: PartitionLog, error: Error): void {
    const waiting = this.#parked.get(log)
    if (waiting === undefined) return
    this.#parked.delete(log)
    this.#gauge.add(-waiting.size)
    for (const fetch of waiting) fetch.fail(error)
  }

  /** Ends every wait now, with what there is; for a broker that stops. */
  endAll(): void {
    for (const waiting of this.#parked.values()) for (const fetch of waiting) fetch.expire()
  }

  park(fetch: Fetch): void {
    const waiting = this.#parked.get(fetch.wish.log)
    if (waiting === undefined) this.#parked.set(fetch.wish.log, new Set([fetch]))
    else waiting.add(fetch)
    this.#gauge.add(1)
  }

  unpark(fetch: Fetch): void {
    const waiting = this.#parked.get(fetch.wish.log)
    if (waiting === undefined || !waiting.delete(fetch)) return
    this.#gauge.add(-1)
    if (waiting.size === 0) this.#parked.delete(fetch.wish.log)
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#clock.setTimer(delayMs, callback)
  }
}

class Fetch implements RunningFetch {
  readonly wish: FetchWish
  readonly #waiting: WaitingFetches
  readonly #done: FetchDone
  #timer: Timer | undefined
  #isOver = false
  #isExpired: boolean
  /** Since when it has been reading and not waiting; kept for tracing only. */
  #readingSinceMs = 0

  constructor(waiting: WaitingFetches, wish: FetchWish, done: FetchDone) {
    this.#waiting = waiting
    this.wish = wish
    this.#done = done
    this.#isExpired = wish.waitMs <= 0
  }

  read(): void {
    if (!this.#isOver) readOnce([this])
  }

  begin(): void {
    if (this.#waiting.tracer !== undefined) this.#readingSinceMs = this.#waiting.monotonic()
  }

  /** What was read for this fetch when `readTo` was the end for it; ends it, or parks it again. */
  take(error: Error | undefined, batches: ReadBatches, readTo: number): void {
    if (this.#isOver) return batches.release()
    const isEnough = batches.bytes.length >= this.wish.bytesMin
    if (error !== undefined || isEnough || this.#isExpired) return this.#finish(error, batches)
    batches.release()
    // What has come since then has woken nobody: this fetch was not parked.
    if (endFor(this.wish) > readTo) this.read()
    else this.#park()
  }

  expire(): void {
    this.#isExpired = true
    this.#waiting.unpark(this)
    this.read()
  }

  fail(error: Error): void {
    if (!this.#isOver) this.#finish(error, NOTHING)
  }

  cancel(): void {
    this.#isOver = true
    this.#timer?.cancel()
    this.#waiting.unpark(this)
  }

  #park(): void {
    this.#timer ??= this.#waiting.setTimer(this.wish.waitMs, () => this.expire())
    this.#waiting.park(this)
  }

  #finish(error: Error | undefined, batches: ReadBatches): void {
    this.#isOver = true
    this.#timer?.cancel()
    if (this.#waiting.tracer !== undefined) {
      const { log, fromOffset } = this.wish
      const reading = { topic: log.topic, partition: log.partition, fromOffset, bytes: batches.bytes, error }
      this.#waiting.tracer.fetched(this.#readingSinceMs, [reading])
    }
    this.#done(error, batches)
  }
}

/** Splits fetches of one log into those that want the very same bytes: a thousand that wait at its end are one group. */
function groupAlike(fetches: Iterable<Fetch>): Iterable<Fetch[]> {
  const groups = new Map<string, Fetch[]>()
  for (const fetch of fetches) {
    const key = `${fetch.wish.fromOffset} ${fetch.wish.bytesMax} ${fetch.wish.isolation}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [fetch])
    else group.push(fetch)
  }
  return groups.values()
}

/** Up to where a fetch may read just now. */
function endFor({ log, isolation }: FetchWish): number {
  return isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark
}

/** Reads for fetches that are all alike, and lends each of them the same bytes. */
function readOnce(fetches: readonly Fetch[]): void {
  const [{ wish }] = fetches
  const { log, fromOffset, bytesMax, isolation } = wish
  const readTo = endFor(wish)
  for (const fetch of fetches) fetch.begin()
  const done = (error: Error | undefined, batches: ReadBatches) => {
    if (isolation === 'read_uncommitted' || error !== undefined) return share(fetches, error, batches, readTo)
    try {
      hideAborted(log, batches.bytes)
    } catch (fault) {
      batches.release()
      return share(fetches, fault as Error, NOTHING, readTo)
    }
    share(fetches, undefined, batches, readTo)
  }
  log.read(fromOffset, bytesMax, done, isolation)
}

/** Gives what was read to all that it was read for. */
function share(fetches: readonly Fetch[], error: Error | undefined, batches: ReadBatches, readTo: number): void {
  if (fetches.length === 1) return fetches[0].take(error, batches, readTo)
  let borrowers = fetches.length
  const shared: ReadBatches = {
    bytes: batches.bytes,
    release() {
      if (--borrowers === 0) batches.release()
    },
  }
  const takeSome = (first: number) => {
    const next = Math.min(first + TAKEN_PER_TURN, fetches.length)
    if (next < fetches.length) setImmediate(takeSome, next)
    for (let index = first; index < next; index++) fetches[index].take(error, shared, readTo)
  }
  takeSome(0)
}
