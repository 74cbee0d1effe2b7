import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { formatCount, formatSpread } from '../format.ts'
import { readMemory } from '../processes.ts'
import { TOPIC } from '../servers/cafelog.ts'
import { apacheKafka, cafeLogForKafka, countKafkaRecords, findMissingKafka, kafkaProgram } from '../servers/kafka.ts'
import type { Startable } from '../servers/server.ts'
import { medianRatio, spread } from '../statistics.ts'
import { rotate, warmMemory, withServer, type BenchContext, type ExperimentResult, type Floor } from './experiment.ts'

const VALUE_BYTES = 100
const TOOL_MS_MAX = 300_000
/** How long a consumer may wait for a record: on a busy machine it takes long to join a group. */
const SILENCE_MS_MAX = 60_000

interface Run {
  readonly firstAnswerMs: number
  /** Records a second, the first ones not counted: they find a JVM that has compiled nothing yet. */
  readonly produced: number
  readonly p99Ms: number
  /** Records a second, from the first fetch on. */
  readonly consumed: number
  readonly residentBytes: number
}

/**
 * CafeLog and Apache Kafka side by side, measured by Kafka's own performance tools: one producer and one consumer, one
 * topic with one partition, values of 100 bytes, acks=all, all settings of the clients as they come.
 */
export async function measureKafka(context: BenchContext): Promise<ExperimentResult> {
  const kafka = apacheKafka()
  const contenders = [cafeLogForKafka('interval:10ms'), cafeLogForKafka('always'), kafka]
  const skipped = contenders.find(({ missing }) => missing !== undefined)?.missing ?? findMissingKafka()
  const runs = new Map<string, Run[]>(contenders.map(({ name }) => [name, []]))
  const rounds = skipped === undefined ? context.rounds : 0
  for (let round = 0; round < rounds; round++) {
    for (const contender of rotate(contenders, round)) {
      context.note(`kafka, round ${round + 1} of ${rounds}: ${contender.name}`)
      runs.get(contender.name)?.push(await measureOne(context, contender))
    }
  }
  const figures = (name: string, pick: (run: Run) => number) => (runs.get(name) ?? []).map(pick)
  const ratio = (name: string, pick: (run: Run) => number) =>
    medianRatio(figures(name, pick), figures(kafka.name, pick))
  const floor = (what: string, name: string, pick: (run: Run) => number): Floor => ({
    name: `Kafka door, ${what}`,
    measured: skipped === undefined ? ratio(name, pick) : undefined,
    skipped,
    bound: { atLeast: 1 },
    unit: '× Kafka',
  })
  return {
    title: `Kafka's own tools: one producer, then one consumer, one partition, values of ${VALUE_BYTES} B, acks=all`,
    columns: ['server', 'produce/s', '× Kafka', 'p99, ms', 'consume/s', '× Kafka', 'first answer, ms', 'RSS after, MB'],
    rows: contenders.map(({ name, missing }) =>
      missing || skipped
        ? [name, `skipped: ${missing ?? skipped}`]
        : [
            name,
            formatSpread(spread(figures(name, ({ produced }) => produced)), formatCount),
            ratio(name, ({ produced }) => produced).toFixed(2),
            spread(figures(name, ({ p99Ms }) => p99Ms)).median.toFixed(0),
            formatSpread(spread(figures(name, ({ consumed }) => consumed)), formatCount),
            ratio(name, ({ consumed }) => consumed).toFixed(2),
            formatSpread(spread(figures(name, ({ firstAnswerMs }) => firstAnswerMs)), formatCount),
            (spread(figures(name, ({ residentBytes }) => residentBytes)).median / 1e6).toFixed(0),
          ],
    ),
    notes: [],
    floors: [
      floor('produce, interval:10ms', contenders[0].name, ({ produced }) => produced),
      floor('consume', contenders[0].name, ({ consumed }) => consumed),
    ],
    data: Object.fromEntries(runs),
  }
}

async function measureOne(context: BenchContext, contender: Startable): Promise<Run> {
  const records = context.isQuick ? 200_000 : 6_000_000
  await warmMemory(context)
  return withServer(context, contender, async ({ process, port, firstAnswerMs }) => {
    const target = `--bootstrap-server 127.0.0.1:${port} --topic ${TOPIC} --num-records ${records}`
    const load = `--record-size ${VALUE_BYTES} --throughput -1 --warmup-records ${records / 4}`
    const produced = await runTool(
      'org.apache.kafka.tools.ProducerPerformance',
      `${target} ${load} --command-property acks=all`,
    )
    const stored = await countKafkaRecords(port)
    if (stored !== records + 1) throw new Error(`${contender.name} holds ${stored} records, not ${records + 1}`)
    const consumed = await runTool(
      'org.apache.kafka.tools.ConsumerPerformance',
      `${target} --hide-header --timeout ${SILENCE_MS_MAX}`,
    )
    return {
      firstAnswerMs,
      ...readProduced(produced),
      consumed: readConsumed(consumed),
      residentBytes: readMemory(process.pid).residentBytes,
    }
  })
}

/** Runs one of Kafka's programs with arguments that hold no spaces, and returns what it prints. */
async function runTool(mainClass: string, args: string): Promise<string> {
  const command = [...kafkaProgram(mainClass), ...args.split(' ')]
  const { stdout } = await promisify(execFile)('java', command, { timeout: TOOL_MS_MAX })
  return stdout
}

/** The last line of kafka-producer-perf-test: what came after the warm-up. */
function readProduced(output: string): { produced: number; p99Ms: number } {
  const line = output.trim().split('\n').at(-1) ?? ''
  const match = /, ([\d.]+) records\/sec .* (\d+) ms 99th/.exec(line)
  if (match === null) throw new Error(`kafka-producer-perf-test has no figures: ${output}`)
  return { produced: Number(match[1]), p99Ms: Number(match[2]) }
}

/** The last column of kafka-consumer-perf-test: records a second without the time of joining the group. */
function readConsumed(output: string): number {
  const figures = Number(output.trim().split('\n').at(-1)?.split(', ').at(-1))
  if (!(figures > 0)) throw new Error(`kafka-consumer-perf-test has no figures: ${output}`)
  return figures
}
