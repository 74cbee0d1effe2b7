import type { LetterFilter } from '../../../broker/dlq/letter.ts'
import type { RedriveOrder } from '../../../broker/dlq/plan-redrive.ts'
import type { JsonEdit } from '../../../schema/json-edit.ts'
import { parsePointer } from '../../../schema/json-edit.ts'
import type { Fields } from '../fields.ts'

const TIME_RANGE = { min: 0, max: Number.MAX_SAFE_INTEGER }
const IDS_MAX = 1_000
const REPAIRS_MAX = 100
/** Of one text here: they are stored with the redrive. */
const TEXT_CHARACTERS_MAX = 1_000
const JSON_CHARACTERS_MAX = 64 * 1024
const ID = /^\d{1,10}@\d{1,16}$/

/**
 * Which dead letters a request means.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function readFilter(fields: Fields): LetterFilter {
  const ids = fields.optionalTextList('ids')
  if (ids !== undefined && (ids.length > IDS_MAX || !ids.every((id) => ID.test(id)))) {
    throw fields.wrong('ids', `up to ${IDS_MAX} texts like "2@1841" are needed: partition and offset`)
  }
  const reasons = fields.optionalTextList('reasons')
  if (reasons !== undefined && reasons.join('').length > TEXT_CHARACTERS_MAX) {
    throw fields.wrong('reasons', `at most ${TEXT_CHARACTERS_MAX} characters are needed`)
  }
  return {
    reasons,
    pointer: readPointer(fields, 'pointer'),
    origin: fields.optionalText('origin') === undefined ? undefined : fields.topicName('origin'),
    group: shortText(fields, 'group'),
    fromMs: fields.optionalInteger('fromTime', TIME_RANGE),
    toMs: fields.optionalInteger('toTime', TIME_RANGE),
    ids,
  }
}

/**
 * How a request wants dead letters to be sent.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function readOrder(fields: Fields): RedriveOrder {
  const hasRepair = (fields.optionalList('repair') ?? []).length > 0
  const repair = hasRepair ? fields.objects('repair', 'changes', REPAIRS_MAX).map(readEdit) : []
  return {
    to: fields.optionalText('to') === undefined ? undefined : fields.topicName('to'),
    repair,
    isForced: fields.optionalBoolean('force') ?? false,
  }
}

/** Text for people that is kept, if it is given. */
export function shortText(fields: Fields, name: string): string | undefined {
  const text = fields.optionalText(name)
  if (text === undefined || text.length <= TEXT_CHARACTERS_MAX) return text
  throw fields.wrong(name, `at most ${TEXT_CHARACTERS_MAX} characters are needed`)
}

function readEdit(fields: Fields): JsonEdit {
  switch (fields.optionalChoice('op', ['set', 'rename', 'remove'])) {
    case 'set':
      return { op: 'set', path: pointer(fields, 'path'), json: readJson(fields) }
    case 'rename':
      return { op: 'rename', from: pointer(fields, 'from'), to: pointer(fields, 'to') }
    case 'remove':
      return { op: 'remove', path: pointer(fields, 'path') }
    case undefined:
      throw fields.wrong('op', 'one of these is needed: set, rename, remove')
  }
}

function readJson(fields: Fields): string {
  const value = fields.json('value')
  // What JSON.parse has rounded would be written into a message.
  if (holdsUnsafe(value)) throw fields.wrong('value', 'whole numbers up to 2^53 - 1 are needed, larger ones as text')
  const text = JSON.stringify(value)
  if (text.length <= JSON_CHARACTERS_MAX) return text
  throw fields.wrong('value', `at most ${JSON_CHARACTERS_MAX} characters of JSON are needed`)
}

function holdsUnsafe(value: unknown): boolean {
  if (typeof value === 'number')
    return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsUnsafe)
}

function pointer(fields: Fields, name: string): string {
  return readPointer(fields, name) ?? fields.text(name)
}

function readPointer(fields: Fields, name: string): string | undefined {
  const text = shortText(fields, name)
  if (text === undefined || parsePointer(text) !== undefined) return text
  throw fields.wrong(name, 'a JSON Pointer is needed, like "/items/0/price"')
}
