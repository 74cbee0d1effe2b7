import { Notice } from './notice.ts'
import type { PartitionFeed } from './partition-feed.ts'

/** The partitions of a consumer that have messages to hand out, each to one taker at a time, in turn. */
export class FeedQueue {
  readonly #ready = new Set<PartitionFeed>()
  readonly #changed = new Notice()
  #isStopped = false
  #failure: Error | undefined

  /** Nothing more is to be handed out. @throws what the queue was stopped with, if that was an error */
  isOver(): boolean {
    if (this.#failure !== undefined) throw this.#failure
    return this.#isStopped
  }

  /** Looks whether this partition has something now. */
  offer(feed: PartitionFeed): void {
    if (!feed.isReady) return
    this.#ready.add(feed)
    this.#changed.give()
  }

  /** The partition whose turn it is, for the caller alone until `giveBack`; undefined when none has anything. */
  take(): PartitionFeed | undefined {
    for (const feed of this.#ready) {
      this.#ready.delete(feed)
      if (!feed.isReady) continue
      feed.isBusy = true
      return feed
    }
    return undefined
  }

  /** The caller is done with it for now; it comes behind the others. */
  giveBack(feed: PartitionFeed): void {
    feed.release()
    this.offer(feed)
  }

  /** Resolves when there may be something to take, or it is over. */
  wait(): Promise<void> {
    return this.#changed.wait()
  }

  /** Whoever waits looks again. */
  wake(): void {
    this.#changed.give()
  }

  stop(failure?: Error): void {
    this.#isStopped = true
    this.#failure ??= failure
    this.#changed.give()
  }
}
