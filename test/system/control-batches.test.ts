import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildBatch, editBatch } from '../support/batches.ts'
import { RawClient } from '../support/raw-client.ts'
import { startTestBroker } from '../support/start-broker.ts'
import type { TestBroker } from '../support/start-broker.ts'
import { runCli } from './cli-harness.ts'

// Transactions leave control batches in the log: they have offsets, and are not for consumers.

const CREATE_TOPIC = 1
const FETCH = 3

let broker: TestBroker
let json: RawClient
beforeAll(async () => {
  broker = await startTestBroker({ settings: { 'flush.policy': 'os' } })
  json = await RawClient.connect(broker.port)
})
afterAll(async () => {
  json.close()
  await broker.stop()
})

let topics = 0
/** A topic with these values, and a control batch for each undefined. */
async function newTopic(...values: (string | undefined)[]): Promise<string> {
  const topic = `marked-${++topics}`
  await json.ask(CREATE_TOPIC, { topic, partitions: 1 })
  for (const value of values) await append(topic, value)
  return topic
}

function append(topic: string, value: string | undefined): Promise<void> {
  const batch = buildBatch([{ value: value ?? 'mark', timestamp: Date.now() }])
  const marked = value === undefined ? editBatch(batch, (bytes) => bytes.writeInt16BE(0x20, 21)) : batch
  return new Promise((resolve, reject) => {
    const appended = (error: Error | undefined) => (error === undefined ? resolve() : reject(error))
    broker.broker.produce(broker.broker.getLog(topic, 0), marked, 1, 1, { appended })
  })
}

async function fetch(topic: string, offset: number, more: object = {}) {
  const { json: answer } = await json.ask(FETCH, { topic, partition: 0, offset, ...more })
  const { records, nextOffset, highWatermark } = answer as {
    records: { offset: number; value: string }[]
    nextOffset?: number
    highWatermark: number
  }
  const values = records.map(({ offset: at, value }) => [at, Buffer.from(value, 'base64').toString()])
  return { values, nextOffset, highWatermark }
}

test('control batches are not shown, and the answer says where to go on when they are last', async () => {
  const topic = await newTopic(undefined, 'a', undefined, 'b', undefined)
  expect(await fetch(topic, 0)).toEqual({
    values: [
      [1, 'a'],
      [3, 'b'],
    ],
    nextOffset: 5,
    highWatermark: 5,
  })
  expect(await fetch(topic, 3)).toEqual({ values: [[3, 'b']], nextOffset: 5, highWatermark: 5 })
  expect(await fetch(topic, 4)).toEqual({ values: [], nextOffset: 5, highWatermark: 5 })
  expect(await fetch(topic, 5)).toEqual({ values: [], nextOffset: undefined, highWatermark: 5 })
  const plain = await newTopic('a', undefined, 'b')
  expect(await fetch(plain, 0)).toEqual({
    values: [
      [0, 'a'],
      [2, 'b'],
    ],
    nextOffset: undefined,
    highWatermark: 3,
  })
})

test('a read of control batches alone goes on with the next ones, however many they are', async () => {
  const topic = await newTopic(...Array<undefined>(300).fill(undefined), 'behind them')
  // Each read has room for one batch.
  expect(await fetch(topic, 0, { maxBytes: 1 })).toEqual({
    values: [[300, 'behind them']],
    nextOffset: undefined,
    highWatermark: 301,
  })
})

test('behind control batches a fetch waits for records, and for no longer than it was told', async () => {
  const topic = await newTopic(undefined, undefined)
  const waiting = fetch(topic, 0, { maxWaitMs: 60_000 })
  await new Promise((resolve) => setImmediate(resolve))
  await append(topic, undefined)
  await append(topic, 'came later')
  expect(await waiting).toEqual({ values: [[3, 'came later']], nextOffset: undefined, highWatermark: 4 })
  await append(topic, undefined)
  expect(await fetch(topic, 4, { maxWaitMs: 50 })).toEqual({ values: [], nextOffset: 5, highWatermark: 5 })
})

test('a client that goes while its fetch goes on leaves nothing behind', async () => {
  const topic = await newTopic(...Array<undefined>(200).fill(undefined))
  const other = await RawClient.connect(broker.port)
  const gone = other.ask(FETCH, { topic, partition: 0, offset: 0, maxBytes: 1, maxWaitMs: 60_000 }).catch(() => {})
  await new Promise((resolve) => setImmediate(resolve))
  other.close()
  await gone
  expect(await fetch(topic, 0)).toEqual({ values: [], nextOffset: 200, highWatermark: 200 })
})

test('brokerctl consume comes to the end of a partition that ends with control batches', async () => {
  const topic = await newTopic('a', 'b', undefined, undefined)
  const { stdout, code } = await runCli(['consume', topic, '--from-beginning', '--exit', '--group', 'readers'], {
    CAFELOG_BROKER: `127.0.0.1:${broker.port}`,
  })
  expect({ stdout, code }).toEqual({ stdout: 'a\nb\n', code: 0 })
  expect(broker.broker.committedOffsets.get('readers', topic, 0)?.offset).toBe(4)
})
