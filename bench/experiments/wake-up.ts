import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatMicroseconds } from '../format.ts'
import type { WakeFigures } from '../native-client.ts'
import { cafeLog, TOPIC } from '../servers/cafelog.ts'
import { spread } from '../statistics.ts'
import { withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

const WAITERS = 1000
const PARK_MS = 3000

/**
 * A thousand connections wait with a FETCH (maxWaitMs 5000) on one partition. For three seconds nothing happens and the
 * broker's CPU use is taken; then one record is produced, and all of them must be answered.
 */
export async function measureWakeUp(context: BenchContext): Promise<ExperimentResult> {
  const contender = cafeLog('always')
  const { client } = context
  const skipped = contender.missing ?? (client ? undefined : 'needs a C compiler: apt-get install gcc libc6-dev')
  const runs: WakeFigures[] = []
  const rounds = skipped === undefined ? context.rounds : 0
  for (let round = 0; round < rounds; round++) {
    if (!client) break
    context.note(`wake, round ${round + 1} of ${rounds}`)
    await withServer(context, contender, async (server) => {
      const producePath = join(server.directory, 'request')
      writeFileSync(producePath, contender.publishRequest(1, 100).request)
      const offset = await contender.countRecords(server.port)
      const waiting = { port: server.port, topic: TOPIC, waiters: WAITERS, producePath, serverPid: server.process.pid }
      runs.push(await client.wake({ ...waiting, offset, parkMs: context.isQuick ? 500 : PARK_MS }))
    })
  }
  const middle = (pick: (run: WakeFigures) => number) => spread(runs.map(pick)).median
  return {
    title: `Wake-up: ${WAITERS} parked fetches, one connection each, answered after one PRODUCE (flush policy always)`,
    columns: ['server', 'p50', 'p99', 'last of all', 'worst round', 'CPU for all', 'cores while parked'],
    rows: skipped
      ? [[contender.name, `skipped: ${skipped}`]]
      : [
          [
            contender.name,
            formatMicroseconds(middle((run) => run.p50Us)),
            formatMicroseconds(middle((run) => run.p99Us)),
            formatMicroseconds(middle((run) => run.maxUs)),
            formatMicroseconds(spread(runs.map((run) => run.maxUs)).max),
            `${middle((run) => run.wakeCpuMs).toFixed(1)} ms`,
            middle((run) => run.parkedCores).toFixed(4),
          ],
        ],
    notes: ['Times run from the sending of the PRODUCE to the end of the answer, the first round in each process.'],
    floors: [
      {
        name: `wake-up of the last of ${WAITERS}`,
        measured: skipped ? undefined : middle((run) => run.maxUs) / 1000,
        skipped,
        bound: { below: 20 },
        unit: 'ms',
      },
      {
        name: 'CPU while they are parked',
        measured: skipped ? undefined : middle((run) => run.parkedCores),
        skipped,
        bound: { below: 0.02 },
        unit: 'cores',
      },
    ],
    data: runs,
  }
}
