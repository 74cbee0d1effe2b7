import type { Broker } from '../broker/broker.ts'
import type { Topic } from '../broker/topics.ts'
import { PARTITIONS_PER_TOPIC_MAX } from '../broker/topics.ts'
import type { ApiFields } from './api-fields.ts'
import type { ApiCall, ApiRoute } from './api-route.ts'

const PARTITION_COUNT_RANGE = { min: 1, max: PARTITIONS_PER_TOPIC_MAX }
const CONFIG_EXAMPLE = '{"retention.ms":"7d"}'

/** Topics: which there are, making, altering and deleting them. */
export const TOPIC_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/topics',
    action: 'list topics',
    operation: 'metadata',
    endpoint: 'admin',
    handle: ({ broker }) => ({ body: { topics: broker.topics.list().map((topic) => summarize(broker, topic)) } }),
  },
  {
    method: 'POST',
    path: '/topics',
    action: 'create a topic',
    operation: 'create_topic',
    endpoint: 'admin',
    handle: createTopic,
  },
  {
    method: 'GET',
    path: '/topics/:topic',
    action: 'describe a topic',
    operation: 'metadata',
    endpoint: 'admin',
    handle: ({ broker, params }) => ({ body: describe(broker, broker.topics.getExisting(params.topic)) }),
  },
  {
    method: 'PATCH',
    path: '/topics/:topic',
    action: 'alter a topic',
    operation: 'alter_topic',
    endpoint: 'admin',
    handle: alterTopic,
  },
  {
    method: 'DELETE',
    path: '/topics/:topic',
    action: 'delete a topic',
    operation: 'delete_topic',
    endpoint: 'admin',
    async handle({ broker, params }) {
      await broker.topics.delete(params.topic)
      return { body: { deleted: true } }
    },
  },
]

async function createTopic({ broker, body }: ApiCall) {
  const fields = body(['name', 'partitions', 'config'])
  const name = fields.text('name')
  const partitionCount = fields.integer('partitions', PARTITION_COUNT_RANGE)
  const overrides = fields.optionalTextMap('config', CONFIG_EXAMPLE) ?? {}
  const { created } = await broker.topics.create({ name, partitionCount, overrides })
  // Somebody may have deleted it again.
  return { status: created ? 201 : 200, body: { created, ...describe(broker, broker.topics.getExisting(name)) } }
}

async function alterTopic({ broker, params, body }: ApiCall) {
  const fields = body(['partitions', 'config', 'dryRun'])
  const partitionCount = fields.optionalInteger('partitions', PARTITION_COUNT_RANGE)
  const changes = await broker.topics.alter({
    name: params.topic,
    ...(partitionCount !== undefined && { partitionCount }),
    ...readConfigChanges(fields),
    dryRun: fields.optionalBoolean('dryRun') ?? false,
  })
  return { body: { changes } }
}

/** A setting that is null gets the broker's value again. */
function readConfigChanges(fields: ApiFields): { set: Readonly<Record<string, string>>; unset: readonly string[] } {
  const isNull = (value: unknown): value is null => value === null
  const set = Object.create(null) as Record<string, string>
  const unset: string[] = []
  for (const [key, value] of Object.entries(fields.optionalTextMap('config', CONFIG_EXAMPLE, isNull) ?? {})) {
    if (value === null) unset.push(key)
    else set[key] = value
  }
  return { set, unset }
}

function summarize(broker: Broker, topic: Topic) {
  const { name, id, partitionCount, createdAtMs } = topic
  let records = 0
  let sizeBytes = 0
  for (let partition = 0; partition < partitionCount; partition++) {
    const log = broker.getLog(name, partition)
    records += log.logEndOffset - log.logStartOffset
    sizeBytes += log.sizeBytes
  }
  const schema = broker.schemas.get(name)
  return {
    name,
    id,
    partitions: partitionCount,
    createdAt: createdAtMs,
    /** Offsets between start and end: compaction and delayed records leave some of them empty. */
    records,
    sizeBytes,
    scheduled: broker.delay.countWaiting(name),
    schema: schema === undefined ? null : { version: schema.version, mode: schema.mode },
  }
}

function describe(broker: Broker, topic: Topic) {
  const partitions = Array.from({ length: topic.partitionCount }, (_, partition) => {
    const { leaderEpoch, logStartOffset, highWatermark, logEndOffset, sizeBytes, segmentCount, failure } =
      broker.getLog(topic.name, partition)
    const isOffline = failure !== undefined
    return {
      partition,
      leaderEpoch,
      logStartOffset,
      highWatermark,
      logEndOffset,
      sizeBytes,
      segments: segmentCount,
      isOffline,
    }
  })
  const config = Object.fromEntries(broker.topics.describeConfig(topic))
  return { ...summarize(broker, topic), partitions, config }
}
