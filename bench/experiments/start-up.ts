import { formatSpread } from '../format.ts'
import { pause, readMemory } from '../processes.ts'
import { cafeLog } from '../servers/cafelog.ts'
import { natsJetStream } from '../servers/nats.ts'
import { redisStreams } from '../servers/redis.ts'
import { spread } from '../statistics.ts'
import { rotate, withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

interface Run {
  readonly firstAnswerMs: number
  readonly idleBytes: number
}

/**
 * From the start of the process to the answer to a first publish (its topic or stream made on the way), in an empty
 * directory; and what the process then has in memory when it is left alone for two seconds.
 */
export async function measureStart(context: BenchContext): Promise<ExperimentResult> {
  const broker = cafeLog('always')
  const contenders = [broker, natsJetStream(), redisStreams()]
  const runs = new Map<string, Run[]>(contenders.map(({ name }) => [name, []]))
  const rounds = Math.max(context.rounds, context.isQuick ? 1 : 5)
  for (let round = 0; round < rounds; round++) {
    context.note(`start, round ${round + 1} of ${rounds}`)
    for (const contender of rotate(contenders, round)) {
      if (contender.missing !== undefined) continue
      const run = await withServer(context, contender, async ({ process, firstAnswerMs }) => {
        await pause(2000)
        return { firstAnswerMs, idleBytes: readMemory(process.pid).residentBytes }
      })
      runs.get(contender.name)?.push(run)
    }
  }
  const starts = (name: string) => spread((runs.get(name) ?? []).map((run) => run.firstAnswerMs))
  const idle = (name: string) => spread((runs.get(name) ?? []).map((run) => run.idleBytes / 1e6))
  const skipped = broker.missing
  return {
    title: 'Start: process start to the answer to a first publish, and memory when idle',
    columns: ['server', 'first answer, ms (min – max)', 'idle RSS, MB (min – max)'],
    rows: contenders.map(({ name, missing }) =>
      missing
        ? [name, `skipped: ${missing}`]
        : [
            name,
            formatSpread(starts(name), (value) => value.toFixed(0)),
            formatSpread(idle(name), (value) => value.toFixed(0)),
          ],
    ),
    notes: [],
    floors: [
      {
        name: 'start to first answer',
        measured: skipped ? undefined : starts(broker.name).median,
        skipped,
        bound: { below: 300 },
        unit: 'ms',
      },
      {
        name: 'idle memory',
        measured: skipped ? undefined : idle(broker.name).median,
        skipped,
        bound: { below: 100 },
        unit: 'MB',
      },
    ],
    data: Object.fromEntries(runs),
  }
}
