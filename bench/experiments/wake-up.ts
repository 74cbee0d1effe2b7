import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatMicroseconds } from '../format.ts'
import type { WakeFigures } from '../native-client.ts'
import { cafeLog, TOPIC } from '../servers/cafelog.ts'
import { spread } from '../statistics.ts'
import { readyAnswers } from '../servers/ready-answers.ts'
import { withServer, type BenchContext, type ExperimentResult, type RunningServer } from './experiment.ts'

const WAITERS = 1000
const PARK_MS = 3000
/** Between the first wake-up of a process and the one that counts. */
const WAKE_UPS_BETWEEN = 4
const BETWEEN_PARK_MS = 200

/**
 * A thousand connections wait with a FETCH (maxWaitMs 5000) on one partition. For three seconds nothing happens and the
 * broker's CPU use is taken; then one record is produced, and all of them must be answered. Measured when it happens for
 * the first time in the life of a process, and again when the code for it has been compiled. A bare server beside it shows
 * how much of that are a thousand writes to sockets.
 */
export async function measureWakeUp(context: BenchContext): Promise<ExperimentResult> {
  const contender = cafeLog('always')
  const { client } = context
  const skipped = contender.missing ?? (client ? undefined : 'needs a C compiler: apt-get install gcc libc6-dev')
  const yardstick = readyAnswers()
  const first: WakeFigures[] = []
  const later: WakeFigures[] = []
  const bare: WakeFigures[] = []
  const rounds = skipped === undefined ? context.rounds : 0
  for (let round = 0; round < rounds; round++) {
    if (!client) break
    context.note(`wake, round ${round + 1} of ${rounds}`)
    const wake = async ({ port, process, directory }: RunningServer, offset: number, parkMs: number) => {
      const producePath = join(directory, 'request')
      writeFileSync(producePath, contender.publishRequest(1, 100).request)
      return client.wake({ port, topic: TOPIC, offset, waiters: WAITERS, parkMs, producePath, serverPid: process.pid })
    }
    await withServer(context, contender, async (server) => {
      const wakeNext = async (parkMs: number) => wake(server, await contender.countRecords(server.port), parkMs)
      first.push(await wakeNext(BETWEEN_PARK_MS))
      for (let between = 0; between < WAKE_UPS_BETWEEN; between++) await wakeNext(BETWEEN_PARK_MS)
      later.push(await wakeNext(context.isQuick ? BETWEEN_PARK_MS : PARK_MS))
    })
    await withServer(context, yardstick, async (server) => {
      for (let before = 0; before <= WAKE_UPS_BETWEEN; before++) await wake(server, 0, BETWEEN_PARK_MS)
      bare.push(await wake(server, 0, BETWEEN_PARK_MS))
    })
  }
  const middle = (runs: readonly WakeFigures[], pick: (run: WakeFigures) => number) => spread(runs.map(pick)).median
  const row = (name: string, runs: readonly WakeFigures[]) => [
    name,
    formatMicroseconds(middle(runs, (run) => run.p50Us)),
    formatMicroseconds(middle(runs, (run) => run.p99Us)),
    formatMicroseconds(middle(runs, (run) => run.maxUs)),
    formatMicroseconds(spread(runs.map((run) => run.maxUs)).max),
    `${middle(runs, (run) => run.wakeCpuMs).toFixed(1)} ms`,
    runs !== later ? '–' : middle(runs, (run) => run.parkedCores).toFixed(4),
  ]
  return {
    title: `Wake-up: ${WAITERS} parked fetches, one connection each, answered after one PRODUCE (flush policy always)`,
    columns: ['server', 'p50', 'p99', 'last of all', 'worst round', 'CPU for all', 'cores while parked'],
    rows: skipped
      ? [['CafeLog', `skipped: ${skipped}`]]
      : [
          row('first time in a process', first),
          row(`${WAKE_UPS_BETWEEN + 2}th time`, later),
          row(`${yardstick.name}, answers ready, ${WAKE_UPS_BETWEEN + 2}th time`, bare),
        ],
    notes: ['Times run from the sending of the PRODUCE to the end of the answer.'],
    floors: [
      {
        name: `wake-up of the last of ${WAITERS}`,
        measured: skipped ? undefined : middle(later, (run) => run.maxUs) / 1000,
        skipped,
        bound: { below: 20 },
        unit: 'ms',
      },
      {
        name: 'CPU while they are parked',
        measured: skipped ? undefined : middle(later, (run) => run.parkedCores),
        skipped,
        bound: { below: 0.02 },
        unit: 'cores',
      },
    ],
    data: { first, later, bare },
  }
}
