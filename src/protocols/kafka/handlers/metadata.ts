import { BrokerError } from '../../../base/broker-error.ts'
import { parseTopicName } from '../../../base/topic-name.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { Metadata } from '../apis/03-metadata.ts'
import type { ResponseOf } from '../api.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { getTopicById, partitionNumbers } from './topic-lookup.ts'

type TopicAnswer = ResponseOf<typeof Metadata>['topics'][number]

/** Up to this version no list means all topics, and an empty one too. */
const EMPTY_IS_ALL_UNTIL = 0

/** Tells about this broker and its topics, and makes topics that clients ask for if they and the settings allow it. */
export const metadata: Handler<typeof Metadata, RequestContext> = async (request, context) => {
  const { topics: wanted } = request
  const isAll = wanted === null || (context.version <= EMPTY_IS_ALL_UNTIL && wanted.length === 0)
  const topics = isAll
    ? context.broker.topics.list().map((topic) => describe(context, topic))
    : await findTopics(context, wanted, request.allowAutoTopicCreation && context.settings.autoCreateTopics)
  return {
    brokers: [{ nodeId: NODE_ID, ...context.node }],
    clusterId: context.broker.identity.clusterId,
    controllerId: NODE_ID,
    topics,
  }
}

async function findTopics(
  context: RequestContext,
  wanted: readonly { readonly topicId: string; readonly name: string | null }[],
  mayCreate: boolean,
): Promise<TopicAnswer[]> {
  const answers = new Map<string, TopicAnswer>()
  await context.inTurns(wanted, async ({ topicId, name }) => {
    // Each once, however often it is named: a small request must not have an answer without end.
    const key = name ?? `id ${topicId}`
    if (answers.has(key) || context.isAbandoned) return
    try {
      const topic = name === null ? getTopicById(context, topicId) : await getOrCreate(context, name, mayCreate)
      answers.set(key, describe(context, topic))
    } catch (error) {
      answers.set(key, { errorCode: context.codeOf(error), name, topicId, partitions: [] })
    }
  })
  return [...answers.values()]
}

async function getOrCreate(context: RequestContext, name: string, mayCreate: boolean): Promise<Topic> {
  const { topics } = context.broker
  const existing = topics.get(name)
  if (existing !== undefined) return existing
  parseTopicName(name)
  if (!mayCreate) throw topics.unknown(name)
  try {
    await topics.create({ name, partitionCount: context.settings.defaultPartitions })
  } catch (error) {
    // Somebody else was faster, and wanted other partitions.
    if (!(error instanceof BrokerError) || error.code !== 'TOPIC_ALREADY_EXISTS') throw error
  }
  return topics.getExisting(name)
}

function describe({ broker }: RequestContext, topic: Topic): TopicAnswer {
  const partitions = partitionNumbers(topic).map((partitionIndex) => ({
    errorCode: 0,
    partitionIndex,
    leaderId: NODE_ID,
    leaderEpoch: broker.getLog(topic.name, partitionIndex).leaderEpoch,
    replicaNodes: [NODE_ID],
    isrNodes: [NODE_ID],
  }))
  return { errorCode: 0, name: topic.name, topicId: topic.id, partitions }
}
