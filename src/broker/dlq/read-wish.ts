import { isTopicName, TOPIC_NAME_RULE } from '../../base/topic-name.ts'
import type { JsonEdit } from '../../schema/json-edit.ts'
import { parsePointer } from '../../schema/json-edit.ts'
import type { LetterFilter } from './letter.ts'
import type { RedriveOrder } from './plan-redrive.ts'
import type { LetterPlace } from './redrives.ts'

/** The fields of a request, of whichever door. */
export interface WishFields {
  /** What is there, unread; undefined for null too. */
  get(name: string): unknown
  /** The refusal of the request because of a field. */
  wrong(name: string, right: string): Error
}

const IDS_MAX = 1_000
const REPAIRS_MAX = 100
/** Of one text here: they are stored with the redrive. */
const TEXT_CHARACTERS_MAX = 1_000
const JSON_CHARACTERS_MAX = 64 * 1024
const ID = /^\d{1,10}@\d{1,16}$/

/**
 * Which dead letters a request means, but for when they became some.
 *
 * @throws what `wrong` makes
 */
export function readLetterFilter(fields: WishFields): LetterFilter {
  const ids = readTexts(fields, 'ids')
  if (ids !== undefined && (ids.length > IDS_MAX || !ids.every((id) => ID.test(id)))) {
    throw fields.wrong('ids', `up to ${IDS_MAX} texts like "2@1841" are needed: partition and offset`)
  }
  const reasons = readTexts(fields, 'reasons')
  if (reasons !== undefined && reasons.join('').length > TEXT_CHARACTERS_MAX) {
    throw fields.wrong('reasons', `at most ${TEXT_CHARACTERS_MAX} characters are needed`)
  }
  const pointer = readText(fields, 'pointer')
  if (pointer !== undefined && parsePointer(pointer) === undefined) {
    throw fields.wrong('pointer', 'a JSON Pointer is needed, like "/items/0/price"')
  }
  return { ids, reasons, pointer, origin: readTopicName(fields, 'origin'), group: readText(fields, 'group') }
}

/**
 * How a request wants dead letters to be sent.
 *
 * @throws what `wrong` makes
 */
export function readRedriveOrder(fields: WishFields): RedriveOrder {
  const force = fields.get('force') ?? false
  if (typeof force !== 'boolean') throw fields.wrong('force', 'true or false is needed')
  const repair = fields.get('repair') ?? []
  if (!Array.isArray(repair) || repair.length > REPAIRS_MAX) {
    throw fields.wrong('repair', `an array of up to ${REPAIRS_MAX} changes is needed`)
  }
  const edits = repair.map((item: unknown, index) => {
    const edit = readEdit(item)
    if (typeof edit !== 'string') return edit
    throw fields.wrong('repair', `change ${index} needs ${edit}`)
  })
  return { to: readTopicName(fields, 'to'), repair: edits, isForced: force }
}

/**
 * Text that is kept, if it is given.
 *
 * @throws what `wrong` makes
 */
export function readText(fields: WishFields, name: string): string | undefined {
  const text = fields.get(name)
  if (text === undefined || (typeof text === 'string' && text.length <= TEXT_CHARACTERS_MAX)) return text
  throw fields.wrong(name, `text of at most ${TEXT_CHARACTERS_MAX} characters is needed`)
}

/**
 * Where an earlier answer ended, as its `next` said.
 *
 * @throws what `wrong` makes
 */
export function readLetterPlace(fields: WishFields, name: string): LetterPlace {
  const text = readText(fields, name)
  if (text === undefined) return { partition: 0, offset: 0 }
  const place = parseLetterId(text)
  if (place === undefined) throw fields.wrong(name, 'what an earlier answer had as "next" is needed')
  return place
}

/** `partition@offset` → both; undefined when it is none. */
export function parseLetterId(text: string): LetterPlace | undefined {
  if (!ID.test(text)) return undefined
  const [partition, offset] = text.split('@').map(Number)
  return Number.isSafeInteger(offset) ? { partition, offset } : undefined
}

function readTexts(fields: WishFields, name: string): readonly string[] | undefined {
  const list = fields.get(name)
  if (list === undefined) return undefined
  if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list
  throw fields.wrong(name, 'an array of texts is needed')
}

function readTopicName(fields: WishFields, name: string): string | undefined {
  const text = readText(fields, name)
  if (text === undefined || isTopicName(text)) return text
  throw fields.wrong(name, TOPIC_NAME_RULE)
}

/** Or what it needs. */
function readEdit(item: unknown): JsonEdit | string {
  if (typeof item !== 'object' || item === null) return 'to be an object with "op": set, rename or remove'
  const { op, path, value, from, to } = item as Record<string, unknown>
  switch (op) {
    case 'set': {
      if (!isPointer(path)) return 'a JSON Pointer as "path"'
      if (value === undefined) return 'a "value"'
      // What JSON.parse has rounded would be written into a message.
      if (holdsUnsafe(value)) return 'whole numbers up to 2^53 - 1 in "value", larger ones as text'
      const json = JSON.stringify(value)
      return json.length > JSON_CHARACTERS_MAX
        ? `a "value" of at most ${JSON_CHARACTERS_MAX} characters`
        : { op, path, json }
    }
    case 'rename':
      return isPointer(from) && isPointer(to) ? { op, from, to } : 'a JSON Pointer as "from", and as "to"'
    case 'remove':
      return isPointer(path) ? { op, path } : 'a JSON Pointer as "path"'
    default:
      return '"op" to be set, rename or remove'
  }
}

function isPointer(text: unknown): text is string {
  return typeof text === 'string' && text.length <= TEXT_CHARACTERS_MAX && parsePointer(text) !== undefined
}

function holdsUnsafe(value: unknown): boolean {
  if (typeof value === 'number') {
    return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))
  }
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsUnsafe)
}
