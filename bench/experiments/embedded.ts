import { openConnection } from '../../client/json-connection.ts'
import { call } from '../../client/operations.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import { formatSpread } from '../format.ts'
import { spread } from '../statistics.ts'
import type { BenchContext, ExperimentResult } from './experiment.ts'

const STARTS = 20
/** What a process has started before, as one with many tests has. */
const WARM_UP_STARTS = 3

interface Run {
  readonly startedMs: number
  readonly producedMs: number
  readonly closedMs: number
}

/**
 * A broker inside this process, as tests start one: from the call of `startCafeLog` until its first record is stored and
 * acknowledged, by a client that connects for that; and how long closing it takes.
 */
export async function measureEmbedded(context: BenchContext): Promise<ExperimentResult> {
  context.note(`embedded, ${STARTS} starts`)
  for (let start = 0; start < WARM_UP_STARTS; start++) await runOnce()
  const runs: Run[] = []
  for (let start = 0; start < STARTS; start++) runs.push(await runOnce())
  const row = (title: string, valueOf: (run: Run) => number) => {
    return [title, formatSpread(spread(runs.map(valueOf)), (value) => value.toFixed(1))]
  }
  return {
    title: 'Embedded: a broker in memory inside the process, from the call of startCafeLog',
    columns: ['until', 'ms, median (min – max)'],
    rows: [
      row('it is started', ({ startedMs }) => startedMs),
      row('a record is produced', ({ producedMs }) => producedMs),
      row('it is closed, from the call of close', ({ closedMs }) => closedMs),
    ],
    notes: [`${STARTS} starts after ${WARM_UP_STARTS} that do not count.`],
    floors: [
      {
        name: 'startCafeLog to first produced record',
        measured: spread(runs.map(({ producedMs }) => producedMs)).median,
        bound: { below: 50 },
        unit: 'ms',
      },
    ],
    data: runs,
  }
}

async function runOnce(): Promise<Run> {
  const calledAt = performance.now()
  const broker = await startCafeLog({ topics: ['first'] })
  const startedMs = performance.now() - calledAt
  const connection = await openConnection({ host: '127.0.0.1', port: broker.ports.json })
  await call(connection, 'PRODUCE', { topic: 'first', partition: 0, records: [{ value: 'aGVsbG8=' }] })
  const producedMs = performance.now() - calledAt
  connection.close()
  const closingAt = performance.now()
  await broker.close()
  return { startedMs, producedMs, closedMs: performance.now() - closingAt }
}
