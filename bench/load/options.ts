import { parseArgs, type ParseArgsConfig } from 'node:util'
import { parseDuration, parseSize } from '../../src/base/units.ts'

/** The largest frame that the JSON door takes. */
const FRAME_BYTES_MAX = 10 * 1024 * 1024
/** What a record adds to a request beside its value in base64, generously. */
const RECORD_OVERHEAD_BYTES = 32

/** What the load test was asked to do. */
export interface LoadOptions {
  readonly host: string
  readonly port: number
  readonly topics: number
  /** Of each topic; undefined: one for a new topic, and whatever an old one has. */
  readonly partitions: number | undefined
  /** Messages a second, over all topics; 0: as fast as answers come back. */
  readonly rate: number
  readonly durationMs: number
  readonly valueBytes: number
  /** Records in one request. */
  readonly batch: number
  readonly acks: 0 | 1 | 'all'
  readonly connections: number
  /** Requests that may be unanswered on one connection when `rate` is 0. */
  readonly inFlight: number
  /** How long to wait for an answer that does not come. */
  readonly timeoutMs: number
  readonly isJson: boolean
}

/** What the command line says. */
export type LoadCommand =
  { kind: 'help' } | { kind: 'run'; options: LoadOptions } | { kind: 'refused'; message: string }

export const HELP = `Usage: ./scripts/benchmark/load-test.sh [options]

Sends messages to a running broker at a fixed rate and reports how long their answers took. Messages are sent when they
are due, whether or not earlier ones were answered, and latency counts from the moment a message was due.

  --topics N          topics, load-test-1 to load-test-N, created if needed (default 1)
  --partitions N      partitions of each topic (default 1, or what the topic has)
  --rate R            messages a second over all topics: 1000msg/s, 50k/s, 2500 (default 1000msg/s);
                      0 or max: as fast as answers come back
  --duration T        how long: 500ms, 30s, 5m, 1h (default 10s)
  --size S            bytes of each value: 100B, 1KB, 64KB (default 100B)
  --batch N           messages in one request (default 1)
  --acks 0|1|all      what an answer means: none is sent, written, or on stable storage (default all)
  --connections N     default: one for each topic, at most 16
  --in-flight N       with --rate max: unanswered requests on one connection (default 64)
  --protocol json     the door to use; kafka is refused as long as the broker has no Kafka door
  --timeout T         give up when no answer comes for so long (default 10s)
  -b, --broker H:P    default: CAFELOG_BROKER, else localhost:7070
  --json              print one JSON object instead of the table
  -h, --help          this

The report goes to stdout, progress to stderr. Ctrl-C ends the test early and prints the report so far.
Exit codes: 0 done, 2 wrong usage, 4 some messages were refused, 5 broker not reachable or gone, 6 a topic of that name
has other settings, 124 no answer within --timeout, 130 interrupted.

Example: ./scripts/benchmark/load-test.sh --topics 5 --rate 1000msg/s
`

const FLAGS = {
  topics: { type: 'string', default: '1' },
  partitions: { type: 'string' },
  rate: { type: 'string', default: '1000msg/s' },
  duration: { type: 'string', default: '10s' },
  size: { type: 'string', default: '100B' },
  batch: { type: 'string', default: '1' },
  acks: { type: 'string', default: 'all' },
  connections: { type: 'string' },
  'in-flight': { type: 'string', default: '64' },
  protocol: { type: 'string', default: 'json' },
  timeout: { type: 'string', default: '10s' },
  broker: { type: 'string', short: 'b' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies ParseArgsConfig['options']

/** A value of the command line that cannot be used; its message says what would have been right. */
class Refusal extends Error {}

/** Reads the command line (without program and script). Nothing is guessed: what is not understood is refused. */
export function parseLoadCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): LoadCommand {
  try {
    const { values } = parseArgs({ args: [...words], options: FLAGS, strict: true, allowPositionals: false })
    if (values.help) return { kind: 'help' }
    checkProtocol(values.protocol)
    const topics = parseCount('--topics', values.topics, 1000)
    const options: LoadOptions = {
      ...parseAddress(values.broker ?? (environment['CAFELOG_BROKER'] || 'localhost:7070')),
      topics,
      partitions: values.partitions === undefined ? undefined : parseCount('--partitions', values.partitions, 1000),
      rate: parseRate(values.rate),
      durationMs: parseTime('--duration', values.duration),
      valueBytes: parseValueBytes(values.size),
      batch: parseCount('--batch', values.batch, 100_000),
      acks: parseAcks(values.acks),
      connections:
        values.connections === undefined ? Math.min(topics, 16) : parseCount('--connections', values.connections, 1000),
      inFlight: parseCount('--in-flight', values['in-flight'], 65_536),
      timeoutMs: parseTime('--timeout', values.timeout),
      isJson: values.json,
    }
    checkFrame(options)
    return { kind: 'run', options }
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', message: error.message }
    // parseArgs explains at length how to pass a word that begins with a hyphen; its first sentence is enough.
    if (error instanceof TypeError) return { kind: 'refused', message: error.message.split('. ')[0] }
    throw error
  }
}

function checkProtocol(text: string): void {
  if (text === 'json') return
  if (text === 'kafka')
    throw new Refusal('Cannot use --protocol kafka: this version of the broker has no Kafka door yet, only json')
  throw new Refusal(`Cannot use --protocol ${JSON.stringify(text)}: json`)
}

function checkFrame({ batch, valueBytes }: LoadOptions): void {
  const frameBytes = batch * (Math.ceil(valueBytes / 3) * 4 + RECORD_OVERHEAD_BYTES) + 1024
  if (frameBytes <= FRAME_BYTES_MAX) return
  const most = Math.floor((FRAME_BYTES_MAX - 1024) / (frameBytes / batch))
  const advice = most >= 1 ? `at most --batch ${most} with this --size` : 'a smaller --size'
  throw new Refusal(
    `Cannot send ${batch} values of ${valueBytes} bytes in one request: a frame holds 10 MiB, ${advice}`,
  )
}

function parseCount(flag: string, text: string, max: number): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > max)
    throw new Refusal(`Cannot use ${flag} ${JSON.stringify(text)}: a whole number from 1 to ${max}`)
  return count
}

/** `1000msg/s`, `1000/s`, `1000`, `2.5k`, `1Mmsg/s`; 0 and `max` are 0. */
function parseRate(text: string): number {
  if (text === 'max') return 0
  const match = /^(\d{1,9}(?:\.\d{1,6})?)([kM])?(?:msg\/s|\/s)?$/.exec(text)
  const rate = match ? Number(match[1]) * (match[2] === 'k' ? 1e3 : match[2] === 'M' ? 1e6 : 1) : NaN
  if (!(rate >= 0 && rate <= 1e7)) {
    throw new Refusal(`Cannot use --rate ${JSON.stringify(text)}: messages a second like 1000msg/s, 50k/s or max`)
  }
  return rate
}

/** A bare number is refused: whoever writes 30 means seconds, and the broker's settings mean milliseconds by it. */
function parseTime(flag: string, text: string): number {
  const durationMs = /^\d+$/.test(text) ? undefined : parseDuration(text)
  if (durationMs === undefined || durationMs < 1 || durationMs > 86_400_000) {
    throw new Refusal(`Cannot use ${flag} ${JSON.stringify(text)}: 1ms to 24h, like 500ms, 30s, 5m`)
  }
  return durationMs
}

function parseValueBytes(text: string): number {
  const bytes = parseSize(text)
  if (bytes === undefined || bytes > 8 << 20) {
    throw new Refusal(`Cannot use --size ${JSON.stringify(text)}: 0B to 8MB, like 100B, 1KB, 64KB`)
  }
  return bytes
}

function parseAcks(text: string): 0 | 1 | 'all' {
  if (text === '0') return 0
  if (text === '1') return 1
  if (text === 'all' || text === '-1') return 'all'
  throw new Refusal(`Cannot use --acks ${JSON.stringify(text)}: 0, 1 or all`)
}

function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port < 1 || port > 65_535) {
    throw new Refusal(`Cannot use ${JSON.stringify(text)} as the broker's address: host:port, like localhost:7070`)
  }
  return { host: match[1] ?? (match[2] || 'localhost'), port }
}
