import { assert } from '../base/assert.ts'
import { DEFAULT_ASSIGNOR } from './assignors/all.ts'
import type { AssignorName } from './assignors/all.ts'
import type { ConsumerMember } from './consumer-member.ts'
import { PartitionOwners } from './partition-owners.ts'
import { countSubscriptionBytes } from './subscriptions.ts'

/**
 * Who is in a consumer group, which partitions are whose, and what the members want together. Knows nothing of epochs and
 * time. Remembers who has changed, for the store.
 */
export class ConsumerRoster {
  readonly #members = new Map<string, ConsumerMember>()
  readonly #staticIds = new Map<string, string>()
  readonly #owners = new PartitionOwners()
  readonly #changedIds = new Set<string>()
  /** Of all subscriptions. */
  #bytes = 0

  get size(): number {
    return this.#members.size
  }

  /** How much memory the members take, roughly. */
  get bytes(): number {
    return this.#bytes
  }

  /** In the order in which they came. Members may be put meanwhile. */
  members(): Iterable<ConsumerMember> {
    return this.#members.values()
  }

  get(memberId: string): ConsumerMember | undefined {
    return this.#members.get(memberId)
  }

  /** The member with this id, which is known to be one. */
  existing(memberId: string): ConsumerMember {
    const member = this.#members.get(memberId)
    assert(member !== undefined, `${memberId} is a member`)
    return member
  }

  /** The id of the member that goes by this instance id. */
  staticId(instanceId: string): string | undefined {
    return this.#staticIds.get(instanceId)
  }

  /** Who has a partition, be it that it is to give it away. */
  owner(topic: string, partition: number): string | undefined {
    return this.#owners.get(topic, partition)
  }

  /** Takes a new member in, or the new state of one. */
  put(member: ConsumerMember): void {
    const earlier = this.#members.get(member.id)
    if (earlier?.progress !== member.progress) {
      if (earlier !== undefined) this.#release(earlier)
      this.#owners.claim(member.id, member.progress.assigned)
      this.#owners.claim(member.id, member.progress.revoking)
    }
    this.#bytes += countSubscriptionBytes(member) - (earlier === undefined ? 0 : countSubscriptionBytes(earlier))
    this.#members.set(member.id, member)
    if (member.instanceId !== undefined) this.#staticIds.set(member.instanceId, member.id)
    this.#changedIds.add(member.id)
  }

  remove(member: ConsumerMember): void {
    this.#release(member)
    this.#members.delete(member.id)
    this.#bytes -= countSubscriptionBytes(member)
    if (member.instanceId !== undefined) this.#staticIds.delete(member.instanceId)
    this.#changedIds.add(member.id)
  }

  #release({ progress }: ConsumerMember) {
    this.#owners.release(progress.assigned)
    this.#owners.release(progress.revoking)
  }

  /** The ids of members that were put or removed since the last call. */
  takeChanges(): readonly string[] {
    const ids = [...this.#changedIds]
    this.#changedIds.clear()
    return ids
  }

  /** Finds out anew what all subscriptions come to. That is not stored, so that nobody has changed by it. */
  resolveAll(resolve: (member: ConsumerMember) => ReadonlySet<string>): void {
    const members = [...this.#members.values()]
    // Each looks at those before it only: the others are not up to date.
    this.#members.clear()
    for (const member of members) this.#members.set(member.id, { ...member, topics: resolve(member) })
  }

  isSubscribedTo(topic: string): boolean {
    for (const { topics } of this.#members.values()) if (topics.has(topic)) return true
    return false
  }

  /** The topics of all members that exist, with their partitions. */
  countPartitions(partitionCountOf: (topic: string) => number | undefined): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { topics } of this.#members.values()) {
      for (const topic of topics) {
        const partitionCount = partitionCountOf(topic)
        if (partitionCount !== undefined) counts.set(topic, partitionCount)
      }
    }
    return counts
  }

  /** The patterns of all members. */
  patterns(): ReadonlySet<string> {
    return new Set(Array.from(this.#members.values(), ({ pattern }) => pattern))
  }

  /** The assignor that most members ask for. */
  electAssignor(): AssignorName {
    const votes = new Map<AssignorName, number>()
    for (const { assignor } of this.#members.values()) {
      if (assignor !== undefined) votes.set(assignor, (votes.get(assignor) ?? 0) + 1)
    }
    const [first] = [...votes].toSorted(([, left], [, right]) => right - left)
    return first?.[0] ?? DEFAULT_ASSIGNOR
  }
}
