import type { RequestContext } from '../context.ts'
import { NODE_ID } from '../context.ts'
import type { KafkaSetting } from './topic-settings.ts'
import { CONFIG_SOURCES, CONFIG_TYPES, listTopicDefaults } from './topic-settings.ts'

const { boolean, string, int } = CONFIG_TYPES

/** The settings of the broker that have a name in Kafka. They are environment variables: none can be changed by a client. */
export function listBrokerSettings(context: RequestContext): KafkaSetting[] {
  const { settings, broker } = context
  const address = `PLAINTEXT://${context.node.host}:${context.node.port}`
  const rows: [name: string, value: string, configType: number, meaning: string][] = [
    ['advertised.listeners', address, string, 'Where clients are told to connect.'],
    ['auto.create.topics.enable', String(settings.autoCreateTopics), boolean, 'Whether asking for a topic makes it.'],
    ['broker.id', String(NODE_ID), int, 'There is one broker, and this is its number.'],
    ['default.replication.factor', '1', int, 'There is one broker, and so one copy.'],
    ['delete.topic.enable', 'true', boolean, 'Whether topics can be deleted.'],
    ['listeners', `PLAINTEXT://${broker.addresses.get('kafka') ?? ''}`, string, 'Where the broker listens.'],
    ['log.dirs', broker.identity.dataDirectory, string, 'Where topics and offsets are kept.'],
    ['node.id', String(NODE_ID), int, 'There is one broker, and this is its number.'],
    ['num.partitions', String(settings.defaultPartitions), int, 'Partitions of topics for which nobody says how many.'],
  ]
  const configSource = CONFIG_SOURCES.broker
  const own = rows.map(([name, value, configType, meaning]) => {
    const synonyms = [{ name, value, source: configSource }]
    return { name, value, readOnly: true, configSource, isSensitive: false, configType, meaning, synonyms }
  })
  return [...own, ...listTopicDefaults(context)].toSorted((one, other) => (one.name < other.name ? -1 : 1))
}
