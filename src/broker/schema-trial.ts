import type { Clock } from '../base/clock.ts'
import { isCompacted } from '../log/log-engine.ts'
import type { PartitionLog, ReadBatches } from '../log/log-engine.ts'
import {
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
  RecordReader,
} from '../record/record-batch.ts'
import { findSchemaFault } from '../schema/check-value.ts'
import type { CompiledSchema } from '../schema/compiled-schema.ts'
import { FaultSummary } from '../schema/fault-summary.ts'
import type { FaultGroup } from '../schema/fault-summary.ts'
import { hideAborted } from './hide-aborted.ts'
import type { Topic } from './topics.ts'
import { Turns } from './turns.ts'

const READ_BYTES = 256 * 1024
/** A trial that takes longer says what it has found so far. */
const TRIAL_MS_MAX = 5_000

/** Where a record is. */
export interface RecordPlace {
  readonly partition: number
  readonly offset: number
}

/** What a schema would have said of records that are in a topic. */
export interface TrialResult {
  readonly valid: number
  readonly invalid: number
  /** False when time ran out before all of the records were looked at. */
  readonly isComplete: boolean
  readonly groups: readonly FaultGroup<RecordPlace>[]
}

/** Tries schemas on the last records of topics, one trial after the other, a few milliseconds at a time. */
export class SchemaTrials {
  readonly #clock: Clock
  readonly #findLog: (topic: string, partition: number) => PartitionLog | undefined
  readonly #unpackedBytesMax: number | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: {
    readonly clock: Clock
    readonly findLog: (topic: string, partition: number) => PartitionLog | undefined
    /** The most that the records of one batch may grow to when they are decompressed. */
    readonly unpackedBytesMax: number | undefined
  }) {
    this.#clock = parts.clock
    this.#findLog = parts.findLog
    this.#unpackedBytesMax = parts.unpackedBytesMax
  }

  /**
   * Checks the last `recordsMax` committed records of a topic, shared out between its partitions.
   *
   * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  run(topic: Topic, schema: CompiledSchema, recordsMax: number): Promise<TrialResult> {
    const trial = this.#last.then(() => this.#run(topic, schema, recordsMax))
    this.#last = trial.catch(() => {})
    return trial
  }

  async #run(topic: Topic, schema: CompiledSchema, recordsMax: number): Promise<TrialResult> {
    const summary = new FaultSummary<RecordPlace>()
    const endsAtMs = this.#clock.monotonic() + TRIAL_MS_MAX
    const turns = new Turns(this.#clock)
    const takesTombstones = isCompacted(topic.config)
    const reader = new RecordReader(this.#unpackedBytesMax)
    let isComplete = true
    for (const { log, from, until } of this.#share(topic, recordsMax)) {
      let next = from
      while (isComplete && next < until) {
        const batches = await readCommitted(log, Math.max(next, log.logStartOffset))
        try {
          const { bytes } = batches
          if (bytes.length === 0) break
          for (let at = 0; isComplete && at < bytes.length; at += getBatchBytes(bytes, at)) {
            next = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
            if (isControlBatch(bytes, at)) continue
            reader.open(bytes, at)
            while (isComplete && reader.next()) {
              const { offset, value } = reader
              if (offset < from || offset >= until) continue
              const fault = value === null && takesTombstones ? undefined : findSchemaFault(value, schema)
              summary.add(fault, { partition: log.partition, offset })
              if (!turns.isOver) continue
              isComplete = this.#clock.monotonic() < endsAtMs
              await turns.pass()
            }
          }
        } finally {
          batches.release()
        }
      }
    }
    reader.close()
    const { valid, invalid } = summary
    return { valid, invalid, isComplete, groups: summary.groups() }
  }

  /** Which offsets of which partition are looked at: what one has too few of, the others may have more of. */
  #share(topic: Topic, recordsMax: number) {
    const logs = Array.from({ length: topic.partitionCount }, (_, partition) => this.#findLog(topic.name, partition))
    const known = logs.filter((log) => log !== undefined)
    const sizeOf = (log: PartitionLog) => log.lastStableOffset - log.logStartOffset
    let left = recordsMax
    return known
      .toSorted((one, other) => sizeOf(one) - sizeOf(other))
      .map((log, index, { length }) => {
        const count = Math.min(sizeOf(log), Math.ceil(left / (length - index)))
        left -= count
        const until = log.lastStableOffset
        return { log, from: until - count, until }
      })
  }
}

function readCommitted(log: PartitionLog, fromOffset: number): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, batches: ReadBatches) => {
      try {
        if (error !== undefined) throw error
        hideAborted(log, batches.bytes)
        resolve(batches)
      } catch (fault) {
        batches.release()
        reject(fault)
      }
    }
    log.read(fromOffset, READ_BYTES, done, 'read_committed')
  })
}
