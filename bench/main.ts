// `npm run bench`: CafeLog and its peers, measured side by side in one run. docs/performance.md says what each figure
// means and how the usual mistakes are avoided.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureDelay } from './experiments/delay.ts'
import { measureEmbedded } from './experiments/embedded.ts'
import { measureClients } from './experiments/client.ts'
import { isKept, type BenchContext, type ExperimentResult, type Floor } from './experiments/experiment.ts'
import { measureFetch } from './experiments/fetch.ts'
import { measureKafka } from './experiments/kafka.ts'
import { measureProduce } from './experiments/produce.ts'
import { measureReadLog } from './experiments/read-log.ts'
import { measureSchema } from './experiments/schema.ts'
import { measureScrape } from './experiments/scrape.ts'
import { measureStart } from './experiments/start-up.ts'
import { measureTenMillionWaiting, measureWaiting } from './experiments/waiting.ts'
import { measureWakeUp } from './experiments/wake-up.ts'
import { formatTable } from './format.ts'
import { NativeClient } from './native-client.ts'
import { measureBusyCores } from './processes.ts'

const EXPERIMENTS: Readonly<Record<string, (context: BenchContext) => Promise<ExperimentResult>>> = {
  produce: measureProduce,
  fetch: measureFetch,
  read: measureReadLog,
  start: measureStart,
  embedded: measureEmbedded,
  wake: measureWakeUp,
  kafka: measureKafka,
  client: measureClients,
  scrape: measureScrape,
  schema: measureSchema,
  delay: measureDelay,
  waiting: measureWaiting,
  'waiting-10m': measureTenMillionWaiting,
}

/** Takes so long, or so much disk, that one has to ask for it. */
const ONLY_WHEN_NAMED = ['waiting-10m']

/** With more than that at work beside it, a measurement of absolute figures is not one. */
const BUSY_CORES_MAX = 0.2

const HELP = `Usage: npm run bench -- [options]

Measures the built broker beside NATS JetStream, Redis Streams and Apache Kafka and compares the figures with the project's floors.
Leaves with 1 when a floor is missed. Takes about ten minutes and up to 1 GB of disk for a while.

  --only NAME[,NAME]  only these: ${Object.keys(EXPERIMENTS).join(', ')}
                      (${ONLY_WHEN_NAMED.join(', ')} only when named: ten minutes, 4 GB)
  --rounds N          how often each thing is measured (default 3)
  --quick             one round with a tenth of the work: shows that all works, proves nothing
  --json FILE         writes everything that was measured to FILE
  --help              this
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const usual = Object.keys(EXPERIMENTS).filter((name) => !ONLY_WHEN_NAMED.includes(name))
  const names = values.only?.flatMap((list) => list.split(',')) ?? usual
  const unknown = names.find((name) => !Object.hasOwn(EXPERIMENTS, name))
  if (unknown !== undefined) {
    throw new UsageError(`Cannot measure ${JSON.stringify(unknown)}: there are ${Object.keys(EXPERIMENTS).join(', ')}`)
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new UsageError(`Cannot use ${JSON.stringify(values.rounds)} as the number of rounds: 1 to 100`)
  }

  const directory = mkdtempSync(join(tmpdir(), 'cafelog-bench-'))
  const context: BenchContext = {
    client: NativeClient.build(directory),
    directory,
    rounds,
    isQuick: values.quick,
    running: new Set(),
    note: (line) => process.stderr.write(`· ${line}\n`),
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      const stopped = [...context.running].map((server) => server.kill())
      void Promise.all(stopped).then(() => {
        rmSync(directory, { recursive: true, force: true })
        process.exit(130)
      })
    })
  }
  const machine = `${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.version}`
  console.log(`${machine}, ${rounds} round${rounds === 1 ? '' : 's'}${values.quick ? ', quick: do not quote' : ''}`)
  const results: Record<string, ExperimentResult & { busyCores: number }> = {}
  try {
    for (const name of names) {
      const busyCores = await measureBusyCores()
      const result = await EXPERIMENTS[name](context)
      results[name] = { ...result, busyCores }
      console.log(`\n${result.title}\n\n${formatTable(result.columns, result.rows)}`)
      for (const note of result.notes) console.log(`  ${note}`)
      if (busyCores > BUSY_CORES_MAX) {
        console.log(
          `  NOT QUIET: ${busyCores.toFixed(1)} cores were at work before this began. Only the ratios are worth something.`,
        )
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  const floors = Object.values(results).flatMap((result) => result.floors)
  const isQuiet = Object.values(results).every(({ busyCores }) => busyCores <= BUSY_CORES_MAX)
  console.log(
    `\nFloors${isQuiet ? '' : ' (the machine was not quiet)'}\n\n${formatTable(['promise', 'measured', 'must be', 'verdict'], floors.map(describeFloor))}`,
  )
  if (values.json !== undefined) {
    const report = { machine, rounds, isQuick: values.quick, takenAt: new Date().toISOString(), floors, results }
    writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  return floors.some((floor) => isKept(floor) === false) ? 1 : 0
}

class UsageError extends Error {}

function describeFloor(floor: Floor): string[] {
  const bound = 'atLeast' in floor.bound ? `≥ ${floor.bound.atLeast}` : `< ${floor.bound.below}`
  const kept = isKept(floor)
  if (kept === undefined || floor.measured === undefined) {
    return [floor.name, '–', `${bound} ${floor.unit}`, `SKIPPED: ${floor.skipped ?? 'not measured'}`]
  }
  return [floor.name, floor.measured.toPrecision(3), `${bound} ${floor.unit}`, kept ? 'PASS' : 'FAIL']
}

try {
  process.exitCode = await main()
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    String(error instanceof Error && 'code' in error && error.code).startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = isUsage ? 2 : 1
}
