import type { RecordReader } from '../src/record/record-reader.ts'
import { readHeaders } from '../src/record/record-reader.ts'
import type { TopicPartition } from './partitions.ts'

/** A header of a message. A name may come more than once. */
export interface MessageHeader {
  readonly key: string
  readonly value: Buffer | null
}

/** Headers of a record that nobody has asked for yet. */
interface EncodedHeaders {
  readonly buffer: Buffer
  readonly start: number
  readonly count: number
}

const NO_HEADERS: readonly MessageHeader[] = []

/**
 * A message as a consumer gets it. Key, value and the values of headers are views of the memory that all messages of a fetch
 * share: whoever keeps few of them for long, or changes one, copies it first (`Buffer.from(message.value)`).
 */
export class Message implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Unix milliseconds: the producer's time, or the broker's if the topic has `message.timestamp.type=LogAppendTime`. */
  readonly timestamp: number
  readonly key: Buffer | null
  /** Null in a tombstone, which tells a compacted topic to forget the key. */
  readonly value: Buffer | null
  #encoded: EncodedHeaders | undefined
  #headers: readonly MessageHeader[] = NO_HEADERS

  /** Consumers make them. */
  constructor(topic: string, partition: number, record: RecordReader) {
    this.topic = topic
    this.partition = partition
    this.offset = record.offset
    this.timestamp = record.timestamp
    this.key = record.key
    this.value = record.value
    const { headerCount } = record
    if (headerCount > 0) this.#encoded = { buffer: record.buffer, start: record.headersStart, count: headerCount }
  }

  /** In the order in which the producer gave them. */
  get headers(): readonly MessageHeader[] {
    const encoded = this.#encoded
    if (encoded !== undefined) {
      this.#headers = readHeaders(encoded.buffer, encoded.start, encoded.count)
      this.#encoded = undefined
    }
    return this.#headers
  }

  /** The last header of that name as text; undefined when there is none, or it has no value. */
  header(key: string): string | undefined {
    return this.headers.findLast((header) => header.key === key)?.value?.toString()
  }

  /** The key as text; undefined when there is none. */
  keyText(): string | undefined {
    return this.key?.toString()
  }

  /** The value as text, an empty one when there is none. */
  text(): string {
    return this.value?.toString() ?? ''
  }

  /**
   * The value, parsed as JSON.
   *
   * @throws SyntaxError when it is no JSON
   */
  json(): unknown {
    return JSON.parse(this.text())
  }
}
