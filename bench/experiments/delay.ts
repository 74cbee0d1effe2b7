import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { percentile, runDelayedLoad, type DelayedReport } from '../../test/crash/delayed-load.ts'
import { BrokerHome } from '../../test/support/broker-process.ts'
import { RestartedBroker } from '../../test/support/restarted-broker.ts'
import { formatCount } from '../format.ts'
import { findFreePort, pause } from '../processes.ts'
import { findProjectRoot } from '../project-root.ts'
import { cafeLog } from '../servers/cafelog.ts'
import { PlainConnection } from '../wire.ts'
import { withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

const RATE = 1000
const RECORDS_OF_A_REQUEST = 50
const AHEAD_MS = 2000
const SPREAD_MS = 2000
const SYNC_PAUSE_MS = 50
const KILLS = 5
const TOPIC = 'delayed'

interface Punctuality {
  /** Milliseconds from due to received by a client that waits for it, ascending. */
  readonly records: readonly number[]
  /** The same of a timer of this process for the same moment. */
  readonly timers: readonly number[]
  /** Milliseconds that a write of 4 KiB and its sync took on the same disk meanwhile, ascending. */
  readonly syncs: readonly number[]
}

/**
 * How punctual delayed records are: at a thousand a second, received by a client that waits for them, beside a bare timer of
 * Node.js for each of the same moments and the syncs that the disk can do; and with random due times through all doors while the broker is killed five times.
 */
export async function measureDelay(context: BenchContext): Promise<ExperimentResult> {
  const broker = cafeLog('always')
  if (broker.missing !== undefined) return skipped(broker.missing)
  const seconds = context.isQuick ? 6 : 60
  context.note(`delay, ${RATE} records a second for ${seconds} s`)
  const { records, timers, syncs } = await withServer(context, broker, ({ port, directory }) =>
    measurePunctuality(port, seconds, directory),
  )
  const count = context.isQuick ? 10_000 : 100_000
  context.note(`delay, ${count} records within ${seconds} s, ${KILLS} kills`)
  const kills = await measureKills(count, seconds * 1000)
  const faults = kills.lost.length + kills.twice.length + kills.early.length
  return {
    title: `Delayed records: how late, in milliseconds (flush policy always)`,
    columns: ['', 'records', 'p50', 'p99', 'max'],
    rows: [
      row(`${formatCount(RATE)} due a second, until a client has them`, records),
      row('yardstick: a timer of Node.js for each of these moments', timers),
      row('yardstick: to write 4 KiB to the same disk and sync, meanwhile', syncs),
      row(`due within ${seconds} s, ${KILLS} kills: until stored, due while the broker was up`, kills.latenessWhileUp),
      row('the same, all: those due while it was down come after its start', kills.lateness),
    ],
    notes: [
      `Over the kills: ${formatCount(kills.sent)} sent (${Object.keys(kills.doors).join(', ')}), ${formatCount(kills.delivered)} delivered, ` +
        `${kills.lost.length} lost, ${kills.twice.length} twice, ${kills.early.length} early; ${kills.unknown} had no answer, and may be there or not.`,
    ],
    floors: [
      {
        name: `p99 lateness at ${formatCount(RATE)}/s`,
        measured: percentile(records, 0.99),
        bound: { below: 20 },
        unit: 'ms',
      },
      { name: `lost, twice or early over ${KILLS} kills`, measured: faults, bound: { below: 1 }, unit: 'records' },
    ],
    data: {
      records: figures(records),
      timers: figures(timers),
      kills: { ...kills, lateness: figures(kills.lateness) },
    },
  }
}

function skipped(reason: string): ExperimentResult {
  return {
    title: 'Delayed records',
    columns: ['CafeLog'],
    rows: [[`skipped: ${reason}`]],
    notes: [],
    floors: [
      { name: 'p99 lateness', measured: undefined, skipped: reason, bound: { below: 20 }, unit: 'ms' },
      { name: 'lost, twice or early', measured: undefined, skipped: reason, bound: { below: 1 }, unit: 'records' },
    ],
    data: undefined,
  }
}

function figures(sorted: readonly number[]): { p50: number; p99: number; max: number } {
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), max: percentile(sorted, 1) }
}

function row(name: string, sorted: readonly number[]): string[] {
  const { p50, p99, max } = figures(sorted)
  return [name, formatCount(sorted.length), p50.toFixed(1), p99.toFixed(1), max.toFixed(1)]
}

/** Unix milliseconds, with a fraction. */
const wallClock = () => performance.timeOrigin + performance.now()

async function measurePunctuality(port: number, seconds: number, directory: string): Promise<Punctuality> {
  const sender = await PlainConnection.open(port)
  const receiver = await PlainConnection.open(port)
  await sender.request(FRAME_TYPES.CREATE_TOPIC, { topic: TOPIC, partitions: 1 })
  const total = seconds * RATE
  const records: number[] = []
  const timers: number[] = []
  const receive = async () => {
    for (let offset = 0; records.length < total;) {
      const request = { topic: TOPIC, partition: 0, offset, maxBytes: 1_048_576, maxWaitMs: 2000 }
      const answer = await receiver.request<{ records: { offset: number; value: string }[] }>(
        FRAME_TYPES.FETCH,
        request,
      )
      const now = wallClock()
      for (const { value } of answer.records) records.push(now - Number(Buffer.from(value, 'base64').toString()))
      offset = (answer.records.at(-1)?.offset ?? offset - 1) + 1
    }
  }
  const send = async () => {
    const beganAt = performance.now()
    for (let sent = 0; sent < total; sent += RECORDS_OF_A_REQUEST) {
      await pause(beganAt + (sent * 1000) / RATE - performance.now())
      const moments = Array.from({ length: RECORDS_OF_A_REQUEST }, () =>
        Math.ceil(wallClock() + AHEAD_MS + Math.random() * SPREAD_MS),
      )
      for (const moment of moments) setTimeout(() => timers.push(wallClock() - moment), Math.ceil(moment - wallClock()))
      const waiting = moments.map((dueAt) => ({ value: Buffer.from(String(dueAt)).toString('base64'), dueAt }))
      await sender.request(FRAME_TYPES.PRODUCE, { topic: TOPIC, partition: 0, records: waiting })
    }
  }
  const syncs: number[] = []
  const sync = async () => {
    const file = await open(join(directory, 'yardstick'), 'a')
    const bytes = Buffer.alloc(4096)
    while (records.length < total) {
      const beganAt = performance.now()
      await file.write(bytes)
      await file.datasync()
      syncs.push(performance.now() - beganAt)
      await pause(SYNC_PAUSE_MS)
    }
    await file.close()
  }
  await Promise.all([send(), receive(), sync()])
  sender.close()
  receiver.close()
  const ascending = (values: readonly number[]) => values.toSorted((a, b) => a - b)
  return { records: ascending(records), timers: ascending(timers), syncs: ascending(syncs) }
}

async function measureKills(records: number, withinMs: number): Promise<DelayedReport> {
  const folder = join(findProjectRoot(), 'test/compat/.installed/node/node_modules/kafkajs')
  const kafkajs = existsSync(folder) ? createRequire(import.meta.url).resolve(folder) : undefined
  const home = new BrokerHome()
  try {
    const environment = { CAFELOG_KAFKA_ADDR: `127.0.0.1:${await findFreePort()}` }
    const broker = new RestartedBroker(home, { environment })
    return await runDelayedLoad(broker, { records, withinMs, kills: KILLS, random: Math.random, kafkajs })
  } finally {
    await home.remove()
  }
}
