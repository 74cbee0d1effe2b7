import { BrokerError } from '../../../base/broker-error.ts'
import type { ResponseOf } from '../api.ts'
import type { DescribeConfigs } from '../apis/32-describe-configs.ts'
import type { AlterConfigs } from '../apis/33-alter-configs.ts'
import type { IncrementalAlterConfigs } from '../apis/44-incremental-alter-configs.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import type { TopicSetting } from './topic-settings.ts'
import { CONFIG_SOURCES, CONFIG_TYPES, isFixed, listTopicSettings, parseSettings } from './topic-settings.ts'

const RESOURCE_TYPES = { topic: 2, broker: 4 }
const OPERATIONS = { set: 0, delete: 1 }

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

/** Lists the settings of topics, and those of the broker that have a name in Kafka. */
export const describeConfigs: Handler<typeof DescribeConfigs, RequestContext> = (request, context) => {
  const describe = ({ meaning, ...setting }: TopicSetting) => ({
    ...setting,
    synonyms: request.includeSynonyms
      ? [{ name: setting.name, value: setting.value, source: setting.configSource }]
      : [],
    documentation: request.includeDocumentation ? meaning : null,
  })
  const results = new Map<string, ResponseOf<typeof DescribeConfigs>['results'][number]>()
  for (const { resourceType, resourceName, configurationKeys } of request.resources) {
    const key = `${resourceType} ${resourceName}`
    // Each once, however often it is named: a small request must not have an answer without end.
    if (results.has(key)) continue
    const resource = { resourceType, resourceName }
    try {
      const settings = listSettings(context, resource)
      const wanted = settings.filter(({ name }) => configurationKeys === null || configurationKeys.includes(name))
      results.set(key, { ...resource, errorCode: 0, errorMessage: null, configs: wanted.map(describe) })
    } catch (error) {
      results.set(key, { ...resource, ...context.describe(error), configs: [] })
    }
  }
  return { results: [...results.values()] }
}

/** Replaces the settings of topics. */
export const alterConfigs: Handler<typeof AlterConfigs, RequestContext> = async (request, context) => ({
  responses: await alterEach(context, request.resources, async ({ resourceName: name, configs }) => {
    const set = parseSettings(configs)
    const { overrides } = context.broker.topics.getExisting(name)
    const unset = [...overrides.keys()].filter((key) => !set.has(key))
    await context.broker.topics.alter({ name, set, unset, dryRun: request.validateOnly })
  }),
})

/** Changes single settings of topics. */
export const incrementalAlterConfigs: Handler<typeof IncrementalAlterConfigs, RequestContext> = async (
  request,
  context,
) => ({
  responses: await alterEach(context, request.resources, async ({ resourceName: name, configs }) => {
    const names = configs.map((config) => config.name)
    const twice = names.find((key, index) => names.indexOf(key) !== index)
    if (twice !== undefined) throw invalid(`Cannot change ${twice} twice: once is enough`)
    for (const { name: key, configOperation } of configs) {
      if (configOperation === OPERATIONS.set || configOperation === OPERATIONS.delete) continue
      throw new BrokerError('INVALID_CONFIG', `Cannot append to ${key} or take from it: it is no list, set it instead`)
    }
    const set = parseSettings(configs.filter(({ configOperation }) => configOperation === OPERATIONS.set))
    const deleted = configs.filter(({ configOperation }) => configOperation === OPERATIONS.delete)
    const unset = deleted.map((config) => config.name).filter((key) => !isFixed(key))
    await context.broker.topics.alter({ name, set, unset, dryRun: request.validateOnly })
  }),
})

function listSettings(context: RequestContext, resource: Resource): TopicSetting[] {
  if (resource.resourceType === RESOURCE_TYPES.topic) {
    return listTopicSettings(context, context.broker.topics.getExisting(resource.resourceName))
  }
  if (resource.resourceType !== RESOURCE_TYPES.broker) throw unknownType(resource)
  const { resourceName } = resource
  if (resourceName !== '' && resourceName !== String(NODE_ID)) {
    throw invalid(`There is no broker ${JSON.stringify(resourceName)}: there is ${NODE_ID}`)
  }
  return listBrokerSettings(context)
}

function listBrokerSettings({ settings, broker }: RequestContext): TopicSetting[] {
  const common = { readOnly: true, configSource: CONFIG_SOURCES.broker, isSensitive: false }
  const { boolean, int, string } = CONFIG_TYPES
  const rows: [name: string, value: string, configType: number, meaning: string][] = [
    ['auto.create.topics.enable', String(settings.autoCreateTopics), boolean, 'Whether asking for a topic makes it.'],
    ['broker.id', String(NODE_ID), int, 'There is one broker, and this is its number.'],
    ['default.replication.factor', '1', int, 'There is one broker, and so one copy.'],
    ['log.dirs', broker.identity.dataDirectory, string, 'Where topics and offsets are kept.'],
    ['num.partitions', String(settings.defaultPartitions), int, 'Partitions of topics for which nobody says how many.'],
  ]
  return rows.map(([name, value, configType, meaning]) => ({ ...common, name, value, configType, meaning }))
}

async function alterEach<R extends Resource>(
  context: RequestContext,
  resources: readonly R[],
  alter: (resource: R) => Promise<void>,
) {
  const responses = []
  for (const resource of resources) {
    const { resourceType, resourceName } = resource
    const answer = await context.try(() => {
      if (resourceType === RESOURCE_TYPES.topic) return alter(resource)
      if (resourceType !== RESOURCE_TYPES.broker) throw unknownType(resource)
      throw invalid('Cannot change the settings of the broker: they are environment variables, read at its start')
    })
    responses.push({ ...answer, resourceType, resourceName })
  }
  return responses
}

function unknownType({ resourceType }: Resource): BrokerError {
  const { topic, broker } = RESOURCE_TYPES
  return invalid(`There are no settings for resources of type ${resourceType}: topics are ${topic}, brokers ${broker}`)
}

function invalid(message: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', message)
}
