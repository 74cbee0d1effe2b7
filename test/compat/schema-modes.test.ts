// Records that fit a schema and records that do not, in one batch, from clients that compress as they please: what each mode
// makes of them, what producers and consumers see, and that all of it adds up to what was sent.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import { CREATE_TOPIC, FETCH, PRODUCE, SET_SCHEMA } from '../support/frame-types.ts'
import { findMissingJava, JVM_OPTIONS } from './java.ts'

const RUN_MS_MAX = 60_000
const SCHEMA = '{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}'
const MODES = ['reject', 'dlq', 'warn'] as const
type Mode = (typeof MODES)[number]

/** Some of these fit, none of those do, and then one more that fits. */
const MIXED = [
  '{"id":0}',
  '{"id":1}',
  '{}',
  '{"id":3}',
  '{"id":4}',
  '{"id":"x"}',
  '{"id":6}',
  '{"id":7}',
  '{"id":8}',
  'no',
]
const WRONG = [2, 5, 9]
const ALL_WRONG = ['no', '1', '[]']
const LAST = ['{"id":99}']
const BATCHES = [MIXED, ALL_WRONG, LAST]
const SENT = MIXED.length + ALL_WRONG.length + LAST.length
const FITTING = SENT - WRONG.length - ALL_WRONG.length

/** What is in the topic in the end, by offset. */
const STORED: Record<Mode, readonly (readonly [offset: number, value: string])[]> = {
  reject: [[0, LAST[0]]],
  dlq: [...MIXED.entries()].filter(([index]) => !WRONG.includes(index)),
  warn: BATCHES.flat().map((value, index) => [index, value] as const),
}

const INSTALLED = fileURLToPath(new URL('.installed', import.meta.url))
const MIXED_JAVA = fileURLToPath(new URL('clients/java/Mixed.java', import.meta.url))
const missing = {
  json: undefined,
  kafkajs: existsSync(`${INSTALLED}/node/node_modules/kafkajs`)
    ? undefined
    : 'there is no kafkajs (npm run compat:install)',
  kcat: spawnSync('kcat', ['-V']).status === 0 ? undefined : 'there is no kcat (apt-get install kcat)',
  java: findMissingJava(),
}
type Client = keyof typeof missing
const CLIENTS = (Object.keys(missing) as Client[]).filter((client) => missing[client] === undefined)
for (const [client, reason] of Object.entries(missing)) {
  if (reason !== undefined) process.stderr.write(`test/compat/schema-modes.test.ts: ${client} is skipped: ${reason}\n`)
}

const topicOf = (client: Client, mode: Mode) => `${client}-${mode}`
const topicsOf = (client: Client) => MODES.map((mode) => topicOf(client, mode))

let broker: WholeBroker
let json: RawClient
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_FLUSH_POLICY: 'os' } })
  json = await RawClient.connect(broker.port)
  for (const client of CLIENTS) {
    for (const mode of MODES) {
      await json.ask(CREATE_TOPIC, { topic: topicOf(client, mode), partitions: 1 })
      await json.ask(SET_SCHEMA, { topic: topicOf(client, mode), schema: SCHEMA, mode })
    }
  }
})
afterAll(async () => {
  json.close()
  await broker.stop()
})

const bootstrap = () => `127.0.0.1:${broker.kafkaPort}`

async function produceJson(topic: string, values: readonly string[]) {
  const records = values.map((value) => ({ value: Buffer.from(value).toString('base64') }))
  return (await json.ask(PRODUCE, { topic, partition: 0, records })).json
}

async function readJson(topic: string): Promise<(readonly [number, string])[]> {
  const { json: answer } = await json.ask(FETCH, { topic, partition: 0, offset: -2 })
  const records = answer.records as { offset: number; value: string }[]
  return records.map(({ offset, value }) => [offset, Buffer.from(value, 'base64').toString()] as const)
}

/** What producers are told: an error for each batch that was refused, undefined for the others. */
const REFUSED: Record<Mode, readonly boolean[]> = {
  reject: [true, true, false],
  dlq: [false, false, false],
  warn: [false, false, false],
}

test('JSON door: the answer says which records and why, or how many became dead letters', async () => {
  for (const mode of MODES) {
    const answers = []
    for (const batch of BATCHES) answers.push(await produceJson(topicOf('json', mode), batch))
    expect(answers.map(({ error }) => error !== undefined)).toEqual(REFUSED[mode])
    if (mode === 'reject') {
      expect(answers[0]).toMatchObject({
        error: { code: 'SCHEMA_VALIDATION_FAILED' },
        records: [
          { index: 2, pointer: '/id', reason: 'required' },
          { index: 5, pointer: '/id', reason: 'type' },
          { index: 9, pointer: '', reason: 'parse' },
        ],
      })
    }
    expect(answers.map(({ deadLetters = 0 }) => deadLetters)).toEqual(mode === 'dlq' ? [3, 3, 0] : [0, 0, 0])
  }
})

const load = createRequire(`${INSTALLED}/node/package.json`)
/** It comes with gzip alone: what the others compress with is added, as its users do. */
async function openKafkajs() {
  const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = load('kafkajs')
  const lz4 = load('lz4-napi')
  const { ZstdCodec } = load('zstd-codec')
  const zstd: any = await new Promise((resolve) => ZstdCodec.run(({ Streaming }: any) => resolve(new Streaming())))
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    decompress: async (buffer: Buffer) => lz4.decompressFrame(buffer),
  })
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    decompress: async (buffer: Buffer) => Buffer.from(zstd.decompress(buffer)),
  })
  return { kafka: new Kafka({ brokers: [bootstrap()], logLevel: logLevel.NOTHING }), CompressionTypes }
}

test.skipIf(missing.kafkajs !== undefined)(
  'kafkajs with gzip: a refused batch fails at once, a batch that was thinned has succeeded',
  async () => {
    const { kafka, CompressionTypes } = await openKafkajs()
    const producer = kafka.producer({ retry: { retries: 2, initialRetryTime: 50 } })
    await producer.connect()
    for (const mode of MODES) {
      const errors: (Error | undefined)[] = []
      for (const batch of BATCHES) {
        const messages = batch.map((value) => ({ value, partition: 0 }))
        const request = { topic: topicOf('kafkajs', mode), compression: CompressionTypes.GZIP, messages }
        errors.push(
          await producer.send(request).then(
            () => undefined,
            (error: Error) => error,
          ),
        )
      }
      expect(errors.map((error) => error !== undefined)).toEqual(REFUSED[mode])
    }
    await producer.disconnect()
  },
  RUN_MS_MAX,
)

test.skipIf(missing.kcat !== undefined)(
  'kcat with zstd',
  async () => {
    const run = async (args: readonly string[], input = '') => {
      const child = spawn('kcat', ['-b', bootstrap(), ...args], { timeout: RUN_MS_MAX / 2 })
      let output = ''
      let errors = ''
      child.stdout.on('data', (piece: Buffer) => (output += piece.toString()))
      child.stderr.on('data', (piece: Buffer) => (errors += piece.toString()))
      child.stdin.end(input)
      await new Promise((resolve) => child.once('close', resolve))
      return { output, errors }
    }
    for (const mode of MODES) {
      const topic = topicOf('kcat', mode)
      const isRefused: boolean[] = []
      for (const batch of BATCHES) {
        const lines = batch.map((value) => `${value}\n`).join('')
        const { errors } = await run(['-P', '-t', topic, '-p', '0', '-z', 'zstd', '-X', 'linger.ms=200'], lines)
        isRefused.push(/Delivery failed/.test(errors))
        if (/Delivery failed/.test(errors)) expect(errors).toMatch(/Broker: Broker failed to validate record/)
      }
      expect(isRefused).toEqual(REFUSED[mode])
      const { output } = await run(['-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%o\t%s\n'])
      const lines = (await readJson(topic)).map(([offset, value]) => `${offset}\t${value}\n`)
      expect(output).toBe(lines.join(''))
    }
  },
  RUN_MS_MAX,
)

test.skipIf(missing.java !== undefined)(
  'Java, idempotent, with lz4',
  async () => {
    const run = (...args: readonly string[]) =>
      new Promise<string[][]>((resolve, reject) => {
        const child = execFile(
          'java',
          [...JVM_OPTIONS, MIXED_JAVA, ...args],
          { timeout: RUN_MS_MAX },
          (error, stdout) => {
            if (error === null)
              resolve(
                stdout
                  .split('\n')
                  .slice(0, -1)
                  .map((line) => line.split('\t')),
              )
            else reject(error)
          },
        )
        child.stdin?.end(BATCHES.map((batch) => `${batch.join('\t')}\n`).join(''))
      })
    const outcomes = await run('produce', bootstrap(), 'lz4', ...topicsOf('java'))
    for (const mode of MODES) {
      const of = (batch: number) =>
        outcomes
          .filter(([topic, number]) => topic === topicOf('java', mode) && Number(number) === batch)
          .map(([, , it]) => it)
      expect([0, 1, 2].map((batch) => of(batch).every((outcome) => /Exception/.test(outcome)))).toEqual(REFUSED[mode])
      if (mode !== 'reject') continue
      expect(of(0)[2]).toBe('InvalidRecordException: /id: it is missing (schema version 1)')
      expect(of(0)[9]).toBe('InvalidRecordException: it is not JSON (schema version 1)')
    }
    const read = await run('consume', bootstrap(), ...topicsOf('java'))
    for (const topic of topicsOf('java')) {
      const seen = read.filter(([name]) => name === topic).map(([, offset, value]) => [Number(offset), value])
      expect([topic, seen]).toEqual([topic, await readJson(topic)])
    }
  },
  RUN_MS_MAX,
)

test.skipIf(missing.kafkajs !== undefined)(
  'kafkajs goes on behind offsets and batches of which nothing is left',
  async () => {
    const { kafka } = await openKafkajs()
    const consumer = kafka.consumer({ groupId: 'kafkajs', maxWaitTimeInMs: 100 })
    const seen = new Map<string, (readonly [number, string])[]>()
    await consumer.connect()
    await consumer.subscribe({ topics: CLIENTS.flatMap(topicsOf), fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ topic, message }: { topic: string; message: { offset: string; value: Buffer } }) => {
        seen.set(topic, [...(seen.get(topic) ?? []), [Number(message.offset), message.value.toString()]])
      },
    })
    // Also where the last batch of the topic was taken away whole.
    for (const client of CLIENTS) await produceJson(topicOf(client, 'dlq'), ['{"id":100}'])
    const hasAll = () => CLIENTS.every((client) => seen.get(topicOf(client, 'dlq'))?.at(-1)?.[1] === '{"id":100}')
    await expect.poll(hasAll, { timeout: RUN_MS_MAX / 2 }).toBe(true)
    for (const topic of CLIENTS.flatMap(topicsOf))
      expect([topic, seen.get(topic)]).toEqual([topic, await readJson(topic)])
    await consumer.disconnect()
  },
  RUN_MS_MAX,
)

test('what is stored, dead or refused adds up to what was sent, and the metrics agree', async () => {
  const metrics = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text()
  const sumOf = (name: string, labels: string) =>
    metrics
      .split('\n')
      .filter((line) => line.startsWith(`${name}{${labels}`))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  for (const client of CLIENTS) {
    for (const mode of MODES) {
      const topic = topicOf(client, mode)
      const stored = (await readJson(topic)).filter(([, value]) => value !== '{"id":100}')
      const deadLetters = mode === 'dlq' ? (await readJson(`${topic}.dlq`)).map(([, value]) => value) : []
      const refused = mode === 'reject' ? MIXED.length + ALL_WRONG.length : 0
      expect([topic, stored.length + deadLetters.length + refused]).toEqual([topic, SENT])
      expect(stored.slice(0, STORED[mode].length)).toEqual(STORED[mode])
      if (mode === 'dlq') expect(deadLetters).toEqual([...WRONG.map((index) => MIXED[index]), ...ALL_WRONG])
      const again = (await readJson(topic)).length - stored.length
      expect(sumOf('cafelog_schema_validations_total', `topic="${topic}",result="valid"`)).toBe(FITTING + again)
      expect(sumOf('cafelog_schema_validations_total', `topic="${topic}",result="invalid"`)).toBe(SENT - FITTING)
      expect(sumOf('cafelog_dlq_messages_total', `topic="${topic}"`)).toBe(deadLetters.length)
    }
  }
})
