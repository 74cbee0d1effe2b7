import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { formatCount, formatSpread } from '../format.ts'
import { findFreePort } from '../processes.ts'
import { findProjectRoot } from '../project-root.ts'
import { cafeLog } from '../servers/cafelog.ts'
import type { Startable } from '../servers/server.ts'
import { medianRatio, spread } from '../statistics.ts'
import { rotate, warmMemory, withServer, type BenchContext, type ExperimentResult, type Floor } from './experiment.ts'

const RUN_MS_MAX = 300_000

export type ClientLibrary = 'cafelog' | 'kafkajs' | 'platformatic'

/** What bench/client-process.ts prints: records a second, and the cores that the client took while it produced. */
export interface ClientFigures {
  readonly produced: number
  readonly consumed: number
  readonly cores: number
}

interface Case {
  readonly library: ClientLibrary
  readonly name: string
  readonly door: string
  /** Why it cannot be measured here. */
  readonly missing: string | undefined
}

/**
 * Client libraries for Node.js against the same broker: one producer with acks=1, then one consumer, one partition, values of
 * 100 bytes. Each library and its broker are two processes; nothing else is at work.
 */
export async function measureClients(context: BenchContext): Promise<ExperimentResult> {
  const installed = (name: string) =>
    existsSync(join(findProjectRoot(), 'test/compat/.installed/node/node_modules', name, 'package.json'))
      ? undefined
      : `${name} is not installed: npm run compat:install`
  const cases: readonly Case[] = [
    { library: 'cafelog', name: 'cafelog/client', door: 'JSON', missing: cafeLog('interval:10ms').missing },
    { library: 'kafkajs', name: 'kafkajs', door: 'Kafka', missing: installed('kafkajs') },
    { library: 'platformatic', name: '@platformatic/kafka', door: 'Kafka', missing: installed('@platformatic/kafka') },
  ]
  const runs = new Map<ClientLibrary, ClientFigures[]>(cases.map(({ library }) => [library, []]))
  for (let round = 0; round < context.rounds; round++) {
    for (const { library, name, missing } of rotate(cases, round)) {
      if (missing !== undefined) continue
      context.note(`client, round ${round + 1} of ${context.rounds}: ${name}`)
      runs.get(library)?.push(await measureOne(context, library))
    }
  }
  const figures = (library: ClientLibrary, pick: (run: ClientFigures) => number) => (runs.get(library) ?? []).map(pick)
  const ratio = (library: ClientLibrary, pick: (run: ClientFigures) => number) =>
    medianRatio(figures('cafelog', pick), figures(library, pick)).toFixed(1)
  const produced = (run: ClientFigures) => run.produced
  const consumed = (run: ClientFigures) => run.consumed
  const floor = (name: string, pick: (run: ClientFigures) => number, atLeast: number): Floor => ({
    name: `cafelog/client, ${name}`,
    measured: cases[0].missing === undefined ? spread(figures('cafelog', pick)).median : undefined,
    skipped: cases[0].missing,
    bound: { atLeast },
    unit: 'records/s',
  })
  return {
    title: 'Clients for Node.js: one producer, then one consumer, one partition, values of 100 B, acks=1',
    columns: ['client', 'door', 'produce/s', 'cafelog is ×', 'client cores', 'consume/s', 'cafelog is ×'],
    rows: cases.map(({ library, name, door, missing }) =>
      missing !== undefined
        ? [name, door, `skipped: ${missing}`]
        : [
            name,
            door,
            formatSpread(spread(figures(library, produced)), formatCount),
            ratio(library, produced),
            spread(figures(library, ({ cores }) => cores)).median.toFixed(2),
            formatSpread(spread(figures(library, consumed)), formatCount),
            ratio(library, consumed),
          ],
    ),
    notes: ['cafelog/client is given one record at a time, the others a thousand, five thousand being on their way.'],
    floors: [floor('produce', produced, 300_000), floor('consume', consumed, 500_000)],
    data: Object.fromEntries(runs),
  }
}

async function measureOne(context: BenchContext, library: ClientLibrary): Promise<ClientFigures> {
  const records = context.isQuick ? 100_000 : 1_000_000
  const kafkaPort = await findFreePort()
  const broker = cafeLog('interval:10ms')
  const contender: Startable = {
    ...broker,
    command(directory, port) {
      const command = broker.command(directory, port)
      return { ...command, environment: { ...command.environment, CAFELOG_KAFKA_ADDR: `127.0.0.1:${kafkaPort}` } }
    },
  }
  await warmMemory(context)
  return withServer(context, contender, async ({ port }) => {
    const program = join(findProjectRoot(), 'dist/bench/client-process.js')
    const args = [program, library, String(port), String(kafkaPort), String(records)]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: RUN_MS_MAX })
    return JSON.parse(stdout) as ClientFigures
  })
}
