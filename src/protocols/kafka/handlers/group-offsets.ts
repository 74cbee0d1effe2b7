import type { CommitAnswer, FetchedOffset, FetchRequest } from '../../../groups/group-offsets.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Refusal } from '../../../groups/outcome.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { OffsetCommit } from '../apis/08-offset-commit.ts'
import type { OffsetFetch } from '../apis/09-offset-fetch.ts'
import type { OffsetDelete } from '../apis/47-offset-delete.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { answerGroup, codeInGroup, refuseInGroup } from './group-requests.ts'
import { NamedPartitions } from './named-partitions.ts'

type CommitResponse = ResponseOf<typeof OffsetCommit>
type GroupAnswer = NonNullable<ResponseOf<typeof OffsetFetch>['groups']>[number]
type TopicsToFetch = readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[]
type FetchedTopics = { readonly name: string; readonly partitions: FetchedPartition[] }[]
type FetchedPartition = GroupAnswer['topics'][number]['partitions'][number]

/** From this version on members of consumer groups commit, and a group that is not there has an error of its own. */
const CONSUMER_GROUPS_SINCE = 9
/** Up to this version an error concerns each partition, from then on a whole group. */
const PARTITION_ERRORS_UNTIL = 1
const MANY_GROUPS_SINCE = 8

/** Stores what a group wants to read next. */
export const offsetCommit: Handler<typeof OffsetCommit, RequestContext> = (request, context) => {
  const outcome = commitOffsets(request, context)
  if (!(outcome instanceof Promise)) return countCommits(context, outcome)
  return outcome.then((response) => countCommits(context, response))
}

function countCommits(context: RequestContext, response: CommitResponse): CommitResponse {
  const all = response.topics.reduce((sum, { partitions }) => sum + partitions.length, 0)
  context.parts.meters.countCommits(all, context.errors.length)
  return response
}

function commitOffsets(
  request: RequestOf<typeof OffsetCommit>,
  context: RequestContext,
): CommitResponse | Promise<CommitResponse> {
  const { groupId, memberId, groupInstanceId } = request
  const named = new NamedPartitions(context, request.topics)
  if (named.present.length === 0) return { topics: named.answer(() => 0) }
  if (context.version < CONSUMER_GROUPS_SINCE && isConsumerMember(context, groupId, memberId)) {
    return { topics: named.answer(() => context.refuse('UNSUPPORTED_VERSION')) }
  }
  const commit = {
    group: groupId,
    member: { memberId, generation: request.generationIdOrMemberEpoch, instanceId: groupInstanceId ?? undefined },
    offsets: named.present.map(({ topic, wish }) => ({
      topic,
      partition: wish.partitionIndex,
      offset: wish.committedOffset,
      leaderEpoch: wish.committedLeaderEpoch,
      metadata: wish.committedMetadata ?? '',
    })),
  }
  return answerGroup<CommitAnswer, CommitResponse>(
    (reply) => context.broker.groups.offsets.commit(commit, reply),
    (answer) => ({
      topics: named.answer((index) =>
        isRefusal(answer) ? refuseCommit(context, answer) : refuseInGroup(context, answer.refusals[index]),
      ),
    }),
  )
}

/** Clients of old versions know that a group is not there only as a generation that is over. */
function refuseCommit(context: RequestContext, refusal: Refusal): number {
  const isOld = context.version < CONSUMER_GROUPS_SINCE && refusal.error === 'GROUP_ID_NOT_FOUND'
  return isOld ? context.refuse('ILLEGAL_GENERATION') : refuseInGroup(context, refusal)
}

function isConsumerMember({ broker }: RequestContext, group: string, memberId: string): boolean {
  if (memberId === '') return false
  const description = broker.groups.describe(group)
  return description?.kind === 'consumer' && description.members.some((member) => member.memberId === memberId)
}

/** What a group wants to read next, or several groups. */
export const offsetFetch: Handler<typeof OffsetFetch, RequestContext> = (request, context) => {
  const { requireStable } = request
  if (context.version >= MANY_GROUPS_SINCE) {
    // Each once, however often it is named: a small request must not have an answer without end.
    const wishes = new Map(request.groups.map((wish) => [wish.groupId, wish]))
    const groups = Array.from(wishes.values(), (wish) => {
      const member = { memberId: wish.memberId ?? undefined, generation: wish.memberEpoch }
      return fetchOffsets(context, { group: wish.groupId, member, topics: wish.topics, requireStable })
    })
    return { groups }
  }
  const { groupId, topics } = request
  return fetchOffsets(context, { group: groupId, member: undefined, topics, requireStable })
}

function fetchOffsets(
  context: RequestContext,
  wish: {
    readonly group: string
    readonly member: FetchRequest['member']
    /** Null for all that the group has committed. */
    readonly topics: TopicsToFetch | null
    readonly requireStable: boolean
  },
): { groupId: string; errorCode: number; topics: FetchedTopics } {
  const { group, member, topics, requireStable } = wish
  const partitions = topics?.flatMap(({ name, partitionIndexes }) =>
    partitionIndexes.map((partition) => ({ topic: name, partition })),
  )
  const answer = context.broker.groups.offsets.fetch({ group, member, partitions })
  if (isRefusal(answer)) {
    const errorCode = refuseInGroup(context, answer)
    const arePartitions = context.version <= PARTITION_ERRORS_UNTIL && topics !== null
    return { groupId: group, errorCode, topics: arePartitions ? refuseEach(topics, errorCode) : [] }
  }
  return { groupId: group, errorCode: 0, topics: toTopics(context, answer, requireStable) }
}

function toTopics(context: RequestContext, offsets: readonly FetchedOffset[], requireStable: boolean): FetchedTopics {
  const topics = new Map<string, FetchedPartition[]>()
  for (const { topic, partition, committed, isUnstable } of offsets) {
    const partitions = topics.get(topic) ?? []
    if (partitions.length === 0) topics.set(topic, partitions)
    if (isUnstable && requireStable) partitions.push(noOffset(partition, context.refuse('UNSTABLE_OFFSET_COMMIT')))
    else if (committed === undefined) partitions.push(noOffset(partition, 0))
    else {
      const { offset, leaderEpoch, metadata } = committed
      const committedOffset = { committedOffset: offset, committedLeaderEpoch: leaderEpoch, metadata }
      partitions.push({ partitionIndex: partition, ...committedOffset, errorCode: 0 })
    }
  }
  return Array.from(topics, ([name, partitions]) => ({ name, partitions }))
}

function refuseEach(topics: TopicsToFetch, errorCode: number): FetchedTopics {
  return topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partition) => noOffset(partition, errorCode)),
  }))
}

function noOffset(partitionIndex: number, errorCode: number): FetchedPartition {
  return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode }
}

/** Forgets single offsets of a group, unless its members read the topic. */
export const offsetDelete: Handler<typeof OffsetDelete, RequestContext> = async (request, context) => {
  const named = new NamedPartitions(context, request.topics)
  const partitions = named.present.map(({ topic, wish }) => ({ topic, partition: wish.partitionIndex }))
  try {
    const refusals = await context.broker.groups.offsets.delete(request.groupId, partitions)
    return { errorCode: 0, topics: named.answer((index) => refuseInGroup(context, refusals[index])) }
  } catch (error) {
    return { errorCode: codeInGroup(context, error), topics: [] }
  }
}
