import type { PartitionLog } from '../../log/log-engine.ts'
import {
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
  RecordReader,
} from '../../record/record-batch.ts'
import type { DeadLetter, LetterFilter } from './letter.ts'
import { matches } from './letter.ts'
import type { CoveredRange } from './letter-rows.ts'
import type { LetterStates } from './letter-states.ts'
import { readCommitted } from './read-log.ts'

/** What is read at a time. */
const READ_BYTES = 1024 * 1024
/** Where only single dead letters are wanted: the batch that each is in. */
const READ_ONE_BYTES = 1

/** A part of a partition that was looked at. */
export interface LettersPart {
  readonly letters: readonly DeadLetter[]
  /** Where to go on; `end` when nothing is left to be looked at. */
  readonly next: number
  /** How many records were looked at. */
  readonly scanned: number
}

/**
 * Reads the next dead letters of a partition that fit a filter, from `from` on and before `end`. It reads a megabyte at most
 * and stops when it has `max` of them, so call it until `next` is `end`. The letters are copies.
 *
 * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
 */
export async function readLetters(
  log: PartitionLog,
  states: LetterStates,
  { from, end, filter, max }: { from: number; end: number; filter: LetterFilter; max: number },
): Promise<LettersPart> {
  const wanted = filter.ids === undefined ? undefined : offsetsOf(filter.ids, log.partition)
  const start = skipOthers(log, states, Math.max(from, log.logStartOffset), filter, wanted)
  if (start >= end) return { letters: [], next: end, scanned: 0 }
  const batches = await readCommitted(log, start, wanted === undefined ? READ_BYTES : READ_ONE_BYTES)
  const ranges = states.ranges(log.topic, log.partition, start)
  try {
    return collect(log, ranges, batches.bytes, { from: start, end, filter, max, wanted })
  } finally {
    ranges.return(undefined)
    batches.release()
  }
}

/** The first offset that may be wanted: whole ranges of another state need not be read. */
function skipOthers(
  { topic, partition }: PartitionLog,
  states: LetterStates,
  from: number,
  { state }: LetterFilter,
  wanted: ReadonlySet<number> | undefined,
): number {
  if (wanted !== undefined) {
    const left = [...wanted].filter((offset) => offset >= from)
    return left.length === 0 ? Number.MAX_SAFE_INTEGER : Math.min(...left)
  }
  return state === 'open' ? states.firstOpen(topic, partition, from) : from
}

function collect(
  log: PartitionLog,
  ranges: Iterator<CoveredRange, undefined>,
  bytes: Buffer,
  {
    from,
    end,
    filter,
    max,
    wanted,
  }: {
    from: number
    end: number
    filter: LetterFilter
    max: number
    wanted: ReadonlySet<number> | undefined
  },
): LettersPart {
  const letters: DeadLetter[] = []
  const reader = new RecordReader()
  let range = ranges.next().value
  // When nothing can be read, a transaction is open there: what is behind it is left for another time.
  let next = bytes.length === 0 ? end : from
  let scanned = 0
  for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
    if (getBaseOffset(bytes, at) >= end) return { letters, next: end, scanned }
    if (!isControlBatch(bytes, at)) {
      reader.open(bytes, at)
      while (reader.next()) {
        const { offset } = reader
        if (offset < from) continue
        if (offset >= end) return { letters, next: end, scanned }
        scanned++
        while (range !== undefined && range.last < offset) range = ranges.next().value
        const covered = range !== undefined && range.first <= offset ? range : undefined
        const state = covered === undefined || covered.state === 'none' ? 'open' : covered.state
        if (wanted !== undefined && !wanted.has(offset)) continue
        if (filter.state !== undefined && filter.state !== state) continue
        const { timestamp, headers } = reader
        if (!matches({ timestamp, headers }, filter)) continue
        letters.push(copyOf(log, reader, state, covered?.job ?? 0))
        if (letters.length === max) return { letters, next: offset + 1, scanned }
      }
    }
    next = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
  }
  return { letters, next: Math.min(next, end), scanned }
}

function copyOf(log: PartitionLog, reader: RecordReader, state: DeadLetter['state'], job: number): DeadLetter {
  const { offset, timestamp, key, value, headers } = reader
  return {
    topic: log.topic,
    partition: log.partition,
    offset,
    timestamp,
    key: key && Buffer.from(key),
    value: value && Buffer.from(value),
    headers: headers.map((header) => ({ key: header.key, value: header.value && Buffer.from(header.value) })),
    state,
    job,
  }
}

function offsetsOf(ids: readonly string[], partition: number): ReadonlySet<number> {
  const offsets = new Set<number>()
  for (const id of ids) {
    const [own, offset] = id.split('@')
    if (Number(own) === partition) offsets.add(Number(offset))
  }
  return offsets
}
