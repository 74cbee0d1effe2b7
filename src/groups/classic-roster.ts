import { assert } from '../base/assert.ts'
import type { ClassicProtocol, JoinAnswer, JoinedMember, SyncAnswer } from './classic-messages.ts'
import type { ReplyTo } from './outcome.ts'

/** A member of a classic group. */
export interface ClassicMember {
  readonly id: string
  readonly instanceId: string | undefined
  readonly clientId: string
  readonly clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  /** Changed by `offer` and `assign` alone, which count what they take. */
  protocols: readonly ClassicProtocol[]
  assignment: Buffer
  /** Has not been answered yet since it came: it may not even know its id. */
  isNew: boolean
  /** Its join or its sync, when it waits for the answer. */
  join: ReplyTo<JoinAnswer> | undefined
  sync: ReplyTo<SyncAnswer> | undefined
}

/** Who is in a classic group, who of them leads, and what they have in common. Knows nothing of states and time. */
export class ClassicRoster {
  protocolType = ''
  readonly #members = new Map<string, ClassicMember>()
  readonly #staticIds = new Map<string, string>()
  #leader: string | undefined
  /** How many members offer a protocol. */
  readonly #offers = new Map<string, number>()
  /** Of all that members offer, and of all that is assigned to them. */
  #offeredBytes = 0
  #assignedBytes = 0

  /** How much memory the members take, roughly. */
  get bytes(): number {
    return this.#offeredBytes + this.#assignedBytes
  }

  get offeredBytes(): number {
    return this.#offeredBytes
  }

  get size(): number {
    return this.#members.size
  }

  /** The first who came and is still there, unless it was late for a generation. */
  get leader(): string | undefined {
    return this.#leader
  }

  /** In the order in which they came. */
  members(): Iterable<ClassicMember> {
    return this.#members.values()
  }

  get(memberId: string): ClassicMember | undefined {
    return this.#members.get(memberId)
  }

  /** The member id that belongs to a static member's instance id now. */
  staticId(instanceId: string): string | undefined {
    return this.#staticIds.get(instanceId)
  }

  /** Whether a member with these could be in the group: of the same type, with a protocol that all members offer. */
  supports(protocolType: string, protocols: readonly ClassicProtocol[]): boolean {
    if (this.size === 0) return protocolType !== '' && protocols.length > 0
    return protocolType === this.protocolType && protocols.some(({ name }) => this.#offers.get(name) === this.size)
  }

  add(member: ClassicMember, protocolType: string): void {
    assert(!this.#members.has(member.id), `member ${member.id} is not in the group yet`)
    if (this.size === 0) this.protocolType = protocolType
    this.#members.set(member.id, member)
    if (member.instanceId !== undefined) this.#staticIds.set(member.instanceId, member.id)
    this.#leader ??= member.id
    this.#assignedBytes += member.assignment.length
    this.#countOffers(member, 1)
  }

  remove(memberId: string): void {
    const member = this.#members.get(memberId)
    if (member === undefined) return
    this.#members.delete(memberId)
    if (member.instanceId !== undefined) this.#staticIds.delete(member.instanceId)
    this.#assignedBytes -= member.assignment.length
    this.#countOffers(member, -1)
    if (this.#leader === memberId) this.#leader = this.#members.keys().next().value
  }

  /** Gives a static member another id; it stays what it is, and leads if it did. */
  rename(memberId: string, newId: string): ClassicMember {
    const member = this.#members.get(memberId)
    assert(member?.instanceId !== undefined, `member ${memberId} is a static one`)
    const wasLeader = this.#leader === memberId
    const renamed = { ...member, id: newId }
    this.#members.delete(memberId)
    this.#members.set(newId, renamed)
    this.#staticIds.set(member.instanceId, newId)
    if (wasLeader) this.#leader = newId
    return renamed
  }

  offer(member: ClassicMember, protocols: readonly ClassicProtocol[]): void {
    this.#countOffers(member, -1)
    member.protocols = protocols
    this.#countOffers(member, 1)
  }

  assign(member: ClassicMember, assignment: Buffer): void {
    this.#assignedBytes += assignment.length - member.assignment.length
    member.assignment = assignment
  }

  /** The protocol of the next generation: of those that all offer, each member votes for its best one. */
  chooseProtocol(): string {
    const votes = new Map<string, number>()
    for (const { protocols } of this.#members.values()) {
      const best = protocols.find(({ name }) => this.#offers.get(name) === this.size)
      assert(best !== undefined, 'there is a protocol that all members offer')
      votes.set(best.name, (votes.get(best.name) ?? 0) + 1)
    }
    const [first] = [...votes].toSorted(([, left], [, right]) => right - left)
    assert(first !== undefined, 'there is a member to vote')
    return first[0]
  }

  countJoining(): number {
    let count = 0
    for (const { join } of this.#members.values()) if (join !== undefined) count++
    return count
  }

  /** Lets another member lead if the leader does not join; false when nobody does. */
  electJoiningLeader(): boolean {
    if (this.#leader !== undefined && this.#members.get(this.#leader)?.join !== undefined) return true
    for (const { id, join } of this.#members.values()) {
      if (join === undefined) continue
      this.#leader = id
      return true
    }
    return false
  }

  /** Lets this member lead, as the store says. */
  restoreLeader(memberId: string | undefined): void {
    if (memberId !== undefined && this.#members.has(memberId)) this.#leader = memberId
  }

  /** The longest that any member may take to join. */
  get rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { rebalanceTimeoutMs } of this.#members.values()) longest = Math.max(longest, rebalanceTimeoutMs)
    return longest
  }

  /** What the leader is told. */
  describeFor(protocol: string): readonly JoinedMember[] {
    return Array.from(this.#members.values(), ({ id, instanceId, protocols }) => ({
      memberId: id,
      instanceId,
      metadata: metadataOf(protocols, protocol),
    }))
  }

  #countOffers({ protocols }: ClassicMember, by: 1 | -1) {
    this.#offeredBytes += by * countBytes(protocols)
    for (const { name } of protocols) {
      const count = (this.#offers.get(name) ?? 0) + by
      if (count === 0) this.#offers.delete(name)
      else this.#offers.set(name, count)
    }
  }
}

const NOTHING = Buffer.alloc(0)

/** What a member said about one of its protocols. */
export function metadataOf(protocols: readonly ClassicProtocol[], protocol: string): Buffer {
  return protocols.find(({ name }) => name === protocol)?.metadata ?? NOTHING
}

/** Of several with the same name the first: names count the votes. */
export function withoutDuplicates(protocols: readonly ClassicProtocol[]): readonly ClassicProtocol[] {
  const seen = new Set<string>()
  return protocols.filter(({ name }) => !seen.has(name) && seen.add(name))
}

/** Whether a member offers exactly what it offered before. */
export function areSameProtocols(left: readonly ClassicProtocol[], right: readonly ClassicProtocol[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, metadata }, index) => name === right[index].name && metadata.equals(right[index].metadata))
  )
}

/** How much memory they take. */
export function countBytes(protocols: readonly ClassicProtocol[]): number {
  return protocols.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, 0)
}
