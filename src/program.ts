import { existsSync } from 'node:fs'
import { isatty } from 'node:tty'
import { setFlagsFromString } from 'node:v8'
import type { Logger as PinoLogger } from 'pino'
import { formatBanner } from './banner.ts'
import { systemClock } from './base/clock.ts'
import type { Config } from './config/config.ts'
import { ConfigError, formatAddress, parseConfig, SETTINGS } from './config/config.ts'
import { FLAGS } from './config/flags.ts'
import { readDescriptorsMax } from './config/descriptors.ts'
import { controlLevel, createProcessLogger } from './logging.ts'
import type { RunningBroker } from './main.ts'
import { startBroker } from './main.ts'
import { formatAddresses, parseEphemeral } from './ephemeral.ts'
import { formatStartError, StartError } from './start-error.ts'
import { RECORD_CONTEXTS } from './tracing/batch-contexts.ts'
import type { RunningTracing } from './tracing/start-tracing.ts'
import { parseTracingSettings } from './tracing/tracing-settings.ts'
import { VERSION } from './version.ts'

/** How often a broker under npm looks whether npm is still there. */
const PARENT_CHECK_MS = 250

/**
 * One Ctrl-C may arrive twice: from the terminal, and passed on by npm. What comes later is somebody who will not wait.
 */
const SAME_SIGNAL_MS = 500

/** What the last spans have to get to their collector, once all else is done. */
const TRACING_CLOSING_MS = 500

/** Where a broker is and keeps its data, which one for a test has its own. */
const PLACES = new Set(
  [
    SETTINGS.tcpAddress,
    SETTINGS.kafkaAddress,
    SETTINGS.httpAddress,
    SETTINGS.dataDirectory,
    SETTINGS.configDirectory,
  ].map(({ variable }) => variable),
)

/** Runs the broker as this process, until a signal stops it. */
export async function run(): Promise<void> {
  await start(process.argv.slice(2)).catch(fail)
}

async function start(args: readonly string[]): Promise<void> {
  const [first] = args
  if (first === '--help' || first === '-h') return void process.stdout.write(formatHelp())
  if (first === '--version' || first === '-v') return void process.stdout.write(`${VERSION}\n`)
  if (args.includes('--ephemeral')) return await startEphemeral(args)
  if (first !== undefined) {
    const hints = ['Settings are environment variables:  --help lists them']
    throw new StartError({
      code: 'USAGE',
      exitCode: 2,
      message: `Cannot use ${JSON.stringify(first)}: the broker takes no arguments`,
      hints,
    })
  }
  const config = parseConfig(process.env, readDescriptorsMax())
  const logger = createProcessLogger(config.logLevel)
  dieOfMistakes(logger)
  const tracing = await openTracing(logger)
  const starting = startBroker(config, { logger, logLevel: controlLevel(logger), tracer: tracing?.tracer })
  const stop = createStop(starting, config, logger, tracing)
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  if (isNpmStart()) stopWithParent(process.ppid, stop)
  const broker = await starting
  process.on('SIGHUP', (signal) => {
    // It also comes when the terminal is closed.
    if (process.stdout.isTTY && !isatty(1)) stop(signal)
    else if (!broker.isStopping) void reloadTopics(broker, logger)
  })
  announce(broker, config, logger)
  keepHeapSmall()
}

/**
 * Has V8 collect the old generation when it has grown by half. By itself it waits until it is several times what is in use: after
 * a million delayed records were taken, 60 MB of the process were garbage. As much work is done with it as without. What V8
 * compiled at build time is only good for the settings of then, so this comes last.
 */
function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=50')
}

/** Tracing if it is wanted. Its library is loaded only then: that takes a tenth of a second. */
async function openTracing(logger: PinoLogger): Promise<RunningTracing | undefined> {
  const settings = parseTracingSettings(process.env)
  if (settings.kind === 'refused') logger.warn({ event: 'tracing' }, `${settings.fault}; tracing is off`)
  if (settings.kind !== 'on') return undefined
  const { startTracing } = await import('./tracing/start-tracing.ts')
  const { protocol } = settings
  logger.info({ event: 'tracing', protocol }, 'tracing is on')
  return startTracing({ clock: systemClock, contexts: RECORD_CONTEXTS, logger, protocol, version: VERSION })
}

/** Runs a broker in memory for a test in whatever language, until a signal stops it. */
async function startEphemeral(args: readonly string[]): Promise<void> {
  const { port, printAddresses } = parseEphemeral(args)
  const { startCafeLog } = await import('./start-cafelog.ts')
  const environment = { [SETTINGS.logLevel.variable]: 'warn', ...process.env }
  const logger = createProcessLogger(parseConfig(environment, readDescriptorsMax()).logLevel)
  dieOfMistakes(logger)
  const settings = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[0].startsWith('CAFELOG_') && !PLACES.has(entry[0]),
  )
  const broker = await startCafeLog({
    ...(port > 0 && { ports: { json: port, kafka: port + 1, http: port + 2 } }),
    settings: Object.fromEntries(settings),
    logger,
  })
  const stop = () => void broker.close().then(() => process.exit(0), fail)
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  process.stdout.write(formatAddresses(broker.addresses, printAddresses))
}

/** Says that the broker is ready: a banner for people, a line of log for everything else. */
function announce(broker: RunningBroker, config: Config, logger: PinoLogger): void {
  const readyMs = systemClock.monotonic()
  const isForPeople = process.stdout.isTTY || isNpmStart()
  if (isForPeople) {
    // Of a pipe it is undefined, which would leave the choice to the colour library.
    const wantsColor = process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb'
    const isColored = process.stdout.isTTY ? wantsColor : false
    const brokerctl = existsSync('brokerctl') ? './brokerctl' : 'npx brokerctl'
    // Nobody may be reading; that is no reason to stop.
    process.stdout.on('error', () => {})
    process.stdout.write(formatBanner(broker, { config, readyMs, brokerctl, isColored }))
  }
  if (isForPeople && process.stderr.isTTY) return
  const { json, kafka, http } = broker.addresses
  logger.info(
    {
      event: 'ready',
      version: VERSION,
      pid: process.pid,
      addresses: { json: formatAddress(json), kafka: formatAddress(kafka), http: formatAddress(http) },
      ports: { json: json.port, kafka: kafka.port, http: http.port },
      dataDirectory: config.dataDirectory,
      flushPolicy: config.flushPolicy,
      ...broker.report,
      readyMs: Math.round(readyMs),
    },
    'the broker is ready',
  )
}

/** What ends the process in order when it is called, and at once when it is called again some time later. */
function createStop(
  starting: Promise<RunningBroker>,
  config: Config,
  logger: PinoLogger,
  tracing: RunningTracing | undefined,
): (signal: string) => void {
  let stoppingSince: number | undefined
  async function stop(signal: string) {
    const now = systemClock.monotonic()
    if (stoppingSince !== undefined) {
      if (now - stoppingSince < SAME_SIGNAL_MS) return
      logger.warn({ event: 'stopped', signal }, 'told to stop twice: stopping at once')
      process.exit(1)
    }
    stoppingSince = now
    logger.info({ event: 'stopping', signal }, 'stopping')
    systemClock.setTimer(config.shutdownTimeoutMs, () => {
      logger.fatal({ event: 'stopped' }, `stopping took longer than ${SETTINGS.shutdownTimeoutMs.variable}: giving up`)
      process.exit(1)
    })
    // If it does not even start, that is told elsewhere.
    const broker = await starting.catch(() => undefined)
    if (broker === undefined) return
    try {
      await broker.close()
    } catch (error) {
      logger.fatal({ event: 'stopped', error }, 'could not stop in order: the next start will recover the log')
      process.exit(70)
    }
    await tracing?.close(TRACING_CLOSING_MS)
    logger.info({ event: 'stopped' }, 'stopped in order')
    process.exit(0)
  }
  return (signal) => void stop(signal)
}

function isNpmStart(): boolean {
  return process.env['npm_lifecycle_event'] === 'start'
}

/**
 * npm runs us in a shell. A signal for npm goes to that shell and ends it, and many a shell does not pass it on: whoever
 * has stopped `npm start` would leave a broker behind. Losing the parent is the sign.
 */
function stopWithParent(parent: number, stop: (signal: string) => void): void {
  systemClock.setTimer(PARENT_CHECK_MS, () => {
    if (process.ppid === parent) stopWithParent(parent, stop)
    else stop('the end of npm')
  })
}

async function reloadTopics(broker: RunningBroker, logger: PinoLogger): Promise<void> {
  try {
    const done = await broker.reloadTopics()
    for (const sentence of done) logger.info({ event: 'topics-reloaded' }, sentence)
    if (done.length === 0) logger.info({ event: 'topics-reloaded' }, 'topics.yml asks for nothing new')
  } catch (error) {
    const faults = error instanceof ConfigError ? error.faults : [String(error)]
    for (const fault of faults) logger.error({ event: 'topics-refused' }, fault)
  }
}

/** After a mistake of our own nothing can be relied on: end, and let the next start recover what is on the disk. */
function dieOfMistakes(logger: PinoLogger): void {
  const die = (error: unknown) => {
    logger.fatal({ event: 'stopped', error }, 'the broker made a mistake')
    process.exit(70)
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}

function formatHelp(): string {
  const settings = Object.values(SETTINGS).map(
    ({ variable, default: byDefault, range, meaning }) =>
      `  ${variable}  (${byDefault})\n      ${meaning}\n      ${range}`,
  )
  return [
    'Usage: cafelog [--help] [--version]',
    '       cafelog --ephemeral [--port N] [--print-addresses json|text]',
    '',
    ...FLAGS.map(({ flag, meaning }) => `  ${flag.padEnd(18)} ${meaning}`),
    '',
    'Runs a CafeLog broker until it gets SIGINT or SIGTERM. SIGHUP makes it read topics.yml again.',
    '',
    'Everything is set by environment variables:',
    '',
    ...settings,
    '',
  ].join('\n')
}

function fail(error: unknown): void {
  if (error instanceof ConfigError) {
    const [message, ...faults] = error.faults
    process.stderr.write(
      formatStartError(new StartError({ code: 'BAD_CONFIGURATION', exitCode: 2, message, hints: faults })),
    )
    process.exit(2)
  }
  if (error instanceof StartError) {
    process.stderr.write(formatStartError(error))
    process.exit(error.exitCode)
  }
  process.stderr.write(`✗ ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(70)
}
