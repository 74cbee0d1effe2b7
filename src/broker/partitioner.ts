import type { TopicName } from '../base/topic-name.ts'

// Which partition a record goes to, decided as Kafka's clients do, so that one key has one partition through every door.

const SEED = 0x9747b28c
const MULTIPLIER = 0x5bd1e995

/**
 * The 32-bit MurmurHash2, signed, of the bytes from `start` to before `end`, with Kafka's seed
 * (`org.apache.kafka.common.utils.Utils.murmur2`).
 */
export function murmur2(buffer: Buffer, start: number, end: number): number {
  let hash = SEED ^ (end - start)
  let at = start
  for (; at + 4 <= end; at += 4) {
    let word = buffer[at] | (buffer[at + 1] << 8) | (buffer[at + 2] << 16) | (buffer[at + 3] << 24)
    word = Math.imul(word, MULTIPLIER)
    word ^= word >>> 24
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER)
  }
  if (at < end) {
    if (at + 2 < end) hash ^= buffer[at + 2] << 16
    if (at + 1 < end) hash ^= buffer[at + 1] << 8
    hash = Math.imul(hash ^ buffer[at], MULTIPLIER)
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}

/** The partition for a key with this hash. */
export function choosePartition(keyHash: number, partitionCount: number): number {
  // Kafka drops the sign bit; the absolute value would be another partition.
  return (keyHash & 0x7fffffff) % partitionCount
}

/** Chooses for records without a key: one partition for all of a request, the next one for the next. */
export class KeylessPartitioner {
  readonly #turns = new Map<TopicName, number>()

  /** The partition whose turn it is. */
  next(topic: TopicName, partitionCount: number): number {
    const turn = (this.#turns.get(topic) ?? 0) % partitionCount
    this.#turns.set(topic, turn + 1)
    return turn
  }

  /** To be told when a topic is deleted. */
  forget(topic: TopicName): void {
    this.#turns.delete(topic)
  }
}
