import { BrokerError } from '../../src/base/broker-error.ts'
import type { Acks, LogConfig, PartitionLog } from '../../src/log/log-engine.ts'
import { CompactionModel } from './compaction-model.ts'
import { endOf, type FoundBatch, isSame, type Outcome, type SentBatch } from './batches.ts'

/** The engine broke a promise. The message says which, where and what was seen. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/**
 * Keeps the first broken promise. Many are noticed inside callbacks of the engine, which may catch what is thrown there.
 */
export class Judge {
  #first: Violation | undefined

  fail(promise: string, what: string): never {
    this.#first ??= new Violation(`${promise}: ${what}`)
    throw this.#first
  }

  /** Runs checks inside a callback of the engine: what they find is remembered, and not thrown into the engine. */
  listen(checks: () => void): void {
    try {
      checks()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
    }
  }

  /** Throws the first broken promise, if there was one. */
  check(): void {
    if (this.#first) throw this.#first
  }
}

/** How a process ended: what it had promised is measured by it. */
export type Ending = 'clean' | 'kill' | 'power'

/** Found where a batch lies whose damage the engine has reported. */
export interface DamagedPlace {
  readonly damagedFrom: number
}

/** What a new process found of a partition. */
export interface Restart {
  /** The worst end of a process since the partition was last looked at: promises are measured by it. */
  readonly worst: Ending
  /** How the last process that served clients had ended. */
  readonly last: Ending
  /** Whether it was being closed then. */
  readonly isClosing: boolean
  readonly log: PartitionLog
  /** Everything from the log start to the high watermark. */
  readonly found: readonly (FoundBatch | DamagedPlace)[]
  readonly now: number
}

/**
 * What one partition must look like, kept outside the engine by someone who has only seen what a client sees: what was
 * sent, what was answered, what could be read. Every promise of docs/durability.md that concerns one partition is
 * checked here; the letters are those of docs/decisions/0006-durability-is-simulated.md.
 */
export class PartitionModel {
  readonly name: string
  /** Where its files are. */
  readonly directory: string
  config: LogConfig
  readonly #judge: Judge
  /**
   * What the log holds or may hold, in order, without gaps: the last ones may still be undecided, and what lies below a
   * log start that is not promised yet may be back after a restart.
   */
  batches: SentBatch[] = []
  /** The offset that the next batch must get. */
  nextOffset = 0
  /** The log start as it was last seen. */
  logStart = 0
  /** The log start that was promised: not even a power cut brings anything below it back. */
  promisedLogStart = 0
  highWatermark = 0
  leaderEpoch = -1
  /** Everything below this offset is below the recovery point: the engine was closed in order with it. */
  safeEnd = 0
  /** Batches that left the log in this run with nobody knowing whether the disk has them. */
  #limbo = new Map<number, SentBatch>()
  /** Everything below these offsets is there after a kill, and after a power cut. */
  #survivesKill = 0
  #survivesPower = 0
  /** Where the log was below which nothing above this epoch may be forgotten; see `#forget`. */
  #lostEpoch = -1
  /** Whether the topic has been flushed before every answer as long as it exists. */
  #isAlways: boolean
  /** The last moment at which the disk had nothing to do, and how far the log had grown by then. */
  #idle = { at: 0, offset: 0 }
  /** How many records were compared after restarts. */
  recordsChecked = 0
  /** Whether the topic is compacted, or was at some time: then some of it may be missing, see `CompactionModel`. */
  isCompacted: boolean
  readonly #compaction: CompactionModel

  constructor(name: string, directory: string, config: LogConfig, judge: Judge) {
    this.name = name
    this.directory = directory
    this.#judge = judge
    this.config = config
    this.#isAlways = config.flushPolicy.kind === 'always'
    this.isCompacted = config.cleanupPolicy !== 'delete'
    this.#compaction = new CompactionModel(this)
  }

  /** Records that compaction is known to have taken. */
  get compactedRecords(): number {
    return this.#compaction.takenRecords
  }

  /** The end of what must be there after the process has ended in such a way. */
  survives(ending: Ending): number {
    return ending === 'power' ? this.#survivesPower : this.#survivesKill
  }

  configure(config: LogConfig): void {
    this.config = config
    if (config.flushPolicy.kind !== 'always') this.#isAlways = false
    if (config.cleanupPolicy !== 'delete') this.isCompacted = true
    this.#idle = { at: 0, offset: 0 }
  }

  /** The engine took a batch and gave it an offset. */
  sent(batch: SentBatch, baseOffset: number, leaderEpoch: number): void {
    batch.baseOffset = baseOffset
    batch.leaderEpoch = leaderEpoch
    if (baseOffset !== this.nextOffset) {
      this.fail('I2 dense offsets', `a batch got offset ${baseOffset}, the next one was ${this.nextOffset}`)
    }
    this.batches.push(batch)
    this.nextOffset += batch.recordCount
  }

  /** The engine answered for a batch. */
  answered(batch: SentBatch, error: Error | undefined, log: PartitionLog): void {
    if (batch.outcome !== 'waiting') this.fail('one answer', `a second answer for offset ${batch.baseOffset}`)
    batch.outcome = outcomeOf(error)
    if (error !== undefined) return
    const end = endOf(batch)
    if (log.failure !== undefined) {
      this.fail(
        'no answer after a failure',
        `offset ${batch.baseOffset} was acknowledged by a partition that has failed`,
      )
    }
    if (log.logEndOffset < end) this.fail('acked is written', `acked up to ${end}, the log ends at ${log.logEndOffset}`)
    this.#survivesKill = Math.max(this.#survivesKill, end)
    if (batch.acks !== 'all' || this.config.flushPolicy.kind !== 'always') return
    this.#survivesPower = Math.max(this.#survivesPower, end)
    if (log.highWatermark < end) {
      this.fail('acked is visible', `acked up to ${end}, readable only up to ${log.highWatermark}`)
    }
  }

  /** The engine answered one who had sent a batch again: he was told the same as the first one, and may rely on it. */
  answeredAgain(batch: SentBatch, acks: Acks, error: Error | undefined, log: PartitionLog): void {
    if (error !== undefined) return
    const end = endOf(batch)
    if (log.failure !== undefined) this.fail('no answer after a failure', `offset ${batch.baseOffset} was sent again`)
    if (!this.history().includes(batch)) {
      this.fail('a duplicate is there', `offset ${batch.baseOffset} was acknowledged again, it was taken back`)
    }
    this.#survivesKill = Math.max(this.#survivesKill, end)
    if (acks !== 'all' || this.config.flushPolicy.kind !== 'always') return
    this.#survivesPower = Math.max(this.#survivesPower, end)
    if (log.highWatermark < end) {
      this.fail('acked is visible', `acked again up to ${end}, readable only up to ${log.highWatermark}`)
    }
  }

  /** Everything that is in the log or was, below its start. */
  history(): readonly SentBatch[] {
    return [...this.#expired, ...this.batches]
  }

  /** Looks at the log between two turns. `now` is the latest wall-clock time since the last look. */
  observe(log: PartitionLog, now: number): void {
    if (log.logEndOffset < this.nextOffset) this.#dropTail(log.logEndOffset)
    if (log.highWatermark < this.highWatermark) {
      this.fail('high watermark', `went back from ${this.highWatermark} to ${log.highWatermark}`)
    }
    if (log.highWatermark > log.logEndOffset) {
      this.fail('high watermark', `${log.highWatermark} is behind the log end ${log.logEndOffset}`)
    }
    if (log.logStartOffset > log.highWatermark) {
      this.fail('I14 log start', `${log.logStartOffset} is behind the high watermark ${log.highWatermark}`)
    }
    this.highWatermark = log.highWatermark
    this.#survivesKill = Math.max(this.#survivesKill, log.highWatermark)
    if (this.#isAlways) this.#survivesPower = Math.max(this.#survivesPower, log.highWatermark)
    if (log.logStartOffset < this.logStart) {
      this.fail('I14 log start', `went back from ${this.logStart} to ${log.logStartOffset}`)
    }
    if (log.logStartOffset > this.logStart) this.#expire(log.logStartOffset, now)
    for (const batch of this.batches) {
      if (batch.outcome === 'refused') {
        this.fail('refused is absent', `offset ${batch.baseOffset} was refused and is in the log all the same`)
      }
    }
  }

  /**
   * Nothing waits for the disk now, and no sync has failed. What was written before the last such moment is safe once the
   * flush interval has passed since then: a slow disk may take its time, a broker that is idle may not.
   */
  settled(log: PartitionLog, monotonic: number): void {
    const policy = this.config.flushPolicy
    if (policy.kind !== 'interval' || log.failure !== undefined) return
    if (this.#idle.at + policy.intervalMs < monotonic) {
      this.#survivesPower = Math.max(this.#survivesPower, this.#idle.offset)
    }
    this.#idle = { at: monotonic, offset: log.logEndOffset }
  }

  /** The engine was closed in order, and the partition had not failed: everything is safe now. */
  closed(log: PartitionLog): void {
    this.#survivesKill = Math.max(this.#survivesKill, log.logEndOffset)
    this.#survivesPower = this.#survivesKill
    this.promisedLogStart = this.logStart
    this.safeEnd = log.logEndOffset
    const waiting = this.batches.find((batch) => batch.outcome === 'waiting')
    if (waiting) this.fail('one answer', `offset ${waiting.baseOffset} has none though the engine was closed`)
  }

  /** A moved log start was promised: `deleteRecordsBefore` resolved, or a segment below it was removed. */
  promiseLogStart(offset: number): void {
    this.promisedLogStart = Math.max(this.promisedLogStart, offset)
  }

  /** `deleteRecordsBefore` was called: from now on the log may begin there. */
  allowLogStart(offset: number): void {
    this.#allowedLogStart = Math.max(this.#allowedLogStart, offset)
  }
  #allowedLogStart = 0

  /** Checks what a consumer was given who asked for `fromOffset`. Returns the offset to go on from. */
  checkRead(fromOffset: number, found: readonly FoundBatch[], highWatermark: number, now: number): number {
    if (this.isCompacted) return this.#compaction.checkRead(fromOffset, found, highWatermark, now)
    let expected = found.length > 0 ? found[0].baseOffset : fromOffset
    if (found.length > 0 && (found[0].baseOffset > fromOffset || endOf(found[0]) <= fromOffset)) {
      this.fail('read', `asked for ${fromOffset}, given ${found[0].baseOffset} to ${endOf(found[0]) - 1}`)
    }
    for (const batch of found) {
      if (batch.baseOffset !== expected) this.fail('I2 dense offsets', `${batch.baseOffset} follows ${expected}`)
      const sent = this.batchAt(batch.baseOffset)
      if (!sent || sent.baseOffset !== batch.baseOffset) this.fail('I3 phantom', `nobody knows what is at ${expected}`)
      this.#checkSame(sent, batch)
      expected = endOf(batch)
    }
    if (found.length > 0 && expected > highWatermark)
      this.fail('high watermark', `read up to ${expected}, it was ${highWatermark}`)
    return expected
  }

  /** The batch that holds an offset. */
  batchAt(offset: number): SentBatch | undefined {
    let low = 0
    let high = this.batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.batches[middle].baseOffset <= offset) low = middle + 1
      else high = middle
    }
    const batch = this.batches[low - 1]
    return batch && offset < endOf(batch) ? batch : undefined
  }

  /** What `findOffsetByTime` has to answer now. */
  firstAtOrAfter(timestamp: number): { offset: number; timestamp: number } | undefined {
    for (const batch of this.batches) {
      if (batch.maxTimestamp < timestamp) continue
      for (let index = 0; index < batch.recordCount; index += 1) {
        const offset = batch.baseOffset + index
        if (offset >= this.highWatermark) return undefined
        if (offset >= this.logStart && batch.timestamps[index] >= timestamp) {
          return { offset, timestamp: batch.timestamps[index] }
        }
      }
    }
    return undefined
  }

  /** Checks the answer to a lookup by time; without a timestamp, that to the one for the latest record. */
  checkTime(
    timestamp: number | undefined,
    found: { offset: number; timestamp: number } | undefined,
    now: number,
  ): void {
    this.#compaction.checkTime(timestamp, found, now)
  }

  /**
   * The checkpoint was lost or spoilt. It is the only record of log starts and epochs, so they may go back; nothing else
   * may.
   */
  forgetCheckpoint(): void {
    this.allowLogStart(this.logStart)
    this.promisedLogStart = 0
    this.logStart = 0
    this.safeEnd = 0
    this.#isCheckpointLost = true
    this.leaderEpoch = -1
    this.batches = [...this.#expired, ...this.batches]
    this.#expired = []
  }
  #isCheckpointLost = false
  /** What lies below the log start; it is back when nobody remembers the log start. */
  #expired: SentBatch[] = []

  /** The earliest of the records with the largest timestamp: what `findOffsetOfMaxTimestamp` has to answer now. */
  latest(): { offset: number; timestamp: number } | undefined {
    let latest: { offset: number; timestamp: number } | undefined
    for (const batch of this.batches) {
      for (const [index, timestamp] of batch.timestamps.entries()) {
        const offset = batch.baseOffset + index
        if (offset < this.logStart || offset >= this.highWatermark) continue
        if (!latest || timestamp > latest.timestamp) latest = { offset, timestamp }
      }
    }
    return latest
  }

  /**
   * Compares what a new process found with what the ones before it had promised, and goes on from what is there.
   */
  restarted({ worst, last, isClosing, log, found, now }: Restart): void {
    const end = log.highWatermark
    const promised = this.survives(worst)
    if (end < promised)
      this.fail('I1 acked is there', `${promised} was promised after ${worst}, the log ends at ${end}`)
    if (log.logEndOffset !== end) {
      this.fail('recovered is visible', `high watermark ${end}, log end ${log.logEndOffset}`)
    }
    const least = worst === 'clean' ? this.logStart : this.promisedLogStart
    if (log.logStartOffset < least) {
      this.fail('I14 log start', `${least} was promised, the log begins at ${log.logStartOffset}`)
    }
    if (log.logStartOffset > this.logStart) this.#expire(log.logStartOffset, now)
    // A process that was killed while it closed may have left the mark of a clean stop already.
    if (last === 'clean' || isClosing ? log.leaderEpoch < this.leaderEpoch : log.leaderEpoch <= this.leaderEpoch) {
      this.fail('leader epoch', `was ${this.leaderEpoch} before ${last}, is ${log.leaderEpoch} now`)
    }
    const survivors = this.isCompacted
      ? this.#compaction.identify(log.logStartOffset, end, found, now, this.#limbo)
      : this.#identify(log.logStartOffset, end, found)
    if (this.isCompacted) for (const batch of survivors) this.recordsChecked += batch.recordCount
    this.#forget(survivors, end, log)
    this.batches = survivors
    this.nextOffset = end
    this.logStart = log.logStartOffset
    this.highWatermark = end
    this.leaderEpoch = log.leaderEpoch
    this.#limbo.clear()
    this.#idle = { at: 0, offset: 0 }
    this.#survivesKill = end
    if (this.#isAlways) this.#survivesPower = end
    for (const batch of survivors) if (batch.outcome === 'waiting') batch.outcome = 'unknown'
  }

  fail(promise: string, what: string): never {
    return this.#judge.fail(promise, `${this.name}: ${what}`)
  }

  #identify(from: number, end: number, found: readonly (FoundBatch | DamagedPlace)[]): SentBatch[] {
    const survivors: SentBatch[] = []
    let expected = from
    for (const batch of found) {
      let sent: SentBatch | undefined
      if ('damagedFrom' in batch) {
        sent = this.batchAt(batch.damagedFrom)
        if (!sent?.isDamaged) this.fail('I13 corruption', `offset ${batch.damagedFrom} is called corrupt and is not`)
      } else {
        sent = this.batchAt(batch.baseOffset)
        if (sent?.crc !== batch.crc || sent.baseOffset !== batch.baseOffset) sent = this.#limbo.get(batch.crc)
        if (!sent || sent.baseOffset !== batch.baseOffset) {
          this.fail('I3 phantom', `offset ${batch.baseOffset} holds what was never sent there, or not to stay`)
        }
        this.#checkSame(sent, batch)
      }
      const isFirst = survivors.length === 0
      if (isFirst ? sent.baseOffset > expected : sent.baseOffset !== expected) {
        this.fail('I2 dense offsets', `${sent.baseOffset} follows ${expected}`)
      }
      if (sent.outcome === 'refused') this.fail('I3 phantom', `offset ${sent.baseOffset} was refused and is back`)
      expected = endOf(sent)
      survivors.push(sent)
      this.recordsChecked += sent.recordCount
    }
    if (expected !== end) this.fail('I2 dense offsets', `read up to ${expected}, the high watermark is ${end}`)
    return survivors
  }

  /** What is not there any more must not have been seen by anyone under the epoch that goes on. */
  #forget(survivors: readonly SentBatch[], end: number, log: PartitionLog): void {
    const kept = new Set(survivors)
    for (const batch of this.batches) {
      if (kept.has(batch)) continue
      if (endOf(batch) <= log.logStartOffset) {
        this.#expired.push(batch)
        continue
      }
      if (batch.baseOffset < this.highWatermark) this.#lostEpoch = Math.max(this.#lostEpoch, batch.leaderEpoch)
      if (batch.baseOffset < end && endOf(batch) > end) this.fail('I4 whole batches', `the log ends within ${end}`)
    }
    if (this.#isCheckpointLost) this.#lostEpoch = -1
    this.#isCheckpointLost = false
    if (log.leaderEpoch <= this.#lostEpoch) {
      this.fail(
        'leader epoch',
        `records of epoch ${this.#lostEpoch} were seen and lost; it goes on with ${log.leaderEpoch}`,
      )
    }
  }

  #checkSame(sent: SentBatch, found: FoundBatch): void {
    if (!isSame(sent, found)) this.fail('I1 identical bytes', `offset ${found.baseOffset} reads differently`)
    if (sent.leaderEpoch !== found.leaderEpoch) {
      this.fail(
        'leader epoch',
        `offset ${found.baseOffset} was written in ${sent.leaderEpoch}, reads ${found.leaderEpoch}`,
      )
    }
  }

  /** The engine took back what it had given offsets to: allowed only for what nobody relies on. */
  #dropTail(logEndOffset: number): void {
    for (;;) {
      const last = this.batches.at(-1)
      if (!last || last.baseOffset < logEndOffset) break
      if (last.outcome === 'acked') this.fail('I1 acked is there', `offset ${last.baseOffset} was acked and taken back`)
      if (last.outcome !== 'refused') this.#limbo.set(last.crc, last)
      this.batches.pop()
    }
    const end = this.batches.at(-1)
    if (end && endOf(end) !== logEndOffset) {
      this.fail('I4 whole batches', `the log ends at ${logEndOffset}, within a batch`)
    }
    this.nextOffset = logEndOffset
  }

  /** The log start moved to `to`: because it was asked to, or because retention says so. */
  #expire(to: number, now: number): void {
    const hasRetention = this.config.cleanupPolicy !== 'compact'
    const { retentionMs, retentionBytes } = hasRetention ? this.config : { retentionMs: -1, retentionBytes: -1 }
    let left = this.batches.reduce((sum, batch) => sum + (endOf(batch) > this.logStart ? batch.bytes.length : 0), 0)
    for (const batch of this.batches) {
      if (endOf(batch) <= this.logStart) continue
      if (endOf(batch) > to) break
      left -= batch.bytes.length
      const youngest = this.isCompacted ? this.#compaction.youngestThere(batch, now) : batch.maxTimestamp
      const isOld = retentionMs >= 0 && now - youngest > retentionMs
      const isExcess = retentionBytes >= 0 && left >= retentionBytes
      if (!isOld && !isExcess && endOf(batch) > this.#allowedLogStart) {
        this.fail('I14 retention', `the log start moved from ${this.logStart} to ${to}, which nothing asked for`)
      }
    }
    if (this.batchAt(to)?.baseOffset !== to && to > this.#allowedLogStart && to !== this.nextOffset) {
      this.fail('I14 retention', `the log start moved to ${to}, in the middle of a batch`)
    }
    this.logStart = to
  }
}

function outcomeOf(error: Error | undefined): Outcome {
  if (error === undefined) return 'acked'
  if (error instanceof BrokerError && error.code === 'UNKNOWN_TOPIC_OR_PARTITION') return 'unknown'
  return /not known|unknown/i.test(error.message) ? 'unknown' : 'refused'
}
