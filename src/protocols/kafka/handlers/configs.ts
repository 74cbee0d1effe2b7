import { BrokerError } from '../../../base/broker-error.ts'
import type { ResponseOf } from '../api.ts'
import type { DescribeConfigs } from '../apis/32-describe-configs.ts'
import type { AlterConfigs } from '../apis/33-alter-configs.ts'
import type { IncrementalAlterConfigs } from '../apis/44-incremental-alter-configs.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { listBrokerSettings } from './broker-settings.ts'
import { changeLogger, listLoggers } from './log-level.ts'
import type { KafkaSetting } from './topic-settings.ts'
import { changeList, listTopicSettings, parseSettings } from './topic-settings.ts'

/** Kafka's kinds of what has settings. Subscriptions to client metrics and groups have none here. */
const RESOURCE_TYPES = { topic: 2, broker: 4, logger: 8, clientMetrics: 16, group: 32 }
const WITHOUT_SETTINGS = [RESOURCE_TYPES.clientMetrics, RESOURCE_TYPES.group]
const OPERATIONS = { set: 0, delete: 1, append: 2, subtract: 3 }

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

/** Lists the settings of topics, those of the broker that have a name in Kafka, and the level of its log. */
export const describeConfigs: Handler<typeof DescribeConfigs, RequestContext> = async (request, context) => {
  const describe = ({ meaning, synonyms, ...setting }: KafkaSetting) => ({
    ...setting,
    synonyms: request.includeSynonyms ? [...synonyms] : [],
    documentation: request.includeDocumentation ? meaning : null,
  })
  const results = new Map<string, ResponseOf<typeof DescribeConfigs>['results'][number]>()
  await context.inTurns(request.resources, ({ resourceType, resourceName, configurationKeys }) => {
    const key = `${resourceType} ${resourceName}`
    // Each once, however often it is named: a small request must not have an answer without end.
    if (results.has(key)) return
    const resource = { resourceType, resourceName }
    const keys = configurationKeys === null || configurationKeys.length === 0 ? undefined : configurationKeys
    try {
      const settings = listSettings(context, resource)
      const wanted = settings.filter(({ name }) => keys === undefined || keys.includes(name))
      results.set(key, { ...resource, errorCode: 0, errorMessage: null, configs: wanted.map(describe) })
    } catch (error) {
      results.set(key, { ...resource, ...context.describe(error), configs: [] })
    }
  })
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

/** Changes single settings of topics, and the level of the broker's log. */
export const incrementalAlterConfigs: Handler<typeof IncrementalAlterConfigs, RequestContext> = async (
  request,
  context,
) => ({
  responses: await alterEach(
    context,
    request.resources,
    async ({ resourceType, resourceName: name, configs }) => {
      const names = new Set<string>()
      const twice = configs.find(({ name: key }) => names.has(key) || !names.add(key))?.name
      if (twice !== undefined) throw invalid(`Cannot change ${twice} twice: once is enough`)
      if (resourceType === RESOURCE_TYPES.logger) {
        for (const { name: logger, value, configOperation } of configs) {
          const isSet = configOperation === OPERATIONS.set
          if (!isSet && configOperation !== OPERATIONS.delete)
            throw invalid('Cannot append to a logger: 0 sets, 1 deletes')
          const wish = { name: logger, value: isSet ? (value ?? '') : undefined }
          changeLogger(context, name, wish, request.validateOnly)
        }
        return
      }
      const topic = context.broker.topics.getExisting(name)
      const set = configs.flatMap(({ name: key, value, configOperation }) => {
        if (configOperation === OPERATIONS.delete) return []
        if (value === null) throw invalid(`Cannot set ${key} to null: it must have a value`)
        if (configOperation === OPERATIONS.set) return [{ name: key, value }]
        if (configOperation !== OPERATIONS.append && configOperation !== OPERATIONS.subtract) {
          throw invalid(`Cannot do ${configOperation} to ${key}: 0 sets, 1 deletes, 2 appends, 3 takes away`)
        }
        const before = context.broker.topics.traceSetting(topic, key)[0].value
        return [{ name: key, value: changeList(key, before, value, configOperation === OPERATIONS.subtract) }]
      })
      const unset = configs.filter(({ configOperation }) => configOperation === OPERATIONS.delete).map((it) => it.name)
      await context.broker.topics.alter({ name, set: parseSettings(set), unset, dryRun: request.validateOnly })
    },
    [RESOURCE_TYPES.logger],
  ),
})

function listSettings(context: RequestContext, resource: Resource): KafkaSetting[] {
  const { resourceType, resourceName } = resource
  if (resourceType === RESOURCE_TYPES.topic) {
    return listTopicSettings(context, context.broker.topics.getExisting(resourceName))
  }
  if (resourceType === RESOURCE_TYPES.logger) return listLoggers(context, resourceName)
  if (WITHOUT_SETTINGS.includes(resourceType)) return []
  if (resourceType !== RESOURCE_TYPES.broker) throw unknownType(resource)
  // No name stands for what was set for all brokers while they ran, which is nothing.
  if (resourceName === '') return []
  if (resourceName === String(NODE_ID)) return listBrokerSettings(context)
  throw invalid(`There is no broker ${JSON.stringify(resourceName)}: there is ${NODE_ID}`)
}

async function alterEach<R extends Resource>(
  context: RequestContext,
  resources: readonly R[],
  alter: (resource: R) => Promise<void>,
  mayAlter: readonly number[] = [],
) {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  const keyOf = ({ resourceType, resourceName }: R) => `${resourceType} ${resourceName}`
  for (const key of resources.map(keyOf)) (seen.has(key) ? repeated : seen).add(key)
  return context.inTurns(resources, async (resource) => {
    const { resourceType, resourceName } = resource
    const answer = await context.try(() => {
      if (repeated.has(keyOf(resource))) throw invalid(`Cannot change ${resourceName} twice at once`)
      if (resourceType === RESOURCE_TYPES.topic || mayAlter.includes(resourceType)) return alter(resource)
      if (resourceType !== RESOURCE_TYPES.broker) throw unknownType(resource)
      throw invalid('Cannot change the settings of the broker: they are environment variables, read at its start')
    })
    return { ...answer, resourceType, resourceName }
  })
}

function unknownType({ resourceType }: Resource): BrokerError {
  const { topic, broker } = RESOURCE_TYPES
  return invalid(`There are no settings for resources of type ${resourceType}: topics are ${topic}, brokers ${broker}`)
}

function invalid(message: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', message)
}
