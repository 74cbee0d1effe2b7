// What members of classic groups tell each other in the bytes that the broker passes on, when their protocol type is
// `consumer`. Later versions only add to the end, so that reading the beginning serves all of them. Big endian:
//   subscription:  version i16 │ topic count i32 │ each: length i16, name │ …
//   assignment:    version i16 │ topic count i32 │ each: length i16, name, partition count i32, partitions i32 │ …
import type { Assignment } from './assignment.ts'

/** The protocol type of consumers, the only one whose bytes the broker can read. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/** The topics of a member's subscription; undefined when these bytes are not one. */
export function readSubscribedTopics(metadata: Buffer): readonly string[] | undefined {
  const bytes = new Bytes(metadata)
  bytes.int16()
  return bytes.isRight ? bytes.list(() => bytes.text()) : undefined
}

/** The partitions of a member's assignment; undefined when these bytes are not one. */
export function readAssignment(assignment: Buffer): Assignment | undefined {
  const bytes = new Bytes(assignment)
  bytes.int16()
  const topics = bytes.list(() => [bytes.text(), new Set(bytes.list(() => bytes.int32()))] as const)
  return topics === undefined ? undefined : new Map(topics)
}

/** Reads on from field to field. Whatever does not fit makes it wrong, and everything after that is empty. */
class Bytes {
  isRight = true
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  int16(): number {
    return this.#has(2) ? this.#buffer.readInt16BE(this.#at - 2) : 0
  }

  int32(): number {
    return this.#has(4) ? this.#buffer.readInt32BE(this.#at - 4) : 0
  }

  text(): string {
    const length = this.int16()
    return this.#has(length) ? this.#buffer.toString('utf8', this.#at - length, this.#at) : ''
  }

  list<Item>(readItem: () => Item): Item[] | undefined {
    const count = this.int32()
    const items: Item[] = []
    // Each item takes at least a byte, so a count that is too large ends with the bytes.
    for (let index = 0; index < count && this.isRight; index++) items.push(readItem())
    return this.isRight && count >= 0 ? items : undefined
  }

  #has(length: number): boolean {
    this.isRight = this.isRight && length >= 0 && this.#at + length <= this.#buffer.length
    if (this.isRight) this.#at += length
    return this.isRight
  }
}
