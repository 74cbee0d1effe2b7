import type { RequestContext } from '../context.ts'
import { NODE_ID } from '../context.ts'
import type { KafkaSetting } from './topic-settings.ts'
import { CONFIG_SOURCES, CONFIG_TYPES, listTopicDefaults } from './topic-settings.ts'

/** The settings of the broker that have a name in Kafka. They are environment variables: none can be changed by a client. */
export function listBrokerSettings(context: RequestContext): KafkaSetting[] {
  const { broker, node, settings } = context
  const { boolean, string, int } = CONFIG_TYPES
  const own = [
    describe(
      'advertised.listeners',
      `PLAINTEXT://${node.host}:${node.port}`,
      string,
      'Where clients are told to connect.',
    ),
    describe('broker.id', String(NODE_ID), int, 'There is one broker, and this is its number.'),
    describe('default.replication.factor', '1', int, 'There is one broker, and so one copy.'),
    describe('delete.topic.enable', 'true', boolean, 'Whether topics can be deleted.'),
    describe('listeners', `PLAINTEXT://${broker.addresses.get('kafka') ?? ''}`, string, 'Where the broker listens.'),
    describe('log.dirs', broker.identity.dataDirectory, string, 'Where topics and offsets are kept.'),
    describe('node.id', String(NODE_ID), int, 'There is one broker, and this is its number.'),
  ]
  const named = settings.named.map(({ name, value, kind, isDefault, meaning }) =>
    describe(name, value, CONFIG_TYPES[kind], meaning, isDefault ? CONFIG_SOURCES.default : CONFIG_SOURCES.broker),
  )
  return [...own, ...named, ...listTopicDefaults(context)].toSorted((one, other) => (one.name < other.name ? -1 : 1))
}

function describe(
  name: string,
  value: string,
  configType: number,
  meaning: string,
  configSource = CONFIG_SOURCES.broker,
): KafkaSetting {
  const synonyms = [{ name, value, source: configSource }]
  return { name, value, readOnly: true, configSource, isSensitive: false, configType, meaning, synonyms }
}
