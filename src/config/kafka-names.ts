import type { NamedSetting } from '../protocols/kafka/context.ts'
import { SETTINGS } from './config.ts'
import type { Config } from './config.ts'

const MINUTE_MS = 60_000

/** The settings of the environment that Kafka has too, by its names. */
const NAMES = [
  { name: 'auto.create.topics.enable', field: 'autoCreateTopics', kind: 'boolean' },
  { name: 'group.consumer.heartbeat.interval.ms', field: 'groupConsumerHeartbeatIntervalMs', kind: 'int' },
  { name: 'group.consumer.session.timeout.ms', field: 'groupConsumerSessionTimeoutMs', kind: 'int' },
  { name: 'group.initial.rebalance.delay.ms', field: 'groupInitialRebalanceDelayMs', kind: 'int' },
  { name: 'group.max.session.timeout.ms', field: 'groupSessionTimeoutMsMax', kind: 'int' },
  { name: 'group.min.session.timeout.ms', field: 'groupSessionTimeoutMsMin', kind: 'int' },
  { name: 'log.retention.check.interval.ms', field: 'retentionCheckIntervalMs', kind: 'long' },
  { name: 'max.connections', field: 'connectionsMax', kind: 'int' },
  { name: 'num.partitions', field: 'defaultPartitions', kind: 'int' },
  { name: 'offsets.retention.minutes', field: 'offsetsRetentionMs', kind: 'int', unitMs: MINUTE_MS },
  { name: 'transaction.max.timeout.ms', field: 'transactionTimeoutMsMax', kind: 'int' },
  { name: 'transactional.id.expiration.ms', field: 'transactionalIdExpirationMs', kind: 'int' },
] as const

/** What Kafka's tools are shown of the configuration. */
export function nameForKafka(config: Config): readonly NamedSetting[] {
  return NAMES.map(({ name, field, kind, ...more }) => {
    const value = config[field]
    const { parse, default: byDefault, meaning } = SETTINGS[field]
    const shown = 'unitMs' in more && typeof value === 'number' ? Math.ceil(value / more.unitMs) : value
    return { name, kind, value: String(shown), isDefault: parse(byDefault) === value, meaning: `${meaning}.` }
  })
}
