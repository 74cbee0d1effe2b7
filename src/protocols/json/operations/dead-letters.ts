import { DEAD_LETTER_HEADERS } from '../../../broker/dead-letter-headers.ts'
import type { DeadLetter } from '../../../broker/dlq/letter.ts'
import { headerNumber, headerText, letterId, redriveCountOf } from '../../../broker/dlq/letter.ts'
import { LETTER_STATES } from '../../../broker/dlq/letter-rows.ts'
import type { LetterPlace, LetterOverview as TopicOverview, Redrives } from '../../../broker/dlq/redrives.ts'
import type { Topic } from '../../../broker/topics.ts'
import type { Operation } from '../context.ts'
import type { Fields } from '../fields.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'
import type { LetterDetails, LetterOverview, LetterProblem, LetterTopic } from '../wire.ts'
import { readFilter, readOrder } from './letter-fields.ts'

const LIST_RANGE = { min: 1, max: 1000 }
const LIST_DEFAULT = 100
/** So much of texts in a list, and then it ends: the next one goes on from there. */
const LIST_BYTES_MAX = 1024 * 1024
/** A character that is not ASCII takes so many bytes in an answer. */
const ESCAPED_BYTES = 6
const PROBLEMS_MAX = 100
/** Anybody can write reasons into headers. */
const REASONS_MAX = 200
const OTHER_REASON = 'other'

/** LIST_DEAD_LETTERS: the topics that have some; of one topic, the letters too, or how many there are for which reason. */
export const listDeadLetters: Operation<'LIST_DEAD_LETTERS'> = async ({ broker: { redrives } }, fields) => {
  const name = fields.optionalText('topic')
  if (name === undefined) {
    const topics: LetterTopic[] = []
    for (const topic of redrives.list()) topics.push(toTopic(await redrives.overview(topic)))
    return { topics }
  }
  const topic = redrives.getTopic(name)
  const filter = readFilter(fields)
  const state = fields.optionalChoice('state', [...LETTER_STATES, 'all']) ?? 'open'
  const wanted = { ...filter, state: state === 'all' ? undefined : state }
  const from = readPlace(fields)
  const topics = [toTopic(await redrives.overview(topic))]
  if (fields.optionalBoolean('summary') === true) {
    const { reasons, next } = await summarise(redrives, topic, wanted, from)
    return { topics, reasons, ...(next && { next: letterId(next) }) }
  }
  const max = fields.optionalInteger('limit', LIST_RANGE) ?? LIST_DEFAULT
  const letters: LetterOverview[] = []
  let bytesLeft = LIST_BYTES_MAX
  const next = await redrives.scan(topic, wanted, from, (letter) => {
    const shown = toOverview(letter)
    const { key, reason, message, pointer, origin, group } = shown
    bytesLeft -=
      [key, reason, message, pointer, origin, group].reduce((sum, text) => sum + (text?.length ?? 0), 0) * ESCAPED_BYTES
    if (letters.length === max || (bytesLeft < 0 && letters.length > 0)) return false
    letters.push(shown)
    return true
  })
  return { topics, letters, ...(next && { next: letterId(next) }) }
}

/** GET_DEAD_LETTER: one dead letter, whole. */
export const getDeadLetter: Operation<'GET_DEAD_LETTER'> = async ({ broker: { redrives } }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  return toDetails(await redrives.get(topic, partition, fields.integer('offset', OFFSET_RANGE)))
}

/** CHECK_DEAD_LETTERS: what a REDRIVE would do, without sending anything. */
export const checkDeadLetters: Operation<'CHECK_DEAD_LETTERS'> = async ({ broker: { redrives, topics } }, fields) => {
  const topic = redrives.getTopic(fields.text('topic'))
  const order = readOrder(fields)
  if (order.to !== undefined) topics.getExisting(order.to)
  const counts = { sendable: 0, rejected: 0, refused: 0, failed: 0 }
  const problems: LetterProblem[] = []
  const next = await redrives.scan(topic, { ...readFilter(fields), state: 'open' }, readPlace(fields), (letter) => {
    const plan = redrives.plan(letter, order)
    if (plan.kind === 'send') {
      counts.sendable++
    } else {
      counts[plan.kind]++
      const { reason, pointer, message } = plan
      if (problems.length < PROBLEMS_MAX) problems.push({ id: letterId(letter), reason, pointer, message })
    }
    return true
  })
  return { ...counts, problems, ...(next && { next: letterId(next) }) }
}

async function summarise(redrives: Redrives, topic: Topic, filter: Parameters<Redrives['scan']>[1], from: LetterPlace) {
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

/** Where an earlier answer ended. */
function readPlace(fields: Fields): LetterPlace {
  const text = fields.optionalText('after')
  if (text === undefined) return { partition: 0, offset: 0 }
  const [, partition, offset] = /^(\d{1,10})@(\d{1,16})$/.exec(text) ?? []
  if (offset === undefined) throw fields.wrong('after', 'what an earlier answer had as "next" is needed')
  return { partition: Number(partition), offset: Number(offset) }
}

function toTopic({ topic, partitions, open, redriven, discarded, oldestMs }: TopicOverview): LetterTopic {
  return { topic, partitions, open, redriven, discarded, oldest: oldestMs ?? null }
}

function toOverview(letter: DeadLetter): LetterOverview {
  const { partition, offset, state, timestamp, key, value } = letter
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
    key: key?.toString('base64') ?? null,
    valueBytes: value?.length ?? -1,
  }
}

function toDetails(letter: DeadLetter): LetterDetails {
  const { value, headers, timestamp, job } = letter
  return {
    ...toOverview(letter),
    value: value?.toString('base64') ?? null,
    ts: headerNumber(letter, DEAD_LETTER_HEADERS.time) ?? timestamp,
    headers: headers.map((header) => ({ key: header.key, value: header.value?.toString('base64') ?? null })),
    redrive: job === 0 ? null : job,
  }
}
