// Reads a log straight from the storage engine and prints how fast that was, as JSON: node read-log-process.js DIRECTORY GIGABYTES
// A process of its own, so that nothing else of the benchmark shares its heap and its thread.
import { systemClock } from '../src/base/clock.ts'
import { nodeFileSystem } from '../src/base/file-system.ts'
import { silentLogger } from '../src/base/logger.ts'
import { parseTopicName } from '../src/base/topic-name.ts'
import { NO_SETTINGS, parseTopicSettings, toLogConfig } from '../src/broker/topic-config.ts'
import type { PartitionLog } from '../src/log/log-engine.ts'
import { SegmentLogEngine } from '../src/log/segment-log-engine.ts'
import { RecordBatchBuilder } from '../src/record/record-batch.ts'
import type { ReadLogFigures } from './experiments/read-log.ts'
import { makeValue } from './servers/server.ts'

const READ_BYTES = 1_048_576
const VALUE_BYTES = 100
const RECORDS_PER_BATCH = 150
const LOG_BYTES = 256 * 1024 * 1024
const TOPIC = parseTopicName('bench')

const engine = await SegmentLogEngine.open({
  directory: process.argv[2],
  fileSystem: nodeFileSystem,
  clock: systemClock,
  logger: silentLogger,
})
const settings = parseTopicSettings({ 'retention.ms': '-1', 'flush.policy': 'os' })
await engine.openTopic(TOPIC, 1, toLogConfig(settings, NO_SETTINGS))
const log = engine.get(TOPIC, 0)
if (log === undefined) throw new Error('The partition that was just opened is not there')
await fill(log)
await read(log, LOG_BYTES)
const figures = await read(log, Number(process.argv[3]) * 1e9)
await engine.close()
process.stdout.write(`${JSON.stringify(figures)}\n`)

/** Appends batches of about 16 KiB until the log is as long as it should be. */
async function fill(log: PartitionLog): Promise<void> {
  const builder = new RecordBatchBuilder()
  const value = makeValue(VALUE_BYTES)
  while (log.sizeBytes < LOG_BYTES) {
    builder.reset()
    for (let batch = 0; batch < 16; batch++) {
      builder.begin()
      for (let record = 0; record < RECORDS_PER_BATCH; record++) builder.add(null, value, 1_700_000_000_000)
      log.append(builder.finish(), RECORDS_PER_BATCH, 1, undefined)
    }
    // The log writes what it was given when the turn is over.
    await new Promise(setImmediate)
  }
}

/** Reads one megabyte after the other, from the start again when the end is reached, until `bytesWanted` have come. */
async function read(log: PartitionLog, bytesWanted: number): Promise<ReadLogFigures> {
  const latencies: number[] = []
  let bytes = 0
  let offset = 0
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  while (bytes < bytesWanted) {
    const askedAt = performance.now()
    const { count, recordCount } = await readOnce(log, offset)
    latencies.push((performance.now() - askedAt) * 1000)
    bytes += count
    offset = count < READ_BYTES / 2 ? 0 : offset + recordCount
  }
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  return {
    bytesPerSecond: bytes / seconds,
    p50Us: latencies[latencies.length >> 1],
    p99Us: latencies[Math.floor(latencies.length * 0.99)],
    cores: (user + system) / 1e6 / seconds,
  }
}

function readOnce(log: PartitionLog, offset: number): Promise<{ count: number; recordCount: number }> {
  return new Promise((resolve, reject) => {
    log.read(offset, READ_BYTES, (error, batches) => {
      if (error) return reject(error)
      // All batches are alike, so their number follows from their size.
      const batchBytes = 12 + batches.bytes.readInt32BE(8)
      const count = batches.bytes.length
      batches.release()
      resolve({ count, recordCount: Math.floor(count / batchBytes) * RECORDS_PER_BATCH })
    })
  })
}
