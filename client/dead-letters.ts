import { systemClock } from '../src/base/clock.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import type { Message, MessageHeader } from './message.ts'
import type { Failure } from './partition-feed.ts'
import type { PartitionOffset } from './offset-committer.ts'

/** What the headers of a dead letter are called; their values are text. docs/client.md explains them. */
export const DEAD_LETTER_HEADERS = {
  reason: 'cafelog-dlq-reason',
  message: 'cafelog-dlq-message',
  origin: 'cafelog-dlq-origin',
  time: 'cafelog-dlq-time',
  attempts: 'cafelog-dlq-attempts',
  firstFailure: 'cafelog-dlq-first-failure',
  lastFailure: 'cafelog-dlq-last-failure',
  group: 'cafelog-dlq-group',
} as const

/** A consumer could not deal with the message; others of the broker's own are names of what a schema asks for. */
const REASON = 'handler-failed'
const MESSAGE_CHARACTERS_MAX = 1_000
/** Sends messages that cannot be processed to the dead letter topic of a group. */
export class DeadLetters {
  readonly topic: string
  readonly #link: Link
  readonly #group: string
  /** How many partitions the topic has; undefined as long as nobody has looked. */
  #partitions: number | undefined

  constructor(link: Link, group: string, topic: string) {
    this.#link = link
    this.#group = group
    this.topic = topic
  }

  /**
   * Sends the message there as it is, with headers that say why; resolves when it is on stable storage. It may be there twice
   * when a connection breaks meanwhile. Makes the topic if there is none.
   *
   * @throws BrokerRefusal, ConnectionFailure; the signal's reason
   */
  async send(message: Message, error: Error, failure: Failure, signal?: AbortSignal): Promise<PartitionOffset> {
    this.#partitions ??= await this.#findTopic(message.topic, signal)
    const headers = [...withoutOwn(message), ...this.#describe(message, error, failure)]
    const record = {
      key: toBase64(message.key),
      value: toBase64(message.value),
      ts: failure.failedAt,
      headers: headers.map(({ key, value }) => ({ key, value: toBase64(value) })),
    }
    const request = {
      topic: this.topic,
      partition: message.partition % this.#partitions,
      records: [record],
      acks: 'all' as const,
    }
    try {
      const { partition, baseOffset } = await this.#link.call('PRODUCE', request, { signal })
      return { topic: this.topic, partition, offset: baseOffset }
    } catch (refusal) {
      // Deleted meanwhile: the next attempt makes it again.
      if (refusal instanceof BrokerRefusal) this.#partitions = undefined
      throw refusal
    }
  }

  #describe(message: Message, error: Error, failure: Failure): readonly MessageHeader[] {
    const names = DEAD_LETTER_HEADERS
    // One that was sent again from a dead letter topic goes on counting.
    const before = Number(message.header(names.attempts) ?? 0)
    const attempts = failure.attempts + (Number.isSafeInteger(before) && before > 0 ? before : 0)
    return [
      [names.reason, REASON],
      [names.message, error.message.slice(0, MESSAGE_CHARACTERS_MAX)],
      [names.origin, `${message.topic}/${message.partition}@${message.offset}`],
      [names.time, String(message.timestamp)],
      [names.attempts, String(attempts)],
      [names.firstFailure, message.header(names.firstFailure) ?? String(failure.firstFailedAt)],
      [names.lastFailure, String(failure.failedAt)],
      [names.group, this.#group],
    ].map(([key, value]) => ({ key, value: Buffer.from(value) }))
  }

  /** Makes it like the topic whose message is the first to go there, so that each keeps its partition. */
  async #findTopic(source: string, signal: AbortSignal | undefined): Promise<number> {
    const found = await this.#countPartitions(this.topic, signal)
    if (found !== undefined) return found
    const partitions = (await this.#countPartitions(source, signal)) ?? 1
    await this.#link.call('CREATE_TOPIC', { topic: this.topic, partitions }, { signal })
    return partitions
  }

  async #countPartitions(topic: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    try {
      const { topics } = await this.#link.call('METADATA', { topics: [topic] }, { signal })
      return topics[0]?.partitions.length
    } catch (error) {
      if (error instanceof BrokerRefusal && error.code === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
      throw error
    }
  }
}

/** What will be said anew. */
function withoutOwn(message: Message): readonly MessageHeader[] {
  const own: readonly string[] = Object.values(DEAD_LETTER_HEADERS)
  return message.headers.filter(({ key }) => !own.includes(key))
}

/** One more failure of the same message. */
export function countFailure(message: Message, before: Failure | undefined): Failure {
  const now = systemClock.now()
  const isSame = before?.offset === message.offset
  return {
    offset: message.offset,
    attempts: (isSame ? before.attempts : 0) + 1,
    firstFailedAt: isSame ? before.firstFailedAt : now,
    failedAt: now,
  }
}

function toBase64(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('base64')
}
