import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { type File, type FileSystem, nodeFileSystem } from '../../src/base/file-system.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { parseTopicName } from '../../src/base/topic-name.ts'
import type { Acks, LogConfig, PartitionLog } from '../../src/log/log-engine.ts'
import { type EngineOptions, SegmentLogEngine } from '../../src/log/segment-log-engine.ts'
import { decodeRecords, getBatchBytes, RecordBatchBuilder } from '../../src/record/record-batch.ts'

/** The topic of every test of the log. */
export const TOPIC = parseTopicName('orders')

/** Nothing expires, segments of a megabyte, durable before the ack. */
export const LOG_CONFIG: LogConfig = {
  retentionMs: -1,
  retentionBytes: -1,
  segmentMs: 3_600_000,
  segmentBytes: 1 << 20,
  batchBytesMax: 1 << 20,
  indexIntervalBytes: 4096,
  flushPolicy: { kind: 'always' },
  cleanupPolicy: 'delete',
  deleteRetentionMs: 86_400_000,
  minCompactionLagMs: 0,
  maxCompactionLagMs: -1,
  minCleanableDirtyRatio: 0.5,
  timestampType: 'CreateTime',
  timestampBeforeMaxMs: -1,
  timestampAfterMaxMs: -1,
  compression: 'producer',
  gzipLevel: -1,
  zstdLevel: 3,
  delayEnable: true,
  delayMaxMs: 31_536_000_000,
  delayRecordsMax: 10_000_000,
}

/** A data directory of its own that goes when the test is over. */
export function makeDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'cafelog-log-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Opens an engine with two partitions of `TOPIC`. Checkpoints are written only at start, stop and when they must be. */
export async function openEngine(
  directory: string,
  config: Partial<LogConfig> = {},
  parts: { options?: Partial<EngineOptions>; fileSystem?: FileSystem; clock?: Clock } = {},
): Promise<SegmentLogEngine> {
  const engine = await SegmentLogEngine.open({
    directory,
    fileSystem: parts.fileSystem ?? nodeFileSystem,
    clock: parts.clock ?? systemClock,
    logger: silentLogger,
    options: { checkpointMs: 3_600_000, ...parts.options },
  })
  await engine.openTopic(TOPIC, 2, { ...LOG_CONFIG, ...config })
  return engine
}

/** The log of a partition that must be there. */
export function logOf(engine: SegmentLogEngine, partition = 0) {
  const log = engine.get(TOPIC, partition)
  if (log === undefined) throw new Error(`partition ${partition} is not open`)
  return log
}

/** One batch; the records' timestamps count up from `timestamp`. */
export function makeBatch(values: readonly string[], timestamp = 1000): Buffer {
  const builder = new RecordBatchBuilder()
  builder.begin()
  values.forEach((value, i) => builder.add(Buffer.from(`k${i}`), Buffer.from(value), timestamp + i, []))
  return builder.finish()
}

/** Appends one batch; resolves with its base offset when it is acknowledged. */
export function append(
  log: PartitionLog,
  values: readonly string[],
  options: { acks?: Acks; timestamp?: number } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const batch = makeBatch(values, options.timestamp)
    const offset: number = log.append(batch, values.length, options.acks ?? 'all', {
      appended: (error) => (error === undefined ? resolve(offset) : reject(error)),
    })
  })
}

/** One read: the values by their offsets. */
export function read(log: PartitionLog, fromOffset: number, bytesMax = 1 << 20): Promise<Map<number, string>> {
  return new Promise((resolve, reject) => {
    log.read(fromOffset, bytesMax, (error, batches) => {
      if (error !== undefined) return reject(error)
      const records = new Map<number, string>()
      for (let at = 0; at < batches.bytes.length; at += getBatchBytes(batches.bytes, at)) {
        for (const { offset, value } of decodeRecords(batches.bytes, at)) records.set(offset, String(value))
      }
      batches.release()
      resolve(records)
    })
  })
}

/** Everything from the log start to the high watermark. */
export async function readAll(log: PartitionLog): Promise<Map<number, string>> {
  const all = new Map<number, string>()
  let offset = log.logStartOffset
  while (offset < log.highWatermark) {
    for (const [at, value] of await read(log, offset)) {
      all.set(at, value)
      offset = at + 1
    }
  }
  return all
}

/** What is wrong with a disk; set a field to make single calls fail. */
export interface Faults {
  /** Throws to fail a write; returns fewer bytes than asked for to make it short. */
  beforeWrite: (path: string, bytes: number) => number
  /** An error for the next sync, if any. */
  beforeSync: (path: string) => NodeJS.ErrnoException | null
}

/** The real disk with faults to order. */
export function makeFaultyDisk(): { fileSystem: FileSystem; faults: Faults } {
  const faults: Faults = { beforeWrite: (_path, bytes) => bytes, beforeSync: () => null }
  const open = (path: string, mode: 'read' | 'write' | 'create'): File => {
    const file = nodeFileSystem.open(path, mode)
    return {
      path,
      size: () => file.size(),
      read: (target, offset, length, position) => file.read(target, offset, length, position),
      readLater: (target, offset, length, position, done) => file.readLater(target, offset, length, position, done),
      write: (buffers, position) => {
        const bytes = Buffer.concat(buffers)
        return file.write([bytes.subarray(0, faults.beforeWrite(path, bytes.length))], position)
      },
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sync: (done) => {
        const error = faults.beforeSync(path)
        if (error === null) file.sync(done)
        else setImmediate(() => done(error))
      },
      syncNow: () => file.syncNow(),
      close: () => file.close(),
    }
  }
  return { fileSystem: { ...nodeFileSystem, open }, faults }
}
