import { BrokerError } from '../../../base/broker-error.ts'
import { parseTopicSettings, TOPIC_CONFIG } from '../../../broker/topic-config.ts'
import type { ConfigSource, TopicConfigField } from '../../../broker/topic-config.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { RequestContext } from '../context.ts'

/** The numbers that Kafka has for where a setting comes from. */
export const CONFIG_SOURCES: Readonly<Record<ConfigSource, number>> = { topic: 1, broker: 4, default: 5 }

/** The numbers that Kafka has for types of settings. */
export const CONFIG_TYPES = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 } as const

const TYPE_OF: Readonly<Record<TopicConfigField, number>> = {
  retentionMs: CONFIG_TYPES.long,
  retentionBytes: CONFIG_TYPES.long,
  segmentBytes: CONFIG_TYPES.int,
  segmentMs: CONFIG_TYPES.long,
  batchBytesMax: CONFIG_TYPES.int,
  indexIntervalBytes: CONFIG_TYPES.int,
  flushPolicy: CONFIG_TYPES.string,
  cleanupPolicy: CONFIG_TYPES.list,
  deleteRetentionMs: CONFIG_TYPES.long,
  minCompactionLagMs: CONFIG_TYPES.long,
  maxCompactionLagMs: CONFIG_TYPES.long,
  minCleanableDirtyRatio: CONFIG_TYPES.double,
}

/** How Kafka says that max.compaction.lag.ms is no limit: there is no -1 for it. */
const NO_LAG_LIMIT = '9223372036854775807'

/** Settings of Kafka's that can have one value here. Clients set them anyway, most of them to that value. */
const FIXED = [
  {
    name: 'compression.type',
    value: 'producer',
    type: CONFIG_TYPES.string,
    meaning: 'Record batches are kept as the producer has compressed them.',
  },
  {
    name: 'message.timestamp.type',
    value: 'CreateTime',
    type: CONFIG_TYPES.string,
    meaning: 'Records have the time that the producer has given them.',
  },
  {
    name: 'min.insync.replicas',
    value: '1',
    type: CONFIG_TYPES.int,
    meaning: 'There is one broker, and so one copy.',
  },
] as const

/** One setting of a topic, as Kafka's admin clients see it. */
export interface TopicSetting {
  readonly name: string
  readonly value: string
  readonly readOnly: boolean
  readonly configSource: number
  readonly isSensitive: boolean
  readonly configType: number
  readonly meaning: string
}

/** All settings of a topic. */
export function listTopicSettings({ broker }: RequestContext, topic: Topic): TopicSetting[] {
  const values = broker.topics.describeConfig(topic)
  const settings: TopicSetting[] = []
  for (const [field, type] of Object.entries(TYPE_OF) as [TopicConfigField, number][]) {
    const { name, meaning } = TOPIC_CONFIG[field]
    const found = values.get(name)
    if (found === undefined) continue
    const configSource = CONFIG_SOURCES[found.source]
    const value = field === 'maxCompactionLagMs' && found.value === '-1' ? NO_LAG_LIMIT : found.value
    settings.push({ name, value, readOnly: false, configSource, isSensitive: false, configType: type, meaning })
  }
  for (const { name, value, type, meaning } of FIXED) {
    const configSource = CONFIG_SOURCES.default
    settings.push({ name, value, readOnly: true, configSource, isSensitive: false, configType: type, meaning })
  }
  return settings
}

/**
 * Checks settings that a client wants for a topic. Those that can have one value only are left out of the result.
 *
 * @throws BrokerError INVALID_CONFIG, INVALID_REQUEST
 */
export function parseSettings(
  configs: readonly { readonly name: string; readonly value: string | null }[],
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  const seen = new Set<string>()
  for (const { name, value } of configs) {
    if (seen.has(name)) throw new BrokerError('INVALID_REQUEST', `Cannot set ${name} twice: once is enough`)
    seen.add(name)
    if (value === null) throw new BrokerError('INVALID_CONFIG', `Cannot set ${name} to null: it must have a value`)
    if (!checkFixed(name, value)) settings.set(name, value)
  }
  return parseTopicSettings(settings)
}

/** Whether a setting can have one value only. */
export function isFixed(name: string): boolean {
  return FIXED.some((fixed) => fixed.name === name)
}

function checkFixed(name: string, value: string): boolean {
  const fixed = FIXED.find((setting) => setting.name === name)
  if (fixed === undefined || fixed.value === value) return fixed !== undefined
  throw new BrokerError('INVALID_CONFIG', `Cannot set ${name} to ${JSON.stringify(value)}: it must be ${fixed.value}`)
}
