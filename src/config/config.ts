import { LOG_LEVELS } from '../base/log-level.ts'
import type { LogLevel } from '../base/log-level.ts'
import { suggestNearest } from '../base/nearest.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../base/units.ts'
import { parseFlushPolicy, TOPIC_CONFIG } from '../broker/topic-config.ts'
import { PARTITIONS_PER_TOPIC_MAX } from '../broker/topics.ts'
import type { FlushPolicy } from '../log/log-engine.ts'
import { SERIES_MAX } from '../metrics/metrics.ts'
import { UNPACKED_BYTES_MAX } from '../record/record-batch.ts'

/** Where to listen. No host means all interfaces, port 0 any free port. */
export interface Address {
  readonly host: string | undefined
  readonly port: number
}

/** An address for others: with a host, and a port that is not 0. */
export interface Advertised {
  readonly host: string
  readonly port: number
}

/** All that the broker can be told from outside, but for topics. */
export interface Config {
  readonly httpAddress: Address
  readonly tcpAddress: Address
  readonly kafkaAddress: Address
  /** Under which names, besides its own, the HTTP API is served. */
  readonly httpAllowedHosts: readonly string[]
  /** What requests to the HTTP API must bring along; null when they need nothing. */
  readonly token: string | null
  /** Where Kafka clients are told to connect; null for the address that they have connected to. */
  readonly kafkaAdvertised: Advertised | null
  /** Whether a Kafka client that asks for a topic that is not there gets a new one. */
  readonly autoCreateTopics: boolean
  /** Partitions of topics that Kafka clients make without saying how many. */
  readonly defaultPartitions: number
  /** As it was given; relative to the working directory. */
  readonly dataDirectory: string
  /** As it was given; relative to the working directory. */
  readonly configDirectory: string
  readonly logLevel: LogLevel
  /** What topics get that say nothing about it. */
  readonly flushPolicy: FlushPolicy
  readonly shutdownTimeoutMs: number
  readonly retentionCheckIntervalMs: number
  /** How often the cleaner looks for something to compact. */
  readonly cleanerIntervalMs: number
  /** What the cleaner may take for its table of keys. */
  readonly cleanerMemoryBytes: number
  /** What the cleaner may read and write in a second, on the average. */
  readonly cleanerBytesPerSecond: number
  /** How long the first member of an empty classic group waits for others. */
  readonly groupInitialRebalanceDelayMs: number
  readonly groupSessionTimeoutMsMin: number
  readonly groupSessionTimeoutMsMax: number
  /** The session timeout of members of groups in which the broker assigns. */
  readonly groupConsumerSessionTimeoutMs: number
  /** How often these are told to send heartbeats. */
  readonly groupConsumerHeartbeatIntervalMs: number
  /** How long committed offsets outlive the last member of their group. */
  readonly offsetsRetentionMs: number
  /** The longest time that a transactional producer may ask for. */
  readonly transactionTimeoutMsMax: number
  /** How long a transactional id is remembered that nobody uses. */
  readonly transactionalIdExpirationMs: number
  /** What topics get that say nothing about delayed records. */
  readonly delayEnable: boolean
  readonly delayMaxMs: number
  /** For each topic. */
  readonly delayRecordsMax: number
  /** Client connections at the same time, of all doors together. */
  readonly connectionsMax: number
  /** Segment and index files that the log holds open at the same time. */
  readonly openFilesMax: number
  /** Bytes that the records of a compressed batch may grow to when the broker reads them. */
  readonly unpackedBytesMax: number
  /** Series that topics may have of their own in a scrape, and consumer groups as many again. */
  readonly metricsSeriesMax: number
  /** HTTP connections at the same time. Not a setting: it follows from the process's limit of open files. */
  readonly httpConnectionsMax: number
}

/** One setting: what the documentation says about it, and how its text is read. */
export interface Setting<Value> {
  readonly variable: string
  /** As text, as it would be written into the environment. */
  readonly default: string
  /** What would be right; the second half of the error message. */
  readonly range: string
  readonly meaning: string
  /** How it can be changed while the broker runs; undefined when it is read at the start only. */
  readonly atRuntime?: string
  /** Undefined when the text is not in the range. */
  readonly parse: (text: string) => Value | undefined
  /** Whether its value is nobody's business: then it is not quoted. */
  readonly isSecret?: boolean
}

const PREFIX = 'CAFELOG_'
const FOR_TOPICS = 'for single topics'
/**
 * The file descriptors that are neither for the doors of the log nor for segments: HTTP has a quarter of them, the others
 * are for Node itself, the store, the listeners (some 26), clients that are told that there are too many, directories
 * while they are synced, and a margin: a partition whose sync finds none is closed. Of a small limit it is half.
 */
const DESCRIPTORS_RESERVED = 256
const CONNECTIONS_DEFAULT = 10_000
/** Of a small limit, half goes to the log; of a large one, at least so many. */
const OPEN_FILES_WANTED = 4096
const OPEN_FILES_MAX = 20_000
const OPEN_FILES_MIN = 16
const TOKEN_CHARACTERS_MIN = 16
const TOKEN = /^[\x21-\x7e]{16,256}$/
const HOST_NAME = /^(?:\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,250}[a-z0-9_])?)$/
const UNPACKED_BYTES_LEAST = 2 ** 20
const UNPACKED_BYTES_MOST = 2 ** 30

/** Every environment variable of the broker. docs/configuration.md is compared with this table. */
export const SETTINGS: { readonly [Name in Exclude<keyof Config, 'httpConnectionsMax'>]: Setting<Config[Name]> } = {
  httpAddress: {
    variable: 'CAFELOG_HTTP_ADDR',
    default: ':8080',
    range: '"host:port", or ":port" for all interfaces; port 0 takes any free one',
    meaning: 'HTTP: health, metrics and the API',
    parse: parseAddress,
  },
  httpAllowedHosts: {
    variable: 'CAFELOG_HTTP_ALLOWED_HOSTS',
    default: 'localhost',
    range: 'host names, separated by commas; `*.` stands for any beginning, and `*` for any name',
    meaning: 'Names with a dot under which the HTTP API may be used. IP addresses and names without a dot always may',
    parse: parseHostNames,
  },
  token: {
    variable: 'CAFELOG_TOKEN',
    default: 'none',
    range: `${TOKEN_CHARACTERS_MIN} to 256 letters, digits and punctuation marks, without spaces`,
    meaning:
      'What requests to the HTTP API must have as bearer token; without it, anyone who reaches the port may use it',
    parse: (text) => (TOKEN.test(text) ? text : undefined),
    isSecret: true,
  },
  tcpAddress: {
    variable: 'CAFELOG_TCP_ADDR',
    default: ':7070',
    range: '"host:port", or ":port" for all interfaces; port 0 takes any free one',
    meaning: 'TCP: the JSON protocol',
    parse: parseAddress,
  },
  kafkaAddress: {
    variable: 'CAFELOG_KAFKA_ADDR',
    default: ':9092',
    range: '"host:port", or ":port" for all interfaces; port 0 takes any free one',
    meaning: 'TCP: the Kafka protocol',
    parse: parseAddress,
  },
  kafkaAdvertised: {
    variable: 'CAFELOG_KAFKA_ADVERTISED',
    default: 'the address that a client has connected to',
    range: '"host:port"',
    meaning: 'Where Kafka clients are told to connect, when they reach the broker by another name or port',
    parse: parseAdvertised,
  },
  autoCreateTopics: {
    variable: 'CAFELOG_AUTO_CREATE_TOPICS',
    default: 'true',
    range: 'true or false',
    meaning: 'Whether a Kafka client that asks for a topic that is not there gets a new one',
    parse: (text) => ({ true: true, false: false })[text.toLowerCase()],
  },
  defaultPartitions: {
    variable: 'CAFELOG_DEFAULT_PARTITIONS',
    default: '1',
    range: 'a whole number from 1 to 10000',
    meaning: 'Partitions of topics that Kafka clients make without saying how many',
    parse: wholeNumberBetween(1, PARTITIONS_PER_TOPIC_MAX),
  },
  dataDirectory: {
    variable: 'CAFELOG_DATA_DIR',
    default: './data',
    range: 'a directory; it is made when it is not there',
    meaning: 'Where topics and offsets are kept; one broker at a time',
    parse: (text) => text,
  },
  configDirectory: {
    variable: 'CAFELOG_CONFIG_DIR',
    default: './configs',
    range: 'a directory',
    meaning: 'Where topics.yml is',
    parse: (text) => text,
  },
  logLevel: {
    variable: 'CAFELOG_LOG_LEVEL',
    default: 'info',
    range: LOG_LEVELS.join(', '),
    meaning: 'The least important lines that are logged',
    atRuntime: 'brokerctl broker log-level, PUT /api/v1/log-level, or Kafka’s broker-loggers; until the next start',
    parse: (text) => LOG_LEVELS.find((level) => level === text.toLowerCase()),
  },
  flushPolicy: {
    variable: 'CAFELOG_FLUSH_POLICY',
    default: 'always',
    range: TOPIC_CONFIG.flushPolicy.wanted,
    meaning: 'When records go to stable storage, for topics that do not say otherwise',
    atRuntime: FOR_TOPICS,
    parse: parseFlushPolicy,
  },
  shutdownTimeoutMs: {
    variable: 'CAFELOG_SHUTDOWN_TIMEOUT',
    default: '10s',
    range: 'a duration from 100ms to 10m, such as 10s',
    meaning: 'How long requests in flight may take once the broker was told to stop',
    parse: durationBetween(100, 600_000),
  },
  retentionCheckIntervalMs: {
    variable: 'CAFELOG_RETENTION_CHECK_INTERVAL',
    default: '5m',
    range: 'a duration from 10ms to 1d, such as 5m',
    meaning: 'How often segments are looked at for their age and the size of their partition',
    parse: durationBetween(10, 86_400_000),
  },
  cleanerIntervalMs: {
    variable: 'CAFELOG_CLEANER_INTERVAL',
    default: '15s',
    range: 'a duration from 10ms to 1d, such as 15s',
    meaning: 'How often the broker looks whether a topic with cleanup.policy=compact is dirty enough to be cleaned',
    parse: durationBetween(10, 86_400_000),
  },
  cleanerMemoryBytes: {
    variable: 'CAFELOG_CLEANER_MEMORY',
    default: '32MB',
    range: 'a size from 64KB to 2GB',
    meaning:
      'Memory for the keys of the partition that is being compacted, 30 bytes a key; with more keys it takes several passes',
    parse: sizeBetween(64 * 1024, 2 * 1024 * 1024 * 1024),
  },
  cleanerBytesPerSecond: {
    variable: 'CAFELOG_CLEANER_RATE',
    default: '64MB',
    range: 'a size from 64KB to 1TB',
    meaning: 'Bytes that compaction reads and writes in a second, so that it leaves time for everything else',
    parse: sizeBetween(64 * 1024, 2 ** 40),
  },
  groupInitialRebalanceDelayMs: {
    variable: 'CAFELOG_GROUP_INITIAL_REBALANCE_DELAY',
    default: '100ms',
    range: 'a duration from 0ms to 1m, such as 3s',
    meaning: 'How long the first member of an empty classic group waits for others, again while they keep coming',
    parse: durationBetween(0, 60_000),
  },
  groupSessionTimeoutMsMin: {
    variable: 'CAFELOG_GROUP_MIN_SESSION_TIMEOUT',
    default: '6s',
    range: 'a duration from 100ms to 1d, such as 6s',
    meaning: 'The shortest session timeout that a member of a classic group may ask for',
    parse: durationBetween(100, 86_400_000),
  },
  groupSessionTimeoutMsMax: {
    variable: 'CAFELOG_GROUP_MAX_SESSION_TIMEOUT',
    default: '30m',
    range: 'a duration from 100ms to 1d, such as 30m',
    meaning: 'The longest one',
    parse: durationBetween(100, 86_400_000),
  },
  groupConsumerSessionTimeoutMs: {
    variable: 'CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT',
    default: '45s',
    range: 'a duration from 100ms to 1d, such as 45s',
    meaning: 'Without a heartbeat for so long, a member is dropped from a group in which the broker assigns',
    parse: durationBetween(100, 86_400_000),
  },
  groupConsumerHeartbeatIntervalMs: {
    variable: 'CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL',
    default: '2s',
    range: 'a duration from 10ms to 1h, such as 5s',
    meaning:
      'How often members of such a group are told to send heartbeats; so long a new assignment may take to arrive',
    parse: durationBetween(10, 3_600_000),
  },
  offsetsRetentionMs: {
    variable: 'CAFELOG_OFFSETS_RETENTION',
    default: '7d',
    range: 'a duration from 1s to 3650d, such as 7d',
    meaning: 'How long committed offsets outlive the last member of their group',
    parse: durationBetween(1000, 315_360_000_000),
  },
  transactionTimeoutMsMax: {
    variable: 'CAFELOG_TRANSACTION_MAX_TIMEOUT',
    default: '15m',
    range: 'a duration from 1s to 7d, such as 15m',
    meaning: 'The longest transaction.timeout.ms that a Kafka producer may ask for',
    parse: durationBetween(1000, 7 * 86_400_000),
  },
  transactionalIdExpirationMs: {
    variable: 'CAFELOG_TRANSACTIONAL_ID_EXPIRATION',
    default: '7d',
    range: 'a duration from 1m to 365d, such as 7d',
    meaning: 'How long a transactional id is remembered that no producer uses',
    parse: durationBetween(60_000, 365 * 86_400_000),
  },
  delayEnable: {
    variable: 'CAFELOG_DELAY_ENABLE',
    default: 'true',
    range: 'true or false',
    meaning: 'Whether records may ask to be delivered later, in topics that do not say otherwise',
    atRuntime: FOR_TOPICS,
    parse: (text) => ({ true: true, false: false })[text.toLowerCase()],
  },
  delayMaxMs: {
    variable: 'CAFELOG_DELAY_MAX',
    default: '365d',
    range: 'a duration from 1ms to 36500d, such as 30d, or -1 for no limit',
    meaning: 'How far ahead a delayed record may be due, in topics that do not say otherwise',
    atRuntime: FOR_TOPICS,
    parse: (text) => TOPIC_CONFIG.delayMaxMs.parse(text),
  },
  delayRecordsMax: {
    variable: 'CAFELOG_DELAY_MAX_RECORDS',
    default: '10000000',
    range: 'a whole number up to 2147483647, or -1 for no limit',
    meaning: 'How many delayed records of a topic may wait at a time, in topics that do not say otherwise',
    atRuntime: FOR_TOPICS,
    parse: (text) => TOPIC_CONFIG.delayRecordsMax.parse(text),
  },
  connectionsMax: {
    variable: 'CAFELOG_MAX_CONNECTIONS',
    default: String(CONNECTIONS_DEFAULT),
    range: 'a whole number from 1 to 1000000',
    meaning: 'Client connections at the same time; fewer by default when the limit of open files is low',
    parse: wholeNumberBetween(1, 1_000_000),
  },
  openFilesMax: {
    variable: 'CAFELOG_MAX_OPEN_FILES',
    default: 'what the limit of open files leaves',
    range: `a whole number from ${OPEN_FILES_MIN} to 1000000`,
    meaning: 'Segment and index files that are held open at the same time',
    parse: wholeNumberBetween(OPEN_FILES_MIN, 1_000_000),
  },
  unpackedBytesMax: {
    variable: 'CAFELOG_MAX_UNPACKED_BYTES',
    default: formatSize(UNPACKED_BYTES_MAX),
    range: 'a size from 1MB to 1GB',
    meaning: 'What the records of a compressed batch may grow to when they are read; more counts as damaged',
    parse: sizeBetween(UNPACKED_BYTES_LEAST, UNPACKED_BYTES_MOST),
  },
  metricsSeriesMax: {
    variable: 'CAFELOG_METRICS_MAX_SERIES',
    default: String(SERIES_MAX),
    range: 'a whole number from 0 to 10000000',
    meaning:
      'How many series topics may have on /metrics, and consumer groups as many again; those that come later are added up',
    parse: wholeNumberBetween(0, 10_000_000),
  },
}

/** The environment does not make a configuration. The message has a line for everything that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

/**
 * Reads the configuration. A variable that is empty counts as not there. `descriptorsMax` is the process's limit of
 * open files, which connections and segments have to share.
 *
 * @throws ConfigError with everything that is wrong at once
 */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>, descriptorsMax: number): Config {
  const faults = findMisspelt(environment)

  function read<Value>(setting: Setting<Value>, fallback: Value): Value {
    const text = environment[setting.variable]?.trim()
    if (text === undefined || text === '') return fallback
    const value = setting.parse(text)
    if (value !== undefined) return value
    const given = setting.isSecret === true ? setting.variable : `${setting.variable}=${JSON.stringify(text)}`
    faults.push(`Cannot use ${given}: it must be ${setting.range}`)
    return fallback
  }
  function readOrDefault<Value>(setting: Setting<Value>): Value {
    const fallback = setting.parse(setting.default)
    if (fallback === undefined) throw new TypeError(`the default of ${setting.variable} is not in its range`)
    return read(setting, fallback)
  }

  const reserved = Math.min(DESCRIPTORS_RESERVED, Math.floor(descriptorsMax / 2))
  const shared = descriptorsMax - reserved
  const filesAtLeast = Math.min(OPEN_FILES_WANTED, Math.floor(shared / 2))
  const connectionsMax = read(SETTINGS.connectionsMax, Math.min(CONNECTIONS_DEFAULT, shared - filesAtLeast))
  const filesLeft = Math.max(OPEN_FILES_MIN, Math.min(OPEN_FILES_MAX, shared - connectionsMax))
  const openFilesMax = read(SETTINGS.openFilesMax, filesLeft)
  if (connectionsMax + openFilesMax > shared) {
    faults.push(
      `Cannot use ${SETTINGS.connectionsMax.variable}=${connectionsMax} with ${SETTINGS.openFilesMax.variable}=${openFilesMax}: ` +
        `together they must be at most ${shared}, as the process may open ${descriptorsMax} files (ulimit -n) ` +
        `and needs ${reserved} for itself`,
    )
  }

  const config: Config = Object.freeze({
    httpAddress: readOrDefault(SETTINGS.httpAddress),
    httpAllowedHosts: readOrDefault(SETTINGS.httpAllowedHosts),
    token: read(SETTINGS.token, null),
    tcpAddress: readOrDefault(SETTINGS.tcpAddress),
    kafkaAddress: readOrDefault(SETTINGS.kafkaAddress),
    kafkaAdvertised: read(SETTINGS.kafkaAdvertised, null),
    autoCreateTopics: readOrDefault(SETTINGS.autoCreateTopics),
    defaultPartitions: readOrDefault(SETTINGS.defaultPartitions),
    dataDirectory: readOrDefault(SETTINGS.dataDirectory),
    configDirectory: readOrDefault(SETTINGS.configDirectory),
    logLevel: readOrDefault(SETTINGS.logLevel),
    flushPolicy: readOrDefault(SETTINGS.flushPolicy),
    shutdownTimeoutMs: readOrDefault(SETTINGS.shutdownTimeoutMs),
    retentionCheckIntervalMs: readOrDefault(SETTINGS.retentionCheckIntervalMs),
    cleanerIntervalMs: readOrDefault(SETTINGS.cleanerIntervalMs),
    cleanerMemoryBytes: readOrDefault(SETTINGS.cleanerMemoryBytes),
    cleanerBytesPerSecond: readOrDefault(SETTINGS.cleanerBytesPerSecond),
    groupInitialRebalanceDelayMs: readOrDefault(SETTINGS.groupInitialRebalanceDelayMs),
    groupSessionTimeoutMsMin: readOrDefault(SETTINGS.groupSessionTimeoutMsMin),
    groupSessionTimeoutMsMax: readOrDefault(SETTINGS.groupSessionTimeoutMsMax),
    groupConsumerSessionTimeoutMs: readOrDefault(SETTINGS.groupConsumerSessionTimeoutMs),
    groupConsumerHeartbeatIntervalMs: readOrDefault(SETTINGS.groupConsumerHeartbeatIntervalMs),
    offsetsRetentionMs: readOrDefault(SETTINGS.offsetsRetentionMs),
    transactionTimeoutMsMax: readOrDefault(SETTINGS.transactionTimeoutMsMax),
    transactionalIdExpirationMs: readOrDefault(SETTINGS.transactionalIdExpirationMs),
    delayEnable: readOrDefault(SETTINGS.delayEnable),
    delayMaxMs: readOrDefault(SETTINGS.delayMaxMs),
    delayRecordsMax: readOrDefault(SETTINGS.delayRecordsMax),
    connectionsMax,
    openFilesMax,
    unpackedBytesMax: readOrDefault(SETTINGS.unpackedBytesMax),
    metricsSeriesMax: readOrDefault(SETTINGS.metricsSeriesMax),
    httpConnectionsMax: Math.floor(reserved / 4),
  })
  faults.push(...findGroupFaults(config))
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

/** Times of consumer groups that do not go together. */
function findGroupFaults(config: Config): string[] {
  const pairs = [
    ['groupSessionTimeoutMsMin', 'groupSessionTimeoutMsMax'],
    ['groupConsumerHeartbeatIntervalMs', 'groupConsumerSessionTimeoutMs'],
  ] as const
  return pairs.flatMap(([shorter, longer]) => {
    if (config[shorter] <= config[longer]) return []
    const given = `${SETTINGS[shorter].variable}=${formatDuration(config[shorter])}`
    return [
      `Cannot use ${given}: ${SETTINGS[longer].variable} is ${formatDuration(config[longer])}, and must not be less`,
    ]
  })
}

/** Host and port of `host:port`, `:port` or `[IPv6 address]:port`; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:[\]/]*)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const [, addressV6, name, portText] = match
  const port = Number(portText)
  if (port > 65_535) return undefined
  const host = addressV6 ?? name
  return Object.freeze({ host: host === '' ? undefined : host, port })
}

function parseHostNames(text: string): readonly string[] | undefined {
  const names = text
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
  return names.every((name) => HOST_NAME.test(name)) ? Object.freeze(names) : undefined
}

function parseAdvertised(text: string): Advertised | undefined {
  const { host, port = 0 } = parseAddress(text) ?? {}
  return host === undefined || port === 0 ? undefined : { host, port }
}

/** Writes an address as `parseAddress` reads it. */
export function formatAddress({ host = '', port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function durationBetween(leastMs: number, mostMs: number) {
  return (text: string) => {
    const ms = parseDuration(text)
    return ms !== undefined && ms >= leastMs && ms <= mostMs ? ms : undefined
  }
}

function sizeBetween(least: number, most: number) {
  return (text: string) => {
    const bytes = parseSize(text)
    return bytes !== undefined && bytes >= least && bytes <= most ? bytes : undefined
  }
}

function wholeNumberBetween(least: number, most: number) {
  return (text: string) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    return value >= least && value <= most ? value : undefined
  }
}

/**
 * A variable that is nearly one of ours would be silently ignored, and the broker run with a default instead. Others of
 * our prefix are left alone: brokerctl has some, and Kubernetes sets a dozen for a service that is called cafelog.
 */
function findMisspelt(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = Object.values(SETTINGS).map((setting) => setting.variable.slice(PREFIX.length))
  const faults: string[] = []
  for (const [name, value] of Object.entries(environment)) {
    const word = name.slice(PREFIX.length)
    if (!name.startsWith(PREFIX) || known.includes(word)) continue
    const meant = suggestNearest(word, known)
    if (meant === undefined) continue
    const isSecret = `${PREFIX}${meant}` === SETTINGS.token.variable
    const shown = isSecret ? name : `${name}=${JSON.stringify(value)}`
    faults.push(`Cannot use ${shown}: there is no such variable, did you mean ${PREFIX}${meant}?`)
  }
  return faults
}
