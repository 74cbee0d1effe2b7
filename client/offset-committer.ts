import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import type { PartitionFeed } from './partition-feed.ts'
import type { TopicPartition } from './partitions.ts'

/** Where a group goes on in one partition: the offset of the first message that it has not processed. */
export interface PartitionOffset extends TopicPartition {
  readonly offset: number
}

/** Who commits, as far as it is a member of the group. */
export type Identity = { readonly memberId: string; readonly generation: number } | undefined

/** How often a commit is tried that a heartbeat has overtaken, and how long apart. */
const STALE_ATTEMPTS = 20
const STALE_DELAY_MS = 50

/** Stores what a group has processed. Commits of one consumer come one after the other, so that none undoes a later one. */
export class OffsetCommitter {
  readonly #link: Link
  readonly #group: string
  readonly #identity: () => Identity
  #last: Promise<unknown> = Promise.resolve()

  constructor(link: Link, group: string, identity: () => Identity) {
    this.#link = link
    this.#group = group
    this.#identity = identity
  }

  /**
   * Commits what is done in these partitions and not committed yet; returns what that was.
   *
   * @throws BrokerRefusal for the first that was refused; ConnectionFailure; the reason of a signal
   */
  commitDone(feeds: Iterable<PartitionFeed>, signal?: AbortSignal): Promise<readonly PartitionOffset[]> {
    return this.#inTurn(async () => {
      const news = [...feeds].filter((feed) => !feed.isGone && feed.done >= 0 && feed.done !== feed.committed)
      const offsets = news.map(({ topic, partition, done }) => ({ topic, partition, offset: done }))
      const results = await Promise.allSettled(
        news.map(async (feed, index) => {
          const { offset } = offsets[index]
          await this.#commit(
            offsets[index],
            signal === undefined ? feed.signal : AbortSignal.any([signal, feed.signal]),
          )
          feed.committed = offset
        }),
      )
      throwFirst(results)
      return offsets
    })
  }

  /** Commits these offsets, whatever is done. @throws as `commitDone` */
  commit(offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      throwFirst(await Promise.allSettled(offsets.map((offset) => this.#commit(offset, signal))))
    })
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** A new generation may begin while a commit is on its way; with the next heartbeat the member knows it too. */
  async #commit(offset: PartitionOffset, signal: AbortSignal | undefined): Promise<void> {
    const { topic, partition } = offset
    for (let attempt = 1; ; attempt++) {
      const request = { topic, partition, offset: offset.offset, group: this.#group, ...this.#identity() }
      try {
        await this.#link.call('COMMIT', request, { signal })
        return
      } catch (error) {
        const isStale = error instanceof BrokerRefusal && error.code === 'STALE_MEMBER_EPOCH'
        if (!isStale || attempt === STALE_ATTEMPTS) throw error
        await sleep(STALE_DELAY_MS, undefined, signal === undefined ? {} : { signal })
      }
    }
  }
}

function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
