import { BrokerError } from '../../../base/broker-error.ts'
import { OTHER_TOPIC_CONFIG } from '../../../broker/other-topic-config.ts'
import { INT64_MAX } from '../../../broker/topic-config-key.ts'
import { ALL_TOPIC_CONFIG_NAMES, parseTopicSettings, TOPIC_CONFIG } from '../../../broker/topic-config.ts'
import type { ConfigSource } from '../../../broker/topic-config.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { RequestContext } from '../context.ts'

/** The numbers that Kafka has for where a setting comes from. */
export const CONFIG_SOURCES: Readonly<Record<ConfigSource, number>> = { topic: 1, broker: 4, default: 5 }

/** The numbers that Kafka has for types of settings. */
export const CONFIG_TYPES = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 } as const

/** What Kafka says about a setting of topics besides its value. */
interface KafkaKey {
  readonly type: number
  /** The setting of a broker that stands behind it, for topics that say nothing. */
  readonly ofBroker?: string
}

const { boolean, string, int, long, double, list } = CONFIG_TYPES

const KAFKA_KEYS: Readonly<Record<string, KafkaKey>> = {
  'retention.ms': { type: long, ofBroker: 'log.retention.ms' },
  'retention.bytes': { type: long, ofBroker: 'log.retention.bytes' },
  'segment.bytes': { type: int, ofBroker: 'log.segment.bytes' },
  'segment.ms': { type: long, ofBroker: 'log.roll.ms' },
  'max.message.bytes': { type: int, ofBroker: 'message.max.bytes' },
  'index.interval.bytes': { type: int, ofBroker: 'log.index.interval.bytes' },
  'flush.policy': { type: string },
  'cleanup.policy': { type: list, ofBroker: 'log.cleanup.policy' },
  'delete.retention.ms': { type: long, ofBroker: 'log.cleaner.delete.retention.ms' },
  'min.compaction.lag.ms': { type: long, ofBroker: 'log.cleaner.min.compaction.lag.ms' },
  'max.compaction.lag.ms': { type: long, ofBroker: 'log.cleaner.max.compaction.lag.ms' },
  'min.cleanable.dirty.ratio': { type: double, ofBroker: 'log.cleaner.min.cleanable.ratio' },
  'message.timestamp.type': { type: string, ofBroker: 'log.message.timestamp.type' },
  'message.timestamp.before.max.ms': { type: long, ofBroker: 'log.message.timestamp.before.max.ms' },
  'message.timestamp.after.max.ms': { type: long, ofBroker: 'log.message.timestamp.after.max.ms' },
  'compression.type': { type: string, ofBroker: 'compression.type' },
  'compression.gzip.level': { type: int, ofBroker: 'compression.gzip.level' },
  'compression.lz4.level': { type: int, ofBroker: 'compression.lz4.level' },
  'compression.zstd.level': { type: int, ofBroker: 'compression.zstd.level' },
  'cafelog.delay.enable': { type: boolean },
  'cafelog.delay.max.ms': { type: long },
  'cafelog.delay.max.records': { type: int },
  'flush.messages': { type: long, ofBroker: 'log.flush.interval.messages' },
  'flush.ms': { type: long, ofBroker: 'log.flush.interval.ms' },
  'min.insync.replicas': { type: int, ofBroker: 'min.insync.replicas' },
  'file.delete.delay.ms': { type: long, ofBroker: 'log.segment.delete.delay.ms' },
  'segment.index.bytes': { type: int, ofBroker: 'log.index.size.max.bytes' },
  'segment.jitter.ms': { type: long, ofBroker: 'log.roll.jitter.ms' },
  preallocate: { type: boolean, ofBroker: 'log.preallocate' },
  'unclean.leader.election.enable': { type: boolean, ofBroker: 'unclean.leader.election.enable' },
  'leader.replication.throttled.replicas': { type: list },
  'follower.replication.throttled.replicas': { type: list },
  'remote.storage.enable': { type: boolean },
  'local.retention.ms': { type: long, ofBroker: 'log.local.retention.ms' },
  'local.retention.bytes': { type: long, ofBroker: 'log.local.retention.bytes' },
}

/** Those of which -1 stands for no limit here, where Kafka has the largest number. */
const NO_LIMIT_IS_LARGEST = new Set([
  'max.compaction.lag.ms',
  'message.timestamp.before.max.ms',
  'message.timestamp.after.max.ms',
])
const LARGEST = String(Number.MAX_SAFE_INTEGER)

const MEANINGS: ReadonlyMap<string, string> = new Map(
  [...Object.values(TOPIC_CONFIG), ...OTHER_TOPIC_CONFIG.values()].map(({ name, meaning }) => [name, meaning]),
)

/** A value, and where it comes from. */
interface Synonym {
  readonly name: string
  readonly value: string
  readonly source: number
}

/** One setting, as Kafka's admin clients see it. */
export interface KafkaSetting {
  readonly name: string
  readonly value: string
  readonly readOnly: boolean
  readonly configSource: number
  readonly isSensitive: boolean
  readonly configType: number
  readonly meaning: string
  /** The value, and those that would count if it were not set. */
  readonly synonyms: readonly Synonym[]
}

/** All settings of a topic. */
export function listTopicSettings({ broker }: RequestContext, topic: Topic): KafkaSetting[] {
  return ALL_TOPIC_CONFIG_NAMES.map((name) => {
    const synonyms = broker.topics.traceSetting(topic, name).map(({ value, source }) => ({
      name: source === 'topic' ? name : (KAFKA_KEYS[name].ofBroker ?? name),
      value: toKafka(name, value),
      source: CONFIG_SOURCES[source],
    }))
    const { value, source } = synonyms[0]
    return { ...describeKey(name), name, value, readOnly: false, configSource: source, synonyms }
  })
}

/** The settings of the broker for topics that say nothing, by the names that Kafka has for those. */
export function listTopicDefaults({ broker }: RequestContext): KafkaSetting[] {
  return ALL_TOPIC_CONFIG_NAMES.flatMap((key) => {
    const name = KAFKA_KEYS[key].ofBroker
    if (name === undefined) return []
    const found = broker.topics.describeDefault(key)
    const value = toKafka(key, found.value)
    const configSource = CONFIG_SOURCES[found.source]
    const synonyms = [{ name, value, source: configSource }]
    return [{ ...describeKey(key), name, value, readOnly: true, configSource, synonyms }]
  })
}

function describeKey(name: string) {
  return { isSensitive: false, configType: KAFKA_KEYS[name].type, meaning: MEANINGS.get(name) ?? '' }
}

function toKafka(name: string, value: string): string {
  return value === LARGEST || (value === '-1' && NO_LIMIT_IS_LARGEST.has(name)) ? INT64_MAX : value
}

/**
 * Checks settings that a client wants for a topic.
 *
 * @throws BrokerError INVALID_CONFIG, INVALID_REQUEST
 */
export function parseSettings(
  configs: readonly { readonly name: string; readonly value: string | null }[],
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  for (const { name, value } of configs) {
    if (settings.has(name)) throw new BrokerError('INVALID_REQUEST', `Cannot set ${name} twice: once is enough`)
    if (value === null) throw new BrokerError('INVALID_CONFIG', `Cannot set ${name} to null: it must have a value`)
    settings.set(name, value)
  }
  return parseTopicSettings(settings)
}

/**
 * A list with further entries, or with fewer.
 *
 * @throws BrokerError INVALID_CONFIG if the setting is no list
 */
export function changeList(name: string, before: string, entries: string, isRemoval: boolean): string {
  if (KAFKA_KEYS[name]?.type !== list) {
    throw new BrokerError('INVALID_CONFIG', `Cannot append to ${name} or take from it: it is no list, set it instead`)
  }
  const changed = new Set(splitList(before))
  for (const entry of splitList(entries)) {
    if (isRemoval) changed.delete(entry)
    else changed.add(entry)
  }
  return [...changed].join(',')
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}
