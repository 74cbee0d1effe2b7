import { quote } from '../../../base/untrusted-json.ts'
import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import type { Assignment } from '../../../groups/assignment.ts'
import { NO_PARTITIONS, toPlain } from '../../../groups/assignment.ts'
import type { ConsumerHeartbeat, ConsumerHeartbeatAnswer } from '../../../groups/consumer-messages.ts'
import { JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from '../../../groups/consumer-messages.ts'
import type { InGroup } from '../../../groups/coordinator.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Operation } from '../context.ts'
import type { Fields } from '../fields.ts'
import type { TopicPartitions } from '../wire.ts'

const GENERATION_RANGE = { min: JOIN_EPOCH, max: 0x7fffffff }
const REBALANCE_TIMEOUT_RANGE = { min: 1, max: 0x7fffffff }
/** Kafka's `max.poll.interval.ms`. */
const REBALANCE_TIMEOUT_MS_DEFAULT = 300_000
const CLIENT_ID_DEFAULT = 'json'

/** Says that the broker is there; of a member of a group, that the member is. A group alone makes nobody a member. */
export const heartbeat: Operation<'HEARTBEAT'> = ({ broker, peer }, fields) => {
  const isOfMember =
    fields.optionalText('memberId') !== undefined ||
    fields.optionalTextList('topics') !== undefined ||
    fields.optionalText('topicPattern') !== undefined
  return isOfMember ? beat(broker, readMember(broker, fields.text('group'), fields, peer)) : { ok: true }
}

async function beat(broker: Broker, request: InGroup<ConsumerHeartbeat>) {
  const answer = await new Promise<ConsumerHeartbeatAnswer>((resolve, reject) => {
    broker.groups.consumerHeartbeat(request, (outcome) => {
      if (isRefusal(outcome)) reject(new BrokerError(outcome.error, outcome.message))
      else resolve(outcome)
    })
  })
  const { memberId, memberEpoch: generation, heartbeatIntervalMs } = answer
  const isGone = generation < JOIN_EPOCH
  const assigned = answer.assignment ?? broker.groups.findConsumerMember(request.group, memberId)?.assigned
  const assignment = listPartitions(isGone ? NO_PARTITIONS : (assigned ?? NO_PARTITIONS))
  return { ok: true, memberId, generation, heartbeatIntervalMs, assignment } as const
}

/**
 * What a member says in the words of the consumer protocol, where a client has to say more: in which epoch it is, and what
 * it still has. Who leaves these out is taken to have done what the last answer told it.
 */
function readMember(broker: Broker, group: string, fields: Fields, peer: string): InGroup<ConsumerHeartbeat> {
  const memberId = fields.optionalText('memberId') ?? ''
  const instanceId = fields.optionalText('instanceId')
  const owned = readOwned(fields.optionalPartitions('owned'))
  const generation = fields.optionalInteger('generation', GENERATION_RANGE)
  const rebalanceTimeoutMs = fields.optionalInteger('rebalanceTimeoutMs', REBALANCE_TIMEOUT_RANGE)
  const member = {
    group,
    memberId,
    instanceId,
    clientId: fields.optionalText('clientId') ?? CLIENT_ID_DEFAULT,
    clientHost: `/${peer.slice(0, peer.lastIndexOf(':'))}`,
    rebalanceTimeoutMs,
    subscribedTopics: fields.optionalTextList('topics'),
    subscribedRegex: fields.optionalText('topicPattern'),
    assignor: fields.optionalText('assignor'),
  }
  if (fields.optionalBoolean('leave') === true) {
    return { ...member, memberEpoch: instanceId === undefined ? LEAVE_EPOCH : STATIC_LEAVE_EPOCH }
  }
  const known = memberId === '' ? undefined : broker.groups.findConsumerMember(group, memberId)
  const memberEpoch = generation ?? Math.max(known?.epoch ?? JOIN_EPOCH, JOIN_EPOCH)
  if (memberEpoch > JOIN_EPOCH) return { ...member, memberEpoch, owned: owned ?? known?.assigned }
  if (owned !== undefined && owned.size > 0) {
    const message = `Cannot go on as ${quote(memberId)} of group ${quote(group)}: it has no such member, give all partitions away and join again`
    throw new BrokerError('UNKNOWN_MEMBER_ID', message)
  }
  return {
    ...member,
    memberEpoch,
    owned: NO_PARTITIONS,
    rebalanceTimeoutMs: rebalanceTimeoutMs ?? REBALANCE_TIMEOUT_MS_DEFAULT,
  }
}

function readOwned(listed: readonly TopicPartitions[] | undefined): Assignment | undefined {
  if (listed === undefined) return undefined
  const owned = new Map<string, Set<number>>()
  for (const { topic, partitions } of listed) {
    const known = owned.get(topic) ?? new Set()
    for (const partition of partitions) known.add(partition)
    if (known.size > 0) owned.set(topic, known)
  }
  return owned
}

function listPartitions(assignment: Assignment): readonly TopicPartitions[] {
  return Object.entries(toPlain(assignment)).map(([topic, partitions]) => ({ topic, partitions }))
}
