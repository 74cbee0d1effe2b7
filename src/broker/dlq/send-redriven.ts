import { BrokerError } from '../../base/broker-error.ts'
import type { Clock } from '../../base/clock.ts'
import type { LogConfig, PartitionLog, ReadBatches } from '../../log/log-engine.ts'
import {
  changeBatchHeader,
  getBatchBytes,
  getCodec,
  getBaseOffset,
  getLastOffsetDelta,
  getMaxTimestamp,
  RecordBatchBuilder,
  RecordReader,
} from '../../record/record-batch.ts'
import type { TracedForwarding, Tracer } from '../../tracing/tracer.ts'
import type { BatchIntake } from '../batch-intake.ts'
import { REDRIVE_OF_HEADER } from '../dead-letter-headers.ts'
import type { PlannedRecord, RedriveFault } from './plan-redrive.ts'

const BATCH_BYTES = 512 * 1024
const READ_BYTES = 1024 * 1024
const NEEDLE = Buffer.from(REDRIVE_OF_HEADER)

/** What became of records that were given to a log. */
export interface SentRecords {
  readonly sent: readonly PlannedRecord[]
  readonly failed: readonly { readonly record: PlannedRecord; readonly fault: RedriveFault }[]
  /** Resolves when those that were sent are durable; rejects, when nothing is under way any more, if it is not known of one. */
  readonly stored: Promise<void>
}

/**
 * Appends records to the log of their partition, as batches. What the topic does not take fails by itself. Retention counts
 * from now, whatever time the records have: what was a dead letter for long is not removed as soon as it comes.
 */
export function sendRedriven(
  records: readonly PlannedRecord[],
  log: PartitionLog,
  config: LogConfig,
  parts: { readonly intake: BatchIntake; readonly clock: Clock; readonly tracer?: Tracer | undefined },
): SentRecords {
  const { intake, clock, tracer } = parts
  const sent: PlannedRecord[] = []
  const failed: { record: PlannedRecord; fault: RedriveFault }[] = []
  const stored: Promise<void>[] = []
  const send = (part: readonly PlannedRecord[]) => {
    const forwarding = tracer?.forward('redrive', log)
    try {
      const batch = intake.take(toBatch(part, forwarding), config)
      if (config.timestampType === 'CreateTime') {
        changeBatchHeader(batch, { maxTimestamp: Math.max(clock.now(), getMaxTimestamp(batch, 0)) })
      }
      stored.push(append(log, batch, part.length, forwarding))
      sent.push(...part)
    } catch (error) {
      forwarding?.end(error)
      if (!(error instanceof BrokerError) || error.code === 'KAFKA_STORAGE_ERROR') {
        stored.push(Promise.reject(error))
        return
      }
      if (part.length > 1) return part.forEach((record) => send([record]))
      const [record] = part
      failed.push({ record, fault: { kind: 'failed', reason: 'not_taken', pointer: '', message: error.message } })
    }
  }
  for (const part of divide(records, Math.min(BATCH_BYTES, config.batchBytesMax))) send(part)
  return { sent, failed, stored: whenSettled(stored) }
}

/**
 * Reads a log from an offset to its end and returns the records that say they were redriven, with what they say they were.
 * Anybody can say so.
 *
 * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
 */
export async function findRedriven(
  log: PartitionLog,
  fromOffset: number,
): Promise<{ of: string; key: Buffer | null; value: Buffer | null }[]> {
  const found: { of: string; key: Buffer | null; value: Buffer | null }[] = []
  const reader = new RecordReader()
  let offset = Math.max(fromOffset, log.logStartOffset)
  while (offset < log.highWatermark) {
    const batches = await readAny(log, offset)
    try {
      const { bytes } = batches
      if (bytes.length === 0) break
      for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
        offset = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
        const batch = bytes.subarray(at, at + getBatchBytes(bytes, at))
        if (getCodec(batch, 0) === 'none' && !batch.includes(NEEDLE)) continue
        reader.open(batch, 0)
        while (reader.next()) {
          const of = reader.headers.findLast(({ key }) => key === REDRIVE_OF_HEADER)?.value?.toString()
          const { key, value } = reader
          if (of !== undefined) found.push({ of, key: key && Buffer.from(key), value: value && Buffer.from(value) })
        }
      }
    } finally {
      batches.release()
    }
  }
  return found
}

/** An open transaction of somebody else must not hide what was appended behind its beginning. */
function readAny(log: PartitionLog, offset: number): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    log.read(offset, READ_BYTES, (error, batches) => {
      if (error === undefined) resolve(batches)
      else reject(error)
    })
  })
}

function append(
  log: PartitionLog,
  batch: Buffer,
  recordCount: number,
  forwarding: TracedForwarding | undefined,
): Promise<void> {
  let settle: (error: Error | undefined) => void = () => {}
  const stored = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error))
  })
  const baseOffset = log.append(batch, recordCount, 'all', {
    appended(error) {
      forwarding?.end(error, baseOffset)
      settle(error)
    },
  })
  return stored
}

/** Waits for all, also when one has failed. */
export async function whenSettled(outcomes: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(outcomes)) if (outcome.status === 'rejected') throw outcome.reason
}

/** Parts that fit into a batch each, as far as can be said beforehand. */
function divide(records: readonly PlannedRecord[], bytesMax: number): PlannedRecord[][] {
  const parts: PlannedRecord[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const record of records) {
    const more = sizeOf(record)
    if (bytes + more > bytesMax) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)?.push(record)
    bytes += more
  }
  return parts
}

/** A little more than it will take. */
function sizeOf({ key, value, headers }: PlannedRecord): number {
  const ofHeaders = headers.reduce((sum, header) => sum + 3 * header.key.length + (header.value?.length ?? 0) + 10, 0)
  return 100 + (key?.length ?? 0) + (value?.length ?? 0) + ofHeaders
}

function toBatch(records: readonly PlannedRecord[], forwarding: TracedForwarding | undefined): Buffer {
  // Its arena is never taken back: the batch stays as it is.
  const builder = new RecordBatchBuilder(0)
  builder.begin()
  for (const { key, value, timestamp, headers } of records) {
    builder.add(key, value, timestamp, forwarding === undefined ? headers : forwarding.add(headers))
  }
  return builder.finish()
}
