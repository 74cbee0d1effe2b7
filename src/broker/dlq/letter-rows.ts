import type { StoreChange } from '../../store/store.ts'

// What the store keeps of dead letters. SEP stands for the byte 0, which no topic name has. Partitions have 10 decimal
// digits in keys and offsets 16, so that the byte order of the keys is that of the numbers.
//
//   dead_letters            key: topic SEP partition SEP last offset   value: state SP first offset SP job
//   dead_letter_partitions  key: topic SEP partition                   value: JSON, the sums below
//
// A row of `dead_letters` says what became of all offsets from the first to the last; whatever has no row is open. Rows do
// not overlap. They go by their last offset, so that the row an offset lies in is the first one from there on.

const SEPARATOR = '\u0000'
const BEHIND_SEPARATOR = '\u0001'
const PARTITION_DIGITS = 10
const OFFSET_DIGITS = 16
const ROW_VERSION = 1

/** What has become of a dead letter. Nothing yet is `open`. */
export const LETTER_STATES = ['open', 'redriven', 'discarded'] as const
export type LetterState = (typeof LETTER_STATES)[number]

/** What is said of offsets that are not open; `none`: there is no dead letter, as where a transaction ended. */
export type CoveredState = Exclude<LetterState, 'open'> | 'none'

/** What became of the offsets from the first to the last. */
export interface CoveredRange {
  readonly first: number
  readonly last: number
  readonly state: CoveredState
  /** The number of the redrive that did it, 0 for none. */
  readonly job: number
}

/** Of one partition. */
export interface LetterSums {
  /** The log start offset when they were counted. */
  readonly start: number
  /** Up to there it is known which offsets have a record. */
  readonly counted: number
  /** How many offsets from `start` on are covered by which state. */
  readonly redriven: number
  readonly discarded: number
  readonly none: number
}

/** The key of the row that ends with this offset: the row that the offset lies in has this key or is the next one. */
export function rangeKey(topic: string, partition: number, last: number): string {
  return `${partitionKey(topic, partition)}${SEPARATOR}${String(last).padStart(OFFSET_DIGITS, '0')}`
}

/** The end of all keys of a partition. */
export function endOfPartition(topic: string, partition: number): string {
  return `${partitionKey(topic, partition)}${BEHIND_SEPARATOR}`
}

/** Where the keys of a topic begin and end, in both tables. */
export function keysOfTopic(topic: string): readonly [start: string, end: string] {
  return [`${topic}${SEPARATOR}`, `${topic}${BEHIND_SEPARATOR}`]
}

/** The row of a range. */
export function rangeRow(topic: string, partition: number, { first, last, state, job }: CoveredRange): StoreChange {
  const value = Buffer.from(`${state} ${first} ${job}`)
  return { table: 'dead_letters', key: rangeKey(topic, partition, last), value }
}

/** Removes the row that ends with this offset. */
export function withoutRange(topic: string, partition: number, last: number): StoreChange {
  return { table: 'dead_letters', key: rangeKey(topic, partition, last), value: undefined }
}

/** @throws Error when the row is not one that this version can read */
export function decodeRange(key: string, value: Buffer): CoveredRange {
  const [state, first, job] = value.toString('latin1').split(' ')
  const range = { first: Number(first), last: Number(key.slice(-OFFSET_DIGITS)), job: Number(job) }
  if (state !== 'redriven' && state !== 'discarded' && state !== 'none') throw unreadable(key, `its state is ${state}`)
  if (!Object.values(range).every(Number.isSafeInteger)) throw unreadable(key, 'a number is missing')
  return { ...range, state }
}

/** The row of a partition's sums. */
export function sumsRow(topic: string, partition: number, sums: LetterSums): StoreChange {
  const value = Buffer.from(JSON.stringify({ version: ROW_VERSION, ...sums }))
  return { table: 'dead_letter_partitions', key: partitionKey(topic, partition), value }
}

/** @throws Error when the row is not one that this version can read */
export function decodeSums(
  key: string,
  value: Buffer,
): LetterSums & { readonly topic: string; readonly partition: number } {
  const [topic, partition] = key.split(SEPARATOR)
  const { version, start, counted, redriven, discarded, none } = JSON.parse(value.toString()) as Record<string, number>
  if (version !== ROW_VERSION) throw unreadable(key, `it has version ${version}`)
  const sums = { start, counted, redriven, discarded, none }
  if (!Object.values(sums).every(Number.isSafeInteger)) throw unreadable(key, 'a number is missing')
  return { topic, partition: Number(partition), ...sums }
}

/** The key of a partition's sums. */
export function partitionKey(topic: string, partition: number): string {
  return `${topic}${SEPARATOR}${String(partition).padStart(PARTITION_DIGITS, '0')}`
}

function unreadable(key: string, why: string): Error {
  return new Error(`Cannot read the row ${JSON.stringify(key)} of dead letters in the store: ${why}`)
}
