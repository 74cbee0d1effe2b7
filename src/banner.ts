import { createColors } from 'picocolors'
import { formatDuration } from './base/units.ts'
import type { Address, Config } from './config/config.ts'
import { formatAddress, SETTINGS } from './config/config.ts'
import type { FlushPolicy } from './log/log-engine.ts'
import type { RunningBroker, StartReport } from './main.ts'
import { VERSION } from './version.ts'

/** Where brokerctl looks for a broker. */
const BROKERCTL_DEFAULT = 'localhost:7070'

/** What a person who has just started a broker wants to know, and the three commands to try next. */
export function formatBanner(
  broker: Pick<RunningBroker, 'addresses' | 'report'>,
  options: {
    readonly config: Config
    readonly readyMs: number
    /** How brokerctl is called from here. */
    readonly brokerctl: string
    readonly isColored: boolean
  },
): string {
  const { config, brokerctl } = options
  const colors = createColors(options.isColored)
  const json = reachable(broker.addresses.json)
  const http = `http://${reachable(broker.addresses.http)}`
  const cli = json === BROKERCTL_DEFAULT ? brokerctl : `${brokerctl} -b ${json}`
  const facts = [
    ['JSON', colors.cyan(json), 'the protocol of docs/protocol-json.md'],
    ['Kafka', colors.cyan(reachable(broker.addresses.kafka)), "Kafka's clients: docs/protocol-kafka.md"],
    ['HTTP', colors.cyan(http), '/api/v1  /healthz  /readyz  /metrics'],
    ['Data', config.dataDirectory, formatReport(broker.report)],
    ['Flush', config.flushPolicy.kind, describeFlushPolicy(config.flushPolicy)],
  ]
  const lines = [
    `${colors.bold(`CafeLog ${VERSION}`)}  ready in ${Math.round(options.readyMs)} ms`,
    '',
    ...facts.map(([name, value, meaning]) => `${name.padEnd(7)}${value}  ${colors.dim(meaning)}`),
    '',
  ]
  const open = [
    ...(isLoopback(config.tcpAddress) ? [] : [[SETTINGS.tcpAddress.variable, broker.addresses.json.port]]),
    ...(isLoopback(config.kafkaAddress) ? [] : [[SETTINGS.kafkaAddress.variable, broker.addresses.kafka.port]]),
    ...(isLoopback(config.httpAddress) || config.token !== null
      ? []
      : [[SETTINGS.httpAddress.variable, broker.addresses.http.port]]),
  ]
  if (open.length > 0) {
    const onlyHere = open.map(([variable, port]) => `${variable}=localhost:${port}`).join(' ')
    lines.push(`Every machine that reaches this one may read and write, without a password.`)
    lines.push(`For this machine only:  ${onlyHere}`, '')
  }
  lines.push(
    'Try, in a second terminal:',
    `  ${cli} topic create orders --partitions 3`,
    `  echo '{"item":"flat white"}' | ${cli} produce orders --key table-4`,
    `  ${cli} consume orders --from-beginning`,
    '',
    'Ctrl-C stops the broker.',
  )
  return `\n${lines.map((line) => (line === '' ? '' : `  ${line}`)).join('\n')}\n\n`
}

/** What a power failure may cost. */
function describeFlushPolicy(policy: FlushPolicy): string {
  if (policy.kind === 'always') return 'a record is on stable storage before it is acknowledged'
  const last = policy.kind === 'interval' ? formatDuration(policy.intervalMs) : 'half minute'
  return `a power failure may lose what was acknowledged in the last ${last}`
}

function formatReport(report: StartReport): string {
  if (report.isNewDirectory && report.topicCount === 0) return 'new, no topics yet'
  const found = [
    count(report.topicCount, 'topic'),
    count(report.partitionCount, 'partition'),
    count(report.recordCount, 'record'),
  ]
  const opened = `${report.wasClean ? 'opened' : 'recovered after a crash'} in ${Math.round(report.openingMs)} ms`
  const cut = report.truncatedBytes > 0 ? [`${count(report.truncatedBytes, 'byte')} of unfinished writes cut off`] : []
  return [report.isNewDirectory ? 'new' : opened, ...found, ...cut].join(' · ')
}

function count(many: number, noun: string): string {
  return `${many.toLocaleString('en')} ${noun}${many === 1 ? '' : 's'}`
}

/** Where a client on this machine finds what listens there. */
function reachable({ host, port }: Address): string {
  const isAny = host === undefined || host === '::' || host === '0.0.0.0'
  return isAny || isLoopback({ host, port }) ? `localhost:${port}` : formatAddress({ host, port })
}

function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || host?.startsWith('127.') === true
}
