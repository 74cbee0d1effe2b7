import { describeJob } from '../../../broker/dlq/describe.ts'
import type { LetterFilter } from '../../../broker/dlq/letter.ts'
import { readLetterFilter, readRedriveOrder, readText } from '../../../broker/dlq/read-wish.ts'
import type { Operation, OperationContext } from '../context.ts'
import type { Fields } from '../fields.ts'
import { OFFSET_RANGE } from '../fields.ts'

const RATE_RANGE = { min: 1, max: 1_000_000 }
const COUNT_RANGE = { min: 1, max: Number.MAX_SAFE_INTEGER }
const LIST_RANGE = { min: 1, max: 1_000 }
const LIST_DEFAULT = 20

/** REDRIVE: begins to send dead letters again. */
export const redrive: Operation<'REDRIVE'> = async (context, fields) => {
  const { redrives } = context.broker
  const rate = fields.optionalInteger('rate', RATE_RANGE)
  const job = await redrives.redrive({ ...readWish(context, fields), order: readRedriveOrder(fields), rate })
  return { ok: true, redrive: describeJob(redrives, job) }
}

/** DISCARD_DEAD_LETTERS: begins to close dead letters that nobody will send again. */
export const discardDeadLetters: Operation<'DISCARD_DEAD_LETTERS'> = async (context, fields) => {
  const { redrives } = context.broker
  return { ok: true, redrive: describeJob(redrives, await redrives.discard(readWish(context, fields))) }
}

/** LIST_REDRIVES: what was done, is done, and by whom; the latest first. */
export const listRedrives: Operation<'LIST_REDRIVES'> = ({ broker: { redrives } }, fields) => {
  const id = fields.optionalInteger('id', COUNT_RANGE)
  if (id !== undefined) return { redrives: [describeJob(redrives, redrives.getJob(id))] }
  const name = fields.optionalText('topic')
  const topic = name === undefined ? undefined : redrives.getTopic(name).name
  const found = redrives.jobs(topic, fields.optionalInteger('limit', LIST_RANGE) ?? LIST_DEFAULT)
  return { redrives: found.map((job) => describeJob(redrives, job)) }
}

/** CANCEL_REDRIVE: ends one before its end. */
export const cancelRedrive: Operation<'CANCEL_REDRIVE'> = async ({ broker: { redrives } }, fields) => {
  return { ok: true, redrive: describeJob(redrives, await redrives.cancel(fields.integer('id', COUNT_RANGE))) }
}

/**
 * Which dead letters a request means.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function readFilter(fields: Fields): LetterFilter {
  return {
    ...readLetterFilter(fields),
    fromMs: fields.optionalInteger('fromTime', OFFSET_RANGE),
    toMs: fields.optionalInteger('toTime', OFFSET_RANGE),
  }
}

function readWish({ peer }: OperationContext, fields: Fields) {
  return {
    topic: fields.text('topic'),
    by: readText(fields, 'by') ?? peer,
    note: readText(fields, 'note'),
    filter: readFilter(fields),
    limit: fields.optionalInteger('limit', COUNT_RANGE),
  }
}
