import type { TopicPartition } from './partitions.ts'
import type { Message } from './message.ts'
import type { PartitionOffset } from './offset-committer.ts'

/** Where to begin when a group has committed nothing, or what it has committed is no longer there. */
export type AutoOffsetReset = 'earliest' | 'latest' | 'fail'

/** What happens to a message whose handler throws, unless there is a `deadLetter`. */
export type OnHandlerError = 'retry' | 'stop' | 'skip'

/** Sends messages that fail again and again to a topic for such, and goes on behind them. */
export interface DeadLetterOptions {
  /** How often a message is tried in all, at least once. */
  readonly attempts: number
  /** `<group>.dlq` unless given. It is made, with as many partitions as the message's topic has, when it is not there. */
  readonly topic?: string
}

/** A partition to read, and where to begin. */
export interface ExplicitPartition extends TopicPartition {
  /** Unless given: what the group has committed, and without that as `autoOffsetReset` says. */
  readonly offset?: number
}

/** What a consumer may be told besides what it reads. Times are milliseconds. */
export interface ConsumerSettings {
  /** `latest` unless given, as with Kafka. `fail` ends the consumer with an OffsetUnknown. */
  readonly autoOffsetReset?: AutoOffsetReset
  /**
   * Commits by itself what was processed: every `commitIntervalMs`, before partitions are given away, and at the end. True unless
   * given, if there is a group; false leaves it to `commit`.
   */
  readonly autoCommit?: boolean
  /** 1 second unless given. */
  readonly commitIntervalMs?: number
  /** How much may have come in and not be handed out, of all partitions together; 16 MiB unless given. */
  readonly prefetchBytes?: number
  /** How much of one partition is asked for at a time; 1 MiB unless given. */
  readonly partitionBytes?: number
  /** How long the broker may wait for news before it answers; half a second unless given. */
  readonly maxWaitMs?: number
  /** `retry` unless given: the message is tried until it works, and its partition waits. */
  readonly onError?: OnHandlerError
  /** Needs a group, and `eachMessage`. */
  readonly deadLetter?: DeadLetterOptions
  /** Before a message is tried again; twice as long each time, with jitter. 100 ms and 10 s unless given. */
  readonly retryDelayMs?: number
  readonly retryDelayMsMax?: number
  /** How long `close` waits for handlers that are at work; 30 seconds unless given. */
  readonly closeTimeoutMs?: number
  /** Closes the consumer when it fires. */
  readonly signal?: AbortSignal
}

/** A consumer in a group, which shares the partitions of its topics with the others. */
export interface GroupConsumerOptions extends ConsumerSettings {
  readonly group: string
  /** Needed, unless there is a `topicPattern`. */
  readonly topics?: readonly string[]
  /** A regular expression for whole topic names, in the syntax of RE2. */
  readonly topicPattern?: string
  /** Makes it a static member: its partitions wait for it while it restarts. */
  readonly instanceId?: string
  /** How partitions are shared; the broker's choice unless given. */
  readonly assignor?: 'uniform' | 'range'
  /** How long giving partitions away may take, that is, handling one message or batch; 5 minutes unless given. */
  readonly rebalanceTimeoutMs?: number
  /** A name for `brokerctl consumer describe`. */
  readonly clientId?: string
  readonly partitions?: undefined
}

/** A consumer of these partitions, whoever else reads them. The group is only for commits. */
export interface PartitionConsumerOptions extends ConsumerSettings {
  readonly partitions: readonly ExplicitPartition[]
  readonly group?: string
  readonly topics?: undefined
  readonly topicPattern?: undefined
}

export type ConsumerOptions = GroupConsumerOptions | PartitionConsumerOptions

/** What a consumer tells of, by event. */
export interface ConsumerEvents {
  /** These are the consumer's from now on. */
  assigned: [{ readonly partitions: readonly TopicPartition[] }]
  /** These were given away, after what was done in them was committed. */
  revoked: [{ readonly partitions: readonly TopicPartition[] }]
  /** These were taken away: what was not committed yet, another consumer processes again. */
  lost: [{ readonly partitions: readonly TopicPartition[]; readonly error: Error }]
  committed: [{ readonly offsets: readonly PartitionOffset[] }]
  /** Began where `autoOffsetReset` says. `from` is the offset that is not there; undefined when nothing was committed. */
  reset: [TopicPartition & { readonly from: number | undefined; readonly to: number }]
  /** A handler has thrown. The message is tried again after `delayMs`. */
  retry: [{ readonly message: Message; readonly error: Error; readonly attempt: number; readonly delayMs: number }]
  /** A message was given up, and lies in the dead letter topic. */
  deadLettered: [
    {
      readonly message: Message
      readonly error: Error
      readonly attempts: number
      readonly to: PartitionOffset
    },
  ]
  /** A message was given up (`onError: 'skip'`). */
  skipped: [{ readonly message: Message; readonly error: Error }]
  /** Something went wrong that the consumer tries again by itself. */
  trouble: [{ readonly error: Error; readonly partition?: TopicPartition }]
}

/** There is no offset to begin at, and `autoOffsetReset` is `fail`. */
export class OffsetUnknown extends Error {
  override readonly name = 'OffsetUnknown'
}

/** Ends the consumer when a handler has thrown and `onError` is `stop`; `cause` is what it has thrown. */
export class HandlerError extends Error {
  override readonly name = 'HandlerError'
  /** The message, or the first one of the batch, that was not processed. */
  readonly failedMessage: Message

  constructor(message: Message, cause: unknown) {
    super(`Cannot process ${message.topic}/${message.partition}@${message.offset}: ${describe(cause)}`, { cause })
    this.failedMessage = message
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** All settings, with what was not said filled in. */
export type FullSettings = Required<Omit<ConsumerSettings, 'deadLetter' | 'signal'>> &
  Pick<ConsumerSettings, 'deadLetter' | 'signal'>

/** What a consumer does that was told nothing else. */
export const CONSUMER_DEFAULTS = {
  autoOffsetReset: 'latest',
  autoCommit: true,
  commitIntervalMs: 1_000,
  prefetchBytes: 16 * 1024 * 1024,
  partitionBytes: 1024 * 1024,
  maxWaitMs: 500,
  onError: 'retry',
  retryDelayMs: 100,
  retryDelayMsMax: 10_000,
  closeTimeoutMs: 30_000,
} as const satisfies ConsumerSettings

/** What may be said for each setting that is a number. */
const NUMBERS = {
  commitIntervalMs: { min: 1, max: 2 ** 31 - 1 },
  prefetchBytes: { min: 1, max: Number.MAX_SAFE_INTEGER },
  partitionBytes: { min: 1, max: 7 * 1024 * 1024 },
  maxWaitMs: { min: 0, max: 300_000 },
  retryDelayMs: { min: 0, max: 2 ** 31 - 1 },
  retryDelayMsMax: { min: 0, max: 2 ** 31 - 1 },
  closeTimeoutMs: { min: 0, max: 2 ** 31 - 1 },
} as const

/** @throws RangeError for what cannot be */
export function completeSettings(options: ConsumerOptions): FullSettings {
  const said = Object.entries(options).filter(([, value]) => value !== undefined)
  const settings = { ...CONSUMER_DEFAULTS, ...Object.fromEntries(said) } as FullSettings
  for (const [name, { min, max }] of Object.entries(NUMBERS)) {
    const value: unknown = settings[name as keyof typeof NUMBERS]
    if (typeof value !== 'number' || !(value >= min && value <= max)) {
      throw wrong(name, value, `a number from ${min} to ${max} is needed`)
    }
  }
  oneOf('autoOffsetReset', settings.autoOffsetReset, ['earliest', 'latest', 'fail'])
  oneOf('onError', settings.onError, ['retry', 'stop', 'skip'])
  checkWhatToRead(options)
  checkDeadLetter(options)
  return { ...settings, autoCommit: settings.autoCommit && options.group !== undefined }
}

function checkWhatToRead({ group, partitions, topics, topicPattern }: ConsumerOptions): void {
  if (group === '') throw wrong('group', group, 'a name is needed')
  if (partitions !== undefined) {
    if (topics !== undefined || topicPattern !== undefined) {
      throw new RangeError('Cannot consume topics and partitions at once: name either')
    }
    for (const { topic, partition, offset } of partitions) {
      const isRight = Number.isSafeInteger(partition) && partition >= 0
      if (!isRight) throw wrong(`partition of ${JSON.stringify(topic)}`, partition, 'a whole number from 0 is needed')
      if (offset !== undefined) checkOffset({ topic, partition, offset })
    }
    return
  }
  if (group === undefined) throw new RangeError('Cannot consume topics without a group: name one, or name partitions')
  if ((topics === undefined || topics.length === 0) && topicPattern === undefined) {
    throw new RangeError('Cannot consume nothing: topics, a topicPattern or partitions are needed')
  }
}

function checkDeadLetter({ deadLetter, group }: ConsumerOptions): void {
  if (deadLetter === undefined) return
  const { attempts } = deadLetter
  if (!Number.isSafeInteger(attempts) || attempts < 1) {
    throw wrong('deadLetter.attempts', attempts, 'a whole number from 1 is needed')
  }
  if (group === undefined) throw new RangeError('Cannot have dead letters without a group: name one')
}

/** @throws RangeError for what is no offset */
export function checkOffset({ topic, partition, offset }: PartitionOffset): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return
  throw wrong(`offset of ${topic}/${partition}`, offset, 'a whole number from 0 is needed')
}

function oneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (!allowed.some((one) => one === value)) throw wrong(name, value, `one of ${allowed.join(', ')} is needed`)
}

function wrong(name: string, value: unknown, wanted: string): RangeError {
  return new RangeError(`Cannot use ${name} ${JSON.stringify(value) ?? String(value)}: ${wanted}`)
}
