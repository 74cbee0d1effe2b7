import { setTimeout as sleep } from 'node:timers/promises'
import type { MemberAssignment } from '../src/protocols/json/wire.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import type { PartitionSet } from './partitions.ts'
import { fromListed, subtract, toListed } from './partitions.ts'

/** Which group to be in, and what to read there. */
export interface MembershipOptions {
  readonly group: string
  readonly topics?: readonly string[]
  /** A regular expression for whole topic names, in the syntax of RE2. */
  readonly topicPattern?: string
  /** Makes it a static member: while it is away, its partitions wait for it until its session ends. */
  readonly instanceId?: string
  /** `uniform` or `range`. */
  readonly assignor?: string
  /** How long giving partitions away may take, in milliseconds. */
  readonly rebalanceTimeoutMs?: number
  readonly clientId?: string
}

/** Told what is the member's. None of them may throw. */
export interface MembershipHandler {
  /** These are the member's from now on. */
  assigned(partitions: PartitionSet): void
  /** These are to be given away: resolves when nothing is read from them any more and all that was done is committed. */
  revoke(partitions: PartitionSet): Promise<void>
  /** These were taken away, and somebody else may read them already. */
  lost(partitions: PartitionSet, error: Error): void
  /** The group cannot be taken part in. It is over. */
  failed(error: Error): void
}

/** The group has given the member up. It is told so, and may join again. */
const EXPELLED = new Set(['UNKNOWN_MEMBER_ID', 'FENCED_MEMBER_EPOCH'])

/**
 * A member of a consumer group: joins, says that it is alive, takes partitions on, and gives them away when it is told to. What
 * is given away is reported once the handler is done with it, not before; until then the member goes on saying that it has it.
 */
export class Membership {
  readonly #link: Link
  readonly #options: MembershipOptions
  readonly #handler: MembershipHandler
  readonly #ending = new AbortController()
  #wake = new AbortController()
  #running: Promise<void> | undefined
  #revoking: Promise<void> | undefined
  #memberId: string | undefined
  #generation: number | undefined
  /** What the member reads, or is still busy with. */
  #owned: PartitionSet = new Map()

  constructor(link: Link, options: MembershipOptions, handler: MembershipHandler) {
    this.#link = link
    this.#options = options
    this.#handler = handler
  }

  /** What a commit says about who commits; undefined while the member is not in the group. */
  get identity(): { readonly memberId: string; readonly generation: number } | undefined {
    const [memberId, generation] = [this.#memberId, this.#generation]
    return memberId === undefined || generation === undefined ? undefined : { memberId, generation }
  }

  /** Begins to take part. */
  start(): void {
    this.#running ??= this.#beatOn()
  }

  /** Gives everything away and leaves. */
  async leave(): Promise<void> {
    this.#ending.abort()
    this.#wake.abort()
    await this.#running
    await this.#revoking
    if (this.#owned.size > 0) await this.#handler.revoke(this.#owned)
    this.#owned = new Map()
    const { group, instanceId } = this.#options
    const memberId = this.#memberId
    if (memberId === undefined || this.#generation === undefined) return
    this.#generation = undefined
    const request = { group, memberId, leave: true, ...(instanceId !== undefined && { instanceId }) }
    // Without it the group finds out when the session ends.
    await this.#link.call('HEARTBEAT', request).catch(() => {})
  }

  async #beatOn(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const waitMs = await this.#beat()
      if (waitMs === undefined) return
      this.#wake = new AbortController()
      const signal = AbortSignal.any([this.#wake.signal, this.#ending.signal])
      // Not a reason for a process to stay.
      if (waitMs > 0) await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Returns how long to wait until the next one; undefined when it is over. */
  async #beat(): Promise<number | undefined> {
    const isJoining = this.#generation === undefined
    const { group, instanceId, ...subscription } = this.#options
    const request = {
      group,
      ...(instanceId !== undefined && { instanceId }),
      ...(this.#memberId !== undefined && { memberId: this.#memberId }),
      ...(isJoining ? subscription : { generation: this.#generation, owned: toListed(this.#owned) }),
    }
    try {
      const answer = await this.#link.call('HEARTBEAT', request, { signal: this.#ending.signal })
      return this.#take(answer as MemberAssignment)
    } catch (error) {
      if (this.#ending.signal.aborted) return undefined
      if (error instanceof BrokerRefusal && EXPELLED.has(error.code)) {
        this.#loseAll(error)
        return 0
      }
      this.#loseAll(error as Error)
      this.#handler.failed(error as Error)
      return undefined
    }
  }

  #take({ memberId, generation, heartbeatIntervalMs, assignment }: MemberAssignment): number {
    this.#memberId = memberId
    this.#generation = generation
    const wanted = fromListed(assignment)
    const gained = subtract(wanted, this.#owned)
    if (gained.size > 0) {
      this.#owned = new Map([...this.#owned, ...gained])
      this.#handler.assigned(gained)
    }
    const surplus = subtract(this.#owned, wanted)
    if (surplus.size > 0) this.#revoking ??= this.#giveAway(surplus)
    return heartbeatIntervalMs
  }

  async #giveAway(surplus: PartitionSet): Promise<void> {
    await this.#handler.revoke(surplus)
    this.#owned = subtract(this.#owned, surplus)
    this.#revoking = undefined
    // Somebody waits for them.
    this.#wake.abort()
  }

  #loseAll(error: Error): void {
    this.#generation = undefined
    const lost = this.#owned
    this.#owned = new Map()
    if (lost.size > 0) this.#handler.lost(lost, error)
  }
}
