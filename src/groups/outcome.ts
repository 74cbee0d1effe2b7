import type { BrokerErrorName } from '../base/broker-error.ts'

/** Why a request was refused. */
export interface Refusal {
  readonly error: BrokerErrorName
  readonly message: string
  /** With MEMBER_ID_REQUIRED: the id to join with. */
  readonly memberId?: string
}

/** Where the answer to one request goes. It is called exactly once, maybe before the request's own call has returned. */
export type ReplyTo<Answer> = (answer: Answer | Refusal) => void

/** Tells the two apart: no answer has a field `error`. */
export function isRefusal(answer: object): answer is Refusal {
  return 'error' in answer
}

/** An answer on its way. Exactly one of the two is called, once. */
export interface Reply {
  /** Gives the answer, once everything that it tells of is durable. */
  send(): void
  /** Gives this instead: what the answer tells of could not be made durable. */
  refuse(refusal: Refusal): void
}

/** The answer together with where it goes. */
export function makeReply<Answer>(to: ReplyTo<Answer>, answer: Answer | Refusal): Reply {
  return { send: () => to(answer), refuse: to }
}

/** Something of a group to store: its own row, or that of one member. */
export interface RowChange {
  /** Undefined for the group's own row. */
  readonly memberId: string | undefined
  /** Plain data for JSON; undefined when the row is to go. */
  readonly row: object | undefined
}

/** What a group's machine made of an event. */
export interface Outcome {
  /** To be sent in this order, once the rows are durable. */
  readonly replies: readonly Reply[]
  readonly rows: readonly RowChange[]
  /** How many members were dropped because they were not heard of in time. */
  readonly expiredCount: number
  /** When the group wants to be told that time has passed, on the monotonic clock; undefined: never. */
  readonly deadline: number | undefined
}
