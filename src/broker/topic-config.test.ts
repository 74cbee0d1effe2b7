import { expect, test } from 'vitest'

import {
  ALL_TOPIC_CONFIG_NAMES,
  describeTopicConfig,
  describeTopicSetting,
  formatFlushPolicy,
  NO_SETTINGS,
  parseFlushPolicy,
  parseTopicSetting,
  parseTopicSettings,
  toLogConfig,
  TOPIC_CONFIG,
} from './topic-config.ts'

const stored: [name: string, text: string, value: string][] = [
  ['retention.ms', '7d', '604800000'],
  ['retention.ms', '1h30m', '5400000'],
  ['retention.ms', '-1', '-1'],
  ['retention.ms', '1000', '1000'],
  ['retention.bytes', '1GB', '1073741824'],
  ['retention.bytes', '-1', '-1'],
  ['segment.bytes', '16 MB', '16777216'],
  ['segment.ms', '1d', '86400000'],
  ['max.message.bytes', '1MiB', '1048576'],
  ['index.interval.bytes', '4096', '4096'],
  ['flush.policy', 'always', 'always'],
  ['flush.policy', 'os', 'os'],
  ['flush.policy', 'interval:10', 'interval:10ms'],
  ['flush.policy', 'interval:1000ms', 'interval:1s'],
  ['retention.ms', '9223372036854775807', '-1'],
  ['cleanup.policy', 'delete', 'delete'],
  ['cleanup.policy', 'compact', 'compact'],
  ['cleanup.policy', 'delete, compact', 'compact,delete'],
  ['delete.retention.ms', '0', '0'],
  ['min.compaction.lag.ms', '1m', '60000'],
  ['max.compaction.lag.ms', '9223372036854775807', '-1'],
  ['max.compaction.lag.ms', '1h', '3600000'],
  ['min.cleanable.dirty.ratio', '0.50', '0.5'],
  ['min.cleanable.dirty.ratio', '0', '0'],
  ['message.timestamp.type', 'LogAppendTime', 'LogAppendTime'],
  ['message.timestamp.before.max.ms', '1h', '3600000'],
  ['message.timestamp.after.max.ms', '9223372036854775807', '-1'],
  ['compression.type', 'uncompressed', 'uncompressed'],
  ['compression.type', 'zstd', 'zstd'],
  ['compression.gzip.level', '-1', '-1'],
  ['compression.zstd.level', '19', '19'],
  ['segment.ms', '9223372036854775807', '9007199254740991'],
  ['flush.messages', '9223372036854775807', '9223372036854775807'],
  ['flush.ms', '1s', '1000'],
  ['min.insync.replicas', '1', '1'],
  ['unclean.leader.election.enable', 'true', 'true'],
  ['leader.replication.throttled.replicas', '0:1,1:1', '0:1,1:1'],
  ['follower.replication.throttled.replicas', '', ''],
  ['local.retention.ms', '-2', '-2'],
]

test.each(stored)('%s = %j is stored as %j', (name, text, value) => {
  expect(parseTopicSetting(name, text)).toBe(value)
  expect(parseTopicSetting(name, value)).toBe(value)
})

const refused: [name: string, text: string, wanted: string][] = [
  ['retention.ms', '7 days', 'a whole number of milliseconds, or numbers with w, d, h, m, s or ms, the larger first'],
  ['retention.ms', '0', 'at least 1ms, or -1 for no limit'],
  ['retention.ms', '-2', 'or -1 for no limit'],
  ['retention.bytes', '1G', 'such as "512MB", at least 1B, or -1 for no limit'],
  ['segment.bytes', '1023', 'at least 1KB, at most 2147483647B'],
  ['segment.bytes', '2GB', 'at most 2147483647B'],
  ['segment.ms', '-1', 'at least 1ms'],
  ['max.message.bytes', '101MB', 'at least 1KB, at most 100MB'],
  ['index.interval.bytes', '0', 'at least 1B'],
  ['flush.policy', 'never', 'always, interval:<duration> from interval:1ms to interval:1h, or os'],
  ['flush.policy', 'interval:0', 'always, interval:<duration>'],
  ['flush.policy', 'interval:2h', 'always, interval:<duration>'],
  ['flush.policy', 'interval:', 'always, interval:<duration>'],
  ['cleanup.policy', '', 'delete, compact, or compact,delete'],
  ['cleanup.policy', 'compact,', 'delete, compact, or compact,delete'],
  ['cleanup.policy', 'compress', 'delete, compact, or compact,delete'],
  ['delete.retention.ms', '-1', 'at least 0ms'],
  ['max.compaction.lag.ms', '0', 'at least 1ms, or -1 for no limit'],
  ['min.cleanable.dirty.ratio', '1.01', 'a number from 0 to 1'],
  ['min.cleanable.dirty.ratio', '-0', 'a number from 0 to 1'],
  ['min.cleanable.dirty.ratio', '1e-3', 'a number from 0 to 1'],
  ['message.timestamp.type', 'createtime', 'CreateTime or LogAppendTime'],
  ['message.timestamp.after.max.ms', '-2', 'at least 0ms, or -1 for no limit'],
  ['compression.type', 'none', 'producer, uncompressed, gzip, snappy, lz4 or zstd'],
  ['compression.gzip.level', '0', 'a whole number from 1 to 9, or -1'],
  ['compression.gzip.level', '10', 'a whole number from 1 to 9, or -1'],
  ['compression.zstd.level', '22', 'a whole number from 1 to 19'],
]

test.each<[name: string, text: string, message: string]>([
  [
    'min.insync.replicas',
    '2',
    'Cannot set min.insync.replicas to "2": there is one broker, and so one copy, so it must be 1',
  ],
  ['remote.storage.enable', 'true', 'all segments are kept in the data directory, so it must be false'],
  ['preallocate', 'true', 'segments grow as they are written, so it must be false'],
  ['compression.lz4.level', '12', 'lz4 has one level here, so it must be 9'],
  ['flush.messages', '0', 'so it must be a whole number, at least 1'],
  ['leader.replication.throttled.replicas', '0', 'or partitions and brokers such as "0:1,2:1"'],
])('%s = %j cannot be kept, and it is said why', (name, text, message) => {
  expect(() => parseTopicSetting(name, text)).toThrow(message)
})

test('the settings of Kafka that only others need are taken, and shown when they are set', () => {
  const settings = parseTopicSettings({ 'min.insync.replicas': '1', 'file.delete.delay.ms': '1m' })
  const shown = describeTopicConfig(settings, NO_SETTINGS)
  expect(shown.get('min.insync.replicas')).toEqual({ value: '1', source: 'topic' })
  expect(shown.get('file.delete.delay.ms')).toEqual({ value: '60000', source: 'topic' })
  expect(shown.has('preallocate')).toBe(false)
  expect(describeTopicSetting('preallocate', settings, NO_SETTINGS)).toEqual({ value: 'false', source: 'default' })
  expect(toLogConfig(settings, NO_SETTINGS)).toEqual(toLogConfig(NO_SETTINGS, NO_SETTINGS))
  for (const name of ALL_TOPIC_CONFIG_NAMES) {
    const { value } = describeTopicSetting(name, NO_SETTINGS, NO_SETTINGS)
    expect(parseTopicSetting(name, value)).toBe(value)
  }
})

test.each<[policy: string, settings: Record<string, string>, wanted: string]>([
  ['os', { 'flush.messages': '10000' }, 'always'],
  ['os', { 'flush.ms': '0' }, 'always'],
  ['os', { 'flush.ms': '1000' }, 'interval:1s'],
  ['os', { 'flush.ms': '7d' }, 'interval:1h'],
  ['os', { 'flush.ms': '9223372036854775807', 'flush.messages': '9223372036854775807' }, 'os'],
  ['interval:10ms', { 'flush.ms': '1000' }, 'interval:10ms'],
  ['interval:10ms', { 'flush.ms': '5' }, 'interval:5ms'],
  ['always', { 'flush.ms': '1000' }, 'always'],
])("Kafka's flush settings make the policy stricter, never laxer: %s with %j", (policy, others, wanted) => {
  const settings = parseTopicSettings({ 'flush.policy': policy, ...others })
  expect(formatFlushPolicy(toLogConfig(settings, NO_SETTINGS).flushPolicy)).toBe(wanted)
  expect(describeTopicSetting('flush.policy', settings, NO_SETTINGS)).toEqual({ value: wanted, source: 'topic' })
})

test.each(refused)('%s = %j is refused', (name, text, wanted) => {
  expect(() => parseTopicSetting(name, text)).toThrow(`Cannot set ${name} to ${JSON.stringify(text)}: it must be `)
  expect(() => parseTopicSetting(name, text)).toThrow(wanted)
})

test('an unknown key is refused with the nearest one, or with all', () => {
  const message = (name: string) => {
    try {
      return parseTopicSetting(name, '1')
    } catch (error) {
      return String(error)
    }
  }
  expect(message('retention.sm')).toBe(
    'BrokerError: There is no topic configuration "retention.sm", did you mean "retention.ms"?',
  )
  expect(message('something.else')).toBe(
    'BrokerError: There is no topic configuration "something.else", there are retention.ms, retention.bytes, segment.bytes, segment.ms, max.message.bytes, index.interval.bytes, flush.policy, cleanup.policy, delete.retention.ms, min.compaction.lag.ms, max.compaction.lag.ms, min.cleanable.dirty.ratio, message.timestamp.type, message.timestamp.before.max.ms, message.timestamp.after.max.ms, compression.type, compression.gzip.level, compression.zstd.level, cafelog.delay.enable, cafelog.delay.max.ms, cafelog.delay.max.records',
  )
  expect(message('__proto__')).toContain('There is no topic configuration "__proto__"')
  expect(() => parseTopicSettings(JSON.parse('{"__proto__":"1"}') as Record<string, string>)).toThrow('"__proto__"')
})

test('the topic’s settings come before the broker’s before the defaults', () => {
  const settings = parseTopicSettings({ 'retention.ms': '1h', 'flush.policy': 'os' })
  const brokerSettings = parseTopicSettings(
    new Map([
      ['flush.policy', 'interval:10ms'],
      ['segment.bytes', '1MB'],
    ]),
  )
  expect(toLogConfig(settings, brokerSettings)).toEqual({
    retentionMs: 3_600_000,
    retentionBytes: -1,
    segmentBytes: 1_048_576,
    segmentMs: 900_000,
    batchBytesMax: 8_388_608,
    indexIntervalBytes: 4096,
    flushPolicy: { kind: 'os' },
    cleanupPolicy: 'delete',
    deleteRetentionMs: 86_400_000,
    minCompactionLagMs: 0,
    maxCompactionLagMs: -1,
    minCleanableDirtyRatio: 0.5,
    timestampType: 'CreateTime',
    timestampBeforeMaxMs: -1,
    timestampAfterMaxMs: -1,
    compression: 'producer',
    gzipLevel: -1,
    zstdLevel: 3,
    delayEnable: true,
    delayMaxMs: 31_536_000_000,
    delayRecordsMax: 10_000_000,
  })
  expect(toLogConfig(NO_SETTINGS, brokerSettings).flushPolicy).toEqual({ kind: 'interval', intervalMs: 10 })
  expect(Object.fromEntries(describeTopicConfig(settings, brokerSettings))).toEqual({
    'retention.ms': { value: '3600000', source: 'topic' },
    'retention.bytes': { value: '-1', source: 'default' },
    'segment.bytes': { value: '1048576', source: 'broker' },
    'segment.ms': { value: '900000', source: 'default' },
    'max.message.bytes': { value: '8388608', source: 'default' },
    'index.interval.bytes': { value: '4096', source: 'default' },
    'flush.policy': { value: 'os', source: 'topic' },
    'cleanup.policy': { value: 'delete', source: 'default' },
    'delete.retention.ms': { value: '86400000', source: 'default' },
    'min.compaction.lag.ms': { value: '0', source: 'default' },
    'max.compaction.lag.ms': { value: '-1', source: 'default' },
    'min.cleanable.dirty.ratio': { value: '0.5', source: 'default' },
    'message.timestamp.type': { value: 'CreateTime', source: 'default' },
    'message.timestamp.before.max.ms': { value: '-1', source: 'default' },
    'message.timestamp.after.max.ms': { value: '-1', source: 'default' },
    'compression.type': { value: 'producer', source: 'default' },
    'compression.gzip.level': { value: '-1', source: 'default' },
    'compression.zstd.level': { value: '3', source: 'default' },
    'cafelog.delay.enable': { value: 'true', source: 'default' },
    'cafelog.delay.max.ms': { value: '31536000000', source: 'default' },
    'cafelog.delay.max.records': { value: '10000000', source: 'default' },
  })
})

test('every default is what its own key takes', () => {
  for (const [name, { value }] of describeTopicConfig(NO_SETTINGS, NO_SETTINGS)) {
    expect(parseTopicSetting(name, value)).toBe(value)
  }
  expect(Object.values(TOPIC_CONFIG).every(({ meaning, wanted }) => meaning.length > 0 && wanted.length > 0)).toBe(true)
})

test('a flush policy is written as it is read', () => {
  for (const text of ['always', 'os', 'interval:10ms', 'interval:1m30s', 'interval:1h']) {
    const policy = parseFlushPolicy(text)
    expect(policy && formatFlushPolicy(policy)).toBe(text)
  }
})

test('segments follow a small retention, unless they were set', () => {
  const config = (settings: Record<string, string>) => toLogConfig(new Map(Object.entries(settings)), NO_SETTINGS)
  expect(config({ 'retention.bytes': '1048576' }).segmentBytes).toBe(262_144)
  expect(config({ 'retention.bytes': '1' }).segmentBytes).toBe(16_384)
  expect(config({ 'retention.bytes': '1073741824' }).segmentBytes).toBe(64 << 20)
  expect(config({ 'retention.ms': '60000' }).segmentMs).toBe(15_000)
  expect(config({ 'retention.ms': '-1' }).segmentMs).toBe(604_800_000)
  expect(config({ 'retention.bytes': '1048576', 'segment.bytes': '65536' }).segmentBytes).toBe(65_536)
  expect(config({ 'retention.ms': '60000', 'cleanup.policy': 'compact' }).segmentMs).toBe(604_800_000)
  expect(config({ 'retention.ms': '60000', 'cleanup.policy': 'compact,delete' }).segmentMs).toBe(15_000)
  const shown = describeTopicSetting('segment.bytes', new Map([['retention.bytes', '1048576']]), NO_SETTINGS)
  expect(shown).toEqual({ value: '262144', source: 'default' })
})

test('records cannot have to be compacted before they may be', () => {
  const config = (settings: Record<string, string>) => toLogConfig(parseTopicSettings(settings), NO_SETTINGS)
  expect(config({ 'min.compaction.lag.ms': '1h' }).minCompactionLagMs).toBe(3_600_000)
  expect(() => config({ 'min.compaction.lag.ms': '1h', 'max.compaction.lag.ms': '1m' })).toThrow(
    'Cannot set min.compaction.lag.ms to 3600000: it must be at most max.compaction.lag.ms, which is 60000',
  )
})
