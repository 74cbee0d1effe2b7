import { ClassicGroup } from '../../src/groups/classic-group.ts'
import type {
  ClassicEvent,
  JoinAnswer,
  JoinRequest,
  LeaveAnswer,
  LeavingMember,
  MemberOfGeneration,
  SyncAnswer,
  SyncRequest,
} from '../../src/groups/classic-messages.ts'
import type { ClassicGroupRow, ClassicMemberRow } from '../../src/groups/classic-rows.ts'
import { GROUP_DEFAULTS } from '../../src/groups/group-options.ts'
import type { GroupOptions } from '../../src/groups/group-options.ts'
import { isRefusal } from '../../src/groups/outcome.ts'
import type { Refusal } from '../../src/groups/outcome.ts'
import { GroupParty } from './group-party.ts'

/** An answer that may not be there yet. */
export interface Pending<Answer> {
  answer: Answer | Refusal | undefined
}

/** A classic group alone, with a clock that is turned by hand and a store that keeps rows as JSON. */
export class ClassicParty extends GroupParty<ClassicEvent> {
  group: ClassicGroup
  /** Of all requests since the start. */
  readonly asked: Pending<object>[] = []
  readonly #options: GroupOptions
  #ids = 0

  constructor(options: Partial<GroupOptions> = {}) {
    super()
    this.#options = { ...GROUP_DEFAULTS, ...options }
    this.group = new ClassicGroup('g', this.#options, this.#createId)
  }

  readonly #createId = () => String(++this.#ids)

  /** The broker dies and starts again: what is left is what was stored. */
  restart(): void {
    this.asked.length = 0
    const row = this.rows.get(undefined)
    const parts = { group: 'g', options: this.#options, createId: this.#createId }
    if (row === undefined) {
      this.group = new ClassicGroup('g', this.#options, this.#createId)
      return
    }
    const members = this.storedMembers<ClassicMemberRow>()
    this.group = ClassicGroup.restore(parts, JSON.parse(row) as ClassicGroupRow, members, this.now)
  }

  join(request: Partial<Omit<JoinRequest, 'protocols'>> & { protocols?: Record<string, string> }): Pending<JoinAnswer> {
    const { protocols = { range: '' }, ...rest } = request
    const joining: JoinRequest = {
      memberId: '',
      clientId: 'c',
      clientHost: 'h',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      requiresMemberId: false,
      supportsSkippingAssignment: true,
      ...rest,
      protocols: Object.entries(protocols).map(([name, metadata]) => ({ name, metadata: Buffer.from(metadata) })),
    }
    return this.#ask((reply) => ({ kind: 'join', request: joining, reply }))
  }

  sync(
    member: MemberOfGeneration & Partial<SyncRequest>,
    assignments: Record<string, string> = {},
  ): Pending<SyncAnswer> {
    const request = {
      ...member,
      assignments: Object.entries(assignments).map(([memberId, text]) => ({ memberId, assignment: Buffer.from(text) })),
    }
    return this.#ask((reply) => ({ kind: 'sync', request, reply }))
  }

  /** The error of the answer, or `fine`. */
  heartbeat(request: MemberOfGeneration): string {
    return errorOf(this.#ask<object>((reply) => ({ kind: 'heartbeat', request, reply })))
  }

  leave(...members: LeavingMember[]): string[] {
    const { answer } = this.#ask<LeaveAnswer>((reply) => ({ kind: 'leave', members, reply }))
    if (answer === undefined || isRefusal(answer)) throw new Error(answer?.error ?? 'no answer')
    return answer.members.map(({ refusal }) => refusal ?? 'fine')
  }

  commit(member: MemberOfGeneration, isTransactional = false): string {
    return this.group.checkCommit(member, isTransactional)?.error ?? 'fine'
  }

  /** As many members as there are names, stable, in the generation that is returned; each one's id is its name. */
  gather(names: string[], request: Parameters<ClassicParty['join']>[0] = {}): Member[] {
    const joins = names.map((clientId) => this.join({ clientId, ...request }))
    this.pass(this.#options.initialRebalanceDelayMs * (names.length + 1))
    const members = joins.map((join) => memberOf(join))
    const assignments = Object.fromEntries(members.map(({ memberId }, index) => [memberId, `for ${names[index]}`]))
    for (const member of members) this.sync(member, member.isLeader ? assignments : {})
    return members
  }

  #ask<Answer extends object>(makeEvent: (reply: (answer: Answer | Refusal) => void) => ClassicEvent): Pending<Answer> {
    const pending: Pending<Answer> = { answer: undefined }
    this.asked.push(pending)
    this.run(
      makeEvent((answer) => {
        if (pending.answer !== undefined) throw new Error('answered twice')
        pending.answer = answer
      }),
    )
    return pending
  }
}

export interface Member extends MemberOfGeneration {
  readonly isLeader: boolean
}

/** What a member knows from the answer to its join. */
export function memberOf({ answer }: Pending<JoinAnswer>): Member {
  if (answer === undefined || isRefusal(answer)) throw new Error(answer?.error ?? 'no answer')
  const { memberId, generation, leader } = answer
  return { memberId, generation, isLeader: memberId === leader }
}

/** `waiting`, an error, or `fine`. */
export function errorOf({ answer }: Pending<object>): string {
  if (answer === undefined) return 'waiting'
  return isRefusal(answer) ? answer.error : 'fine'
}

/** The assignment as text, or what `errorOf` says. */
export function assignmentOf(sync: Pending<SyncAnswer>): string {
  const { answer } = sync
  return answer === undefined || isRefusal(answer) ? errorOf(sync) : answer.assignment.toString()
}
