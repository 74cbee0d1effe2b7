import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerEvents, ExplicitPartition, FullSettings } from './consumer-options.ts'
import { OffsetUnknown } from './consumer-options.ts'
import type { FeedQueue } from './feed-queue.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import { isTransient } from './link.ts'
import { whenAborted } from './notice.ts'
import type { OffsetCommitter } from './offset-committer.ts'
import { LIST_OFFSETS_END, LIST_OFFSETS_START } from './operations.ts'
import { PartitionFeed } from './partition-feed.ts'
import type { PartitionSet, TopicPartition } from './partitions.ts'
import { nameOf, toPlain } from './partitions.ts'

/** What an assignment works with. */
export interface AssignmentParts {
  readonly link: Link
  readonly group: string | undefined
  /** The broker says which partitions they are. */
  readonly isManaged: boolean
  readonly settings: FullSettings
  readonly queue: FeedQueue
  readonly committer: OffsetCommitter | undefined
  /** There may be something to fetch. */
  readonly wakeFetcher: () => void
  /** Ends the consumer. */
  readonly fail: (error: Error) => void
  readonly emit: <Name extends keyof ConsumerEvents>(name: Name, ...event: ConsumerEvents[Name]) => void
}

/** Before the broker is asked again where to begin. */
const RETRY_DELAY_MS = 500

/** The partitions that are a consumer's: where each begins, and how each ends. */
export class Assignment {
  readonly #parts: AssignmentParts
  readonly #feeds = new Map<string, PartitionFeed>()
  /** Those that are gone, as long as somebody handles a message of them. */
  readonly #leaving = new Map<string, PartitionFeed>()
  /** Nothing is waited for any more. */
  readonly #hurry = new AbortController()

  constructor(parts: AssignmentParts) {
    this.#parts = parts
  }

  /** By `nameOf`; the same map for ever. */
  get feeds(): ReadonlyMap<string, PartitionFeed> {
    return this.#feeds
  }

  /** @throws RangeError when it is not assigned; `action` says what for */
  get({ topic, partition }: TopicPartition, action: string): PartitionFeed {
    const feed = this.#feeds.get(nameOf({ topic, partition }))
    if (feed !== undefined) return feed
    throw new RangeError(`Cannot ${action} ${topic}/${partition}: it is not assigned to this consumer`)
  }

  /** These are the consumer's from now on. */
  open(partitions: Iterable<ExplicitPartition>): void {
    const opened: PartitionFeed[] = []
    for (const partition of partitions) {
      const feed = new PartitionFeed(partition)
      feed.onRoom = this.#parts.wakeFetcher
      this.#feeds.set(feed.name, feed)
      opened.push(feed)
      if (partition.offset !== undefined) feed.moveTo(partition.offset)
    }
    this.#parts.emit('assigned', { partitions: opened.map(toPlain) })
    // Whoever was told may have moved them already.
    void this.#begin(opened.filter((feed) => feed.fetchOffset < 0 && feed.epoch === 0))
    this.#parts.wakeFetcher()
  }

  /** Hands nothing more out, waits for handlers, commits, gives away. */
  async revoke(partitions: PartitionSet): Promise<void> {
    const feeds = this.#pick(partitions)
    for (const feed of feeds) feed.isEnding = true
    await Promise.all(feeds.map((feed) => this.#untilIdle(feed)))
    const { committer, settings } = this.#parts
    if (committer !== undefined && settings.autoCommit) await this.#commit(committer, feeds)
    const left = feeds.filter((feed) => !feed.isGone)
    for (const feed of left) this.#end(feed, new Error(`${feed.name} was given away`))
    if (left.length > 0) this.#parts.emit('revoked', { partitions: left.map(toPlain) })
  }

  /** They are not the consumer's any more. */
  lose(partitions: PartitionSet, error: Error): void {
    const feeds = this.#pick(partitions)
    for (const feed of feeds) this.#end(feed, error)
    if (feeds.length > 0) this.#parts.emit('lost', { partitions: feeds.map(toPlain), error })
  }

  /** Whatever waits for handlers stops waiting. */
  hurry(): void {
    this.#hurry.abort()
  }

  /** Goes on by `autoOffsetReset`, since the log has no such offset. */
  async reset(feed: PartitionFeed): Promise<void> {
    const { epoch } = feed
    const from = Math.max(feed.position, 0)
    const to = await this.#attempt([feed], () => this.#findReset(feed))
    if (to === undefined || feed.epoch !== epoch || feed.isGone) return
    // What has come in before is handed out all the same.
    if (to > feed.position && feed.bufferedBytes > 0) feed.fetchOffset = to
    else feed.moveTo(to)
    this.#parts.emit('reset', { ...toPlain(feed), from, to })
    this.#parts.wakeFetcher()
  }

  /** Goes on from the first message at or behind `timestamp`, or from an end of the log. @throws as Link.call */
  async seekByTime(feed: PartitionFeed, timestamp: number, signal?: AbortSignal): Promise<void> {
    const back = feed.position
    feed.forget()
    const { epoch } = feed
    try {
      const to = await this.#listOffset(feed, timestamp, signal)
      if (feed.epoch === epoch) feed.moveTo(to)
    } catch (error) {
      if (feed.epoch === epoch && !feed.isGone) {
        if (back >= 0) feed.moveTo(back)
        else void this.#begin([feed])
      }
      throw error
    } finally {
      this.#parts.wakeFetcher()
    }
  }

  #pick(partitions: PartitionSet): PartitionFeed[] {
    return [...partitions.keys()].flatMap((name) => this.#feeds.get(name) ?? [])
  }

  #end(feed: PartitionFeed, reason: Error): void {
    this.#feeds.delete(feed.name)
    feed.end(reason)
    if (!feed.isBusy) return
    this.#leaving.set(feed.name, feed)
    void feed.idle().then(() => {
      if (this.#leaving.get(feed.name) === feed) this.#leaving.delete(feed.name)
    })
  }

  async #untilIdle(feed: PartitionFeed): Promise<void> {
    if (!feed.isBusy) return
    const ends = whenAborted(AbortSignal.any([feed.signal, this.#hurry.signal]))
    await Promise.race([feed.idle(), ends.promise])
    ends.stop()
  }

  async #commit(committer: OffsetCommitter, feeds: readonly PartitionFeed[]): Promise<void> {
    try {
      const offsets = await committer.commitDone(feeds)
      if (offsets.length > 0) this.#parts.emit('committed', { offsets })
    } catch (error) {
      // Others process again what could not be committed.
      if (feeds.some((feed) => !feed.isGone)) this.#parts.emit('trouble', { error: error as Error })
    }
  }

  /** Finds out where these begin: where the group is, or as `autoOffsetReset` says. */
  async #begin(feeds: readonly PartitionFeed[]): Promise<void> {
    if (feeds.length === 0) return
    const epochs = feeds.map((feed) => feed.epoch)
    const isStillOpen = (feed: PartitionFeed, index: number) => feed.epoch === epochs[index] && !feed.isGone
    const committed = await this.#attempt(feeds, () => this.#readCommitted())
    if (committed === undefined) return
    await Promise.all(
      feeds.map(async (feed, index) => {
        // A handler may be at work on a message from when it was this consumer's before.
        const before = this.#leaving.get(feed.name)
        if (before !== undefined) await before.idle()
        const known = committed.get(feed.name)
        feed.committed = known
        const offset = known ?? (await this.#attempt([feed], () => this.#findReset(feed)))
        if (offset === undefined || !isStillOpen(feed, index)) return
        feed.moveTo(offset)
        if (known === undefined) this.#parts.emit('reset', { ...toPlain(feed), from: undefined, to: offset })
      }),
    )
    this.#parts.wakeFetcher()
  }

  /** Tries until it works; undefined when it came to nothing, which has been told, or is of no use any more. */
  async #attempt<Result>(feeds: readonly PartitionFeed[], work: () => Promise<Result>): Promise<Result | undefined> {
    const { isManaged, emit, fail } = this.#parts
    const { signal } = this.#hurry
    while (!signal.aborted && feeds.some((feed) => !feed.isGone)) {
      try {
        return await work()
      } catch (error) {
        if (signal.aborted || feeds.every((feed) => feed.isGone)) return undefined
        const isDeleted = error instanceof BrokerRefusal && error.code === 'UNKNOWN_TOPIC_OR_PARTITION'
        if (!isTransient(error) && !(isManaged && isDeleted)) {
          fail(error as Error)
          return undefined
        }
        emit('trouble', { error: error as Error })
        await sleep(RETRY_DELAY_MS, undefined, { signal, ref: false }).catch(() => {})
      }
    }
    return undefined
  }

  async #readCommitted(): Promise<ReadonlyMap<string, number>> {
    const { group, link } = this.#parts
    if (group === undefined) return new Map()
    try {
      const { offsets } = await link.call('FETCH_OFFSETS', { group })
      return new Map(offsets.map((one) => [nameOf(one), one.offset]))
    } catch (error) {
      if (error instanceof BrokerRefusal && error.code === 'GROUP_ID_NOT_FOUND') return new Map()
      throw error
    }
  }

  async #findReset(feed: PartitionFeed): Promise<number> {
    const { autoOffsetReset } = this.#parts.settings
    if (autoOffsetReset === 'fail') {
      const what = feed.position < 0 ? 'nothing is committed' : `offset ${feed.position} is not in the log`
      throw new OffsetUnknown(`Cannot begin to read ${feed.name}: ${what}, and autoOffsetReset is "fail"`)
    }
    return await this.#listOffset(feed, autoOffsetReset === 'earliest' ? LIST_OFFSETS_START : LIST_OFFSETS_END)
  }

  async #listOffset({ topic, partition }: TopicPartition, timestamp: number, signal?: AbortSignal): Promise<number> {
    const { link } = this.#parts
    const find = async (time: number) => {
      const { offsets } = await link.call('LIST_OFFSETS', { topic, partition, timestamp: time }, { signal })
      return offsets[0]?.offset ?? -1
    }
    const offset = await find(timestamp)
    // Nothing is that late, so whatever comes next is.
    return offset >= 0 ? offset : await find(LIST_OFFSETS_END)
  }
}
