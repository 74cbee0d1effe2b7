import { setImmediate as breathe } from 'node:timers/promises'
import { systemClock } from '../src/base/clock.ts'
import type { ConsumerEvents, FullSettings } from './consumer-options.ts'
import { HandlerError } from './consumer-options.ts'
import type { DeadLetters } from './dead-letters.ts'
import { countFailure } from './dead-letters.ts'
import type { FeedQueue } from './feed-queue.ts'
import type { Message } from './message.ts'
import type { PartitionFeed } from './partition-feed.ts'
import type { TopicPartition } from './partitions.ts'
import { toPlain } from './partitions.ts'
import type { Tracing } from './tracing.ts'

/** What a handler is told beside the message. */
export interface MessageContext {
  /** Fires when the partition is lost or the consumer gives up waiting: what is done from then on does not count. */
  readonly signal: AbortSignal
  /** 1 for the first attempt, more when the handler has thrown before. */
  readonly attempt: number
}

/** Messages of one partition, one behind the other. */
export interface MessageBatch extends TopicPartition {
  /** At least one. */
  readonly messages: readonly Message[]
  readonly firstOffset: number
  readonly lastOffset: number
  /** The offset up to which could be read when the messages were fetched. */
  readonly highWatermark: number
  /** How many offsets were left behind this batch then. */
  readonly lag: number
}

export interface BatchContext extends MessageContext {
  /** This message and those before it are processed: they do not come again when the handler throws later. */
  readonly processed: (message: Message) => void
}

interface RunSettings {
  /** How many partitions are worked on at a time, each in its order; 1 unless given. */
  readonly concurrency?: number
  /** Ends the run, after the messages that handlers are at work on. */
  readonly signal?: AbortSignal
}

/** One message at a time. */
export interface EachMessage extends RunSettings {
  /** The message is processed when this returns, or what it returns resolves. */
  readonly eachMessage: (message: Message, context: MessageContext) => unknown
  readonly eachBatch?: undefined
}

/** As many messages of a partition as there are. */
export interface EachBatch extends RunSettings {
  /** All messages are processed when this returns, or what it returns resolves. */
  readonly eachBatch: (batch: MessageBatch, context: BatchContext) => unknown
  /** At most so many messages in a batch; 1,000 unless given. */
  readonly batchMessages?: number
  readonly eachMessage?: undefined
}

export type RunOptions = EachMessage | EachBatch

/** What a runner works with. */
export interface RunnerParts {
  readonly queue: FeedQueue
  readonly settings: FullSettings
  readonly deadLetters: DeadLetters | undefined
  /** Makes a span of each message that is handled by itself. */
  readonly tracing: Tracing | undefined
  readonly emit: <Name extends keyof ConsumerEvents>(name: Name, ...event: ConsumerEvents[Name]) => void
}

const CONCURRENCY_DEFAULT = 1
const BATCH_MESSAGES_DEFAULT = 1_000
/** So many messages are handled in a row; then heartbeats, fetches and the other partitions get their turn. */
const TURN_MESSAGES = 256
const RANDOM_PART = 0.5

/** Has handlers process messages, several partitions at a time, and deals with what they throw. */
export class MessageRunner {
  readonly #parts: RunnerParts
  readonly #options: RunOptions
  #isStopping = false
  #failure: Error | undefined

  /** @throws RangeError for what cannot be */
  constructor(parts: RunnerParts, options: RunOptions) {
    this.#parts = parts
    this.#options = options
    checkOptions(options, parts.deadLetters)
  }

  /** Resolves when it was stopped and all handlers are done. @throws HandlerError, or what has ended the consumer */
  async run(): Promise<void> {
    const { concurrency = CONCURRENCY_DEFAULT } = this.#options
    await Promise.all(Array.from({ length: concurrency }, () => this.#work()))
    if (this.#failure !== undefined) throw this.#failure
  }

  stop(): void {
    this.#isStopping = true
    this.#parts.queue.wake()
  }

  async #work(): Promise<void> {
    const { queue } = this.#parts
    try {
      while (!this.#isStopping && !queue.isOver()) {
        const feed = queue.take()
        if (feed === undefined) {
          await queue.wait()
          continue
        }
        try {
          if (this.#options.eachMessage !== undefined) await this.#handleMessages(feed, this.#options)
          else await this.#handleBatch(feed, this.#options)
        } finally {
          queue.giveBack(feed)
        }
        await breathe()
      }
    } catch (error) {
      this.#failure ??= error as Error
      this.stop()
    }
  }

  async #handleMessages(feed: PartitionFeed, { eachMessage }: EachMessage): Promise<void> {
    const { epoch, signal } = feed
    const first: MessageContext = { signal, attempt: 1 }
    for (let count = 0; count < TURN_MESSAGES; count++) {
      if (!feed.mayGoOn || feed.epoch !== epoch || this.#isStopping) return
      const message = feed.take()
      if (message === undefined) return
      const { failure } = feed
      const context = failure === undefined ? first : { signal, attempt: failure.attempts + 1 }
      try {
        const result = this.#handle(eachMessage, message, context) as PromiseLike<unknown> | undefined
        // Whoever needs no promise does not pay for one.
        if (result !== undefined) await result
      } catch (error) {
        if (feed.epoch === epoch && !feed.isGone) await this.#failed(feed, [message], toError(error))
        return
      }
      if (feed.epoch === epoch) feed.markDone(message.offset + 1)
    }
  }

  #handle(eachMessage: EachMessage['eachMessage'], message: Message, context: MessageContext): unknown {
    const { tracing } = this.#parts
    return tracing === undefined
      ? eachMessage(message, context)
      : tracing.process(message, () => eachMessage(message, context))
  }

  async #handleBatch(feed: PartitionFeed, options: EachBatch): Promise<void> {
    const { epoch, signal } = feed
    const batch = takeBatch(feed, options.batchMessages ?? BATCH_MESSAGES_DEFAULT)
    if (batch === undefined) return
    const processed = ({ offset }: Message) => {
      if (feed.epoch === epoch && offset >= feed.done && offset <= batch.lastOffset) feed.markDone(offset + 1)
    }
    try {
      await options.eachBatch(batch, { signal, attempt: (feed.failure?.attempts ?? 0) + 1, processed })
      // Nobody else has taken any, so all that was handed out is done.
      if (feed.epoch === epoch) feed.markDone(feed.position)
    } catch (error) {
      if (feed.epoch !== epoch || feed.isGone) return
      const left = batch.messages.filter(({ offset }) => offset >= feed.done)
      if (left.length > 0) await this.#failed(feed, left, toError(error))
    }
  }

  /** Decides what becomes of messages whose handler has thrown. @throws HandlerError */
  async #failed(feed: PartitionFeed, messages: readonly Message[], error: Error): Promise<void> {
    const { settings, deadLetters, emit } = this.#parts
    const [message] = messages
    const { epoch } = feed
    const failure = countFailure(message, feed.failure)
    feed.failure = failure
    const { attempts } = failure
    if (deadLetters !== undefined && settings.deadLetter !== undefined) {
      if (attempts >= settings.deadLetter.attempts) {
        try {
          const to = await deadLetters.send(message, error, failure, feed.signal)
          if (feed.epoch === epoch) feed.markDone(message.offset + 1)
          emit('deadLettered', { message, error, attempts, to })
          return
        } catch (trouble) {
          if (feed.isGone || feed.epoch !== epoch) return
          emit('trouble', { error: trouble as Error, partition: toPlain(feed) })
        }
      }
    } else if (settings.onError === 'skip') {
      feed.markDone(messages[messages.length - 1].offset + 1)
      for (const skipped of messages) emit('skipped', { message: skipped, error })
      return
    } else if (settings.onError === 'stop') {
      feed.putBack(messages)
      throw new HandlerError(message, error)
    }
    const delayMs = this.#delayAfter(attempts)
    feed.putBack(messages)
    feed.isParked = true
    emit('retry', { message, error, attempt: attempts, delayMs })
    systemClock.setTimer(delayMs, () => {
      feed.isParked = false
      this.#parts.queue.offer(feed)
    })
  }

  #delayAfter(attempts: number): number {
    const { retryDelayMs, retryDelayMsMax } = this.#parts.settings
    return Math.min(retryDelayMsMax, retryDelayMs * 2 ** (attempts - 1)) * (1 - RANDOM_PART * Math.random())
  }
}

function takeBatch(feed: PartitionFeed, messagesMax: number): MessageBatch | undefined {
  const messages: Message[] = []
  while (messages.length < messagesMax) {
    const message = feed.take()
    if (message === undefined) break
    messages.push(message)
  }
  if (messages.length === 0) return undefined
  const { topic, partition, highWatermark } = feed
  const firstOffset = messages[0].offset
  const lastOffset = messages[messages.length - 1].offset
  const lag = Math.max(0, highWatermark - lastOffset - 1)
  return { topic, partition, messages, firstOffset, lastOffset, highWatermark, lag }
}

function checkOptions(options: RunOptions, deadLetters: DeadLetters | undefined): void {
  // Whoever does not use TypeScript may have said anything.
  const { eachMessage, eachBatch }: { eachMessage?: unknown; eachBatch?: unknown } = options
  if ((typeof eachMessage === 'function') === (typeof eachBatch === 'function')) {
    throw new RangeError('Cannot run without a handler: either eachMessage or eachBatch is needed')
  }
  if (eachBatch !== undefined && deadLetters !== undefined) {
    throw new RangeError('Cannot tell which message of a batch is a dead letter: deadLetter needs eachMessage')
  }
  const batchMessages = options.eachBatch === undefined ? undefined : options.batchMessages
  for (const [name, value] of Object.entries({ concurrency: options.concurrency, batchMessages })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new RangeError(`Cannot use ${name} ${value}: a whole number from 1 is needed`)
    }
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
