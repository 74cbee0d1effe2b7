// A stop in order, with everything going on that makes one hard. What was acknowledged is there afterwards, and the next start
// has nothing to recover.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, PRODUCE } from '../support/frame-types.ts'
import { HttpClient } from '../support/http-client.ts'
import { KafkaClient, makeBatch } from '../support/kafka-client.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'

const WAIT_MS = 30_000
const PIPELINED = 8
/** A broker is started twice in each test, beside a busy neighbour. */
const TIMEOUT_MS = 60_000

let home: BrokerHome
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(async () => {
  await home.remove()
})

/** A broker with a topic of this name. */
async function startWith(topic: string, environment: Readonly<Record<string, string>>): Promise<BrokerProcess> {
  const broker = await home.start({ environment })
  const client = await RawClient.connect(broker.port)
  expect((await client.ask(CREATE_TOPIC, { topic, partitions: 1 })).json).toMatchObject({ ok: true })
  client.close()
  return broker
}

/** Writes through the JSON door with several requests on their way, until the broker goes; returns what was acknowledged. */
async function writeUntilTheEnd(client: RawClient, topic: string, writer: string, acked: string[]): Promise<void> {
  const sent: string[] = []
  const sendOne = () => {
    const text = `${writer}-${sent.length}`
    sent.push(text)
    const records = [{ value: Buffer.from(text).toString('base64') }]
    client.send(rawFrame(PRODUCE, { topic, partition: 0, records }))
  }
  for (let count = 0; count < PIPELINED; count++) sendOne()
  for (let answered = 0; ; answered++) {
    const answer = await client.next()
    if (answer === undefined) return
    if (answer.json.numRecords === 1) acked.push(sent[answered])
    if (!client.isEnded) sendOne()
  }
}

/** All values of partition 0. */
async function readAll(port: number, topic: string): Promise<string[]> {
  const client = await RawClient.connect(port)
  const values: string[] = []
  for (let offset = 0; ;) {
    const { json } = await client.ask(FETCH, { topic, partition: 0, offset, maxBytes: 4_000_000 })
    for (const record of json.records) values.push(Buffer.from(record.value, 'base64').toString())
    if (json.records.length === 0) break
    offset = json.records.at(-1).offset + 1
  }
  client.close()
  return values
}

/** The next start finds nothing to recover, or something; and everything in this list. */
async function expectAfterRestart(topic: string, acked: readonly string[], wasClean: boolean): Promise<void> {
  const restarted = await home.start()
  expect(restarted.log.find(({ event }) => event === 'ready')).toMatchObject({ wasClean })
  const stored = new Set(acked.length === 0 ? [] : await readAll(restarted.port, topic))
  expect(acked.filter((value) => !stored.has(value))).toEqual([])
  await restarted.stop()
}

/** A client that asks for much and reads nothing of it; resolves when the broker has begun to answer. */
async function connectStuck(broker: BrokerProcess, topic: string): Promise<Socket> {
  const filler = await RawClient.connect(broker.port)
  const records = Array.from({ length: 40 }, () => ({ value: Buffer.alloc(100_000, 'v').toString('base64') }))
  for (let count = 0; count < 2; count++) await filler.ask(PRODUCE, { topic, partition: 0, records })
  filler.close()
  const socket = connect(broker.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  for (let count = 0; count < 8; count++) {
    socket.write(rawFrame(FETCH, { topic, partition: 0, offset: 0, maxBytes: 8_000_000 }))
  }
  await once(socket, 'readable')
  return socket
}

test(
  'under load: what waits is answered, what was acknowledged is there, and nothing is to be recovered',
  async () => {
    const broker = await startWith('orders', { CAFELOG_SHUTDOWN_TIMEOUT: '10s' })
    const acked: string[] = []
    const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(broker.port)))
    const writing = clients.map((client, index) => writeUntilTheEnd(client, 'orders', `writer-${index}`, acked))

    const parked = await RawClient.connect(broker.port)
    parked.send(
      rawFrame(FETCH, { topic: 'orders', partition: 0, offset: 0, maxWaitMs: WAIT_MS, minBytes: 100_000_000 }),
    )
    const kafka = await KafkaClient.connect(broker.kafkaPort)
    kafka.send(Fetch, 11, {
      replicaId: -1,
      maxWaitMs: WAIT_MS,
      minBytes: 100_000_000,
      maxBytes: 1,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      forgottenTopicsData: [],
      rackId: '',
      topics: [],
    })
    const kafkaWriter = await KafkaClient.connect(broker.kafkaPort)
    const topicData = [{ name: 'orders', partitionData: [{ index: 0, records: makeBatch(['kafka-0']) }] }]
    kafkaWriter.send(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: WAIT_MS, topicData })
    if ((await kafkaWriter.answer(Produce, 9)).answer.responses[0].partitionResponses[0].errorCode === 0) {
      acked.push('kafka-0')
    }
    await vi.waitFor(() => expect(acked.length).toBeGreaterThan(200), { timeout: 20_000 })

    const startedAt = performance.now()
    expect(await broker.stop()).toBe(0)
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    await Promise.all(writing)
    expect((await parked.next())?.json).toMatchObject({ records: [] })
    for (const client of [...clients, parked]) client.close()
    kafka.close()
    kafkaWriter.close()
    expect(broker.log.at(-1)).toMatchObject({ event: 'stopped', level: 'info' })
    await expectAfterRestart('orders', acked, true)
  },
  TIMEOUT_MS,
)

test(
  'a client that reads nothing is waited for, but not longer than was said; meanwhile only readiness fails',
  async () => {
    const broker = await startWith('large', { CAFELOG_SHUTDOWN_TIMEOUT: '4s' })
    const socket = await connectStuck(broker, 'large')
    const http = new HttpClient(broker.httpPort)
    expect((await http.ask('GET', '/readyz')).status).toBe(200)
    const startedAt = performance.now()
    const stopped = broker.stop()
    await vi.waitFor(async () => expect((await http.ask('GET', '/readyz')).status).toBe(503))
    const { json } = await http.ask('GET', '/readyz')
    expect(json.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([
      { name: 'draining', ok: false, detail: 'the broker is stopping' },
    ])
    expect((await http.ask('GET', '/livez')).status).toBe(200)
    await expect(RawClient.connect(broker.port)).rejects.toThrow('ECONNREFUSED')
    http.close()
    expect(await stopped).toBe(0)
    const tookMs = performance.now() - startedAt
    expect(tookMs).toBeGreaterThan(2_000)
    expect(tookMs).toBeLessThan(8_000)
    socket.destroy()
    await expectAfterRestart('large', [], true)
  },
  TIMEOUT_MS,
)

test(
  'who says it again will not wait: the end is at once, and the next start recovers what was acknowledged',
  async () => {
    const broker = await startWith('orders', { CAFELOG_SHUTDOWN_TIMEOUT: '5m' })
    const acked: string[] = []
    const client = await RawClient.connect(broker.port)
    const writing = writeUntilTheEnd(client, 'orders', 'writer', acked)
    const socket = await connectStuck(broker, 'orders')
    await vi.waitFor(() => expect(acked.length).toBeGreaterThan(20), { timeout: 20_000 })
    const stopped = broker.stop()
    await vi.waitFor(() => expect(broker.log.at(-1)).toMatchObject({ event: 'stopping' }))
    await writing
    // Within half a second it counts as the same signal, which a terminal and npm both pass on.
    await vi.waitFor(
      async () => {
        void broker.stop()
        expect(await Promise.race([stopped, Promise.resolve('running')])).toBe(1)
      },
      { timeout: 20_000, interval: 100 },
    )
    expect(broker.log.at(-1)).toMatchObject({ event: 'stopped', level: 'warn' })
    socket.destroy()
    await expectAfterRestart('orders', acked, false)
  },
  TIMEOUT_MS,
)
