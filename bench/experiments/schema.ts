import { readFileSync } from 'node:fs'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { FRAME_HEADER_BYTES, FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import type { Codec } from '../../src/record/record-batch.ts'
import { buildBatch, compressBatch } from '../../test/support/batches.ts'
import { COSTLY } from '../../test/support/hostile-schemas.ts'
import { KafkaClient } from '../../test/support/kafka-client.ts'
import { formatCount, formatSpread } from '../format.ts'
import { findFreePort } from '../processes.ts'
import { cafeLog } from '../servers/cafelog.ts'
import type { Startable } from '../servers/server.ts'
import { median, spread } from '../statistics.ts'
import { encodeFrame, findFrameEnd, PlainConnection } from '../wire.ts'
import { withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

const SCHEMA = JSON.stringify({
  type: 'object',
  required: ['id', 'customer', 'placedAt', 'items'],
  properties: {
    id: { type: 'integer', minimum: 0 },
    customer: { type: 'string', minLength: 1, maxLength: 100 },
    placedAt: { type: 'string', format: 'date-time' },
    state: { enum: ['open', 'paid', 'sent'] },
    items: {
      type: 'array',
      items: { type: 'object', required: ['sku'], properties: { sku: { type: 'string' }, count: { type: 'integer' } } },
    },
  },
  additionalProperties: false,
})
const VALUE = JSON.stringify({
  id: 123456,
  customer: 'customer-4711',
  placedAt: '2026-11-24T10:20:30Z',
  state: 'paid',
  items: [{ sku: 'flat-white', count: 2 }],
})
const RECORDS_PER_REQUEST = 100
const WINDOW = 32
const TICKS_PER_SECOND = 100
/** Of the neighbour who waits for others. */
const PROBES_BETWEEN = 3

type Door = 'JSON' | 'Kafka' | 'Kafka, gzip'
const DOORS: readonly Door[] = ['JSON', 'Kafka', 'Kafka, gzip']

interface Run {
  readonly door: Door
  readonly hasSchema: boolean
  readonly recordsPerSecond: number
  /** Processor time of the broker for each record, in microseconds: it depends less on who else is at work. */
  readonly cpuMicroseconds: number
}

/**
 * What a schema costs: orders of 150 bytes, a hundred in a request, 32 requests in flight on one connection, with and without a
 * schema, through both doors; and how long a neighbour waits at most while pairs of a schema and a record that were made to be
 * costly are set and sent.
 */
export async function measureSchema(context: BenchContext): Promise<ExperimentResult> {
  const { missing } = cafeLog('interval:10ms')
  const runs: Run[] = []
  const waits: { quietMs: number; slowestMs: number; worst: string }[] = []
  for (let round = 0; missing === undefined && round < context.rounds; round++) {
    context.note(`schema, round ${round + 1} of ${context.rounds}`)
    await withBroker(context, async (broker) => {
      for (const door of DOORS) {
        for (const hasSchema of [false, true]) runs.push(await measureDoor(context, broker, door, hasSchema))
      }
      waits.push(await measureWaits(broker))
    })
  }
  const of = (door: Door, hasSchema: boolean, pick: (run: Run) => number) =>
    runs.filter((run) => run.door === door && run.hasSchema === hasSchema).map(pick)
  const row = (door: Door, hasSchema: boolean) => {
    const cpu = (isChecked: boolean) => median(of(door, isChecked, ({ cpuMicroseconds }) => cpuMicroseconds))
    return [
      door,
      hasSchema ? 'yes' : 'no',
      formatSpread(spread(of(door, hasSchema, ({ recordsPerSecond }) => recordsPerSecond)), formatCount),
      cpu(hasSchema).toFixed(2),
      hasSchema ? (cpu(true) - cpu(false)).toFixed(2) : '–',
    ]
  }
  const quiet = waits.map(({ quietMs }) => quietMs.toFixed(0)).join(', ')
  const slowest = waits.map(({ slowestMs, worst }) => `${slowestMs.toFixed(0)} ms (${worst})`).join(', ')
  return {
    title: `A schema: orders of ${VALUE.length} B, ${RECORDS_PER_REQUEST} in a request, acks=1`,
    columns: ['door', 'schema', 'records/s', 'broker CPU, µs a record', 'of that for the schema, µs'],
    rows:
      missing === undefined
        ? DOORS.flatMap((door) => [row(door, false), row(door, true)])
        : [['CafeLog', `skipped: ${missing}`]],
    notes: [
      `A neighbour who asks for a heartbeat waits at most, in each round: ${quiet} ms while nothing is done, and while ${COSTLY.length} hostile schemas and records are taken: ${slowest}.`,
    ],
    floors: [],
    data: { runs, waits },
  }
}

interface Broker {
  readonly pid: number
  readonly port: number
  readonly kafkaPort: number
}

async function withBroker(context: BenchContext, use: (broker: Broker) => Promise<void>): Promise<void> {
  const kafkaPort = await findFreePort()
  const broker = cafeLog('interval:10ms')
  const contender: Startable = {
    ...broker,
    command(directory, port) {
      const command = broker.command(directory, port)
      return { ...command, environment: { ...command.environment, CAFELOG_KAFKA_ADDR: `127.0.0.1:${kafkaPort}` } }
    },
  }
  await withServer(context, contender, ({ process, port }) => use({ pid: process.pid, port, kafkaPort }))
}

async function measureDoor(context: BenchContext, broker: Broker, door: Door, hasSchema: boolean): Promise<Run> {
  const topic = `${door.replaceAll(/\W/g, '')}-${hasSchema}`
  const connection = await PlainConnection.open(broker.port)
  await connection.request(FRAME_TYPES.CREATE_TOPIC, { topic, partitions: 1 })
  if (hasSchema) await connection.request(FRAME_TYPES.SET_SCHEMA, { topic, schema: SCHEMA, mode: 'reject' })
  const requests = context.isQuick ? 200 : 1_500
  const produce =
    door === 'JSON'
      ? (count: number) => produceJson(connection, topic, count)
      : (count: number) => produceKafka(broker.kafkaPort, topic, count, door === 'Kafka' ? 'none' : 'gzip')
  await produce(requests / 4)
  const [startedAt, cpuBefore] = [performance.now(), readCpuMs(broker.pid)]
  await produce(requests)
  const records = requests * RECORDS_PER_REQUEST
  const seconds = (performance.now() - startedAt) / 1000
  const cpuMicroseconds = ((readCpuMs(broker.pid) - cpuBefore) * 1000) / records
  connection.close()
  return { door, hasSchema, recordsPerSecond: records / seconds, cpuMicroseconds }
}

async function produceJson(connection: PlainConnection, topic: string, count: number): Promise<void> {
  const value = Buffer.from(VALUE).toString('base64')
  const records = Array.from({ length: RECORDS_PER_REQUEST }, () => ({ value }))
  const frame = encodeFrame(FRAME_TYPES.PRODUCE, { topic, partition: 0, records, acks: 1 })
  let sent = Math.min(WINDOW, count)
  let answer = await connection.exchange(Buffer.concat(Array.from({ length: sent }, () => frame)), findFrameEnd)
  for (let answered = 1; ; answered++) {
    if (answer.includes('"error"')) throw new Error(answer.toString('utf8', FRAME_HEADER_BYTES))
    if (answered === count) return
    answer = await connection.exchange(sent < count ? frame : Buffer.alloc(0), findFrameEnd)
    sent++
  }
}

async function produceKafka(port: number, topic: string, count: number, codec: Codec): Promise<void> {
  const client = await KafkaClient.connect(port)
  const timestamp = Date.now()
  const batch = buildBatch(Array.from({ length: RECORDS_PER_REQUEST }, () => ({ value: VALUE, timestamp })))
  const records = codec === 'none' ? batch : compressBatch(batch, codec)
  const request = {
    transactionalId: null,
    acks: 1,
    timeoutMs: 10_000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
  }
  for (let sent = 0, answered = 0; answered < count; answered++) {
    for (; sent < count && sent - answered < WINDOW; sent++) client.send(Produce, 9, request)
    const { answer } = await client.answer(Produce, 9)
    const { errorCode, errorMessage } = answer.responses[0].partitionResponses[0]
    if (errorCode !== 0) throw new Error(`the batch was refused: ${errorMessage}`)
  }
  client.close()
}

/** How long somebody else waits at most for an answer, while nothing is done and while what is costly is. */
async function measureWaits({ port }: Broker): Promise<{ quietMs: number; slowestMs: number; worst: string }> {
  const connection = await PlainConnection.open(port)
  const neighbour = await PlainConnection.open(port)
  await connection.request(FRAME_TYPES.CREATE_TOPIC, { topic: 'hostile', partitions: 1 })
  const probe = async (isOver: () => boolean) => {
    let slowestMs = 0
    for (let last = PROBES_BETWEEN; last > 0; last -= isOver() ? 1 : 0) {
      const startedAt = performance.now()
      await neighbour.request(FRAME_TYPES.HEARTBEAT, {})
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    }
    return slowestMs
  }
  let rest = 500
  const quietMs = await probe(() => --rest <= 0)
  let slowestMs = 0
  let worst = ''
  for (const [what, schema, value] of COSTLY) {
    const records = [{ value: Buffer.from(JSON.stringify(value)).toString('base64') }]
    // Encoded before: this process is not to be what the neighbour waits for.
    const frames = [
      encodeFrame(FRAME_TYPES.SET_SCHEMA, { topic: 'hostile', schema: JSON.stringify(schema), mode: 'reject' }),
      encodeFrame(FRAME_TYPES.PRODUCE, { topic: 'hostile', partition: 0, records }),
    ]
    for (const frame of frames) {
      let isOver = false
      const done = connection.exchange(frame, findFrameEnd).then(() => (isOver = true))
      const waited = await probe(() => isOver)
      await done
      if (waited <= slowestMs) continue
      slowestMs = waited
      worst = what
    }
  }
  connection.close()
  neighbour.close()
  return { quietMs, slowestMs, worst }
}

/** Processor time of a process so far. Linux only. */
function readCpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
}
