import type { Refusal } from './outcome.ts'

/** The refusals of one group, worded. */
export class Refusals {
  readonly #group: string

  constructor(group: string) {
    this.#group = quoteId(group)
  }

  /** `refuse('INVALID_REQUEST', 'join', 'it is full')`: Cannot join group "g": it is full. */
  refuse(error: Refusal['error'], action: string, reason: string): Refusal {
    return { error, message: `Cannot ${action} group ${this.#group}: ${reason}` }
  }

  unknownMember(action: string, memberId: string): Refusal {
    return this.refuse('UNKNOWN_MEMBER_ID', `${action} as ${quoteId(memberId)} of`, 'it has no such member, join first')
  }

  fenced(action: string, instanceId: string, memberId: string): Refusal {
    const reason = `${quoteId(memberId)} has taken over`
    return this.refuse('FENCED_INSTANCE_ID', `${action} as ${quoteId(instanceId)} of`, reason)
  }

  illegalGeneration(action: string, generation: number, current: number): Refusal {
    const reason = `it is in generation ${current}`
    return this.refuse('ILLEGAL_GENERATION', `${action} in generation ${generation} of`, reason)
  }

  rebalancing(action: string): Refusal {
    return this.refuse('REBALANCE_IN_PROGRESS', `${action} in`, 'it rebalances, join again')
  }

  overtaken(what: string): Refusal {
    return this.refuse('REBALANCE_IN_PROGRESS', `go on with this ${what} in`, 'the member has sent another one')
  }

  stopping(): Refusal {
    return this.refuse('COORDINATOR_NOT_AVAILABLE', 'take part in', 'the broker stops')
  }
}

/** An id as it may stand in a message. */
export function quoteId(id: string): string {
  return JSON.stringify(id.length > 80 ? `${id.slice(0, 80)}…` : id)
}
