import { checkLetters, describeLetter, describeTopic, summarise, timestampOf } from '../../../broker/dlq/describe.ts'
import type { DeadLetter } from '../../../broker/dlq/letter.ts'
import { letterId } from '../../../broker/dlq/letter.ts'
import { LETTER_STATES } from '../../../broker/dlq/letter-rows.ts'
import { readLetterPlace, readRedriveOrder } from '../../../broker/dlq/read-wish.ts'
import type { Operation } from '../context.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'
import type { LetterOverview } from '../wire.ts'
import { readFilter } from './redrives.ts'

const LIST_RANGE = { min: 1, max: 1000 }
const LIST_DEFAULT = 100
/** So much of texts in a list, and then it ends: the next one goes on from there. */
const LIST_BYTES_MAX = 1024 * 1024
/** A character that is not ASCII takes so many bytes in an answer. */
const ESCAPED_BYTES = 6

/** LIST_DEAD_LETTERS: the topics that have some; of one topic, the letters too, or how many there are for which reason. */
export const listDeadLetters: Operation<'LIST_DEAD_LETTERS'> = async ({ broker: { redrives } }, fields) => {
  const name = fields.optionalText('topic')
  if (name === undefined) {
    const topics: ReturnType<typeof describeTopic>[] = []
    for (const topic of redrives.list()) topics.push(describeTopic(await redrives.overview(topic)))
    return { topics }
  }
  const topic = redrives.getTopic(name)
  const state = fields.optionalChoice('state', [...LETTER_STATES, 'all']) ?? 'open'
  const filter = { ...readFilter(fields), state: state === 'all' ? undefined : state }
  const from = readLetterPlace(fields, 'after')
  const isSummary = fields.optionalBoolean('summary') === true
  const max = fields.optionalInteger('limit', LIST_RANGE) ?? LIST_DEFAULT
  const topics = [describeTopic(await redrives.overview(topic))]
  if (isSummary) {
    const { reasons, next } = await summarise(redrives, topic, filter, from)
    return { topics, reasons, ...(next && { next: letterId(next) }) }
  }
  const letters: LetterOverview[] = []
  let bytesLeft = LIST_BYTES_MAX
  const next = await redrives.scan(topic, filter, from, (letter) => {
    const shown = toOverview(letter)
    const { key, reason, message, pointer, origin, group } = shown
    for (const text of [key, reason, message, pointer, origin, group]) bytesLeft -= (text?.length ?? 0) * ESCAPED_BYTES
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
  const letter = await redrives.get(topic, partition, fields.integer('offset', OFFSET_RANGE))
  const { value, headers, job } = letter
  return {
    ...toOverview(letter),
    value: value?.toString('base64') ?? null,
    ts: timestampOf(letter),
    headers: headers.map((header) => ({ key: header.key, value: header.value?.toString('base64') ?? null })),
    redrive: job === 0 ? null : job,
  }
}

/** CHECK_DEAD_LETTERS: what a REDRIVE would do, without sending anything. */
export const checkDeadLetters: Operation<'CHECK_DEAD_LETTERS'> = async ({ broker: { redrives } }, fields) => {
  const topic = redrives.getTopic(fields.text('topic'))
  const from = readLetterPlace(fields, 'after')
  const { next, ...found } = await checkLetters(redrives, topic, readFilter(fields), readRedriveOrder(fields), from)
  return { ...found, ...(next && { next: letterId(next) }) }
}

function toOverview(letter: DeadLetter): LetterOverview {
  const { key, value } = letter
  return { ...describeLetter(letter), key: key?.toString('base64') ?? null, valueBytes: value?.length ?? -1 }
}
