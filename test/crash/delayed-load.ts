import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import { buildBatch, editBatch } from '../support/batches.ts'
import { CREATE_TOPIC, FETCH, LIST_SCHEDULES, PRODUCE } from '../support/frame-types.ts'
import { HttpClient } from '../support/http-client.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { tryAsk } from '../support/restarted-broker.ts'
import type { RestartedBroker } from '../support/restarted-broker.ts'

/** How much is to wait, and for how long. */
export interface DelayedLoadOptions {
  readonly records: number
  /** Records are due within so many milliseconds from when they are sent. */
  readonly withinMs: number
  readonly kills: number
  /** From 0 to below 1. */
  readonly random: () => number
  /** The folder of kafkajs, for a door more. The broker's Kafka port must then be the same in all of its lives. */
  readonly kafkajs?: string | undefined
}

/** What a run came to. */
export interface DelayedReport {
  readonly sent: number
  readonly delivered: number
  /** Not acknowledged, and there or not: either is right. */
  readonly unknown: number
  readonly lost: readonly string[]
  readonly twice: readonly string[]
  readonly early: readonly string[]
  /** Milliseconds from due to stored, ascending; those due while the broker was down are as late as its start was. */
  readonly lateness: readonly number[]
  /** The same of those that were due while it was up. */
  readonly latenessWhileUp: readonly number[]
  /** How many came through each door. */
  readonly doors: Readonly<Record<string, number>>
}

/** When the broker was not there, Unix milliseconds. */
interface Outage {
  readonly fromMs: number
  readonly toMs: number
}

interface Sent {
  readonly dueAt: number
  isAcknowledged: boolean
}

export const TOPIC = 'reminders'
const PARTITIONS = 4
const RECORDS_OF_A_REQUEST = 50
const IDEMPOTENT = 0

/** What was missed while the broker was down is delivered then; those that are due meanwhile wait for their turn. */
const CATCHING_UP_MS = 200

/**
 * Sends records with random due times through all doors while the broker is killed and started again, waits until all are
 * due, and reads them.
 *
 * What must hold: whatever was answered comes once, and nothing before it is due. The Kafka halves come from idempotent
 * producers that send a batch again until it is answered, so that each of their records must come exactly once. JSON and
 * HTTP have no such numbers: a request whose answer was cut off by a kill is not sent again, and its records may be there,
 * once each, or not.
 */
export async function runDelayedLoad(broker: RestartedBroker, options: DelayedLoadOptions): Promise<DelayedReport> {
  const sent = new Map<string, Sent>()
  const client = await broker.connect()
  // The broker's own time is then in each record.
  const config = { 'message.timestamp.type': 'LogAppendTime' }
  await client.ask(CREATE_TOPIC, { topic: TOPIC, partitions: PARTITIONS, config })
  client.close()
  const end = Date.now() + options.withinMs
  const killing = killNowAndThen(broker, options, end)
  const doors: Record<string, Door> = { json: sendJson, http: sendHttp, kafka: sendKafka }
  if (options.kafkajs !== undefined) doors['kafkajs'] = sendKafkajs
  const count = Object.keys(doors).length
  const sending = Object.entries(doors).map(([name, send], index) => {
    const records = Math.floor((options.records * (index + 1)) / count) - Math.floor((options.records * index) / count)
    return send(broker, makeRequests(name, { ...options, records }, sent), options.kafkajs ?? '')
  })
  // Whatever happens to them, no broker is started any more once this is over.
  const results = await Promise.allSettled(sending)
  const outages = await killing
  for (const result of results) if (result.status === 'rejected') throw result.reason
  await waitUntilDelivered(broker)
  return check(broker, sent, outages)
}

async function killNowAndThen(broker: RestartedBroker, { kills, random }: DelayedLoadOptions, end: number) {
  const outages: Outage[] = []
  const moments = Array.from({ length: kills }, () => Date.now() + random() * (end - Date.now())).toSorted(
    (a, b) => a - b,
  )
  for (const moment of moments) {
    await sleep(Math.max(0, moment - Date.now()))
    const fromMs = Date.now()
    await broker.restart('kill')
    outages.push({ fromMs: fromMs - CATCHING_UP_MS, toMs: Date.now() + CATCHING_UP_MS })
  }
  return outages
}

/** Records that are sent together. */
interface Request {
  readonly records: readonly { readonly value: string; readonly dueAt: number }[]
  /** The broker has answered that it took them. */
  acknowledge(): void
}

type Door = (broker: RestartedBroker, requests: Iterable<Request>, kafkajs: string) => Promise<void>

function* makeRequests(
  door: string,
  { records, withinMs, random }: DelayedLoadOptions,
  sent: Map<string, Sent>,
): Iterable<Request> {
  for (let i = 0; i < records; i += RECORDS_OF_A_REQUEST) {
    const request = Array.from({ length: Math.min(RECORDS_OF_A_REQUEST, records - i) }, (_, index) => {
      const value = `${door}-${i + index}`
      const dueAt = Date.now() + Math.ceil(random() * withinMs)
      const record = { dueAt, isAcknowledged: false }
      sent.set(value, record)
      return { value, dueAt, record }
    })
    yield {
      records: request,
      acknowledge() {
        for (const { record } of request) record.isAcknowledged = true
      },
    }
  }
}

async function sendJson(broker: RestartedBroker, requests: Iterable<Request>): Promise<void> {
  let client = await broker.connect()
  for (const request of requests) {
    const records = request.records.map(({ value, dueAt }) => {
      return { key: Buffer.from(value).toString('base64'), value: Buffer.from(value).toString('base64'), dueAt }
    })
    const answer = await tryAsk(client, PRODUCE, { topic: TOPIC, partition: -1, records })
    if (answer === undefined) client = await broker.connect()
    else if (answer.json.error === undefined) request.acknowledge()
    else throw new Error(`a request was refused: ${answer.text}`)
  }
  client.close()
}

async function sendHttp(broker: RestartedBroker, requests: Iterable<Request>): Promise<void> {
  let client = new HttpClient((await broker.current()).httpPort)
  for (const request of requests) {
    const records = request.records.map(({ value, dueAt }) => ({ key: value, valueText: value, dueAt }))
    try {
      const answer = await client.ask('POST', `/api/v1/topics/${TOPIC}/records`, { body: { records } })
      if (answer.status >= 300) throw new Refused(`a request was refused with ${answer.status}: ${answer.text}`)
      request.acknowledge()
    } catch (error) {
      if (error instanceof Refused) throw error
      client.close()
      client = new HttpClient((await broker.current()).httpPort)
    }
  }
  client.close()
}

async function sendKafka(broker: RestartedBroker, requests: Iterable<Request>): Promise<void> {
  let client: KafkaClient | undefined
  let producerId: number | undefined
  let sequence = 0
  for (const request of requests) {
    const batch = buildBatch(
      request.records.map(({ value, dueAt }) => {
        const headers = [{ key: 'cafelog-due-at', value: Buffer.from(String(dueAt)) }]
        return { key: value, value, timestamp: Date.now(), headers }
      }),
    )
    for (;;) {
      try {
        client ??= await KafkaClient.connect((await broker.current()).kafkaPort)
        const identity = { transactionalId: null, transactionTimeoutMs: 60_000 }
        producerId ??= (await client.ask(InitProducerId, 4, identity)).producerId
        const records = asProducer(batch, producerId, sequence)
        const topicData = [{ name: TOPIC, partitionData: [{ index: IDEMPOTENT, records }] }]
        const answer = await client.ask(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 30_000, topicData })
        const { errorCode, errorMessage } = answer.responses[0].partitionResponses[0]
        if (errorCode !== 0) throw new Refused(`a batch was refused with ${errorCode}: ${errorMessage}`)
        break
      } catch (error) {
        if (error instanceof Refused) throw error
        // The broker is gone; the next one is told the same.
        client?.socket.destroy()
        client = undefined
        await sleep(20)
      }
    }
    sequence += request.records.length
    request.acknowledge()
  }
  client?.socket.destroy()
}

/** As much of kafkajs as is used here. */
interface Kafkajs {
  readonly logLevel: { readonly NOTHING: number }
  readonly Kafka: new (options: object) => { producer(options: object): KafkajsProducer }
}

interface KafkajsProducer {
  connect(): Promise<void>
  send(request: object): Promise<unknown>
  disconnect(): Promise<void>
}

async function sendKafkajs(broker: RestartedBroker, requests: Iterable<Request>, folder: string): Promise<void> {
  const { Kafka, logLevel } = createRequire(import.meta.url)(folder) as Kafkajs
  const brokers = [`127.0.0.1:${(await broker.current()).kafkaPort}`]
  const retry = { retries: 200, initialRetryTime: 50, maxRetryTime: 200 }
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry })
  let producer: KafkajsProducer | undefined
  for (const request of requests) {
    const messages = request.records.map(({ value, dueAt }) => {
      return { key: value, value, headers: { 'cafelog-due-at': String(dueAt) } }
    })
    try {
      if (producer === undefined) {
        const fresh = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry })
        await fresh.connect()
        producer = fresh
      }
      await producer.send({ topic: TOPIC, acks: -1, messages })
      request.acknowledge()
    } catch {
      // It sends again by itself as long as it can. Another producer would not be known to have sent the same.
      await producer?.disconnect()
      producer = undefined
    }
  }
  await producer?.disconnect()
}

class Refused extends Error {}

function asProducer(batch: Buffer, producerId: number, sequence: number): Buffer {
  return editBatch(batch, (bytes) => {
    bytes.writeBigInt64BE(BigInt(producerId), 43)
    bytes.writeInt16BE(0, 51)
    bytes.writeInt32BE(sequence, 53)
  })
}

async function waitUntilDelivered(broker: RestartedBroker): Promise<void> {
  const client = await broker.connect()
  for (;;) {
    const { json } = await client.ask(LIST_SCHEDULES, { topic: TOPIC, limit: 1 })
    if (json.waiting === 0) break
    await sleep(50)
  }
  client.close()
}

async function check(
  broker: RestartedBroker,
  sent: ReadonlyMap<string, Sent>,
  outages: readonly Outage[],
): Promise<DelayedReport> {
  const client = await broker.connect()
  const counts = new Map<string, number>()
  const early: string[] = []
  const lateness: number[] = []
  const latenessWhileUp: number[] = []
  const doors: Record<string, number> = {}
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let offset = 0; ;) {
      const { json } = await client.ask(FETCH, { topic: TOPIC, partition, offset, maxBytes: 4_000_000 })
      for (const record of json.records) {
        const value = Buffer.from(record.value, 'base64').toString()
        const dueAt = sent.get(value)?.dueAt ?? Number.NaN
        counts.set(value, (counts.get(value) ?? 0) + 1)
        const [door] = value.split('-')
        doors[door] = (doors[door] ?? 0) + 1
        // What came so late to the broker that it was due already was not delayed.
        if (record.headers?.some(({ key }: { key: string }) => key === 'cafelog-schedule-id') !== true) continue
        if (!(record.ts >= dueAt)) early.push(value)
        lateness.push(record.ts - dueAt)
        const wasDown = outages.some(({ fromMs, toMs }) => dueAt >= fromMs && dueAt <= toMs)
        if (!wasDown) latenessWhileUp.push(record.ts - dueAt)
      }
      const next = json.nextOffset ?? (json.records.at(-1)?.offset ?? offset - 1) + 1
      if (next >= json.highWatermark) break
      offset = next
    }
  }
  client.close()
  const all = [...sent]
  return {
    sent: all.length,
    delivered: counts.size,
    unknown: all.filter(([, { isAcknowledged }]) => !isAcknowledged).length,
    lost: all.filter(([value, { isAcknowledged }]) => isAcknowledged && !counts.has(value)).map(([value]) => value),
    twice: [...counts].filter(([, count]) => count > 1).map(([value]) => value),
    early,
    lateness: lateness.toSorted((a, b) => a - b),
    latenessWhileUp: latenessWhileUp.toSorted((a, b) => a - b),
    doors,
  }
}

/** The value that a share of all, 0 to 1, is not above. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}
