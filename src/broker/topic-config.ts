import { BrokerError } from '../base/broker-error.ts'
import { didYouMean } from '../base/nearest.ts'
import { DURATION_WANTED, formatDuration, formatSize, parseDuration, parseSize, SIZE_WANTED } from '../base/units.ts'
import { type CleanupPolicy, type FlushPolicy, isDeleted, type LogConfig } from '../log/log-engine.ts'

/** One setting of a topic: what the documentation says about it, and how its text is read. */
export interface TopicConfigKey<Value> {
  /** Kafka's name for it, where Kafka has one. */
  readonly name: string
  readonly default: Value
  /** What would be right: the second half of an error message. */
  readonly wanted: string
  readonly meaning: string
  /** Undefined when the text is not what is wanted. */
  readonly parse: (text: string) => Value | undefined
  /** The one way in which a value is stored and shown, whatever way it was written in. */
  format(value: Value): string
}

const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS
const KIB = 1024
const MIB = 1024 * KIB
const INT32_MAX = 2 ** 31 - 1
/** How clients of Kafka's say "no limit" where Kafka has no -1 for it. */
const INT64_MAX = '9223372036854775807'

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
}

/** Which one of the settings, by its name in the program. */
export type TopicConfigField = keyof LogConfig
const FIELDS = Object.keys(TOPIC_CONFIG) as TopicConfigField[]
const FIELDS_BY_NAME: ReadonlyMap<string, TopicConfigField> = new Map(
  FIELDS.map((field) => [TOPIC_CONFIG[field].name, field]),
)

/** The names of all keys, in the order in which they are shown. */
export const TOPIC_CONFIG_NAMES: readonly string[] = FIELDS.map((field) => TOPIC_CONFIG[field].name)

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
  getKey(name)
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
    flushPolicy: read('flushPolicy'),
    cleanupPolicy,
    deleteRetentionMs: read('deleteRetentionMs'),
    minCompactionLagMs,
    maxCompactionLagMs,
    minCleanableDirtyRatio: read('minCleanableDirtyRatio'),
  })
}

/** What a segment is to hold of a retention limit, so that the limit is kept to a quarter though whole segments go. */
function shareOf(limit: number, least: number, most: number): number {
  return limit < 0 ? most : Math.min(most, Math.max(least, Math.ceil(limit / SEGMENTS_PER_RETENTION)))
}

/** Every key with the value that is in force and where it comes from. */
export function describeTopicConfig(
  settings: TopicSettings,
  brokerSettings: TopicSettings,
): ReadonlyMap<string, { readonly value: string; readonly source: ConfigSource }> {
  return new Map(TOPIC_CONFIG_NAMES.map((name) => [name, describeTopicSetting(name, settings, brokerSettings)]))
}

/** One key with the value that is in force and where it comes from. */
export function describeTopicSetting(
  name: string,
  settings: TopicSettings,
  brokerSettings: TopicSettings,
): { readonly value: string; readonly source: ConfigSource } {
  const ownValue = settings.get(name)
  if (ownValue !== undefined) return { value: ownValue, source: 'topic' }
  const brokerValue = brokerSettings.get(name)
  if (brokerValue !== undefined) return { value: brokerValue, source: 'broker' }
  const field = FIELDS_BY_NAME.get(name)
  if (field === 'segmentBytes' || field === 'segmentMs') {
    return { value: String(toLogConfig(settings, brokerSettings)[field]), source: 'default' }
  }
  const key = getKey(name)
  return { value: key.format(key.default), source: 'default' }
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

function parseRatio(text: string): number | undefined {
  const ratio = /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN
  return ratio >= 0 && ratio <= 1 ? ratio : undefined
}

function getKey(name: string): TopicConfigKey<unknown> {
  const field = FIELDS_BY_NAME.get(name)
  if (field !== undefined) return TOPIC_CONFIG[field]
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
  const hint = didYouMean(name, TOPIC_CONFIG_NAMES) || `, there are ${TOPIC_CONFIG_NAMES.join(', ')}`
  throw new BrokerError('INVALID_CONFIG', `There is no topic configuration ${JSON.stringify(shown)}${hint}`)
}

function refuse({ name, wanted }: { name: string; wanted: string }, text: string): BrokerError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new BrokerError('INVALID_CONFIG', `Cannot set ${name} to ${JSON.stringify(shown)}: it must be ${wanted}`)
}

interface Range {
  readonly least: number
  readonly most: number
  readonly allowUnlimited?: boolean
}

function size(range: Range) {
  return amount(range, { parse: parseSize, show: formatSize, wanted: SIZE_WANTED })
}

function duration(range: Range) {
  return amount(range, { parse: parseDuration, show: formatDuration, wanted: DURATION_WANTED })
}

function amount(
  { least, most, allowUnlimited = false }: Range,
  unit: {
    parse: (text: string, options: { allowUnlimited: boolean }) => number | undefined
    show: (value: number) => string
    wanted: string
  },
) {
  const upTo = most === Number.MAX_SAFE_INTEGER ? '' : `, at most ${unit.show(most)}`
  return {
    wanted: `${unit.wanted}, at least ${unit.show(least)}${upTo}${allowUnlimited ? ', or -1 for no limit' : ''}`,
    parse: (text: string) => {
      if (allowUnlimited && text === INT64_MAX) return -1
      const value = unit.parse(text, { allowUnlimited })
      return value === -1 || (value !== undefined && value >= least && value <= most) ? value : undefined
    },
    format: String,
  }
}
