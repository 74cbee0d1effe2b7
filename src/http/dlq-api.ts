import type { DeadLetter, LetterFilter } from '../broker/dlq/letter.ts'
import {
  checkLetters,
  describeJob,
  describeLetter,
  describeTopic,
  summarise,
  timestampOf,
} from '../broker/dlq/describe.ts'
import { letterId } from '../broker/dlq/letter.ts'
import { LETTER_STATES } from '../broker/dlq/letter-rows.ts'
import {
  parseLetterId,
  readLetterFilter,
  readLetterPlace,
  readRedriveOrder,
  readText,
} from '../broker/dlq/read-wish.ts'
import { ApiRefusal } from './api-errors.ts'
import type { ApiFields } from './api-fields.ts'
import { SAFE_RANGE } from './api-fields.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from './api-route.ts'
import { readTime } from './due-time.ts'
import { VALUE_FORMATS, writeKey, writeRecord } from './record-json.ts'

const RATE_RANGE = { min: 1, max: 1_000_000 }
const COUNT_RANGE = { ...SAFE_RANGE, min: 1 }
const LIMIT_RANGE = { min: 1, max: 1_000 }
const LIST_DEFAULT = 100
const JOBS_DEFAULT = 20
/** So much of a list, and then it ends: the next one goes on from there. */
const LIST_CHARACTERS_MAX = 1024 * 1024
const ACCEPTED_STATUS = 202

const FILTER_FIELDS = ['reasons', 'pointer', 'origin', 'group', 'from', 'to', 'ids']
/** `to` is where dead letters are sent there, so that times have other names. */
const WISH_FIELDS = ['reasons', 'pointer', 'origin', 'group', 'fromTime', 'toTime', 'ids']
const ORDER_FIELDS = ['to', 'repair', 'force']

/** Dead letters: which there are and why, what a redrive would do, redrives and discards. */
export const DLQ_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/dlq',
    action: 'list dead letter topics',
    operation: 'list_dead_letters',
    endpoint: 'admin',
    async handle({ broker: { redrives } }) {
      const topics: object[] = []
      for (const topic of redrives.list()) topics.push(describeTopic(await redrives.overview(topic)))
      return { body: { topics } }
    },
  },
  {
    method: 'GET',
    path: '/dlq/:topic',
    action: 'count dead letters',
    operation: 'list_dead_letters',
    endpoint: 'admin',
    handle: countLetters,
  },
  {
    method: 'GET',
    path: '/dlq/:topic/letters',
    action: 'list dead letters',
    operation: 'list_dead_letters',
    endpoint: 'admin',
    handle: listLetters,
  },
  {
    method: 'GET',
    path: '/dlq/:topic/letters/:id',
    action: 'show a dead letter',
    operation: 'get_dead_letter',
    endpoint: 'admin',
    handle: getLetter,
  },
  {
    method: 'POST',
    path: '/dlq/:topic/check',
    action: 'check dead letters',
    operation: 'check_dead_letters',
    endpoint: 'admin',
    async handle({ broker: { redrives }, params, body }) {
      const fields = body([...WISH_FIELDS, ...ORDER_FIELDS, 'cursor'])
      const from = readLetterPlace(fields, 'cursor')
      const topic = redrives.getTopic(params.topic)
      const order = readRedriveOrder(fields)
      const { next, ...found } = await checkLetters(redrives, topic, readWishFilter(fields), order, from)
      return { body: { ...found, next: next === undefined ? null : letterId(next) } }
    },
  },
  {
    method: 'POST',
    path: '/dlq/:topic/redrive',
    action: 'redrive dead letters',
    operation: 'redrive',
    endpoint: 'admin',
    async handle({ broker: { redrives }, params, body }) {
      const fields = body([...WISH_FIELDS, ...ORDER_FIELDS, 'rate', 'limit', 'by', 'note'])
      const rate = fields.optionalInteger('rate', RATE_RANGE)
      const job = await redrives.redrive({ ...readWish(params.topic, fields), order: readRedriveOrder(fields), rate })
      return { status: ACCEPTED_STATUS, body: describeJob(redrives, job) }
    },
  },
  {
    method: 'POST',
    path: '/dlq/:topic/discard',
    action: 'discard dead letters',
    operation: 'discard_dead_letters',
    endpoint: 'admin',
    async handle({ broker: { redrives }, params, body }) {
      const job = await redrives.discard(readWish(params.topic, body([...WISH_FIELDS, 'limit', 'by', 'note'])))
      return { status: ACCEPTED_STATUS, body: describeJob(redrives, job) }
    },
  },
  {
    method: 'GET',
    path: '/redrives',
    action: 'list redrives',
    operation: 'list_redrives',
    endpoint: 'admin',
    handle({ broker: { redrives }, query }) {
      const fields = query(['topic', 'limit'])
      const name = fields.optionalText('topic')
      const topic = name === undefined ? undefined : redrives.getTopic(name).name
      const jobs = redrives.jobs(topic, fields.optionalInteger('limit', LIMIT_RANGE) ?? JOBS_DEFAULT)
      return { body: { redrives: jobs.map((job) => describeJob(redrives, job)) } }
    },
  },
  {
    method: 'GET',
    path: '/redrives/:id',
    action: 'show a redrive',
    operation: 'list_redrives',
    endpoint: 'admin',
    handle: ({ broker: { redrives }, params }) => ({
      body: describeJob(redrives, redrives.getJob(readNumber(params.id))),
    }),
  },
  {
    method: 'POST',
    path: '/redrives/:id/cancel',
    action: 'cancel a redrive',
    operation: 'cancel_redrive',
    endpoint: 'admin',
    async handle({ broker: { redrives }, params, body }) {
      body([])
      return { body: describeJob(redrives, await redrives.cancel(readNumber(params.id))) }
    },
  },
]

async function countLetters({ broker: { redrives }, params, query }: ApiCall): Promise<ApiAnswer> {
  const fields = query([...FILTER_FIELDS, 'state', 'cursor'])
  const filter = readQueryFilter(fields)
  const from = readLetterPlace(fields, 'cursor')
  const topic = redrives.getTopic(params.topic)
  const overview = describeTopic(await redrives.overview(topic))
  const { reasons, next } = await summarise(redrives, topic, filter, from)
  return { body: { ...overview, reasons, next: next === undefined ? null : letterId(next) } }
}

async function listLetters({ broker: { redrives }, params, query }: ApiCall): Promise<ApiAnswer> {
  const fields = query([...FILTER_FIELDS, 'state', 'cursor', 'limit'])
  const filter = readQueryFilter(fields)
  const from = readLetterPlace(fields, 'cursor')
  const max = fields.optionalInteger('limit', LIMIT_RANGE) ?? LIST_DEFAULT
  const shown: string[] = []
  let charactersLeft = LIST_CHARACTERS_MAX
  const next = await redrives.scan(redrives.getTopic(params.topic), filter, from, (letter) => {
    const text = writeOverview(letter)
    charactersLeft -= text.length
    if (shown.length === max || (charactersLeft < 0 && shown.length > 0)) return false
    shown.push(`{${text}}`)
    return true
  })
  return { body: `{"letters":[${shown.join()}],"next":${next === undefined ? 'null' : `"${letterId(next)}"`}}` }
}

async function getLetter({ broker: { redrives }, params, query }: ApiCall): Promise<ApiAnswer> {
  const format = query(['format']).optionalChoice('format', VALUE_FORMATS) ?? 'auto'
  const place = parseLetterId(params.id)
  if (place === undefined) {
    throw new ApiRefusal(
      404,
      'NOT_FOUND',
      `There is no dead letter ${JSON.stringify(params.id.slice(0, 40))}: ids are like 0@17`,
    )
  }
  const letter = await redrives.get(params.topic, place.partition, place.offset)
  const { key, value, headers, job } = letter
  const record = writeRecord({ timestamp: timestampOf(letter), key, value, headers }, format)
  return { body: `{${inner(describeLetter(letter))},"redrive":${job === 0 ? 'null' : job},${record}}` }
}

function writeOverview(letter: DeadLetter): string {
  const { key, value } = letter
  return `${inner(describeLetter(letter))},${writeKey(key, 'auto')},"valueBytes":${value?.length ?? 'null'}`
}

/** The members of an object, without its braces. */
function inner(object: object): string {
  return JSON.stringify(object).slice(1, -1)
}

function readWish(topic: string, fields: ApiFields) {
  return {
    topic,
    by: readText(fields, 'by') ?? 'HTTP',
    note: readText(fields, 'note'),
    filter: readWishFilter(fields),
    limit: fields.optionalInteger('limit', COUNT_RANGE),
  }
}

function readWishFilter(fields: ApiFields): LetterFilter {
  return { ...readLetterFilter(fields), fromMs: readTime(fields, 'fromTime'), toMs: readTime(fields, 'toTime') }
}

/** In a query, lists are separated by commas. */
function readQueryFilter(fields: ApiFields): LetterFilter {
  const lists = ['reasons', 'ids']
  const split = {
    get: (name: string) => (lists.includes(name) ? fields.optionalText(name)?.split(',') : fields.get(name)),
    wrong: (name: string, right: string) => fields.wrong(name, right),
  }
  const state = fields.optionalChoice('state', [...LETTER_STATES, 'all']) ?? 'open'
  return {
    ...readLetterFilter(split),
    fromMs: readTime(fields, 'from'),
    toMs: readTime(fields, 'to'),
    state: state === 'all' ? undefined : state,
  }
}

function readNumber(text: string): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0
  if (number > 0) return number
  throw new ApiRefusal(404, 'NOT_FOUND', `There is no redrive ${JSON.stringify(text.slice(0, 40))}: ids are numbers`)
}
