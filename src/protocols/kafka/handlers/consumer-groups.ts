import type { Assignment } from '../../../groups/assignment.ts'
import type { ConsumerHeartbeatAnswer, ConsumerMemberDescription } from '../../../groups/consumer-messages.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Refusal } from '../../../groups/outcome.ts'
import { quoteId } from '../../../groups/refusals.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { ConsumerGroupDescribe } from '../apis/69-consumer-group-describe.ts'
import type { ConsumerGroupHeartbeat } from '../apis/68-consumer-group-heartbeat.ts'
import type { RequestContext } from '../context.ts'
import { Refusal as DoorRefusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { answerGroup, clientOf, nameInGroup } from './group-requests.ts'

type OwnedPartitions = RequestOf<typeof ConsumerGroupHeartbeat>['topicPartitions']
type DescribedGroup = ResponseOf<typeof ConsumerGroupDescribe>['groups'][number]

/** From this version on members make up their own ids. */
const OWN_MEMBER_ID_SINCE = 1
/** Rather than one that takes part by the classic protocol. */
const CONSUMER_MEMBER = 1

/** Takes what a member of a consumer group says, joining and leaving included (KIP-848). */
export const consumerGroupHeartbeat: Handler<typeof ConsumerGroupHeartbeat, RequestContext> = (request, context) => {
  const { groupId, memberId, memberEpoch, instanceId, rackId, rebalanceTimeoutMs, serverAssignor } = request
  if (memberId === '' && context.version >= OWN_MEMBER_ID_SINCE) {
    const message = 'Cannot take a heartbeat without a member id: a client makes up its own from version 1 on'
    return refuseHeartbeat(context, { error: 'INVALID_REQUEST', message })
  }
  const heartbeat = {
    group: groupId,
    memberId,
    memberEpoch,
    instanceId: instanceId ?? undefined,
    rackId: rackId ?? undefined,
    ...clientOf(context),
    rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? undefined : rebalanceTimeoutMs,
    subscribedTopics: request.subscribedTopicNames ?? undefined,
    subscribedRegex: request.subscribedTopicRegex ?? undefined,
    assignor: serverAssignor ?? undefined,
    owned: readOwned(context, request.topicPartitions),
  }
  return answerGroup<ConsumerHeartbeatAnswer, ResponseOf<typeof ConsumerGroupHeartbeat>>(
    (reply) => context.broker.groups.consumerHeartbeat(heartbeat, reply),
    (answer) => {
      if (isRefusal(answer)) return refuseHeartbeat(context, answer)
      const { assignment, heartbeatIntervalMs } = answer
      return {
        errorCode: 0,
        memberId: answer.memberId,
        memberEpoch: answer.memberEpoch,
        heartbeatIntervalMs,
        assignment: assignment === undefined ? null : { topicPartitions: toTopicPartitions(context, assignment) },
      }
    },
  )
}

function refuseHeartbeat(context: RequestContext, refusal: Refusal): ResponseOf<typeof ConsumerGroupHeartbeat> {
  const error = new DoorRefusal(nameInGroup(refusal.error), refusal.message)
  return { ...context.describe(error), memberEpoch: 0, heartbeatIntervalMs: 0 }
}

/** Partitions of topics that are gone are nobody's, whoever still has them. */
function readOwned({ broker }: RequestContext, owned: OwnedPartitions): Assignment | undefined {
  if (owned === null) return undefined
  const byTopic = new Map<string, Set<number>>()
  for (const { topicId, partitions } of owned) {
    const topic = broker.topics.getById(topicId)
    if (topic === undefined || partitions.length === 0) continue
    const known = byTopic.get(topic.name) ?? new Set()
    for (const partition of partitions) known.add(partition)
    byTopic.set(topic.name, known)
  }
  return byTopic
}

function toTopicPartitions({ broker }: RequestContext, assignment: Assignment) {
  return [...assignment].flatMap(([topicName, partitions]) => {
    const topic = broker.topics.get(topicName)
    return topic === undefined ? [] : [{ topicId: topic.id, topicName, partitions: [...partitions] }]
  })
}

/** Describes groups of the consumer protocol, each of them once. */
export const consumerGroupDescribe: Handler<typeof ConsumerGroupDescribe, RequestContext> = (request, context) => ({
  groups: Array.from(new Set(request.groupIds), (groupId) => describeGroup(context, groupId)),
})

function describeGroup(context: RequestContext, groupId: string): DescribedGroup {
  const description = context.broker.groups.describe(groupId)
  if (description?.kind !== 'consumer') {
    const reason = description === undefined ? 'there is no such group' : 'it is a classic group'
    const message = `Cannot describe ${quoteId(groupId)} as a consumer group: ${reason}`
    const answer = context.describe(new DoorRefusal('GROUP_ID_NOT_FOUND', message))
    return { ...answer, groupId, groupState: '', groupEpoch: 0, assignmentEpoch: 0, assignorName: '', members: [] }
  }
  const { state, epoch, assignor, members } = description
  return {
    errorCode: 0,
    groupId,
    groupState: state,
    groupEpoch: epoch,
    assignmentEpoch: epoch,
    assignorName: assignor,
    members: members.map((member) => describeMember(context, member)),
  }
}

function describeMember(context: RequestContext, member: ConsumerMemberDescription): DescribedGroup['members'][number] {
  const { memberId, instanceId, rackId, memberEpoch, clientId, clientHost } = member
  return {
    memberId,
    instanceId: instanceId ?? null,
    rackId: rackId ?? null,
    memberEpoch,
    clientId,
    clientHost,
    subscribedTopicNames: member.subscribedTopics,
    subscribedTopicRegex: member.subscribedRegex === '' ? null : member.subscribedRegex,
    assignment: { topicPartitions: toTopicPartitions(context, member.assignment) },
    targetAssignment: { topicPartitions: toTopicPartitions(context, member.target) },
    memberType: CONSUMER_MEMBER,
  }
}
