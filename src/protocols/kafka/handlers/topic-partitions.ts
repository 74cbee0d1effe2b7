import { parseTopicName } from '../../../base/topic-name.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { DescribeTopicPartitions } from '../apis/75-describe-topic-partitions.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { NO_UUID } from '../schema.ts'

type Answer = ResponseOf<typeof DescribeTopicPartitions>
type TopicAnswer = Answer['topics'][number]
type Cursor = RequestOf<typeof DescribeTopicPartitions>['cursor']

/** Partitions in one answer, however many were asked for; Kafka's default. */
const PARTITIONS_MAX = 2000

/** Describes topics from the cursor on, until the page is full. */
export const describeTopicPartitions: Handler<typeof DescribeTopicPartitions, RequestContext> = (request, context) => {
  const { cursor } = request
  const topics: TopicAnswer[] = []
  let room = Math.min(Math.max(request.responsePartitionLimit, 1), PARTITIONS_MAX)
  for (const name of listNames(request.topics, context)) {
    if (cursor !== null && name < cursor.topicName) continue
    const first = cursor !== null && name === cursor.topicName ? Math.max(cursor.partitionIndex, 0) : 0
    if (room === 0) return { topics, nextCursor: { topicName: name, partitionIndex: first } }
    const topic = describe(context, name, { first, partitionsMax: room })
    topics.push(topic)
    room -= topic.partitions.length
    const next = first + topic.partitions.length
    if (next < (context.broker.topics.get(name)?.partitionCount ?? 0)) {
      return { topics, nextCursor: { topicName: name, partitionIndex: next } satisfies Cursor }
    }
  }
  return { topics, nextCursor: null }
}

function listNames(wanted: readonly { readonly name: string }[], { broker }: RequestContext): string[] {
  const names = wanted.length === 0 ? broker.topics.list() : wanted
  return [...new Set(names.map(({ name }) => name))].toSorted()
}

function describe(
  context: RequestContext,
  name: string,
  { first, partitionsMax }: { readonly first: number; readonly partitionsMax: number },
): TopicAnswer {
  const { broker } = context
  try {
    const topic = broker.topics.getExisting(parseTopicName(name))
    const count = Math.min(Math.max(topic.partitionCount - first, 0), partitionsMax)
    const partitions = Array.from({ length: count }, (_, index) => ({
      errorCode: 0,
      partitionIndex: first + index,
      leaderId: NODE_ID,
      leaderEpoch: broker.getLog(name, first + index).leaderEpoch,
      replicaNodes: [NODE_ID],
      isrNodes: [NODE_ID],
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
    }))
    return { errorCode: 0, name, topicId: topic.id, partitions }
  } catch (error) {
    return { errorCode: context.codeOf(error), name, topicId: NO_UUID, partitions: [] }
  }
}
