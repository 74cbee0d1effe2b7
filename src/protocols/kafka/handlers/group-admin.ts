import type { ClassicDescription } from '../../../groups/classic-messages.ts'
import type { ResponseOf } from '../api.ts'
import type { DescribeGroups } from '../apis/15-describe-groups.ts'
import type { ListGroups } from '../apis/16-list-groups.ts'
import type { DeleteGroups } from '../apis/42-delete-groups.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { codeInGroup } from './group-requests.ts'

type DescribedGroup = ResponseOf<typeof DescribeGroups>['groups'][number]

/** Kafka's word for a group that is not there. */
const DEAD = 'Dead'

/** All groups that the filters let pass; a filter without anything in it lets everything pass. */
export const listGroups: Handler<typeof ListGroups, RequestContext> = ({ statesFilter, typesFilter }, { broker }) => {
  const isWanted = makeFilter(statesFilter)
  const isWantedType = makeFilter(typesFilter)
  const groups = broker.groups
    .list()
    .filter(({ state, kind }) => isWanted(state) && isWantedType(kind))
    .map(({ group, state, kind, protocolType }) => ({
      groupId: group,
      protocolType,
      groupState: state,
      groupType: kind,
    }))
  return { errorCode: 0, groups }
}

/** Kafka compares these without regard to capital letters. */
function makeFilter(names: readonly string[]): (name: string) => boolean {
  const wanted = new Set(names.map((name) => name.toLowerCase()))
  return (name) => wanted.size === 0 || wanted.has(name.toLowerCase())
}

/** Describes classic groups, each of them once. */
export const describeGroups: Handler<typeof DescribeGroups, RequestContext> = (request, { broker }) => ({
  groups: Array.from(new Set(request.groups), (groupId) => {
    const description = broker.groups.describe(groupId)
    return description?.kind === 'classic' ? describeGroup(description) : describeDead(groupId)
  }),
})

function describeGroup({ group, state, protocolType, protocol, members }: ClassicDescription): DescribedGroup {
  return {
    errorCode: 0,
    groupId: group,
    groupState: state,
    protocolType,
    protocolData: protocol,
    members: members.map(({ memberId, instanceId, clientId, clientHost, metadata, assignment }) => ({
      memberId,
      groupInstanceId: instanceId ?? null,
      clientId,
      clientHost,
      memberMetadata: metadata,
      memberAssignment: assignment,
    })),
  }
}

/** No error: clients rely on it. */
function describeDead(groupId: string): DescribedGroup {
  return { errorCode: 0, groupId, groupState: DEAD, protocolType: '', protocolData: '', members: [] }
}

/** Deletes groups with their offsets, each of them once. */
export const deleteGroups: Handler<typeof DeleteGroups, RequestContext> = async ({ groupsNames }, context) => {
  const deleteOne = async (groupId: string) => {
    try {
      await context.broker.groups.delete(groupId)
      return { groupId, errorCode: 0 }
    } catch (error) {
      return { groupId, errorCode: codeInGroup(context, error) }
    }
  }
  // Together: what makes one of them durable does so for all.
  return { results: await Promise.all(Array.from(new Set(groupsNames), deleteOne)) }
}
