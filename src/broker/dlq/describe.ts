import { DEAD_LETTER_HEADERS } from '../dead-letter-headers.ts'
import type { Topic } from '../topics.ts'
import type { DeadLetter, LetterFilter } from './letter.ts'
import { headerNumber, headerText, letterId, redriveCountOf } from './letter.ts'
import type { RedriveOrder } from './plan-redrive.ts'
import type { RedriveJob, RedriveProblem } from './redrive-job.ts'
import type { LetterOverview, LetterPlace, Redrives } from './redrives.ts'

// What doors show of dead letters and redrives, but for bytes, which each shows in its own way.

const PROBLEMS_MAX = 100
/** Anybody can write reasons into headers. */
const REASONS_MAX = 200
const OTHER_REASON = 'other'

/** How many dead letters there are of a topic. */
export function describeTopic({ topic, partitions, open, redriven, discarded, oldestMs }: LetterOverview) {
  return { topic, partitions, open, redriven, discarded, oldest: oldestMs ?? null }
}

/** A dead letter and what its headers say, null where they say nothing; without key, value and headers. */
export function describeLetter(letter: DeadLetter) {
  const { partition, offset, state, timestamp } = letter
  const text = (name: string) => headerText(letter, name) ?? null
  return {
    id: letterId(letter),
    partition,
    offset,
    state,
    time: timestamp,
    reason: text(DEAD_LETTER_HEADERS.reason),
    message: text(DEAD_LETTER_HEADERS.message),
    pointer: text(DEAD_LETTER_HEADERS.pointer),
    origin: text(DEAD_LETTER_HEADERS.origin),
    group: text(DEAD_LETTER_HEADERS.group),
    attempts: headerNumber(letter, DEAD_LETTER_HEADERS.attempts) ?? null,
    redriveCount: redriveCountOf(letter),
  }
}

/** The record's own timestamp. */
export function timestampOf(letter: DeadLetter): number {
  return headerNumber(letter, DEAD_LETTER_HEADERS.time) ?? letter.timestamp
}

/** A redrive or discard, and how far it is. */
export function describeJob(redrives: Redrives, job: RedriveJob) {
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

/**
 * How many dead letters there are for which reason, the most frequent first; `next` when not all were looked at.
 *
 * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
 */
export async function summarise(redrives: Redrives, topic: Topic, filter: LetterFilter, from: LetterPlace) {
  const counts = new Map<string, { reason: string; pointer: string; count: number }>()
  const next = await redrives.scan(topic, filter, from, (letter) => {
    const own = headerText(letter, DEAD_LETTER_HEADERS.reason) ?? ''
    const ownPointer = headerText(letter, DEAD_LETTER_HEADERS.pointer) ?? ''
    const ownKey = `${own} ${ownPointer}`
    const isKnown = counts.has(ownKey) || counts.size < REASONS_MAX
    const [key, reason, pointer] = isKnown ? [ownKey, own, ownPointer] : [OTHER_REASON, OTHER_REASON, '']
    const entry = counts.get(key) ?? { reason, pointer, count: 0 }
    entry.count++
    counts.set(key, entry)
    return true
  })
  return { reasons: [...counts.values()].toSorted((one, other) => other.count - one.count), next }
}

/**
 * What a redrive would do, without sending anything; `next` when not all were looked at.
 *
 * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION for a target that is not there; CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
 */
export async function checkLetters(
  redrives: Redrives,
  topic: Topic,
  filter: LetterFilter,
  order: RedriveOrder,
  from: LetterPlace,
) {
  if (order.to !== undefined) redrives.checkTarget(order.to)
  const counts = { sendable: 0, rejected: 0, refused: 0, failed: 0 }
  const problems: RedriveProblem[] = []
  const next = await redrives.scan(topic, { ...filter, state: 'open' }, from, (letter) => {
    const plan = redrives.plan(letter, order)
    if (plan.kind === 'send') {
      counts.sendable++
      return true
    }
    counts[plan.kind]++
    const { reason, pointer, message } = plan
    if (problems.length < PROBLEMS_MAX) problems.push({ id: letterId(letter), reason, pointer, message })
    return true
  })
  return { ...counts, problems, next }
}
