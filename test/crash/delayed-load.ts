import { setTimeout as sleep } from 'node:timers/promises'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import { buildBatch, editBatch } from '../support/batches.ts'
import { CREATE_TOPIC, FETCH, LIST_SCHEDULES, PRODUCE } from '../support/frame-types.ts'
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
}

interface Sent {
  readonly dueAt: number
  isAcknowledged: boolean
}

export const TOPIC = 'reminders'
const PARTITIONS = 4
const RECORDS_OF_A_REQUEST = 50
const IDEMPOTENT = 0

/**
 * Sends records with random due times through both doors while the broker is killed and started again, waits until all
 * are due, and reads them. The Kafka half comes from an idempotent producer that sends a batch again until it is answered:
 * each of its records must come exactly once. A JSON request without an answer may have been taken or not.
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
  await Promise.all([sendJson(broker, options, sent), sendKafka(broker, options, sent)])
  await killing
  await waitUntilDelivered(broker)
  return check(broker, sent)
}

async function killNowAndThen(broker: RestartedBroker, { kills, random }: DelayedLoadOptions, end: number) {
  const moments = Array.from({ length: kills }, () => Date.now() + random() * (end - Date.now())).toSorted(
    (a, b) => a - b,
  )
  for (const moment of moments) {
    await sleep(Math.max(0, moment - Date.now()))
    await broker.restart('kill')
  }
}

function* makeRequests(door: string, { records, withinMs, random }: DelayedLoadOptions, sent: Map<string, Sent>) {
  for (let i = 0; i < records / 2; i += RECORDS_OF_A_REQUEST) {
    const request = Array.from({ length: Math.min(RECORDS_OF_A_REQUEST, records / 2 - i) }, (_, index) => {
      const value = `${door}-${i + index}`
      const dueAt = Date.now() + Math.ceil(random() * withinMs)
      sent.set(value, { dueAt, isAcknowledged: false })
      return { value, dueAt }
    })
    yield request
  }
}

function acknowledge(sent: Map<string, Sent>, request: readonly { readonly value: string }[]): void {
  for (const { value } of request) {
    const record = sent.get(value)
    if (record !== undefined) record.isAcknowledged = true
  }
}

async function sendJson(broker: RestartedBroker, options: DelayedLoadOptions, sent: Map<string, Sent>): Promise<void> {
  let client = await broker.connect()
  for (const request of makeRequests('json', options, sent)) {
    const records = request.map(({ value, dueAt }) => {
      return { key: Buffer.from(value).toString('base64'), value: Buffer.from(value).toString('base64'), dueAt }
    })
    const answer = await tryAsk(client, PRODUCE, { topic: TOPIC, partition: -1, records })
    if (answer === undefined) client = await broker.connect()
    else if (answer.json.error === undefined) acknowledge(sent, request)
    else throw new Error(`a request was refused: ${answer.text}`)
  }
  client.close()
}

async function sendKafka(broker: RestartedBroker, options: DelayedLoadOptions, sent: Map<string, Sent>): Promise<void> {
  let client: KafkaClient | undefined
  let producerId: number | undefined
  let sequence = 0
  for (const request of makeRequests('kafka', options, sent)) {
    const batch = buildBatch(
      request.map(({ value, dueAt }) => {
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
    sequence += request.length
    acknowledge(sent, request)
  }
  client?.socket.destroy()
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

async function check(broker: RestartedBroker, sent: ReadonlyMap<string, Sent>): Promise<DelayedReport> {
  const client = await broker.connect()
  const counts = new Map<string, number>()
  const early: string[] = []
  const lateness: number[] = []
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let offset = 0; ;) {
      const { json } = await client.ask(FETCH, { topic: TOPIC, partition, offset, maxBytes: 4_000_000 })
      for (const record of json.records) {
        const value = Buffer.from(record.value, 'base64').toString()
        const dueAt = sent.get(value)?.dueAt ?? Number.NaN
        counts.set(value, (counts.get(value) ?? 0) + 1)
        // What came so late to the broker that it was due already was not delayed.
        if (record.headers?.some(({ key }: { key: string }) => key === 'cafelog-schedule-id') !== true) continue
        if (!(record.ts >= dueAt)) early.push(value)
        lateness.push(record.ts - dueAt)
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
  }
}

/** The value that a share of all, 0 to 1, is not above. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}
