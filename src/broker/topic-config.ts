import { BrokerError } from '../base/broker-error.ts'
import { didYouMean } from '../base/nearest.ts'
import { formatDuration, parseDuration } from '../base/units.ts'
import { type CleanupPolicy, type FlushPolicy, isDeleted, type LogConfig } from '../log/log-engine.ts'
import { CODECS } from '../record/record-batch.ts'
import { OTHER_TOPIC_CONFIG, refuseOther, stricterFlushPolicy } from './other-topic-config.ts'
import type { TopicConfigKey } from './topic-config-key.ts'
import { duration, integer, oneOf, size } from './topic-config-key.ts'

const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS
const KIB = 1024
const MIB = 1024 * KIB
const INT32_MAX = 2 ** 31 - 1

const SEGMENTS_PER_RETENTION = 4
/** Below these, segments would be too many to be worth it. */
const SEGMENT_BYTES_LEAST = 16 * KIB
const SEGMENT_MS_LEAST = 1000

/** Every configuration key of a topic, in the order in which they are shown. docs/configuration.md is compared with it. */
export const TOPIC_CONFIG: { readonly [Name in keyof LogConfig]: TopicConfigKey<LogConfig[Name]> } = {
  retentionMs: {
    name: 'retention.ms',
    default: 7 * DAY_MS,
    ...duration({ least: 1, most: Number.MAX_SAFE_INTEGER, allowUnlimited: true }),
    meaning:
      'How long records are kept: a segment is removed when its newest record is older than this. -1 keeps them.',
  },
  retentionBytes: {
    name: 'retention.bytes',
    default: -1,
    ...size({ least: 1, most: Number.MAX_SAFE_INTEGER, allowUnlimited: true }),
    meaning:
      'How large a partition may grow before its oldest segments are removed. For each partition; -1 is no limit.',
  },
  segmentBytes: {
    name: 'segment.bytes',
    default: 64 * MIB,
    ...size({ least: KIB, most: INT32_MAX }),
    meaning:
      'How large a segment file may grow before the next one is begun. Retention removes whole segments; so the default is less, a quarter of retention.bytes, when that is small.',
  },
  segmentMs: {
    name: 'segment.ms',
    default: 7 * DAY_MS,
    ...duration({ least: 1, most: Number.MAX_SAFE_INTEGER }),
    meaning:
      'How old a segment may get before the next one is begun, though it is not full. The default is less, a quarter of retention.ms, when that is short.',
  },
  batchBytesMax: {
    name: 'max.message.bytes',
    default: 8 * MIB,
    ...size({ least: KIB, most: 100 * MIB }),
    meaning: 'How large a record batch may be. Larger ones are refused.',
  },
  indexIntervalBytes: {
    name: 'index.interval.bytes',
    default: 4 * KIB,
    ...size({ least: 1, most: INT32_MAX }),
    meaning:
      'How many bytes of log lie between two entries of the index: fewer find records faster, in a larger index.',
  },
  flushPolicy: {
    name: 'flush.policy',
    default: { kind: 'always' },
    wanted: 'always, interval:<duration> from interval:1ms to interval:1h, or os',
    meaning:
      'When records go to stable storage: always before they are acknowledged, at an interval, or whenever the operating system sees fit.',
    parse: parseFlushPolicy,
    format: formatFlushPolicy,
  },
  cleanupPolicy: {
    name: 'cleanup.policy',
    default: 'delete',
    wanted: 'delete, compact, or compact,delete',
    meaning:
      'What becomes of old records: delete removes them by retention.ms and retention.bytes, compact keeps the newest record of each key, compact,delete does both.',
    parse: parseCleanupPolicy,
    format: String,
  },
  deleteRetentionMs: {
    name: 'delete.retention.ms',
    default: DAY_MS,
    ...duration({ least: 0, most: Number.MAX_SAFE_INTEGER }),
    meaning:
      'Compacted topics: how long a record without a value, which deletes its key, can still be read after the cleaning that first met it.',
  },
  minCompactionLagMs: {
    name: 'min.compaction.lag.ms',
    default: 0,
    ...duration({ least: 0, most: Number.MAX_SAFE_INTEGER }),
    meaning: 'Compacted topics: how long every record stays, whatever comes after it.',
  },
  maxCompactionLagMs: {
    name: 'max.compaction.lag.ms',
    default: -1,
    ...duration({ least: 1, most: Number.MAX_SAFE_INTEGER, allowUnlimited: true }),
    meaning:
      'Compacted topics: after how long a record is cleaned though little has been written since; -1 leaves that to min.cleanable.dirty.ratio.',
  },
  minCleanableDirtyRatio: {
    name: 'min.cleanable.dirty.ratio',
    default: 0.5,
    wanted: 'a number from 0 to 1, such as "0.5"',
    meaning:
      'Compacted topics: the share of a partition’s bytes that must have been written since its last cleaning before it is cleaned again.',
    parse: parseRatio,
    format: String,
  },
  timestampType: {
    name: 'message.timestamp.type',
    default: 'CreateTime',
    ...oneOf(['CreateTime', 'LogAppendTime']),
    meaning: 'Whose time records have: that of the producer, or that of the broker when it takes them.',
  },
  timestampBeforeMaxMs: {
    name: 'message.timestamp.before.max.ms',
    default: -1,
    ...duration({ least: 0, most: Number.MAX_SAFE_INTEGER, allowUnlimited: true }),
    meaning:
      'How far the time of a record may lie behind that of the broker, unless the broker sets it; -1 is no limit.',
  },
  timestampAfterMaxMs: {
    name: 'message.timestamp.after.max.ms',
    default: -1,
    ...duration({ least: 0, most: Number.MAX_SAFE_INTEGER, allowUnlimited: true }),
    meaning:
      'How far the time of a record may lie ahead of that of the broker, unless the broker sets it; -1 is no limit.',
  },
  compression: {
    name: 'compression.type',
    default: 'producer',
    ...compressionType(),
    meaning: 'How records are kept: as the producer has compressed them, or compressed anew by the broker.',
  },
  gzipLevel: {
    name: 'compression.gzip.level',
    default: -1,
    wanted: 'a whole number from 1 to 9, or -1 for the library’s own choice',
    parse: (text) => (text === '0' ? undefined : integer(-1, 9).parse(text)),
    format: String,
    meaning: 'How hard the broker tries, with compression.type gzip.',
  },
  zstdLevel: {
    name: 'compression.zstd.level',
    default: 3,
    ...integer(1, 19),
    meaning: 'How hard the broker tries, with compression.type zstd.',
  },
  delayEnable: {
    name: 'cafelog.delay.enable',
    default: true,
    wanted: 'true or false',
    parse: (text) => ({ true: true, false: false })[text.toLowerCase()],
    format: String,
    meaning:
      'Whether records may ask to be delivered later. With false, batches of Kafka clients are not looked into for it, and its headers are headers like any other.',
  },
  delayMaxMs: {
    name: 'cafelog.delay.max.ms',
    default: 365 * DAY_MS,
    ...duration({ least: 1, most: 100 * 365 * DAY_MS, allowUnlimited: true }),
    meaning: 'How far ahead a delayed record may be due. Later ones are refused; -1 is no limit.',
  },
  delayRecordsMax: {
    name: 'cafelog.delay.max.records',
    default: 10_000_000,
    ...integer(-1, INT32_MAX),
    meaning: 'How many delayed records may wait at a time. More are refused; -1 is no limit.',
  },
}

/** Which one of the settings, by its name in the program. */
export type TopicConfigField = keyof LogConfig
const FIELDS = Object.keys(TOPIC_CONFIG) as TopicConfigField[]
const FIELDS_BY_NAME: ReadonlyMap<string, TopicConfigField> = new Map(
  FIELDS.map((field) => [TOPIC_CONFIG[field].name, field]),
)

/** The names of the keys that something depends on, in the order in which they are shown. */
export const TOPIC_CONFIG_NAMES: readonly string[] = FIELDS.map((field) => TOPIC_CONFIG[field].name)
/** The names of all keys, those that only other brokers have a use for last. */
export const ALL_TOPIC_CONFIG_NAMES: readonly string[] = [...TOPIC_CONFIG_NAMES, ...OTHER_TOPIC_CONFIG.keys()]

/** Settings by the name of their key, each value as `format` writes it. A Map, because names come from outside. */
export type TopicSettings = ReadonlyMap<string, string>

export const NO_SETTINGS: TopicSettings = new Map()

/** Where a value comes from: set for the topic, for all topics of the broker, or by nobody. */
export type ConfigSource = 'topic' | 'broker' | 'default'

/**
 * Checks one setting and returns its value as it is stored and shown: sizes in bytes, durations in milliseconds.
 *
 * @throws BrokerError INVALID_CONFIG
 */
export function parseTopicSetting(name: string, text: string): string {
  const other = OTHER_TOPIC_CONFIG.get(name)
  if (other !== undefined) {
    const value = other.parse(text)
    if (value === undefined) throw refuseOther(other, text)
    return value
  }
  const key = getKey(name)
  const value = key.parse(text)
  if (value === undefined) throw refuse(key, text)
  return key.format(value)
}

/**
 * Checks settings, all of them before anything is done with one.
 *
 * @throws BrokerError INVALID_CONFIG
 */
export function parseTopicSettings(settings: Readonly<Record<string, string>> | TopicSettings): TopicSettings {
  const entries = settings instanceof Map ? [...settings] : Object.entries(settings)
  return new Map(entries.map(([name, text]: [string, string]) => [name, parseTopicSetting(name, text)]))
}

/**
 * Refuses a name that is no configuration key.
 *
 * @throws BrokerError INVALID_CONFIG with the nearest name
 */
export function checkTopicConfigName(name: string): void {
  if (!OTHER_TOPIC_CONFIG.has(name)) getKey(name)
}

/**
 * The configuration that is in force for a topic: its own settings before the broker's before the defaults.
 *
 * @throws BrokerError INVALID_CONFIG when settings contradict each other
 */
export function toLogConfig(settings: TopicSettings, brokerSettings: TopicSettings): LogConfig {
  const isSet = (field: TopicConfigField): boolean => {
    const { name } = TOPIC_CONFIG[field]
    return settings.has(name) || brokerSettings.has(name)
  }
  const read = <Field extends TopicConfigField>(field: Field): LogConfig[Field] => {
    const key: TopicConfigKey<LogConfig[Field]> = TOPIC_CONFIG[field]
    const text = settings.get(key.name) ?? brokerSettings.get(key.name)
    const value = text === undefined ? key.default : key.parse(text)
    if (value === undefined) throw refuse(key, text ?? '')
    return value
  }
  const retentionMs = read('retentionMs')
  const retentionBytes = read('retentionBytes')
  const segmentBytes = read('segmentBytes')
  const segmentMs = read('segmentMs')
  const cleanupPolicy = read('cleanupPolicy')
  const minCompactionLagMs = read('minCompactionLagMs')
  const maxCompactionLagMs = read('maxCompactionLagMs')
  if (maxCompactionLagMs >= 0 && minCompactionLagMs > maxCompactionLagMs) {
    throw new BrokerError(
      'INVALID_CONFIG',
      `Cannot set min.compaction.lag.ms to ${minCompactionLagMs}: it must be at most max.compaction.lag.ms, which is ${maxCompactionLagMs}`,
    )
  }
  const follows = (limit: number, least: number, most: number): number => {
    return isDeleted({ cleanupPolicy }) ? shareOf(limit, least, most) : most
  }
  return Object.freeze({
    retentionMs,
    retentionBytes,
    segmentBytes: isSet('segmentBytes') ? segmentBytes : follows(retentionBytes, SEGMENT_BYTES_LEAST, segmentBytes),
    segmentMs: isSet('segmentMs') ? segmentMs : follows(retentionMs, SEGMENT_MS_LEAST, segmentMs),
    batchBytesMax: read('batchBytesMax'),
    indexIntervalBytes: read('indexIntervalBytes'),
    flushPolicy: stricterFlushPolicy(read('flushPolicy'), (name) => settings.get(name) ?? brokerSettings.get(name)),
    cleanupPolicy,
    deleteRetentionMs: read('deleteRetentionMs'),
    minCompactionLagMs,
    maxCompactionLagMs,
    minCleanableDirtyRatio: read('minCleanableDirtyRatio'),
    timestampType: read('timestampType'),
    timestampBeforeMaxMs: read('timestampBeforeMaxMs'),
    timestampAfterMaxMs: read('timestampAfterMaxMs'),
    compression: read('compression'),
    gzipLevel: read('gzipLevel'),
    zstdLevel: read('zstdLevel'),
    delayEnable: read('delayEnable'),
    delayMaxMs: read('delayMaxMs'),
    delayRecordsMax: read('delayRecordsMax'),
  })
}

/** What a segment is to hold of a retention limit, so that the limit is kept to a quarter though whole segments go. */
function shareOf(limit: number, least: number, most: number): number {
  return limit < 0 ? most : Math.min(most, Math.max(least, Math.ceil(limit / SEGMENTS_PER_RETENTION)))
}

/** Every key that something depends on, or that is set, with the value that is in force and where it comes from. */
export function describeTopicConfig(
  settings: TopicSettings,
  brokerSettings: TopicSettings,
): ReadonlyMap<string, { readonly value: string; readonly source: ConfigSource }> {
  const names = ALL_TOPIC_CONFIG_NAMES.filter((name) => FIELDS_BY_NAME.has(name) || settings.has(name))
  return new Map(names.map((name) => [name, describeTopicSetting(name, settings, brokerSettings)]))
}

/** One key with the value that is in force and where it comes from. */
export function describeTopicSetting(
  name: string,
  settings: TopicSettings,
  brokerSettings: TopicSettings,
): { readonly value: string; readonly source: ConfigSource } {
  const ownValue = settings.get(name)
  if (name === TOPIC_CONFIG.flushPolicy.name && [...OTHER_TOPIC_CONFIG.keys()].some((other) => settings.has(other))) {
    return describeFlushPolicy(settings, brokerSettings)
  }
  if (ownValue !== undefined) return { value: ownValue, source: 'topic' }
  const brokerValue = brokerSettings.get(name)
  if (brokerValue !== undefined) return { value: brokerValue, source: 'broker' }
  const field = FIELDS_BY_NAME.get(name)
  if (field === 'segmentBytes' || field === 'segmentMs') {
    return { value: String(toLogConfig(settings, brokerSettings)[field]), source: 'default' }
  }
  const key: TopicConfigKey<unknown> = OTHER_TOPIC_CONFIG.get(name) ?? getKey(name)
  return { value: key.format(key.default), source: 'default' }
}

/** The topic may have settings of Kafka's that make the policy stricter than what is set. */
function describeFlushPolicy(settings: TopicSettings, brokerSettings: TopicSettings) {
  const { name } = TOPIC_CONFIG.flushPolicy
  const own = settings.get(name)
  const without = own ?? brokerSettings.get(name) ?? formatFlushPolicy(TOPIC_CONFIG.flushPolicy.default)
  const value = formatFlushPolicy(toLogConfig(settings, brokerSettings).flushPolicy)
  const source = brokerSettings.has(name) ? 'broker' : 'default'
  return { value, source: own !== undefined || value !== without ? 'topic' : source } as const
}

/** Reads `always`, `interval:<duration>` or `os`; undefined for anything else. */
export function parseFlushPolicy(text: string): FlushPolicy | undefined {
  if (text === 'always' || text === 'os') return { kind: text }
  if (!text.startsWith('interval:')) return undefined
  const intervalMs = parseDuration(text.slice('interval:'.length))
  return intervalMs !== undefined && intervalMs >= 1 && intervalMs <= HOUR_MS
    ? { kind: 'interval', intervalMs }
    : undefined
}

/** Writes a flush policy as `parseFlushPolicy` reads it. */
export function formatFlushPolicy(policy: FlushPolicy): string {
  return policy.kind === 'interval' ? `interval:${formatDuration(policy.intervalMs)}` : policy.kind
}

/** Reads Kafka's list, in any order: `delete`, `compact` or both; undefined for anything else. */
export function parseCleanupPolicy(text: string): CleanupPolicy | undefined {
  const policies = new Set(text.split(',').map((policy) => policy.trim()))
  const isCompact = policies.delete('compact')
  const isDelete = policies.delete('delete')
  if (policies.size > 0) return undefined
  if (isCompact) return isDelete ? 'compact,delete' : 'compact'
  return 'delete'
}

/** Kafka calls no compression "uncompressed". */
function compressionType() {
  const words = ['producer', 'uncompressed', ...CODECS.filter((codec) => codec !== 'none')] as const
  const { wanted, parse } = oneOf(words)
  return {
    wanted,
    parse: (text: string) => {
      const word = parse(text)
      return word === 'uncompressed' ? 'none' : word
    },
    format: (codec: LogConfig['compression']) => (codec === 'none' ? 'uncompressed' : codec),
  }
}

function parseRatio(text: string): number | undefined {
  const ratio = /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN
  return ratio >= 0 && ratio <= 1 ? ratio : undefined
}

function getKey(name: string): TopicConfigKey<unknown> {
  const field = FIELDS_BY_NAME.get(name)
  if (field !== undefined) return TOPIC_CONFIG[field]
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
  const hint = didYouMean(name, ALL_TOPIC_CONFIG_NAMES) || `, there are ${TOPIC_CONFIG_NAMES.join(', ')}`
  throw new BrokerError('INVALID_CONFIG', `There is no topic configuration ${JSON.stringify(shown)}${hint}`)
}

function refuse({ name, wanted }: { name: string; wanted: string }, text: string): BrokerError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new BrokerError('INVALID_CONFIG', `Cannot set ${name} to ${JSON.stringify(shown)}: it must be ${wanted}`)
}
