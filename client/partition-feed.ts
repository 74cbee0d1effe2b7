import type { BatchCursor } from './batch-cursor.ts'
import type { Message } from './message.ts'
import type { TopicPartition } from './partitions.ts'
import { nameOf } from './partitions.ts'

/** A message that its handler could not deal with, and how often. */
export interface Failure {
  readonly offset: number
  readonly attempts: number
  /** Unix milliseconds. */
  readonly firstFailedAt: number
  /** The last time. */
  readonly failedAt: number
}

/**
 * One partition of a consumer: what was fetched and waits, and how far everything is.
 *
 *     done ≤ position ≤ fetchOffset
 *
 * Messages before `done` are processed, those before `position` handed out, those before `fetchOffset` fetched.
 */
export class PartitionFeed implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly name: string
  /** Up to here it may be committed. */
  done = -1
  /** What the group has committed; undefined when nothing, or nobody knows. */
  committed: number | undefined
  /** Where the next fetch begins; -1 as long as nobody knows where to begin. */
  fetchOffset = -1
  /** The broker's, as of the last fetch; -1 before it. */
  highWatermark = -1
  logStartOffset = -1
  /** There was nothing more to fetch the last time. */
  isCaughtUp = false
  /** The fetch that is under way for it. */
  fetching: object | undefined
  /** Not fetched for a moment, after that has failed. */
  isHeldBack = false
  isPaused = false
  /** Somebody handles a message of it. */
  isBusy = false
  /** Waits for a moment before it goes on, after something has failed. */
  isParked = false
  /** To be given away: nothing more is handed out. */
  isEnding = false
  failure: Failure | undefined
  bufferedBytes = 0
  /** Told when there is room for more. */
  onRoom: () => void = () => {}
  /** Goes up when the position is set anew, so that nobody counts what belongs to the old one. */
  epoch = 0
  readonly #gone = new AbortController()
  readonly #chunks: BatchCursor[] = []
  /** Were taken, not dealt with, and come again first. */
  #returned: readonly Message[] = []
  #position = -1
  #onIdle: (() => void)[] = []

  constructor({ topic, partition }: TopicPartition) {
    this.topic = topic
    this.partition = partition
    this.name = nameOf(this)
  }

  /** The offset of the next message that is handed out; -1 as long as nobody knows. */
  get position(): number {
    return this.#position
  }

  /** Fires when the partition is no longer this consumer's. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }

  get isGone(): boolean {
    return this.#gone.signal.aborted
  }

  /** Messages may be taken from it now. */
  get isReady(): boolean {
    return this.#hasMore && this.mayGoOn && !this.isBusy && !this.isParked
  }

  /** Whoever has it may take another message. */
  get mayGoOn(): boolean {
    return !this.isPaused && !this.isEnding && !this.isGone
  }

  get #hasMore(): boolean {
    return this.#returned.length > 0 || this.#chunks.length > 0
  }

  /** Stops fetching and handing out, until it is known where to go on. What is in flight will not count. */
  forget(): void {
    this.epoch++
    this.#chunks.length = 0
    this.#returned = []
    this.bufferedBytes = 0
    this.fetchOffset = -1
    this.fetching = undefined
    this.isCaughtUp = false
    this.isParked = false
    this.failure = undefined
  }

  /** Goes on from another offset. */
  moveTo(offset: number): void {
    this.forget()
    this.#position = offset
    this.done = offset
    this.fetchOffset = offset
  }

  /** Takes what has come in, all from `fetchOffset` on. */
  add(chunk: BatchCursor): void {
    this.fetchOffset = chunk.endOffset
    this.bufferedBytes += chunk.bytes
    this.#chunks.push(chunk)
  }

  /** The next message, or undefined when no more has come in. @throws BrokerError when it cannot be read */
  take(): Message | undefined {
    if (this.#returned.length > 0) return this.#takeReturned()
    for (;;) {
      const chunk = this.#chunks[0]
      if (chunk === undefined) return undefined
      const message = chunk.next()
      if (message !== undefined) {
        this.#position = message.offset + 1
        return message
      }
      this.#chunks.shift()
      this.bufferedBytes -= chunk.bytes
      this.#skipTo(chunk.endOffset)
      this.onRoom()
    }
  }

  /** The last ones that were taken have not been dealt with: they come again. */
  putBack(messages: readonly Message[]): void {
    if (messages.length === 0) return
    this.#returned = [...messages, ...this.#returned]
    this.#position = messages[0].offset
  }

  /** All before this offset is processed. */
  markDone(offset: number): void {
    this.done = offset
    if (this.failure !== undefined && this.failure.offset < offset) this.failure = undefined
  }

  /** Whoever had it is done with it. */
  release(): void {
    this.isBusy = false
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /** Resolves when nobody handles a message of it. */
  async idle(): Promise<void> {
    if (this.isBusy) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  /** It is not this consumer's any more. */
  end(reason: Error): void {
    this.isEnding = true
    this.#gone.abort(reason)
    this.#chunks.length = 0
    this.#returned = []
  }

  #takeReturned(): Message {
    const [first, ...others] = this.#returned
    this.#returned = others
    this.#position = first.offset + 1
    return first
  }

  /** What lies before is not for consumers, and counts as processed when all before that is. */
  #skipTo(offset: number): void {
    const isAllDone = this.done === this.#position
    this.#position = Math.max(this.#position, offset)
    if (isAllDone) this.done = this.#position
  }
}
