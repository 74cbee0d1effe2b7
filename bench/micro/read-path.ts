// Reading a megabyte of log through the engine (index, page cache, checksums) against one fs.readSync of the same bytes.
import { mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { nodeFileSystem } from '../../src/base/file-system.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { parseTopicName } from '../../src/base/topic-name.ts'
import { NO_SETTINGS, parseTopicSettings, toLogConfig } from '../../src/broker/topic-config.ts'
import { SegmentLogEngine } from '../../src/log/segment-log-engine.ts'
import { RecordBatchBuilder } from '../../src/record/record-batch.ts'
import { median } from '../statistics.ts'

const TOPIC = parseTopicName('bench')
const RECORDS_PER_BATCH = 150
const BATCHES = 512
const READ_BYTES = [4096, 65_536, 1_048_576] as const
const READS = 200

const directory = mkdtempSync(join(tmpdir(), 'cafelog-micro-'))
const engine = await SegmentLogEngine.open({
  directory,
  fileSystem: nodeFileSystem,
  clock: systemClock,
  logger: silentLogger,
})
const settings = parseTopicSettings({ 'retention.ms': '-1', 'flush.policy': 'os' })
await engine.openTopic(TOPIC, 1, toLogConfig(settings, NO_SETTINGS))
const log = engine.get(TOPIC, 0)
if (log === undefined) throw new Error('The partition that was just opened is not there')
const builder = new RecordBatchBuilder()
const value = Buffer.alloc(100, 'v')
for (let batch = 0; batch < BATCHES; batch++) {
  builder.begin()
  for (let record = 0; record < RECORDS_PER_BATCH; record++) builder.add(null, value, 1_700_000_000_000)
  log.append(builder.finish(), RECORDS_PER_BATCH, 1, undefined)
  await new Promise(setImmediate)
  builder.reset()
}

const file = openSync(join(directory, TOPIC, 'partition-0', '00000000000000000000.log'), 'r')
for (const bytesMax of READ_BYTES) {
  const target = Buffer.alloc(bytesMax)
  const plain: number[] = []
  const engineTimes: number[] = []
  const start = (BATCHES >> 1) * RECORDS_PER_BATCH
  for (let round = 0; round < READS; round++) {
    const plainAt = performance.now()
    readSync(file, target, 0, bytesMax, log.sizeBytes >> 1)
    plain.push(performance.now() - plainAt)
    const engineAt = performance.now()
    await new Promise<void>((resolve, reject) => {
      log.read(start, bytesMax, (error, batches) => {
        if (error) return reject(error)
        batches.release()
        resolve()
      })
    })
    engineTimes.push(performance.now() - engineAt)
  }
  const [plainUs, engineUs] = [median(plain) * 1000, median(engineTimes) * 1000]
  console.log(
    `read of ${bytesMax.toLocaleString('en-US')} bytes: fs.readSync ${plainUs.toFixed(1)} µs, engine ${engineUs.toFixed(1)} µs, ${(engineUs / plainUs).toFixed(1)} times as long`,
  )
}
await engine.close()
rmSync(directory, { recursive: true, force: true })
