import { ASSIGNORS, isAssignorName } from './assignors/all.ts'
import type { ConsumerHeartbeat } from './consumer-messages.ts'
import { JOIN_EPOCH, STATIC_LEAVE_EPOCH } from './consumer-messages.ts'
import { ID_WANTED, isStorableId } from './group-id.ts'
import type { Refusal } from './outcome.ts'
import type { Refusals } from './refusals.ts'
import { quoteId } from './refusals.ts'

/** Whether the fields of a heartbeat are right and go together, whatever the group is like; undefined if so. */
export function checkHeartbeat(request: ConsumerHeartbeat, refusals: Refusals): Refusal | undefined {
  const { memberId, memberEpoch, instanceId, rackId, assignor } = request
  const refuse = (reason: string) => refusals.refuse('INVALID_REQUEST', 'take the heartbeat for', reason)
  for (const [name, id] of Object.entries({ memberId, instanceId, rackId })) {
    const isNone = id === undefined || (id === '' && name === 'memberId')
    if (!isNone && !isStorableId(id)) return refuse(`${quoteId(id)} is no ${name}: ${ID_WANTED}`)
  }
  if (memberEpoch < STATIC_LEAVE_EPOCH) return refuse(`there is no member epoch ${memberEpoch}`)
  if (memberId === '' && memberEpoch !== JOIN_EPOCH) return refuse('only who joins has no member id')
  if (memberEpoch === STATIC_LEAVE_EPOCH && instanceId === undefined)
    return refuse('only static members leave for a while')
  const missing = memberEpoch === JOIN_EPOCH ? findMissing(request) : undefined
  if (missing !== undefined) return refuse(missing)
  if (assignor === undefined || isAssignorName(assignor)) return undefined
  const reason = `there are ${Object.keys(ASSIGNORS).join(' and ')}`
  return refusals.refuse('UNSUPPORTED_ASSIGNOR', `assign by ${quoteId(assignor)} in`, reason)
}

/** What is to be said to join. An empty subscription is one. */
function findMissing(request: ConsumerHeartbeat): string | undefined {
  const { rebalanceTimeoutMs, owned, subscribedTopics, subscribedRegex } = request
  if (rebalanceTimeoutMs === undefined) return 'to join, a rebalance timeout is needed'
  if (owned === undefined || owned.size > 0) return 'who joins has no partitions, and says so'
  if (subscribedTopics === undefined && subscribedRegex === undefined) return 'to join, a subscription is needed'
  return undefined
}
