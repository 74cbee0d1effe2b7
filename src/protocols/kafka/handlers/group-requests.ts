import { BrokerError } from '../../../base/broker-error.ts'
import type { BrokerErrorName } from '../../../base/broker-error.ts'
import type { Refusal, ReplyTo } from '../../../groups/outcome.ts'
import type { RequestContext } from '../context.ts'
import type { ErrorName } from '../error-codes.ts'

/** Asks the coordinator something; it calls `reply` once, maybe at once. */
export type Question<Answer> = (reply: ReplyTo<Answer>) => void

const STOPPING: Refusal = { error: 'COORDINATOR_NOT_AVAILABLE', message: 'Cannot wait any longer: the broker stops' }

/** The response to what the coordinator says, now or, when something has to be stored first, later. */
export function answerGroup<Answer extends object, Response>(
  ask: Question<Answer>,
  respond: (answer: Answer | Refusal) => Response,
): Response | Promise<Response> {
  let settled: { readonly response: Response } | undefined
  let resolve: ((response: Response) => void) | undefined
  ask((answer) => {
    const response = respond(answer)
    if (resolve === undefined) settled = { response }
    else resolve(response)
  })
  if (settled !== undefined) return settled.response
  return new Promise((settle) => {
    resolve = settle
  })
}

/** The same for what may wait for other members: it is over when the client goes or the broker stops. */
export function answerParked<Answer extends object, Response>(
  context: RequestContext,
  ask: Question<Answer>,
  respond: (answer: Answer | Refusal) => Response,
): Response | Promise<Response> {
  return answerGroup<Answer, Response>((reply) => {
    let isOver = false
    const replyOnce: ReplyTo<Answer> = (answer) => {
      if (isOver) return
      isOver = true
      context.waiting = undefined
      reply(answer)
    }
    const giveUp = () => replyOnce(STOPPING)
    context.waiting = { stopWaiting: giveUp, abandon: giveUp }
    ask(replyOnce)
  }, respond)
}

/** The number for what the coordinator refuses, 0 for nothing. */
export function refuseInGroup(context: RequestContext, refusal: Refusal | undefined): number {
  return refusal === undefined ? 0 : context.refuse(nameInGroup(refusal.error))
}

/** The number for whatever the coordinator has thrown. */
export function codeInGroup(context: RequestContext, error: unknown): number {
  return error instanceof BrokerError ? context.refuse(nameInGroup(error.code)) : context.codeOf(error)
}

/** Group APIs do not know of disks: the coordinator is not there, and clients try again. */
export function nameInGroup(name: BrokerErrorName): ErrorName {
  return name === 'KAFKA_STORAGE_ERROR' ? 'COORDINATOR_NOT_AVAILABLE' : name
}

/** What a client is known as, its address as Kafka writes it: `/127.0.0.1`. */
export function clientOf({ header, channel }: RequestContext): { clientId: string; clientHost: string } {
  const address = channel.peer.slice(0, channel.peer.lastIndexOf(':')).replace(/^::ffff:(?=\d+\.)/, '')
  return { clientId: header.clientId ?? '', clientHost: `/${address}` }
}
