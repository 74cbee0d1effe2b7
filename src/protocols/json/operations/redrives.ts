import type { RedriveJob } from '../../../broker/dlq/redrive-job.ts'
import type { Redrives } from '../../../broker/dlq/redrives.ts'
import type { Operation, OperationContext } from '../context.ts'
import type { Fields } from '../fields.ts'
import type { RedriveOverview } from '../wire.ts'
import { readFilter, readOrder, shortText } from './letter-fields.ts'

const RATE_RANGE = { min: 1, max: 1_000_000 }
const COUNT_RANGE = { min: 1, max: Number.MAX_SAFE_INTEGER }
const LIST_RANGE = { min: 1, max: 1_000 }
const LIST_DEFAULT = 20

/** REDRIVE: begins to send dead letters again. */
export const redrive: Operation<'REDRIVE'> = async (context, fields) => {
  const { redrives } = context.broker
  const wish = {
    ...readWish(context, fields),
    order: readOrder(fields),
    rate: fields.optionalInteger('rate', RATE_RANGE),
  }
  return { ok: true, redrive: toOverview(redrives, await redrives.redrive(wish)) }
}

/** DISCARD_DEAD_LETTERS: begins to close dead letters that nobody will send again. */
export const discardDeadLetters: Operation<'DISCARD_DEAD_LETTERS'> = async (context, fields) => {
  const { redrives } = context.broker
  return { ok: true, redrive: toOverview(redrives, await redrives.discard(readWish(context, fields))) }
}

/** LIST_REDRIVES: what was done, is done, and by whom; the latest first. */
export const listRedrives: Operation<'LIST_REDRIVES'> = ({ broker: { redrives } }, fields) => {
  const id = fields.optionalInteger('id', COUNT_RANGE)
  if (id !== undefined) return { redrives: [toOverview(redrives, redrives.getJob(id))] }
  const name = fields.optionalText('topic')
  const topic = name === undefined ? undefined : redrives.getTopic(name).name
  const found = redrives.jobs(topic, fields.optionalInteger('limit', LIST_RANGE) ?? LIST_DEFAULT)
  return { redrives: found.map((job) => toOverview(redrives, job)) }
}

/** CANCEL_REDRIVE: ends one before its end. */
export const cancelRedrive: Operation<'CANCEL_REDRIVE'> = async ({ broker: { redrives } }, fields) => {
  return { ok: true, redrive: toOverview(redrives, await redrives.cancel(fields.integer('id', COUNT_RANGE))) }
}

function readWish({ peer }: OperationContext, fields: Fields) {
  return {
    topic: fields.text('topic'),
    by: shortText(fields, 'by') ?? peer,
    note: shortText(fields, 'note'),
    filter: readFilter(fields),
    limit: fields.optionalInteger('limit', COUNT_RANGE),
  }
}

function toOverview(redrives: Redrives, job: RedriveJob): RedriveOverview {
  const { number, kind, topic, state, by, note, startedAtMs, endedAtMs, filter, order, rate, counts, problems } = job
  const { reasons, pointer, origin, group, fromMs, toMs, ids } = filter
  return {
    id: number,
    kind,
    topic,
    state,
    by,
    note,
    startedAt: startedAtMs,
    endedAt: endedAtMs ?? null,
    filter: {
      ...(reasons && { reasons }),
      ...(pointer !== undefined && { pointer }),
      ...(origin !== undefined && { origin }),
      ...(group !== undefined && { group }),
      ...(fromMs !== undefined && { fromTime: fromMs }),
      ...(toMs !== undefined && { toTime: toMs }),
      ...(ids && { ids }),
    },
    to: order.to ?? null,
    rate: rate ?? null,
    ...counts,
    left: redrives.offsetsLeft(job),
    problems,
  }
}
