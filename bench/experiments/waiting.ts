import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { formatCount } from '../format.ts'
import { findFreePort, pause, readMemory, startProcess, type ServerProcess } from '../processes.ts'
import { cafeLog } from '../servers/cafelog.ts'
import { PlainConnection } from '../wire.ts'
import type { BenchContext, ExperimentResult } from './experiment.ts'

const TOPIC = 'waiting'
const VALUE = Buffer.alloc(100, 'v').toString('base64')
const CONNECTIONS = 8
const RECORDS_OF_A_REQUEST = 500
const DAY_MS = 24 * 60 * 60 * 1000

/** A million delayed records of 100 bytes that wait: what they cost in memory, and how long a start takes with them. */
export function measureWaiting(context: BenchContext): Promise<ExperimentResult> {
  return measure(context, context.isQuick ? 100_000 : 1_000_000)
}

/** The same with ten million; 3.5 GB of disk, and some ten minutes. */
export function measureTenMillionWaiting(context: BenchContext): Promise<ExperimentResult> {
  return measure(context, 10_000_000)
}

async function measure(context: BenchContext, count: number): Promise<ExperimentResult> {
  const { missing } = cafeLog('always')
  const found = missing === undefined ? await load(context, count) : undefined
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
  return {
    title: `Waiting: ${formatCount(count)} delayed records of 100 bytes, due within a day, in four partitions`,
    columns: ['taken a second', 'RSS when taken', 'RSS 3 s later', 'store file', 'ready after kill -9', 'RSS then'],
    rows: [
      found === undefined
        ? [`skipped: ${missing}`]
        : [
            formatCount(found.perSecond),
            megabytes(found.loadedBytes),
            megabytes(found.quietBytes),
            megabytes(found.fileBytes),
            `${found.readyMs.toFixed(0)} ms`,
            megabytes(found.restartedBytes),
          ],
    ],
    notes: [
      'RSS when taken counts pages of the store’s file that were just used, which the system takes back at need.',
    ],
    floors: [
      {
        name: `memory with ${formatCount(count)} waiting`,
        measured: found && found.quietBytes / 1e6,
        skipped: missing,
        bound: { below: 250 },
        unit: 'MB',
      },
      {
        name: `ready with ${formatCount(count)} waiting`,
        measured: found?.readyMs,
        skipped: missing,
        bound: { below: 2000 },
        unit: 'ms',
      },
    ],
    data: found,
  }
}

async function load(context: BenchContext, count: number) {
  const directory = mkdtempSync(join(context.directory, 'waiting-'))
  let server = await start(context, directory)
  try {
    const first = await PlainConnection.open(server.port)
    await first.request(FRAME_TYPES.CREATE_TOPIC, { topic: TOPIC, partitions: 4 })
    first.close()
    const beganAt = performance.now()
    const state = { left: count, notedAt: beganAt }
    await Promise.all(Array.from({ length: CONNECTIONS }, () => send(context, server.port, state)))
    const perSecond = (count * 1000) / (performance.now() - beganAt)
    const { residentBytes: loadedBytes } = readMemory(server.process.pid)
    await pause(3000)
    const { residentBytes: quietBytes } = readMemory(server.process.pid)
    const fileBytes = statSync(join(directory, 'data/@store/data.mdb')).size
    await end(context, server.process)
    server = await start(context, directory)
    const { readyMs } = server
    const { residentBytes: restartedBytes } = readMemory(server.process.pid)
    return { perSecond, loadedBytes, quietBytes, fileBytes, readyMs, restartedBytes }
  } finally {
    await end(context, server.process)
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Starts the broker and waits until it answers. */
async function start(context: BenchContext, directory: string) {
  const port = await findFreePort()
  const process = startProcess(cafeLog('always').command(directory, port), join(directory, 'output.txt'))
  context.running.add(process)
  for (;;) {
    try {
      const connection = await PlainConnection.open(port)
      await connection.request(FRAME_TYPES.HEARTBEAT, {})
      connection.close()
      return { process, port, readyMs: performance.now() - process.startedAt }
    } catch (error) {
      const reason = process.ended()
      if (reason !== undefined) throw new Error(`The broker did not start: ${reason}`, { cause: error })
      await pause(2)
    }
  }
}

async function end(context: BenchContext, process: ServerProcess): Promise<void> {
  await process.kill()
  context.running.delete(process)
}

async function send(context: BenchContext, port: number, state: { left: number; notedAt: number }): Promise<void> {
  const connection = await PlainConnection.open(port)
  while (state.left > 0) {
    const records = Array.from({ length: Math.min(RECORDS_OF_A_REQUEST, state.left) }, () => ({
      key: Buffer.from(`key-${Math.floor(Math.random() * 1e6)}`).toString('base64'),
      value: VALUE,
      dueAt: Date.now() + DAY_MS / 24 + Math.floor(Math.random() * DAY_MS),
    }))
    state.left -= records.length
    await connection.request(FRAME_TYPES.PRODUCE, { topic: TOPIC, partition: -1, records })
    if (performance.now() - state.notedAt > 30_000) {
      state.notedAt = performance.now()
      context.note(`waiting, ${formatCount(state.left)} more to send`)
    }
  }
  connection.close()
}
