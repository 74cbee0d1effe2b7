import type { Logger } from '../../base/logger.ts'
import type { PartitionLog } from '../../log/log-engine.ts'
import {
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getRecordCount,
  isControlBatch,
  RecordReader,
} from '../../record/record-batch.ts'
import type { Store, StoreChange } from '../../store/store.ts'
import type { CoveredRange, CoveredState, LetterSums } from './letter-rows.ts'
import {
  decodeRange,
  decodeSums,
  endOfPartition,
  keysOfTopic,
  partitionKey,
  rangeKey,
  rangeRow,
  sumsRow,
  withoutRange,
} from './letter-rows.ts'
import { readCommitted } from './read-log.ts'

/** How many dead letters of a topic or partition are in which state. */
export interface LetterCounts {
  readonly open: number
  readonly redriven: number
  readonly discarded: number
}

/** Offsets that are to have a state from now on. All of them are open. */
export interface SettledOffsets {
  readonly partition: number
  /** In ascending order. */
  readonly offsets: readonly number[]
}

const COUNT_READ_BYTES = 1024 * 1024
const ROWS_PER_COMMIT = 4_000
/** A scrape looks at no more rows than this to see what retention took along. */
const ROWS_PER_SCRAPE = 20_000
const NO_SUMS: Omit<LetterSums, 'start' | 'counted'> = { redriven: 0, discarded: 0, none: 0 }

/**
 * What has become of the dead letters of each topic: open, redriven or discarded. Open is what nothing is said of, so that a
 * million new ones cost nothing; the others are ranges of offsets in the store, and how many there are is summed up beside
 * them, in the same commit. Offsets without a record, as where a transaction ended, are ranges too.
 *
 * All changes to one topic wait for each other.
 */
export class LetterStates {
  readonly #store: Store
  readonly #logger: Logger
  readonly #findLog: (topic: string, partition: number) => PartitionLog | undefined
  readonly #sums = new Map<string, LetterSums>()
  /** The last change of each topic. */
  readonly #queues = new Map<string, Promise<unknown>>()

  constructor(parts: {
    readonly store: Store
    readonly logger: Logger
    readonly findLog: (topic: string, partition: number) => PartitionLog | undefined
  }) {
    this.#store = parts.store
    this.#logger = parts.logger
    this.#findLog = parts.findLog
    for (const [key, value] of this.#store.entries('dead_letter_partitions')) {
      const { start, counted, redriven, discarded, none } = decodeSums(key, value)
      this.#sums.set(key, { start, counted, redriven, discarded, none })
    }
  }

  /** How many there are in a partition, exact but for offsets without a record that were written since `refresh`. */
  count(log: PartitionLog): LetterCounts {
    const { topic, partition, logStartOffset, highWatermark } = log
    const sums = this.#sumsOf(log)
    const gone = { redriven: 0, discarded: 0, none: 0 }
    if (logStartOffset > sums.start) {
      let rowsLeft = ROWS_PER_SCRAPE
      for (const { first, last, state } of this.ranges(topic, partition, sums.start)) {
        if (first >= logStartOffset || rowsLeft-- === 0) break
        gone[state] += Math.min(last + 1, logStartOffset) - Math.max(first, sums.start)
      }
    }
    const redriven = sums.redriven - gone.redriven
    const discarded = sums.discarded - gone.discarded
    const covered = redriven + discarded + sums.none - gone.none
    return { open: Math.max(0, highWatermark - logStartOffset - covered), redriven, discarded }
  }

  /**
   * What is said of the offsets from `fromOffset` on, in their order. Read it within one turn of the event loop, and end it.
   */
  *ranges(topic: string, partition: number, fromOffset: number): Generator<CoveredRange, undefined, undefined> {
    const start = rangeKey(topic, partition, fromOffset)
    for (const [key, value] of this.#store.range('dead_letters', start, endOfPartition(topic, partition))) {
      yield decodeRange(key, value)
    }
    return undefined
  }

  /** The first offset from `fromOffset` on that nothing is said of. */
  firstOpen(topic: string, partition: number, fromOffset: number): number {
    let open = fromOffset
    for (const { first, last } of this.ranges(topic, partition, fromOffset)) {
      if (first > open) break
      open = last + 1
    }
    return open
  }

  /**
   * Gives open offsets of a topic a state, together with other changes: all or none. Resolves when that is durable.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  settle(
    topic: string,
    state: Exclude<CoveredState, 'none'>,
    job: number,
    settled: readonly SettledOffsets[],
    more: readonly StoreChange[] = [],
  ): Promise<void> {
    return this.#inTurn(topic, async () => {
      const changes = [...more]
      const sums = new Map<string, LetterSums>()
      for (const { partition, offsets } of settled) {
        const log = this.#findLog(topic, partition)
        if (log === undefined || offsets.length === 0) continue
        const before = this.#sumsOf(log)
        // What was removed meanwhile is not counted any more.
        const kept = offsets.filter((offset) => offset >= before.start)
        changes.push(...this.#cover(topic, partition, toRanges(kept, state, job)))
        sums.set(partitionKey(topic, partition), { ...before, [state]: before[state] + kept.length })
      }
      await this.#commit(topic, changes, sums)
    })
  }

  /**
   * Brings the sums of a partition up to date with its log: finds the offsets without a record among those that came, and
   * drops what is said of those that were removed.
   *
   * @throws BrokerError as `PartitionLog.read`; KAFKA_STORAGE_ERROR
   */
  async refresh(log: PartitionLog): Promise<void> {
    await this.#inTurn(log.topic, async () => {
      await this.#trim(log)
      await this.#countGaps(log)
    })
  }

  /** `refresh`, for those who cannot wait; what cannot be read is told in the log. */
  refreshLater(log: PartitionLog): void {
    const sums = this.#sumsOf(log)
    if (log.logStartOffset === sums.start && log.highWatermark <= sums.counted) return
    // What waits already will do it.
    if (this.#queues.has(log.topic)) return
    this.refresh(log).catch((error: unknown) => {
      const { topic, partition } = log
      this.#logger.warn({ topic, partition, error }, 'cannot count the dead letters of a partition')
    })
  }

  /**
   * Forgets a topic that is gone.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  removeTopic(topic: string): Promise<void> {
    return this.#inTurn(topic, async () => {
      const [start, end] = keysOfTopic(topic)
      for (const key of this.#sums.keys()) if (key >= start && key < end) this.#sums.delete(key)
      for (const table of ['dead_letters', 'dead_letter_partitions'] as const) {
        for (;;) {
          const changes: StoreChange[] = []
          for (const [key] of this.#store.range(table, start, end)) {
            changes.push({ table, key, value: undefined })
            if (changes.length === ROWS_PER_COMMIT) break
          }
          if (changes.length === 0) break
          await this.#store.commit(changes)
        }
      }
    })
  }

  #sumsOf({ topic, partition, logStartOffset }: PartitionLog): LetterSums {
    const known = this.#sums.get(partitionKey(topic, partition))
    return known ?? { ...NO_SUMS, start: logStartOffset, counted: logStartOffset }
  }

  /** The rows for ranges of open offsets; one that goes on where another ends is joined to it. */
  #cover(topic: string, partition: number, ranges: readonly CoveredRange[]): StoreChange[] {
    const changes: StoreChange[] = []
    for (const range of ranges) {
      let { first } = range
      const key = rangeKey(topic, partition, first - 1)
      const value = first === 0 ? undefined : this.#store.get('dead_letters', key)
      const before = value === undefined ? undefined : decodeRange(key, value)
      if (before !== undefined && before.state === range.state && before.job === range.job) {
        first = before.first
        changes.push(withoutRange(topic, partition, before.last))
      }
      changes.push(rangeRow(topic, partition, { ...range, first }))
    }
    return changes
  }

  async #trim(log: PartitionLog): Promise<void> {
    const { topic, partition } = log
    for (;;) {
      const { logStartOffset } = log
      const before = this.#sumsOf(log)
      if (logStartOffset <= before.start) return
      const changes: StoreChange[] = []
      const sums = { ...before, start: logStartOffset, counted: Math.max(before.counted, logStartOffset) }
      let isAll = true
      for (const range of this.ranges(topic, partition, before.start)) {
        const { first, last, state } = range
        if (first >= logStartOffset) break
        sums[state] -= Math.min(last + 1, logStartOffset) - Math.max(first, before.start)
        if (last >= logStartOffset) changes.push(rangeRow(topic, partition, { ...range, first: logStartOffset }))
        else changes.push(withoutRange(topic, partition, last))
        if (changes.length === ROWS_PER_COMMIT) {
          isAll = last >= logStartOffset
          if (!isAll) sums.start = last + 1
          break
        }
      }
      await this.#commit(topic, changes, new Map([[partitionKey(topic, partition), sums]]))
      if (isAll) return
    }
  }

  async #countGaps(log: PartitionLog): Promise<void> {
    const { topic, partition } = log
    for (;;) {
      const before = this.#sumsOf(log)
      const from = Math.max(before.counted, log.logStartOffset)
      if (from >= log.highWatermark) return
      const batches = await readCommitted(log, from, COUNT_READ_BYTES)
      let gaps: CoveredRange[]
      let next: number
      try {
        ;({ gaps, next } = findGaps(batches.bytes, from))
      } finally {
        batches.release()
      }
      // Behind this a transaction is open.
      if (next <= from) return
      const none = gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0)
      const sums = { ...before, counted: next, none: before.none + none }
      const changes = this.#cover(topic, partition, gaps)
      if (changes.length === 0) this.#sums.set(partitionKey(topic, partition), sums)
      else await this.#commit(topic, changes, new Map([[partitionKey(topic, partition), sums]]))
    }
  }

  /** Nothing is said of a topic that went meanwhile: its rows are about to be removed, behind this in the queue. */
  async #commit(topic: string, changes: StoreChange[], sums: ReadonlyMap<string, LetterSums>): Promise<void> {
    for (const [key, of] of sums) changes.push(sumsRow(topic, decodePartition(key), of))
    await this.#store.commit(changes)
    for (const [key, of] of sums) this.#sums.set(key, of)
  }

  #inTurn<Result>(topic: string, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#queues.get(topic) ?? Promise.resolve()).then(work)
    const end = result
      .catch(() => {})
      .then(() => {
        if (this.#queues.get(topic) === end) this.#queues.delete(topic)
      })
    this.#queues.set(topic, end)
    return result
  }
}

function decodePartition(key: string): number {
  return Number(key.slice(key.indexOf('\u0000') + 1))
}

function toRanges(offsets: readonly number[], state: CoveredState, job: number): CoveredRange[] {
  const ranges: { first: number; last: number; state: CoveredState; job: number }[] = []
  for (const offset of offsets) {
    const open = ranges.at(-1)
    if (open?.last === offset - 1) open.last = offset
    else ranges.push({ first: offset, last: offset, state, job })
  }
  return ranges
}

/** The offsets from `from` on without a record, and the offset behind the last of the batches. */
function findGaps(bytes: Buffer, from: number): { gaps: CoveredRange[]; next: number } {
  const gaps: CoveredRange[] = []
  const reader = new RecordReader()
  let next = from
  const note = (first: number, last: number) => {
    if (last >= first) gaps.push({ first, last, state: 'none', job: 0 })
  }
  for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
    const baseOffset = getBaseOffset(bytes, at)
    const end = baseOffset + getLastOffsetDelta(bytes, at) + 1
    if (end <= next) continue
    note(next, baseOffset - 1)
    next = Math.max(next, baseOffset)
    if (isControlBatch(bytes, at)) {
      note(next, end - 1)
    } else if (getRecordCount(bytes, at) < end - baseOffset) {
      reader.open(bytes, at)
      while (reader.next()) {
        if (reader.offset < next) continue
        note(next, reader.offset - 1)
        next = reader.offset + 1
      }
      note(next, end - 1)
    }
    next = end
  }
  return { gaps: joinGaps(gaps), next }
}

/** Rows that end where others begin are joined to them only if they are there already. */
function joinGaps(gaps: readonly CoveredRange[]): CoveredRange[] {
  const joined: CoveredRange[] = []
  for (const gap of gaps) {
    const before = joined.at(-1)
    if (before?.last === gap.first - 1) joined[joined.length - 1] = { ...before, last: gap.last }
    else joined.push(gap)
  }
  return joined
}
