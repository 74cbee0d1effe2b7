import { endOf, type FoundBatch, isSame, recordsLeft, type SentBatch } from './batches.ts'
import type { DamagedPlace, PartitionModel } from './partition-model.ts'

/**
 * What compaction may have done to a partition. It may take a record when it has no key, when a newer one of its key can be
 * read, and when it is a tombstone that is older than the time that tombstones stay. It may take nothing else; what it has
 * left is as it was, at its offset; and what it was seen to have taken must never come back.
 */
export class CompactionModel {
  /** Records that were looked for and are not there. */
  takenRecords = 0
  readonly #model: PartitionModel

  constructor(model: PartitionModel) {
    this.#model = model
  }

  /** `PartitionModel.checkRead`, for a log with gaps. */
  checkRead(fromOffset: number, found: readonly FoundBatch[], highWatermark: number, now: number): number {
    const newest = this.#newest(highWatermark)
    let expected = fromOffset
    for (const [index, batch] of found.entries()) {
      const isInside = index === 0 && batch.baseOffset < fromOffset && endOf(batch) > fromOffset
      if (batch.baseOffset < expected && !isInside) {
        this.#fail('order', `offset ${batch.baseOffset} follows ${expected} in a read from ${fromOffset}`)
      }
      this.#skip(expected, batch.baseOffset, newest, now)
      const sent = this.#model.batchAt(batch.baseOffset)
      if (sent?.baseOffset !== batch.baseOffset) this.#fail('I3 phantom', `nobody knows what is at ${batch.baseOffset}`)
      this.#compare(sent, batch, newest, now)
      expected = endOf(batch)
    }
    if (expected > Math.max(highWatermark, fromOffset)) {
      this.#fail('high watermark', `read up to ${expected}, it was ${highWatermark}`)
    }
    return expected
  }

  /**
   * What is in the log after a restart, in order and without gaps: a batch that compaction has taken whole is among it.
   * `limbo` are batches that left the log before with nobody knowing whether the disk has them.
   */
  identify(
    from: number,
    end: number,
    found: readonly (FoundBatch | DamagedPlace)[],
    now: number,
    limbo: ReadonlyMap<number, SentBatch>,
  ): SentBatch[] {
    const newest = this.#newest(end)
    const survivors: SentBatch[] = []
    let expected = from
    const skipTo = (offset: number) => {
      for (const batch of this.#model.batches) {
        if (batch.baseOffset >= offset || endOf(batch) <= expected) continue
        if (endOf(batch) > offset)
          this.#fail('I2 dense offsets', `${offset} lies within the batch at ${batch.baseOffset}`)
        survivors.push(batch)
      }
      this.#skip(expected, offset, newest, now)
    }
    for (const batch of found) {
      if ('damagedFrom' in batch)
        this.#fail('I13 corruption', `offset ${batch.damagedFrom} is called corrupt and is not`)
      if (batch.baseOffset < expected && survivors.length > 0) {
        this.#fail('order', `offset ${batch.baseOffset} follows ${expected}`)
      }
      skipTo(batch.baseOffset)
      const known = this.#model.batchAt(batch.baseOffset)
      const lost = limbo.get(batch.crc)
      const isKnown = known?.baseOffset === batch.baseOffset && known.records.length === batch.recordCount
      if (isKnown && (recordsLeft(known, batch) !== undefined || lost === undefined)) {
        this.#compare(known, batch, newest, now)
        survivors.push(known)
      } else if (lost?.baseOffset === batch.baseOffset && isSame(lost, batch)) survivors.push(lost)
      else this.#fail('I3 phantom', `offset ${batch.baseOffset} holds what was never sent there, or not to stay`)
      const last = survivors[survivors.length - 1]
      if (last.outcome === 'refused') this.#fail('I3 phantom', `offset ${last.baseOffset} was refused and is back`)
      expected = endOf(batch)
    }
    // The end of the log is always told by a batch, be it an empty one.
    if (expected !== end) this.#fail('I2 dense offsets', `read up to ${expected}, the high watermark is ${end}`)
    return survivors
  }

  /** The answer to a lookup by time may be any that passes over nothing but what may be gone. */
  checkTime(
    timestamp: number | undefined,
    found: { offset: number; timestamp: number } | undefined,
    now: number,
  ): void {
    const { batches, logStart, highWatermark } = this.#model
    const newest = this.#newest(highWatermark)
    const wanted = timestamp ?? found?.timestamp ?? -1
    let isThere = found === undefined
    for (const batch of batches) {
      for (const [index, time] of batch.timestamps.entries()) {
        const offset = batch.baseOffset + index
        if (offset < logStart || offset >= highWatermark) continue
        if (offset === found?.offset) {
          isThere = time === found.timestamp && time >= wanted && !batch.records[index]?.isGone
          continue
        }
        const isPassedOver =
          timestamp === undefined
            ? time > wanted || (time === wanted && offset < (found?.offset ?? 0))
            : time >= wanted && (found === undefined || offset < found.offset)
        if (isPassedOver) this.#take(batch, index, newest, now)
      }
    }
    if (!isThere)
      this.#fail('lookup by time', `asked for ${timestamp}, found ${JSON.stringify(found)}, which is not there`)
  }

  /** The largest timestamp of those records of a batch that compaction cannot have taken, -1 when it may have had all. */
  youngestThere(batch: SentBatch, now: number): number {
    const newest = this.#newest(this.#model.highWatermark)
    const times = batch.timestamps.filter((_, index) => !this.#mayBeGone(batch, index, newest, now))
    return Math.max(-1, ...times)
  }

  /** Notes that all records from one offset to before another are gone, which they must be allowed to be. */
  #skip(from: number, to: number, newest: ReadonlyMap<string, number>, now: number): void {
    for (const batch of this.#model.batches) {
      if (endOf(batch) <= from || batch.baseOffset >= to) continue
      for (let index = 0; index < batch.recordCount; index += 1) {
        const offset = batch.baseOffset + index
        if (offset >= from && offset < to) this.#take(batch, index, newest, now)
      }
    }
  }

  #compare(sent: SentBatch, found: FoundBatch, newest: ReadonlyMap<string, number>, now: number): void {
    if (sent.leaderEpoch !== found.leaderEpoch) {
      this.#fail(
        'leader epoch',
        `offset ${found.baseOffset} was written in ${sent.leaderEpoch}, reads ${found.leaderEpoch}`,
      )
    }
    const left = isSame(sent, found) ? undefined : recordsLeft(sent, found)
    if (left === undefined && !isSame(sent, found)) {
      this.#fail('I1 identical bytes', `offset ${found.baseOffset} reads differently`)
    }
    for (let index = 0; index < sent.recordCount; index += 1) {
      if (left?.has(index) === false) this.#take(sent, index, newest, now)
      else if (sent.records[index]?.isGone) {
        this.#fail('I17 compacted stays so', `offset ${sent.baseOffset + index} was gone and is back`)
      }
    }
  }

  #take(batch: SentBatch, index: number, newest: ReadonlyMap<string, number>, now: number): void {
    const offset = batch.baseOffset + index
    const record = batch.records[index]
    if (record === undefined) this.#fail('I1 acked is there', `offset ${offset} is missing`)
    if (record.isGone) return
    if (!this.#mayBeGone(batch, index, newest, now)) {
      this.#fail('I1 acked is there', `offset ${offset} is missing, the newest of ${JSON.stringify(record.key)}`)
    }
    record.isGone = true
    this.takenRecords += 1
  }

  #mayBeGone(batch: SentBatch, index: number, newest: ReadonlyMap<string, number>, now: number): boolean {
    const record = batch.records[index]
    if (record === undefined) return false
    const isOvertaken = record.key === undefined || (newest.get(record.key) ?? -1) > batch.baseOffset + index
    const isOver = record.isTombstone && now - batch.sentAt >= this.#model.config.deleteRetentionMs
    return isOvertaken || isOver
  }

  /** The newest offset of each key below the high watermark. */
  #newest(highWatermark: number): Map<string, number> {
    const newest = new Map<string, number>()
    for (const batch of this.#model.batches) {
      for (const [index, { key }] of batch.records.entries()) {
        const offset = batch.baseOffset + index
        if (key !== undefined && offset < highWatermark) newest.set(key, offset)
      }
    }
    return newest
  }

  #fail(promise: string, what: string): never {
    return this.#model.fail(promise, what)
  }
}
