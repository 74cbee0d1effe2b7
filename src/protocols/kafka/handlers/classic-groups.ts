import type {
  JoinAnswer,
  LeaveAnswer,
  LeavingMember,
  MemberOfGeneration,
  SyncAnswer,
} from '../../../groups/classic-messages.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Refusal } from '../../../groups/outcome.ts'
import type { ResponseOf } from '../api.ts'
import type { JoinGroup } from '../apis/11-join-group.ts'
import type { Heartbeat } from '../apis/12-heartbeat.ts'
import type { LeaveGroup } from '../apis/13-leave-group.ts'
import type { SyncGroup } from '../apis/14-sync-group.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { answerGroup, answerParked, clientOf, refuseInGroup } from './group-requests.ts'

/** From this version on a member without an id is only told its id, and joins with that. */
const MEMBER_ID_REQUIRED_SINCE = 4
const NULLABLE_PROTOCOL_SINCE = 7
const SKIPS_ASSIGNMENT_SINCE = 9
const MANY_LEAVE_SINCE = 3

const NOTHING = Buffer.alloc(0)

/** Waits until the group is complete. */
export const joinGroup: Handler<typeof JoinGroup, RequestContext> = (request, context) => {
  const { groupId, memberId, groupInstanceId, sessionTimeoutMs, protocolType, protocols } = request
  const join = {
    group: groupId,
    memberId,
    instanceId: groupInstanceId ?? undefined,
    ...clientOf(context),
    sessionTimeoutMs,
    // The first clients had one time for both.
    rebalanceTimeoutMs: request.rebalanceTimeoutMs < 0 ? sessionTimeoutMs : request.rebalanceTimeoutMs,
    protocolType,
    protocols,
    requiresMemberId: context.version >= MEMBER_ID_REQUIRED_SINCE,
    supportsSkippingAssignment: context.version >= SKIPS_ASSIGNMENT_SINCE,
  }
  return answerParked<JoinAnswer, ResponseOf<typeof JoinGroup>>(
    context,
    (reply) => context.broker.groups.join(join, reply),
    (answer) => {
      if (isRefusal(answer)) return refuseJoin(context, answer, memberId)
      const { generation, protocol, leader, skipAssignment, members } = answer
      return {
        errorCode: 0,
        generationId: generation,
        protocolType: answer.protocolType,
        protocolName: protocol,
        leader,
        skipAssignment,
        memberId: answer.memberId,
        members: members.map((member) => ({
          memberId: member.memberId,
          groupInstanceId: member.instanceId ?? null,
          metadata: member.metadata,
        })),
      }
    },
  )
}

function refuseJoin(context: RequestContext, refusal: Refusal, memberId: string): ResponseOf<typeof JoinGroup> {
  return {
    errorCode: refuseInGroup(context, refusal),
    protocolName: context.version >= NULLABLE_PROTOCOL_SINCE ? null : '',
    leader: '',
    memberId: refusal.memberId ?? memberId,
    members: [],
  }
}

/** Waits until the leader has assigned. */
export const syncGroup: Handler<typeof SyncGroup, RequestContext> = (request, context) => {
  const { groupId, protocolType, protocolName, assignments } = request
  const sync = {
    group: groupId,
    ...memberOf(request),
    protocolType: protocolType ?? undefined,
    protocol: protocolName ?? undefined,
    assignments,
  }
  return answerParked<SyncAnswer, ResponseOf<typeof SyncGroup>>(
    context,
    (reply) => context.broker.groups.sync(sync, reply),
    (answer) => {
      if (isRefusal(answer)) return { errorCode: refuseInGroup(context, answer), assignment: NOTHING }
      const { protocol, assignment } = answer
      return { errorCode: 0, protocolType: answer.protocolType, protocolName: protocol, assignment }
    },
  )
}

/** Tells the coordinator that a member is alive. */
export const heartbeat: Handler<typeof Heartbeat, RequestContext> = (request, context) =>
  answerGroup(
    (reply) => context.broker.groups.heartbeat({ group: request.groupId, ...memberOf(request) }, reply),
    (answer) => ({ errorCode: refuseInGroup(context, isRefusal(answer) ? answer : undefined) }),
  )

/** Lets one member go, or several. */
export const leaveGroup: Handler<typeof LeaveGroup, RequestContext> = (request, context) => {
  const areMany = context.version >= MANY_LEAVE_SINCE
  const members: LeavingMember[] = areMany
    ? request.members.map((member) => ({
        memberId: member.memberId,
        instanceId: member.groupInstanceId ?? undefined,
      }))
    : [{ memberId: request.memberId }]
  return answerGroup<LeaveAnswer, ResponseOf<typeof LeaveGroup>>(
    (reply) => context.broker.groups.leave({ group: request.groupId, members }, reply),
    (answer) => {
      if (isRefusal(answer)) return { errorCode: refuseInGroup(context, answer), members: [] }
      const codes = answer.members.map(({ refusal }) => (refusal === undefined ? 0 : context.refuse(refusal)))
      if (!areMany) return { errorCode: codes[0] }
      return {
        errorCode: 0,
        members: answer.members.map(({ memberId, instanceId }, index) => {
          return { memberId, groupInstanceId: instanceId ?? null, errorCode: codes[index] }
        }),
      }
    },
  )
}

function memberOf(request: {
  readonly memberId: string
  readonly generationId: number
  readonly groupInstanceId: string | null
}): MemberOfGeneration {
  const { memberId, generationId, groupInstanceId } = request
  return { memberId, generation: generationId, instanceId: groupInstanceId ?? undefined }
}
