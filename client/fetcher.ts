import { setTimeout as sleep } from 'node:timers/promises'
import { BatchCursor, findEndOffset } from './batch-cursor.ts'
import type { JsonConnection } from './json-connection.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import { isTransient } from './link.ts'
import { Notice } from './notice.ts'
import type { Answer } from './operations.ts'
import { call } from './operations.ts'
import type { PartitionFeed } from './partition-feed.ts'
import { nameOf } from './partitions.ts'

/** How much to fetch at a time, and how far ahead. */
export interface FetchOptions {
  /** What may have come in and not be handed out yet, of all partitions together, in bytes as they are stored. */
  readonly prefetchBytes: number
  /** How much of one partition comes with one fetch. */
  readonly partitionBytes: number
  /** How long the broker waits for news, in milliseconds. */
  readonly waitMs: number
}

/** Told what comes in. */
export interface FetchHandler {
  /** There are messages in it. */
  arrived(feed: PartitionFeed): void
  /** There is no such offset, or no longer: the partition needs a new position. */
  outOfRange(feed: PartitionFeed, refusal: BrokerRefusal): void
  /** A partition, or all of them, cannot be fetched for now. It is tried again. */
  failed(error: Error, feed?: PartitionFeed): void
}

/** What one answer holds at most. With base64 it fits into a frame well. */
const ANSWER_BYTES = 4 * 1024 * 1024
/** A partition's share is not cut below this, however many there are. */
const SHARE_BYTES_MIN = 64 * 1024
/** How long the eager lane waits for news of partitions that the patient one has not taken up yet. */
const SHORT_WAIT_MS = 20
/** Before something that failed is tried again; twice as long each time. */
const FAILURE_DELAY_MS = 50
const FAILURE_DELAY_MS_MAX = 2_000
/** Before a partition that is refused is tried again. */
const HOLD_BACK_MS = 500
const RANDOM_PART = 0.5

interface Plan {
  readonly feeds: readonly PartitionFeed[]
  readonly waitMs: number
}

/**
 * Fetches ahead of the consumer, over two connections: answers on one come in order, and a fetch that waits for news must not
 * hold up one of a partition that has some. The eager lane fetches what is known to be there, the patient lane waits for news.
 * While the consumer is busy with one answer, the broker makes the next.
 */
export class Fetcher {
  readonly #lanes: readonly Lane[]
  readonly #feeds: ReadonlyMap<string, PartitionFeed>
  readonly #options: FetchOptions
  readonly #handler: FetchHandler
  readonly #changed = new Notice()
  readonly #closing = new AbortController()
  #isPatientBusy = false
  #turn = 0

  constructor(
    { eager, patient }: { readonly eager: Link; readonly patient: Link },
    feeds: ReadonlyMap<string, PartitionFeed>,
    options: FetchOptions,
    handler: FetchHandler,
  ) {
    this.#lanes = [new Lane(eager), new Lane(patient)]
    this.#feeds = feeds
    this.#options = options
    this.#handler = handler
  }

  /** Begins to fetch. Ends with `close`. */
  start(): void {
    const [eager, patient] = this.#lanes
    void this.#run(eager, () => this.#planEager())
    void this.#run(patient, () => this.#planPatient())
  }

  /** There may be something to fetch that was not to be fetched before. */
  wake(): void {
    this.#changed.give()
  }

  close(): void {
    this.#closing.abort()
    this.#changed.give()
    for (const lane of this.#lanes) lane.close()
  }

  async #run(lane: Lane, makePlan: () => Plan): Promise<void> {
    let failures = 0
    while (!this.#closing.signal.aborted) {
      const plan = makePlan()
      if (plan.feeds.length === 0) {
        await this.#changed.wait()
        continue
      }
      const isPatient = lane === this.#lanes[1]
      for (const feed of plan.feeds) feed.fetching = plan
      if (isPatient) this.#isPatientBusy = true
      try {
        await this.#fetch(lane, plan)
        failures = 0
      } catch (error) {
        if (this.#closing.signal.aborted) return
        // The link has told of those that may pass.
        if (!isTransient(error)) this.#handler.failed(error as Error)
        await this.#waitAfter(failures++)
      } finally {
        for (const feed of plan.feeds) if (feed.fetching === plan) feed.fetching = undefined
        if (isPatient) this.#isPatientBusy = false
        // The other lane may take up what this one leaves.
        this.#changed.give()
      }
    }
  }

  async #waitAfter(failures: number): Promise<void> {
    const delayMs = Math.min(FAILURE_DELAY_MS_MAX, FAILURE_DELAY_MS * 2 ** failures) * (1 - RANDOM_PART * Math.random())
    await sleep(delayMs, undefined, { signal: this.#closing.signal }).catch(() => {})
  }

  #planEager(): Plan {
    const feeds = this.#listFetchable()
    if (feeds.some((feed) => !feed.isCaughtUp)) return { feeds, waitMs: 0 }
    return { feeds: this.#isPatientBusy ? feeds : [], waitMs: SHORT_WAIT_MS }
  }

  #planPatient(): Plan {
    return { feeds: this.#listFetchable().filter((feed) => feed.isCaughtUp), waitMs: this.#options.waitMs }
  }

  /** Each time another one is the first, so that none starves when an answer is full. */
  #listFetchable(): PartitionFeed[] {
    const share = this.#shareBytes()
    const fetchable: PartitionFeed[] = []
    for (const feed of this.#feeds.values()) {
      const hasRoom = feed.bufferedBytes <= share / 2
      if (hasRoom && feed.fetchOffset >= 0 && feed.fetching === undefined && feed.mayGoOn && !feed.isHeldBack)
        fetchable.push(feed)
    }
    const first = this.#turn++ % Math.max(1, fetchable.length)
    return first === 0 ? fetchable : [...fetchable.slice(first), ...fetchable.slice(0, first)]
  }

  #shareBytes(): number {
    return Math.max(SHARE_BYTES_MIN, Math.floor(this.#options.prefetchBytes / Math.max(1, this.#feeds.size)))
  }

  async #fetch(lane: Lane, { feeds, waitMs }: Plan): Promise<void> {
    const connection = await lane.connect(this.#closing.signal)
    const epochs = new Map(feeds.map((feed) => [feed, feed.epoch]))
    const isCurrent = (feed: PartitionFeed) => feed.epoch === epochs.get(feed) && !feed.isGone
    const maxBytes = Math.min(this.#options.partitionBytes, this.#shareBytes())
    const partitions = feeds.map(({ topic, partition, fetchOffset }) => ({
      topic,
      partition,
      offset: fetchOffset,
      maxBytes,
    }))
    const request = { partitions, maxBytes: ANSWER_BYTES, maxWaitMs: waitMs }
    const answer = await call(connection, 'FETCH_BATCHES', request, waitMs)
    const fetched = new Map(answer.partitions.map((one) => [nameOf(one), one]))
    const isEmpty = !answer.partitions.some((one) => 'error' in one || one.batches !== '')
    for (const feed of feeds) {
      if (!isCurrent(feed)) continue
      const one = fetched.get(feed.name)
      if (one !== undefined && 'error' in one) this.#refused(feed, new BrokerRefusal(one.error.code, one.error.message))
      else if (one !== undefined) this.#take(feed, one)
      // Nothing for anyone, so it was not for want of room.
      if (isEmpty) feed.isCaughtUp = true
    }
  }

  #take(feed: PartitionFeed, { batches, highWatermark, logStartOffset }: Fetched): void {
    feed.highWatermark = highWatermark
    feed.logStartOffset = logStartOffset
    if (batches !== '') {
      const bytes = Buffer.from(batches, 'base64')
      const fromOffset = feed.fetchOffset
      try {
        const endOffset = findEndOffset(feed, bytes, fromOffset)
        feed.add(new BatchCursor(feed, bytes, { fromOffset, endOffset }))
        this.#handler.arrived(feed)
      } catch (error) {
        this.#holdBack(feed, error as Error)
      }
    }
    feed.isCaughtUp = feed.fetchOffset >= highWatermark
  }

  #refused(feed: PartitionFeed, refusal: BrokerRefusal): void {
    if (refusal.code === 'OFFSET_OUT_OF_RANGE') {
      // Whoever knows a better one moves it there.
      feed.fetchOffset = -1
      this.#handler.outOfRange(feed, refusal)
    } else {
      this.#holdBack(feed, refusal)
    }
  }

  #holdBack(feed: PartitionFeed, error: Error): void {
    feed.isHeldBack = true
    this.#handler.failed(error, feed)
    void sleep(HOLD_BACK_MS, undefined, { signal: this.#closing.signal, ref: false }).then(
      () => {
        feed.isHeldBack = false
        this.#changed.give()
      },
      () => {},
    )
  }
}

type Fetched = Extract<Answer<'FETCH_BATCHES'>['partitions'][number], { batches: string }>

/** One connection for fetches, made anew when it has broken. */
class Lane {
  readonly #link: Link
  #connection: JsonConnection | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** @throws ConnectionFailure, and the signal's reason */
  async connect(signal: AbortSignal): Promise<JsonConnection> {
    const current = this.#connection
    if (current !== undefined && current.failure === undefined) return current
    this.#connection = await this.#link.connect(signal)
    return this.#connection
  }

  close(): void {
    this.#link.close()
  }
}
