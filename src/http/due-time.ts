import { DURATION_WANTED, parseDuration } from '../base/units.ts'
import type { ApiFields } from './api-fields.ts'

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/
const TIME_WANTED = 'Unix milliseconds, or a time with its zone such as "2026-01-31T18:00:00Z" is needed'

/** The fields that say when something is due. */
export const DUE_FIELDS = ['dueAt', 'delay'] as const

/**
 * When something is to be delivered, Unix milliseconds: `dueAt`, or `delay` from `now` on; undefined without either.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function readDueAt(fields: ApiFields, now: number): number | undefined {
  const delay = fields.get('delay')
  const dueAt = readTime(fields, 'dueAt')
  if (delay === undefined) return dueAt
  if (dueAt !== undefined) throw fields.wrong('delay', 'that or "dueAt" is needed, not both')
  const delayMs = typeof delay === 'number' || typeof delay === 'string' ? parseDuration(String(delay)) : undefined
  const due = now + (delayMs ?? Number.NaN)
  if (!Number.isSafeInteger(due)) throw fields.wrong('delay', `${DURATION_WANTED} is needed`)
  return due
}

/**
 * A moment, Unix milliseconds.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function readTime(fields: ApiFields, name: string): number | undefined {
  const value = fields.get(name)
  if (value === undefined) return undefined
  const time = typeof value === 'string' ? parseTime(value) : value
  if (typeof time === 'number' && Number.isSafeInteger(time) && time >= 0) return time
  throw fields.wrong(name, TIME_WANTED)
}

function parseTime(text: string): number {
  if (/^\d{1,16}$/.test(text)) return Number(text)
  return ISO_TIME.test(text) ? Date.parse(text) : Number.NaN
}
