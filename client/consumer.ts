import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/base/clock.ts'
import { Assignment } from './assignment.ts'
import type { ConsumerEvents, ConsumerOptions, FullSettings } from './consumer-options.ts'
import { checkOffset, completeSettings } from './consumer-options.ts'
import { DeadLetters } from './dead-letters.ts'
import { FeedQueue } from './feed-queue.ts'
import { Fetcher } from './fetcher.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import { isTransient } from './link.ts'
import { Membership } from './membership.ts'
import { Message } from './message.ts'
import { MessageIterator } from './message-iterator.ts'
import type { RunOptions } from './message-runner.ts'
import { MessageRunner } from './message-runner.ts'
import type { Identity, PartitionOffset } from './offset-committer.ts'
import { OffsetCommitter } from './offset-committer.ts'
import { LIST_OFFSETS_END, LIST_OFFSETS_START } from './operations.ts'
import type { PartitionFeed } from './partition-feed.ts'
import type { TopicPartition } from './partitions.ts'
import { nameOf, toPlain, toSet } from './partitions.ts'
import type { Tracing } from './tracing.ts'

interface Signal {
  readonly signal?: AbortSignal | undefined
}

/** Where a consumer is in one partition. */
export interface PartitionStatus extends TopicPartition {
  /** The offset of the next message that is handed out; undefined as long as it is not known where to begin. */
  readonly position: number | undefined
  /** What the group has committed, as far as this consumer knows. */
  readonly committed: number | undefined
  /** The offset up to which can be read, as of the last fetch; undefined before it. */
  readonly highWatermark: number | undefined
  /** How many offsets are left before it. */
  readonly lag: number | undefined
  readonly isPaused: boolean
}

/** Connections of a consumer: one for what it asks, two to fetch with. */
export interface ConsumerLinks {
  readonly control: Link
  readonly eager: Link
  readonly patient: Link
}

/** What a consumer works with. */
export interface ConsumerParts {
  readonly links: ConsumerLinks
  readonly tracing: Tracing | undefined
  readonly onClosed: () => void
}

/** A group that could not be reached for long is joined again after so many milliseconds. */
const REJOIN_DELAY_MS = 1_000
/** For the last commits and to leave, when handlers have taken all the time there was. */
const LEAVE_TIMEOUT_MS = 2_000

/**
 * Reads messages, at least once each: what was handed out and not processed when a consumer dies is handed out again, to
 * whoever has the partition then.
 *
 *     await using consumer = client.consumer({ group: 'billing', topics: ['orders'] })
 *     for await (const message of consumer) await bill(message.json())
 *
 * or `await consumer.run({ eachMessage })`. It begins to take part when one of them is called. docs/client.md tells the rest.
 */
export class Consumer extends EventEmitter<ConsumerEvents> implements AsyncIterable<Message> {
  readonly #links: ConsumerLinks
  readonly #options: ConsumerOptions
  readonly #settings: FullSettings
  readonly #queue = new FeedQueue()
  readonly #committer: OffsetCommitter | undefined
  readonly #deadLetters: DeadLetters | undefined
  readonly #assignment: Assignment
  readonly #fetcher: Fetcher
  readonly #iterators = new Set<MessageIterator>()
  readonly #runs = new Map<MessageRunner, Promise<void>>()
  readonly #closing = new AbortController()
  readonly #tracing: Tracing | undefined
  readonly #onClosed: () => void
  #membership: Membership | undefined
  #isStarted = false
  #closed: Promise<void> | undefined

  /** Use `CafeLogClient.consumer`. @throws RangeError for options that cannot be */
  constructor({ links, tracing, onClosed }: ConsumerParts, options: ConsumerOptions) {
    super()
    this.#tracing = tracing
    this.#onClosed = onClosed
    this.#settings = completeSettings(options)
    this.#links = links
    this.#options = options
    const { control } = links
    const { group } = options
    const { deadLetter, prefetchBytes, partitionBytes, maxWaitMs, signal } = this.#settings
    const emit = this.#tell.bind(this)
    if (group !== undefined) this.#committer = new OffsetCommitter(control, group, () => this.#identify())
    if (group !== undefined && deadLetter !== undefined) {
      this.#deadLetters = new DeadLetters(control, group, deadLetter.topic ?? `${group}.dlq`)
    }
    this.#assignment = new Assignment({
      link: control,
      group,
      isManaged: options.partitions === undefined,
      settings: this.#settings,
      queue: this.#queue,
      committer: this.#committer,
      wakeFetcher: () => this.#fetcher.wake(),
      fail: (error) => this.#fail(error),
      emit,
    })
    const fetchOptions = { prefetchBytes, partitionBytes, waitMs: maxWaitMs }
    this.#fetcher = new Fetcher(links, this.#assignment.feeds, fetchOptions, {
      arrived: (feed) => this.#queue.offer(feed),
      outOfRange: (feed) => void this.#assignment.reset(feed),
      failed: (error, feed) => this.#fetchFailed(error, feed),
    })
    if (signal?.aborted === true) void this.close()
    else signal?.addEventListener('abort', () => void this.close(), { once: true, signal: this.#closing.signal })
  }

  /** As `messages` does it. */
  [Symbol.asyncIterator](): MessageIterator {
    return this.messages()
  }

  /**
   * All messages, one after the other, until the consumer is closed or the signal fires. A message counts as processed when the
   * next one is asked for; the one at which a loop ends by `break` or an error does not.
   */
  messages({ signal }: Signal = {}): MessageIterator {
    const onAbort = () => iterator.endAfterCurrent()
    const iterator = new MessageIterator(this.#queue, () => {
      signal?.removeEventListener('abort', onAbort)
      this.#iterators.delete(iterator)
    })
    this.#iterators.add(iterator)
    if (signal?.aborted === true || this.#closed !== undefined) iterator.end()
    else signal?.addEventListener('abort', onAbort)
    this.#start()
    return iterator
  }

  /**
   * Has a handler process the messages. Resolves when the signal has fired or the consumer was closed, all handlers are done,
   * and what they did is committed.
   *
   * @throws RangeError for options that cannot be; HandlerError when a handler has thrown and `onError` is `stop`; OffsetUnknown,
   *   BrokerRefusal when the consumer cannot go on
   */
  async run(options: RunOptions): Promise<void> {
    const { signal } = options
    const runner = new MessageRunner(
      {
        queue: this.#queue,
        settings: this.#settings,
        deadLetters: this.#deadLetters,
        tracing: this.#tracing,
        emit: this.#tell.bind(this),
      },
      options,
    )
    const onAbort = () => runner.stop()
    if (signal?.aborted === true) return
    signal?.addEventListener('abort', onAbort)
    this.#start()
    const running = runner.run()
    this.#runs.set(runner, running)
    try {
      await running
    } finally {
      this.#runs.delete(runner)
      signal?.removeEventListener('abort', onAbort)
      if (this.#closed !== undefined) await this.#closed
      else if (this.#settings.autoCommit) await this.#commitDone()
    }
  }

  /** The partitions that are this consumer's now. */
  partitions(): readonly PartitionStatus[] {
    return Array.from(this.#assignment.feeds.values(), toStatus)
  }

  /** Hands out nothing more of these until `resume`. @throws RangeError when one is not assigned */
  pause(partitions: Iterable<TopicPartition>): void {
    for (const partition of partitions) this.#assignment.get(partition, 'pause').isPaused = true
  }

  /** @throws RangeError when one is not assigned */
  resume(partitions: Iterable<TopicPartition>): void {
    for (const partition of partitions) {
      const feed = this.#assignment.get(partition, 'resume')
      feed.isPaused = false
      this.#queue.offer(feed)
    }
    this.#fetcher.wake()
  }

  /**
   * Goes on from these offsets; the group does too, when they are committed. A message that a handler is at work on does not
   * count any more.
   *
   * @throws RangeError when one is not assigned, or is no offset
   */
  seek(offsets: Iterable<PartitionOffset>): void {
    const targets = Array.from(offsets, (target) => {
      checkOffset(target)
      return { feed: this.#assignment.get(target, 'seek in'), offset: target.offset }
    })
    for (const { feed, offset } of targets) feed.moveTo(offset)
    this.#fetcher.wake()
  }

  /** Goes on from the oldest message of these partitions, or of all. @throws as `seekToTime` */
  seekToBeginning(partitions?: Iterable<TopicPartition>, options?: Signal): Promise<void> {
    return this.#seekByTime(LIST_OFFSETS_START, partitions, options)
  }

  /** Goes on behind the newest message of these partitions, or of all. @throws as `seekToTime` */
  seekToEnd(partitions?: Iterable<TopicPartition>, options?: Signal): Promise<void> {
    return this.#seekByTime(LIST_OFFSETS_END, partitions, options)
  }

  /**
   * Goes on from the first message of this time (Unix milliseconds, or a Date) or later, in these partitions or in all; behind
   * the newest one where none is that late.
   *
   * @throws RangeError when a partition is not assigned, or for what is no time; BrokerRefusal, ConnectionFailure; the signal's
   *   reason
   */
  async seekToTime(time: number | Date, partitions?: Iterable<TopicPartition>, options?: Signal): Promise<void> {
    const timestamp = Number(time)
    if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
      throw new RangeError(`Cannot seek to the time ${timestamp}: whole milliseconds since 1970 are needed`)
    }
    await this.#seekByTime(timestamp, partitions, options)
  }

  /**
   * Commits, and resolves when that is on stable storage: what is processed so far; or up to and including one message, as a loop
   * does that ends with it; or certain offsets.
   *
   * @throws RangeError without a group; BrokerRefusal, such as STALE_MEMBER_EPOCH or UNKNOWN_MEMBER_ID when the partitions are
   *   no longer this consumer's; ConnectionFailure; the signal's reason
   */
  async commit(what?: Message | readonly PartitionOffset[], { signal }: Signal = {}): Promise<void> {
    const committer = this.#committer
    if (committer === undefined) throw new RangeError('Cannot commit without a group: name one')
    if (what === undefined) {
      const offsets = await committer.commitDone(this.#assignment.feeds.values(), signal)
      if (offsets.length > 0) this.#tell('committed', { offsets })
      return
    }
    const offsets =
      what instanceof Message ? [{ topic: what.topic, partition: what.partition, offset: what.offset + 1 }] : what
    for (const offset of offsets) checkOffset(offset)
    if (what instanceof Message) for (const iterator of this.#iterators) iterator.markProcessed(what)
    await committer.commit(offsets, signal)
    for (const offset of offsets) {
      const feed = this.#assignment.feeds.get(nameOf(offset))
      if (feed !== undefined) feed.committed = offset.offset
    }
    this.#tell('committed', { offsets })
  }

  /**
   * Ends what runs, waits for handlers that are at work (`closeTimeoutMs`), commits, and leaves the group. A loop over messages
   * ends too, and the message that it is at is not processed: to finish that one, end the loop first.
   */
  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #start(): void {
    if (this.#isStarted || this.#closed !== undefined) return
    this.#isStarted = true
    const { partitions } = this.#options
    if (partitions === undefined) this.#join()
    else this.#assignment.open(partitions)
    this.#fetcher.start()
    if (this.#settings.autoCommit) void this.#commitNowAndThen()
  }

  #join(): void {
    const { group, topics, topicPattern, instanceId, assignor, rebalanceTimeoutMs, clientId } = this
      .#options as Extract<ConsumerOptions, { partitions?: undefined }>
    const options = {
      group,
      ...(topics !== undefined && { topics }),
      ...(topicPattern !== undefined && { topicPattern }),
      ...(instanceId !== undefined && { instanceId }),
      ...(assignor !== undefined && { assignor }),
      ...(rebalanceTimeoutMs !== undefined && { rebalanceTimeoutMs }),
      ...(clientId !== undefined && { clientId }),
    }
    this.#membership = new Membership(this.#links.control, options, {
      assigned: (partitions) => this.#assignment.open(partitions.values()),
      revoke: (partitions) => this.#assignment.revoke(partitions),
      lost: (partitions, error) => this.#assignment.lose(partitions, error),
      failed: (error) => void this.#rejoin(error),
    })
    this.#membership.start()
  }

  /** A broker that is away for long is no reason to give up; one that refuses is. */
  async #rejoin(error: Error): Promise<void> {
    if (!isTransient(error)) return this.#fail(error)
    this.#tell('trouble', { error })
    await sleep(REJOIN_DELAY_MS, undefined, { signal: this.#closing.signal }).catch(() => {})
    if (this.#closed === undefined) this.#join()
  }

  #identify(): Identity {
    if (this.#membership === undefined) return undefined
    const { identity } = this.#membership
    if (identity !== undefined) return identity
    throw new BrokerRefusal(
      'UNKNOWN_MEMBER_ID',
      `Cannot commit: the consumer is not in the group "${this.#options.group}"`,
    )
  }

  async #commitNowAndThen(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await sleep(this.#settings.commitIntervalMs, undefined, { signal, ref: false }).catch(() => {})
      if (!signal.aborted) await this.#commitDone()
    }
  }

  async #commitDone(): Promise<void> {
    try {
      await this.commit(undefined, { signal: this.#closing.signal })
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#tell('trouble', { error: error as Error })
    }
  }

  async #seekByTime(timestamp: number, partitions?: Iterable<TopicPartition>, options?: Signal): Promise<void> {
    const feeds = Array.from(partitions ?? this.#assignment.feeds.values(), (partition) =>
      this.#assignment.get(partition, 'seek in'),
    )
    await Promise.all(feeds.map((feed) => this.#assignment.seekByTime(feed, timestamp, options?.signal)))
  }

  #fetchFailed(error: Error, feed: PartitionFeed | undefined): void {
    const isDeleted = error instanceof BrokerRefusal && error.code === 'UNKNOWN_TOPIC_OR_PARTITION'
    // In a group the partition is taken away before long.
    if (isDeleted && this.#options.partitions !== undefined) this.#fail(error)
    else this.#tell('trouble', feed === undefined ? { error } : { error, partition: toPlain(feed) })
  }

  #fail(error: Error): void {
    this.#queue.stop(error)
    void this.close()
  }

  async #close(): Promise<void> {
    // Lets the caller have the promise first: what ends here may ask for it.
    await Promise.resolve()
    this.#closing.abort()
    for (const runner of this.#runs.keys()) runner.stop()
    for (const iterator of this.#iterators) iterator.end()
    this.#queue.stop()
    let onTimeout = () => {}
    const timeout = new Promise<void>((resolve) => (onTimeout = resolve))
    let timer = systemClock.setTimer(this.#settings.closeTimeoutMs, () => {
      // What other handlers have done is committed all the same, if the broker can be reached.
      this.#assignment.hurry()
      onTimeout()
      timer = systemClock.setTimer(LEAVE_TIMEOUT_MS, () => this.#cut())
    })
    await Promise.race([Promise.allSettled(this.#runs.values()), timeout])
    if (this.#membership !== undefined) await this.#membership.leave()
    else await this.#assignment.revoke(toSet(this.#assignment.feeds.values()))
    timer.cancel()
    this.#cut()
    this.#onClosed()
  }

  /** Waits for nothing more. */
  #cut(): void {
    this.#assignment.hurry()
    this.#fetcher.close()
    for (const link of Object.values(this.#links)) (link as Link).close()
  }

  /** What a listener throws is not what the consumer has to deal with. */
  #tell<Name extends keyof ConsumerEvents>(name: Name, ...event: ConsumerEvents[Name]): void {
    try {
      // Node's types cannot see that the event is the one of that name.
      EventEmitter.prototype.emit.call(this, name, ...event)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }
}

function toStatus(feed: PartitionFeed): PartitionStatus {
  const { topic, partition, committed, isPaused } = feed
  const position = feed.position < 0 ? undefined : feed.position
  const highWatermark = feed.highWatermark < 0 ? undefined : feed.highWatermark
  const lag = position === undefined || highWatermark === undefined ? undefined : Math.max(0, highWatermark - position)
  return { topic, partition, position, committed, highWatermark, lag, isPaused }
}
