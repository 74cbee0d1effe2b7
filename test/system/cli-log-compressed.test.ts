// `log dump`, `log verify` and `consume` where records are compressed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { buildBatch, compressBatch, editBatch } from '../support/batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { runCli } from './cli-harness.ts'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const VALUES = ['first', 'second', 'third']

let directory: string
let broker: WholeBroker
let client: KafkaClient
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-cli-'))
  broker = await startWholeBroker({ directory, environment: { CAFELOG_FLUSH_POLICY: 'os' } })
  client = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const cli = (...args: string[]) =>
  runCli(args, { CAFELOG_BROKER: `127.0.0.1:${broker.port}`, CAFELOG_DATA_DIR: directory })

async function produce(name: string, records: Buffer) {
  const topicData = [{ name, partitionData: [{ index: 0, records }] }]
  const { responses } = await client.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData })
  expect(responses[0].partitionResponses[0]).toMatchObject({ errorCode: 0 })
}

test('records are shown and checked whatever they are compressed with', async () => {
  expect(await cli('topic', 'create', 'packed')).toMatchObject({ code: 0 })
  const timestamp = Date.now()
  const batch = buildBatch(VALUES.map((value) => ({ key: 'k', value, timestamp })))
  for (const codec of CODECS) await produce('packed', compressBatch(batch, codec))
  const expected = CODECS.flatMap(() => VALUES).map((value) => `${value}\n`)
  const consumed = await cli('consume', 'packed', '--from-beginning', '--exit')
  expect(consumed).toEqual({ stdout: expected.join(''), stderr: '', code: 0 })

  // A batch whose records nobody can read was taken as it came.
  const damaged = editBatch(compressBatch(batch, 'zstd'), (bytes) => bytes.fill(0x7f, 61))
  await produce('packed', damaged)
  client.close()
  await broker.stop()

  const dumped = await cli('log', 'dump', 'packed', '-j')
  const rows = dumped.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { codec: string; crc: string })
  expect(rows.map(({ codec, crc }) => [codec, crc])).toEqual([...CODECS, 'zstd'].map((codec) => [codec, 'ok']))
  const records = await cli('log', 'dump', 'packed', '--records', '--format', '%v\\n')
  expect(records).toMatchObject({ stdout: expected.join(''), code: 0 })
  expect(records.stderr).toContain('its records cannot be decompressed with zstd')
  const verified = await cli('log', 'verify', 'packed')
  expect(verified.code).not.toBe(0)
  expect(verified.stdout + verified.stderr).toContain('its records cannot be decompressed with zstd')
})
