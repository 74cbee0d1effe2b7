import { BrokerError } from '../base/broker-error.ts'
import type { Broker } from './broker.ts'
import { partitionsOf } from '../groups/assignment.ts'
import { readAssignment } from '../groups/consumer-protocol.ts'
import type { GroupDescription, GroupListing } from '../groups/coordinator.ts'
import type { PartitionLog } from '../log/log-engine.ts'
import type { CommittedOffset } from '../groups/offset-rows.ts'

/** A member of a group with what is assigned to it. */
export interface GroupMember {
  readonly member: string
  readonly client: string
  readonly host: string
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[]
}

/** What a group has committed for a partition, and how far it is behind there. */
export interface GroupOffset {
  readonly topic: string
  readonly partition: number
  /** The next one that the group wants. */
  readonly offset: number
  /** Unix milliseconds. */
  readonly committedAt: number
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly lag: number
  /** How long ago the record was written that the group wants next, in milliseconds; 0 without a lag, null when it cannot be read. */
  readonly lagMs: number | null
}

/** A group in a list of all. */
export interface GroupSummary {
  readonly group: string
  readonly state: GroupListing['state']
  readonly members: number
  readonly topics: readonly string[]
  /** How many partitions it has committed offsets for. */
  readonly partitions: number
  readonly lag: number
}

const QUOTED_CHARACTERS_MAX = 80

/**
 * A group with its members.
 *
 * @throws BrokerError GROUP_ID_NOT_FOUND
 */
export function findGroup(broker: Broker, group: string): GroupDescription {
  const description = broker.groups.describe(group)
  if (description !== undefined) return description
  const shown = group.length > QUOTED_CHARACTERS_MAX ? `${group.slice(0, QUOTED_CHARACTERS_MAX)}…` : group
  const message = `There is no group ${JSON.stringify(shown)}: a group exists while it has members or committed offsets`
  throw new BrokerError('GROUP_ID_NOT_FOUND', message)
}

/** Its members with what is assigned to them, as far as that can be read. */
export function describeMembers(description: GroupDescription): readonly GroupMember[] {
  return description.members.map(({ memberId, clientId, clientHost, assignment }) => {
    const assigned = Buffer.isBuffer(assignment) ? readAssignment(assignment) : assignment
    const partitions = Array.from(partitionsOf(assigned ?? new Map()), ([topic, partition]) => ({ topic, partition }))
    return { member: memberId, client: clientId, host: clientHost, partitions }
  })
}

/** What a group has committed, and how far it is behind. */
export function describeOffsets(broker: Broker, group: string): readonly GroupOffset[] {
  return (broker.committedOffsets.list(group) ?? []).flatMap((offset) => describeOffset(broker, offset))
}

/** A group as a list of all shows it. */
export function summarizeGroup(broker: Broker, { group, state, memberCount }: GroupListing): GroupSummary {
  const offsets = describeOffsets(broker, group)
  const description = memberCount === 0 ? undefined : broker.groups.describe(group)
  const assigned = description === undefined ? [] : describeMembers(description).flatMap(({ partitions }) => partitions)
  return {
    group,
    state,
    members: memberCount,
    topics: [...new Set([...offsets, ...assigned].map(({ topic }) => topic))].toSorted(),
    partitions: offsets.length,
    lag: offsets.reduce((sum, { lag }) => sum + lag, 0),
  }
}

function describeOffset(broker: Broker, committed: CommittedOffset): readonly GroupOffset[] {
  const { topic, partition, offset, committedAtMs } = committed
  // A topic goes a moment before the offsets in it do.
  if (broker.topics.get(topic) === undefined) return []
  const log = broker.getLog(topic, partition)
  const { logStartOffset, logEndOffset } = log
  // What has expired before the group read it is nothing that it is behind with.
  const lag = Math.max(0, logEndOffset - Math.max(offset, logStartOffset))
  const lagMs = readLagMs(log, offset, broker.clock.now())
  return [{ topic, partition, offset, committedAt: committedAtMs, logStartOffset, logEndOffset, lag, lagMs }]
}

function readLagMs(log: PartitionLog, offset: number, now: number): number | null {
  try {
    const next = log.findFirstRecord(offset)
    return next === undefined ? 0 : Math.max(0, now - next.timestamp)
  } catch (error) {
    // Damage is told by whoever fetches there; the offset is right all the same.
    if (error instanceof BrokerError) return null
    throw error
  }
}
