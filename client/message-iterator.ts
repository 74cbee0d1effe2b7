import { setImmediate as breathe } from 'node:timers/promises'
import type { FeedQueue } from './feed-queue.ts'
import type { Message } from './message.ts'
import type { PartitionFeed } from './partition-feed.ts'

/** So many messages are handed out in a row; then heartbeats, fetches and the other partitions get their turn. */
const TURN_MESSAGES = 256

/**
 * Hands out one message after the other. A message counts as processed when the next one is asked for: the one that a loop was
 * left at, by `break` or by an error, is handed out again.
 */
export class MessageIterator implements AsyncIterableIterator<Message, undefined> {
  readonly #queue: FeedQueue
  readonly #onEnd: (iterator: MessageIterator) => void
  #feed: PartitionFeed | undefined
  #current: Message | undefined
  #epoch = 0
  #turnsLeft = 0
  #isOver = false
  /** So many have been asked for and have not come. */
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  /** Consumers make them. */
  constructor(queue: FeedQueue, onEnd: (iterator: MessageIterator) => void) {
    this.#queue = queue
    this.#onEnd = onEnd
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** @throws what has ended the consumer, if that was an error */
  next(): Promise<IteratorResult<Message, undefined>> {
    if (this.#waiting > 0) return this.#nextInTurn()
    try {
      const message = this.#goOn()
      return message === undefined ? this.#nextInTurn() : Promise.resolve({ done: false, value: message })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Ends it. The message that was handed out last is not processed. */
  async return(): Promise<IteratorReturnResult<undefined>> {
    this.end()
    return { done: true, value: undefined }
  }

  /** The same at once. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    const [feed, message] = [this.#feed, this.#current]
    if (feed !== undefined) {
      if (message !== undefined && feed.epoch === this.#epoch) feed.putBack([message])
      this.#release(feed)
    }
    this.#current = undefined
    this.#onEnd(this)
    this.#queue.wake()
  }

  /** Ends it when the message that was handed out last is processed. */
  endAfterCurrent(): void {
    if (this.#current === undefined) this.end()
    else this.#turnsLeft = -Infinity
  }

  /** If this one was handed out last, it is processed. */
  markProcessed(message: Message): void {
    if (this.#feed !== undefined && this.#current === message) this.#finishCurrent(this.#feed)
  }

  #finishCurrent(feed: PartitionFeed): void {
    const message = this.#current
    if (message === undefined) return
    this.#current = undefined
    if (feed.epoch === this.#epoch) feed.markDone(message.offset + 1)
  }

  /** The next message of the same partition, if there is one and it is not the turn of the others. */
  #goOn(): Message | undefined {
    const feed = this.#feed
    if (feed === undefined) return undefined
    this.#finishCurrent(feed)
    return --this.#turnsLeft > 0 && feed.mayGoOn ? this.#take(feed) : undefined
  }

  #nextInTurn(): Promise<IteratorResult<Message, undefined>> {
    this.#waiting++
    const result = this.#last.then(() => this.#nextSlowly())
    const settle = () => void this.#waiting--
    this.#last = result.then(settle, settle)
    return result
  }

  #take(feed: PartitionFeed): Message | undefined {
    const message = feed.take()
    this.#current = message
    this.#epoch = feed.epoch
    return message
  }

  #release(feed: PartitionFeed): void {
    this.#feed = undefined
    this.#queue.giveBack(feed)
  }

  async #nextSlowly(): Promise<IteratorResult<Message, undefined>> {
    if (this.#feed !== undefined) {
      this.#finishCurrent(this.#feed)
      if (this.#turnsLeft === -Infinity) this.end()
      else this.#release(this.#feed)
    }
    // Once in a while, also when there always is another message.
    if (this.#turnsLeft <= 0) await breathe()
    while (!this.#isOver && !this.#queue.isOver()) {
      const feed = this.#queue.take()
      if (feed === undefined) {
        await this.#queue.wait()
        continue
      }
      this.#feed = feed
      this.#turnsLeft = TURN_MESSAGES
      const message = this.#take(feed)
      if (message !== undefined) return { done: false, value: message }
      this.#release(feed)
    }
    this.end()
    return { done: true, value: undefined }
  }
}
