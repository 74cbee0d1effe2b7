import { expect, test } from 'vitest'
import { GROUP_DEFAULTS } from '../groups/group-options.ts'
import type { Address } from './config.ts'
import { ConfigError, parseAddress, parseConfig, SETTINGS } from './config.ts'

const DESCRIPTORS_MAX = 20_000

function faultsOf(environment: Record<string, string>, descriptorsMax = DESCRIPTORS_MAX): readonly string[] {
  try {
    parseConfig(environment, descriptorsMax)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).faults
  }
}

test('an empty environment gives the documented defaults', () => {
  expect(parseConfig({}, DESCRIPTORS_MAX)).toEqual({
    httpAddress: { host: undefined, port: 8080 },
    httpAllowedHosts: ['localhost'],
    token: null,
    tcpAddress: { host: undefined, port: 7070 },
    kafkaAddress: { host: undefined, port: 9092 },
    kafkaAdvertised: null,
    autoCreateTopics: true,
    defaultPartitions: 1,
    dataDirectory: './data',
    configDirectory: './configs',
    logLevel: 'info',
    flushPolicy: { kind: 'always' },
    shutdownTimeoutMs: 10_000,
    retentionCheckIntervalMs: 300_000,
    cleanerIntervalMs: 15_000,
    cleanerMemoryBytes: 33_554_432,
    cleanerBytesPerSecond: 67_108_864,
    groupInitialRebalanceDelayMs: GROUP_DEFAULTS.initialRebalanceDelayMs,
    groupSessionTimeoutMsMin: GROUP_DEFAULTS.sessionTimeoutMsMin,
    groupSessionTimeoutMsMax: GROUP_DEFAULTS.sessionTimeoutMsMax,
    groupConsumerSessionTimeoutMs: GROUP_DEFAULTS.consumerSessionTimeoutMs,
    groupConsumerHeartbeatIntervalMs: GROUP_DEFAULTS.consumerHeartbeatIntervalMs,
    offsetsRetentionMs: GROUP_DEFAULTS.offsetsRetentionMs,
    transactionTimeoutMsMax: 900_000,
    transactionalIdExpirationMs: 604_800_000,
    delayEnable: true,
    delayMaxMs: 31_536_000_000,
    delayRecordsMax: 10_000_000,
    connectionsMax: 10_000,
    openFilesMax: 9744,
    unpackedBytesMax: 134_217_728,
    metricsSeriesMax: 50_000,
    httpConnectionsMax: 64,
  })
})

test('every variable is read', () => {
  const config = parseConfig(
    {
      CAFELOG_HTTP_ADDR: '127.0.0.1:0',
      CAFELOG_HTTP_ALLOWED_HOSTS: 'Cafelog.example, *.inside.example',
      CAFELOG_TOKEN: 'a-token-of-some-length',
      CAFELOG_TCP_ADDR: '[::1]:7071',
      CAFELOG_KAFKA_ADDR: 'localhost:9093',
      CAFELOG_KAFKA_ADVERTISED: 'kafka.example:19092',
      CAFELOG_AUTO_CREATE_TOPICS: 'False',
      CAFELOG_DEFAULT_PARTITIONS: '4',
      CAFELOG_DATA_DIR: '/var/lib/cafelog',
      CAFELOG_CONFIG_DIR: '/etc/cafelog',
      CAFELOG_LOG_LEVEL: 'WARN',
      CAFELOG_FLUSH_POLICY: 'interval:10ms',
      CAFELOG_SHUTDOWN_TIMEOUT: '1m30s',
      CAFELOG_RETENTION_CHECK_INTERVAL: '500',
      CAFELOG_CLEANER_INTERVAL: '100ms',
      CAFELOG_CLEANER_MEMORY: '1MB',
      CAFELOG_CLEANER_RATE: '2MB',
      CAFELOG_GROUP_INITIAL_REBALANCE_DELAY: '3s',
      CAFELOG_GROUP_MIN_SESSION_TIMEOUT: '1s',
      CAFELOG_GROUP_MAX_SESSION_TIMEOUT: '5m',
      CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT: '10s',
      CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: '1s',
      CAFELOG_OFFSETS_RETENTION: '1d',
      CAFELOG_TRANSACTION_MAX_TIMEOUT: '1m',
      CAFELOG_TRANSACTIONAL_ID_EXPIRATION: '1d',
      CAFELOG_DELAY_ENABLE: 'false',
      CAFELOG_DELAY_MAX: '-1',
      CAFELOG_DELAY_MAX_RECORDS: '5',
      CAFELOG_MAX_CONNECTIONS: '100',
      CAFELOG_MAX_OPEN_FILES: '200',
      CAFELOG_MAX_UNPACKED_BYTES: '64MB',
    },
    DESCRIPTORS_MAX,
  )
  expect(config).toEqual({
    httpAddress: { host: '127.0.0.1', port: 0 },
    httpAllowedHosts: ['cafelog.example', '*.inside.example'],
    token: 'a-token-of-some-length',
    tcpAddress: { host: '::1', port: 7071 },
    kafkaAddress: { host: 'localhost', port: 9093 },
    kafkaAdvertised: { host: 'kafka.example', port: 19_092 },
    autoCreateTopics: false,
    defaultPartitions: 4,
    dataDirectory: '/var/lib/cafelog',
    configDirectory: '/etc/cafelog',
    logLevel: 'warn',
    flushPolicy: { kind: 'interval', intervalMs: 10 },
    shutdownTimeoutMs: 90_000,
    retentionCheckIntervalMs: 500,
    cleanerIntervalMs: 100,
    cleanerMemoryBytes: 1_048_576,
    cleanerBytesPerSecond: 2_097_152,
    groupInitialRebalanceDelayMs: 3000,
    groupSessionTimeoutMsMin: 1000,
    groupSessionTimeoutMsMax: 300_000,
    groupConsumerSessionTimeoutMs: 10_000,
    groupConsumerHeartbeatIntervalMs: 1000,
    offsetsRetentionMs: 86_400_000,
    transactionTimeoutMsMax: 60_000,
    transactionalIdExpirationMs: 86_400_000,
    delayEnable: false,
    delayMaxMs: -1,
    delayRecordsMax: 5,
    connectionsMax: 100,
    openFilesMax: 200,
    unpackedBytesMax: 67_108_864,
    metricsSeriesMax: 50_000,
    httpConnectionsMax: 64,
  })
  expect(Object.isFrozen(config)).toBe(true)
})

test('times of consumer groups have to go together', () => {
  expect(
    faultsOf({ CAFELOG_GROUP_MIN_SESSION_TIMEOUT: '1h', CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: '1m' }),
  ).toEqual([
    'Cannot use CAFELOG_GROUP_MIN_SESSION_TIMEOUT=1h: CAFELOG_GROUP_MAX_SESSION_TIMEOUT is 30m, and must not be less',
    'Cannot use CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL=1m: CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT is 45s, and must not be less',
  ])
})

test('an empty variable counts as not there', () => {
  expect(parseConfig({ CAFELOG_TCP_ADDR: '', CAFELOG_LOG_LEVEL: '  ' }, DESCRIPTORS_MAX)).toEqual(
    parseConfig({}, DESCRIPTORS_MAX),
  )
})

test('everything that is wrong is said at once, with variable, value and what would be right', () => {
  expect(
    faultsOf({
      CAFELOG_TCP_ADDR: 'localhost',
      CAFELOG_LOG_LEVEL: 'loud',
      CAFELOG_SHUTDOWN_TIMEOUT: '10 parsecs',
      CAFELOG_MAX_CONNECTIONS: '-3',
      CAFELOG_FLUSH_POLICY: 'sometimes',
    }),
  ).toEqual([
    'Cannot use CAFELOG_MAX_CONNECTIONS="-3": it must be a whole number from 1 to 1000000',
    'Cannot use CAFELOG_TCP_ADDR="localhost": it must be "host:port", or ":port" for all interfaces; port 0 takes any free one',
    'Cannot use CAFELOG_LOG_LEVEL="loud": it must be trace, debug, info, warn, error, fatal, silent',
    'Cannot use CAFELOG_FLUSH_POLICY="sometimes": it must be always, interval:<duration> from interval:1ms to interval:1h, or os',
    'Cannot use CAFELOG_SHUTDOWN_TIMEOUT="10 parsecs": it must be a duration from 100ms to 10m, such as 10s',
  ])
})

test('a token that is refused is not told to whoever reads the log', () => {
  const faults = faultsOf({ CAFELOG_TOKEN: 'short-secret', CAFELOG_TOKN: 'another secret' })
  expect(faults).toEqual([
    'Cannot use CAFELOG_TOKN: there is no such variable, did you mean CAFELOG_TOKEN?',
    'Cannot use CAFELOG_TOKEN: it must be 16 to 256 letters, digits and punctuation marks, without spaces',
  ])
})

test.each([
  ['CAFELOG_SHUTDOWN_TIMEOUT', '99ms'],
  ['CAFELOG_SHUTDOWN_TIMEOUT', '11m'],
  ['CAFELOG_RETENTION_CHECK_INTERVAL', '0'],
  ['CAFELOG_RETENTION_CHECK_INTERVAL', '25h'],
  ['CAFELOG_GROUP_INITIAL_REBALANCE_DELAY', '-1'],
  ['CAFELOG_GROUP_MIN_SESSION_TIMEOUT', '99ms'],
  ['CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL', '0'],
  ['CAFELOG_OFFSETS_RETENTION', '999ms'],
  ['CAFELOG_KAFKA_ADVERTISED', ':9092'],
  ['CAFELOG_KAFKA_ADVERTISED', 'kafka.example:0'],
  ['CAFELOG_AUTO_CREATE_TOPICS', 'yes'],
  ['CAFELOG_DEFAULT_PARTITIONS', '0'],
  ['CAFELOG_MAX_CONNECTIONS', '1e3'],
  ['CAFELOG_MAX_CONNECTIONS', '0'],
  ['CAFELOG_MAX_OPEN_FILES', '15'],
  ['CAFELOG_MAX_UNPACKED_BYTES', '1000'],
  ['CAFELOG_MAX_UNPACKED_BYTES', '2GB'],
  ['CAFELOG_MAX_OPEN_FILES', '0x100'],
  ['CAFELOG_HTTP_ALLOWED_HOSTS', 'http://cafelog.example'],
  ['CAFELOG_HTTP_ALLOWED_HOSTS', 'a.example,'],
])('%s=%s is out of range', (variable, text) => {
  expect(faultsOf({ [variable]: text })).toEqual([
    expect.stringContaining(`Cannot use ${variable}="${text}": it must be`),
  ])
})

test('a variable that is nearly one of ours is refused, others of our prefix are not', () => {
  expect(faultsOf({ CAFELOG_DATADIR: '/srv' })).toEqual([
    'Cannot use CAFELOG_DATADIR="/srv": there is no such variable, did you mean CAFELOG_DATA_DIR?',
  ])
  const others = {
    CAFELOG_BROKER: 'localhost:7070',
    CAFELOG_CONTEXT: 'x',
    CAFELOG_PORT: 'tcp://10.0.0.1:7070',
    CAFELOG_SERVICE_HOST: '10.0.0.1',
    CAFELOG_SERVICE_PORT: '7070',
    CAFELOG_PORT_7070_TCP: 'tcp://10.0.0.1:7070',
    CAFELOG_PORT_7070_TCP_ADDR: '10.0.0.1',
    CAFELOG_PORT_7070_TCP_PORT: '7070',
    CAFELOG_PORT_7070_TCP_PROTO: 'tcp',
  }
  expect(faultsOf(others)).toEqual([])
})

test.each<[descriptorsMax: number, connectionsMax: number, openFilesMax: number]>([
  [128, 32, 32],
  [1024, 384, 384],
  [4096, 1920, 1920],
  [20_000, 10_000, 9744],
  [1_048_576, 10_000, 20_000],
])(
  'with %i descriptors there is room for %i connections and %i files',
  (descriptorsMax, connectionsMax, openFilesMax) => {
    expect(parseConfig({}, descriptorsMax)).toMatchObject({ connectionsMax, openFilesMax })
  },
)

test('fewer files are held open when more connections are wanted', () => {
  expect(parseConfig({ CAFELOG_MAX_CONNECTIONS: '700' }, 1024)).toMatchObject({ connectionsMax: 700, openFilesMax: 68 })
})

test('more connections than the process may have files are refused', () => {
  expect(faultsOf({ CAFELOG_MAX_CONNECTIONS: '2000' }, 1024)).toEqual([
    'Cannot use CAFELOG_MAX_CONNECTIONS=2000 with CAFELOG_MAX_OPEN_FILES=16: together they must be at most 768, ' +
      'as the process may open 1024 files (ulimit -n) and needs 256 for itself',
  ])
})

test.each<[text: string, address: Address | undefined]>([
  [':7070', { host: undefined, port: 7070 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['0.0.0.0:65535', { host: '0.0.0.0', port: 65_535 }],
  ['[::]:80', { host: '::', port: 80 }],
  ['[fe80::1%eth0]:80', { host: 'fe80::1%eth0', port: 80 }],
  ['7070', undefined],
  ['localhost', undefined],
  ['localhost:', undefined],
  ['localhost:65536', undefined],
  ['localhost:-1', undefined],
  ['::1:7070', undefined],
  ['http://localhost:80', undefined],
  ['a b:80', undefined],
])('the address %j is read as %j', (text, address) => {
  expect(parseAddress(text)).toEqual(address)
})

test('every default is in its own range, but for what depends on the machine or the client', () => {
  for (const [name, { parse, default: text }] of Object.entries(SETTINGS)) {
    if (!['openFilesMax', 'kafkaAdvertised', 'token'].includes(name)) expect(parse(text), name).toBeDefined()
  }
})
