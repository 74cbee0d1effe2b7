import { BrokerError } from '../../../base/broker-error.ts'
import type { CommitAnswer } from '../../../groups/group-offsets.ts'
import { parseGroupId } from '../../../groups/group-id.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Refusal } from '../../../groups/outcome.ts'
import type { ResponseOf } from '../api.ts'
import type { AddPartitionsToTxn } from '../apis/24-add-partitions-to-txn.ts'
import type { AddOffsetsToTxn } from '../apis/25-add-offsets-to-txn.ts'
import type { EndTxn } from '../apis/26-end-txn.ts'
import type { TxnOffsetCommit } from '../apis/28-txn-offset-commit.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { answerGroup, codeInGroup, refuseInGroup } from './group-requests.ts'
import { NamedPartitions } from './named-partitions.ts'

/** The first versions that know PRODUCER_FENCED; those before have INVALID_PRODUCER_EPOCH for it. */
const FENCED_SINCE = 2

/** Takes partitions into a transaction: all of them, or none. */
export const addPartitionsToTxn: Handler<typeof AddPartitionsToTxn, RequestContext> = async (request, context) => {
  const named = request.topics.flatMap(({ name, partitions }) =>
    partitions.map((partition) => ({ topic: name, partition })),
  )
  const areThere = named.map(({ topic, partition }) => context.broker.findLog(topic, partition) !== undefined)
  const isAttempted = !areThere.includes(false)
  const { errorCode } = await attempt(context, FENCED_SINCE, async () => {
    if (isAttempted) await context.broker.transactions.addPartitions(request, named)
  })
  let next = 0
  const codeOfNext = () => {
    const isThere = areThere[next++]
    if (isAttempted) return errorCode
    return context.refuse(isThere ? 'OPERATION_NOT_ATTEMPTED' : 'UNKNOWN_TOPIC_OR_PARTITION')
  }
  const resultsByTopic = request.topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({ partitionIndex, partitionErrorCode: codeOfNext() })),
  }))
  return { resultsByTopic }
}

/** Takes a group into a transaction, whose offsets it is going to commit. */
export const addOffsetsToTxn: Handler<typeof AddOffsetsToTxn, RequestContext> = (request, context) => {
  return attempt(context, FENCED_SINCE, async () => {
    await context.broker.transactions.addGroup(request, parseGroupId(request.groupId))
  })
}

/** Commits or aborts a transaction. */
export const endTxn: Handler<typeof EndTxn, RequestContext> = (request, context) => {
  return attempt(context, FENCED_SINCE, () => context.broker.transactions.end(request, request.committed))
}

/** Keeps offsets aside until the transaction ends. */
export const txnOffsetCommit: Handler<typeof TxnOffsetCommit, RequestContext> = (request, context) => {
  const { groupId, memberId, generationId, groupInstanceId, producerId } = request
  const { transactions, groups } = context.broker
  const named = new NamedPartitions(context, request.topics)
  if (named.present.length === 0) return { topics: named.answer(() => 0) }
  try {
    transactions.checkOffsetCommit(request, groupId)
  } catch (error) {
    return { topics: named.answer(() => codeInGroup(context, error)) }
  }
  const commit = {
    group: groupId,
    member: { memberId, generation: generationId, instanceId: groupInstanceId ?? undefined },
    offsets: named.present.map(({ topic, wish }) => ({
      topic,
      partition: wish.partitionIndex,
      offset: wish.committedOffset,
      leaderEpoch: wish.committedLeaderEpoch,
      metadata: wish.committedMetadata ?? '',
    })),
  }
  return answerGroup<CommitAnswer, ResponseOf<typeof TxnOffsetCommit>>(
    (reply) => groups.offsets.stage(producerId, commit, reply),
    (answer) => ({
      topics: named.answer((index) =>
        isRefusal(answer) ? refuseCommit(context, answer) : refuseInGroup(context, answer.refusals[index]),
      ),
    }),
  )
}

/** What else there is to say about a generation, this API has no words for. */
function refuseCommit(context: RequestContext, refusal: Refusal): number {
  const isOver = refusal.error === 'GROUP_ID_NOT_FOUND' || refusal.error === 'STALE_MEMBER_EPOCH'
  return isOver ? context.refuse('ILLEGAL_GENERATION') : refuseInGroup(context, refusal)
}

/** Does something for a producer, and gives the number of what came of it. */
async function attempt(
  context: RequestContext,
  fencedSince: number,
  work: () => Promise<void>,
): Promise<{ errorCode: number }> {
  try {
    await work()
    return { errorCode: 0 }
  } catch (error) {
    return { errorCode: codeForProducer(context, fencedSince, error) }
  }
}

/** The number for what was thrown; versions before `fencedSince` do not know PRODUCER_FENCED. */
export function codeForProducer(context: RequestContext, fencedSince: number, error: unknown): number {
  const isFenced = error instanceof BrokerError && error.code === 'PRODUCER_FENCED'
  return isFenced && context.version < fencedSince
    ? context.refuse('INVALID_PRODUCER_EPOCH')
    : codeInGroup(context, error)
}
