// Sends records with one client library, then reads them, and prints how fast that was, as JSON:
// node client-process.js LIBRARY JSON_PORT KAFKA_PORT RECORDS
// A process of its own for each library, so that none shares its heap and its compiled code with another.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { CafeLogClient } from '../client/client.ts'
import type { ClientFigures, ClientLibrary } from './experiments/client.ts'
import { findProjectRoot } from './project-root.ts'
import { makeValue } from './servers/server.ts'

const VALUE_BYTES = 100
/** How many records are handed over at a time, and how many such are on their way, where a library has no batches of its own. */
const HANDED_OVER = 1_000
const ON_THEIR_WAY = 5
const WARM_UP_SHARE = 0.2

/** A library at work. */
interface Contestant {
  /** Sends so many records with `acks=1`; resolves when all are acknowledged. */
  produce(topic: string, records: number): Promise<void>
  /** Reads so many records from the beginning; resolves with the records a second between the first and the last. */
  consume(topic: string, records: number): Promise<number>
  close(): Promise<void>
}

const [library, jsonPort, kafkaPort] = process.argv.slice(2)
const records = Number(process.argv[5])
const value = makeValue(VALUE_BYTES)
const makers: Readonly<Record<ClientLibrary, () => Promise<Contestant>>> = { cafelog, kafkajs, platformatic }
process.stdout.write(`${JSON.stringify(await measure(await makers[library as ClientLibrary]()))}\n`)

async function measure(contestant: Contestant): Promise<ClientFigures> {
  await contestant.produce('warm-up', records * WARM_UP_SHARE)
  await contestant.consume('warm-up', records * WARM_UP_SHARE)
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  await contestant.produce('measured', records)
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const consumed = await contestant.consume('measured', records)
  await contestant.close()
  return { produced: records / seconds, consumed, cores: (user + system) / 1e6 / seconds }
}

/** Counts what comes in; `done` has the records a second behind the first ones. */
function countTo(wanted: number): { add(count: number): void; readonly done: Promise<number> } {
  let seen = 0
  let startedAt = 0
  let atStart = 0
  let finish = (_rate: number) => {}
  const done = new Promise<number>((resolve) => {
    finish = resolve
  })
  return {
    add(count) {
      seen += count
      if (startedAt === 0) {
        startedAt = performance.now()
        atStart = seen
      }
      if (seen >= wanted) finish(((seen - atStart) / (performance.now() - startedAt)) * 1000)
    },
    done,
  }
}

async function cafelog(): Promise<Contestant> {
  const client = new CafeLogClient({ broker: `127.0.0.1:${jsonPort}` })
  for (const topic of ['warm-up', 'measured']) await client.admin().createTopic({ topic, partitions: 1 })
  return {
    async produce(topic, count) {
      await using producer = client.producer({ acks: 1 })
      for (let sent = 0; sent < count; sent++) {
        void producer.send({ topic, value })
        if (sent % HANDED_OVER === 0) await new Promise(setImmediate)
        if (!producer.hasRoom) await producer.room()
      }
      await producer.flush()
    },
    async consume(topic, count) {
      await using consumer = client.consumer({ partitions: [{ topic, partition: 0, offset: 0 }] })
      const counter = countTo(count)
      void consumer.run({ eachBatch: ({ messages }) => counter.add(messages.length) })
      return await counter.done
    },
    close: () => client.close(),
  }
}

/** Calls `send` for so many records, several calls at a time. */
async function sendInPieces(count: number, send: (pieces: number) => Promise<unknown>): Promise<void> {
  let left = count
  const work = async () => {
    while (left > 0) {
      const piece = Math.min(left, HANDED_OVER)
      left -= piece
      await send(piece)
    }
  }
  await Promise.all(Array.from({ length: ON_THEIR_WAY }, work))
}

function load(name: string): unknown {
  const requireThere = createRequire(join(findProjectRoot(), 'test/compat/.installed/node/package.json'))
  return requireThere(name)
}

interface KafkaJs {
  readonly Kafka: new (options: object) => {
    admin(): { connect(): Promise<void>; createTopics(topics: object): Promise<unknown>; disconnect(): Promise<void> }
    producer(options: object): {
      connect(): Promise<void>
      send(records: object): Promise<unknown>
      disconnect(): Promise<void>
    }
    consumer(options: object): {
      connect(): Promise<void>
      subscribe(options: object): Promise<void>
      run(options: {
        autoCommit: boolean
        eachBatch: (payload: { batch: { messages: readonly unknown[] } }) => Promise<void>
      }): Promise<void>
      disconnect(): Promise<void>
    }
  }
}

async function kafkajs(): Promise<Contestant> {
  const { Kafka } = load('kafkajs') as KafkaJs
  const kafka = new Kafka({ clientId: 'bench', brokers: [`127.0.0.1:${kafkaPort}`], logLevel: 0 })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: ['warm-up', 'measured'].map((topic) => ({ topic, numPartitions: 1 })) })
  await admin.disconnect()
  const producer = kafka.producer({ maxInFlightRequests: ON_THEIR_WAY })
  await producer.connect()
  return {
    async produce(topic, count) {
      await sendInPieces(count, (piece) =>
        producer.send({ topic, acks: 1, messages: Array.from({ length: piece }, () => ({ value })) }),
      )
    },
    async consume(topic, count) {
      const consumer = kafka.consumer({ groupId: `bench-${topic}`, maxBytesPerPartition: 1024 * 1024 })
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const counter = countTo(count)
      const eachBatch = ({ batch }: { batch: { messages: readonly unknown[] } }) => {
        counter.add(batch.messages.length)
        return Promise.resolve()
      }
      await consumer.run({ autoCommit: false, eachBatch })
      const rate = await counter.done
      await consumer.disconnect()
      return rate
    },
    close: () => producer.disconnect(),
  }
}

interface Platformatic {
  readonly Admin: new (options: object) => { createTopics(topics: object): Promise<unknown>; close(): Promise<void> }
  readonly Producer: new (options: object) => { send(records: object): Promise<unknown>; close(): Promise<void> }
  readonly Consumer: new (options: object) => {
    consume(options: object): Promise<NodeJS.ReadableStream>
    close(force: boolean): Promise<void>
  }
}

async function platformatic(): Promise<Contestant> {
  const { Admin, Producer, Consumer } = load('@platformatic/kafka') as Platformatic
  const options = { clientId: 'bench', bootstrapBrokers: [`127.0.0.1:${kafkaPort}`] }
  const admin = new Admin(options)
  await admin.createTopics({ topics: ['warm-up', 'measured'], partitions: 1, replicas: 1 })
  await admin.close()
  const producer = new Producer({ ...options, acks: 1, idempotent: false })
  return {
    async produce(topic, count) {
      await sendInPieces(count, (piece) =>
        producer.send({ acks: 1, messages: Array.from({ length: piece }, () => ({ topic, value })) }),
      )
    },
    async consume(topic, count) {
      const consumer = new Consumer({
        ...options,
        groupId: `bench-${topic}`,
        autocommit: false,
        maxBytes: 1024 * 1024,
        highWaterMark: 10_000,
      })
      const stream = await consumer.consume({ topics: [topic], mode: 'earliest', fallbackMode: 'earliest' })
      const counter = countTo(count)
      stream.on('data', () => counter.add(1))
      const rate = await counter.done
      await consumer.close(true)
      return rate
    },
    close: () => producer.close(),
  }
}
