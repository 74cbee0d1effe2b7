import type { Acks } from './produce-request.ts'
import { BATCH_BYTES_MAX } from './produce-request.ts'
import type { Bytes } from './record-batch.ts'

/** A header: its name may come more than once. Text counts as UTF-8. */
export interface ProducerHeader {
  readonly key: string
  readonly value: Bytes | null
}

/** Headers in the order that they are to have, or by name. */
export type ProducerHeaders = readonly ProducerHeader[] | Readonly<Record<string, Bytes | null>>

/** A message to send. Text counts as UTF-8; bytes must not be changed until the message is delivered. */
export interface ProducerMessage {
  readonly topic: string
  /** Messages with the same key go to the same partition, the one that Kafka's clients choose, and stay in their order. */
  readonly key?: Bytes | null | undefined
  /** Null is a tombstone, which tells a compacted topic to forget the key. */
  readonly value: Bytes | null
  readonly headers?: ProducerHeaders | undefined
  /** Unix milliseconds, or a Date; now unless given. */
  readonly timestamp?: number | Date | undefined
  /** Where it is to go, whatever its key. */
  readonly partition?: number | undefined
  /** Unix milliseconds, or a Date: it gets its offset and goes to consumers then; the offset that `send` tells is not that one. */
  readonly dueAt?: number | Date | undefined
}

/** How a producer is to be; everything may be left out. Times are milliseconds. */
export interface ProducerOptions {
  /**
   * When a message counts as delivered: `'all'`, the default, when it is on stable storage as far as the topic's `flush.policy`
   * goes; 1 when it is written; 0 when it is sent, which nobody answers and nothing repeats.
   */
  readonly acks?: Acks
  /** `gzip` makes batches smaller and costs time, in the thread pool; `none` unless given. */
  readonly compression?: 'none' | 'gzip'
  /**
   * How long a batch waits for more messages. With 0, the default, it holds what was sent in one turn of the event loop, and
   * whatever comes while earlier requests are on their way.
   */
  readonly lingerMs?: number
  /** A batch of a partition is sent when it has so many bytes, uncompressed; 64 KiB unless given. */
  readonly batchBytes?: number
  /** So many bytes may be under way before `room` waits and `send` refuses; 64 MiB unless given. */
  readonly bufferBytesMax?: number
  /** So many requests may be on their way at the same time, 1 to 5; 5 unless given. */
  readonly requestsInFlightMax?: number
  /** For how long a message is tried; 2 minutes unless given. */
  readonly deliveryTimeoutMs?: number
  /** Whether what is sent again cannot be stored twice, nor overtake what follows it; true unless given, but with `acks: 0`. */
  readonly idempotent?: boolean
  /** After so long the producer looks for new partitions; 5 minutes unless given. */
  readonly metadataMaxAgeMs?: number
  /** Ends the producer when it fires: what is under way fails. */
  readonly signal?: AbortSignal
}

/** What a producer does that was told nothing else. */
export const PRODUCER_DEFAULTS = {
  acks: 'all',
  compression: 'none',
  lingerMs: 0,
  batchBytes: 64 * 1024,
  bufferBytesMax: 64 * 1024 * 1024,
  requestsInFlightMax: 5,
  deliveryTimeoutMs: 120_000,
  metadataMaxAgeMs: 300_000,
} as const satisfies ProducerOptions

/** Everything said. */
export type ProducerSettings = Required<Omit<ProducerOptions, 'signal'>> & Pick<ProducerOptions, 'signal'>

/** Node's timers can wait so long. */
const MS_MAX = 2 ** 31 - 1

const RANGES = {
  lingerMs: [0, MS_MAX],
  batchBytes: [1, BATCH_BYTES_MAX],
  bufferBytesMax: [1, Number.MAX_SAFE_INTEGER],
  // The broker remembers the last five batches of a producer.
  requestsInFlightMax: [1, 5],
  deliveryTimeoutMs: [1, MS_MAX],
  metadataMaxAgeMs: [0, MS_MAX],
} as const satisfies Partial<Record<keyof ProducerSettings, readonly [number, number]>>

/** @throws RangeError for what cannot be */
export function settleProducerOptions(options: ProducerOptions): ProducerSettings {
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const acks = options.acks ?? PRODUCER_DEFAULTS.acks
  const settings: ProducerSettings = { ...PRODUCER_DEFAULTS, idempotent: acks !== 0, ...said }
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    const value: unknown = settings[name as keyof typeof RANGES]
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw new RangeError(
        `Cannot use ${name} ${JSON.stringify(value)}: a whole number from ${min} to ${max} is needed`,
      )
    }
  }
  if (![0, 1, 'all'].includes(acks)) {
    throw new RangeError(`Cannot use acks ${JSON.stringify(acks)}: 'all', 1 or 0 is needed`)
  }
  if (!['none', 'gzip'].includes(settings.compression)) {
    throw new RangeError(`Cannot use compression ${JSON.stringify(settings.compression)}: 'none' or 'gzip' is needed`)
  }
  if (acks === 0 && settings.idempotent) {
    throw new RangeError('Cannot use idempotent true with acks 0: without answers nothing can be sent again')
  }
  return settings
}
