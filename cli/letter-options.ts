import { userInfo } from 'node:os'
import { systemClock } from '../src/base/clock.ts'
import type { LetterOrder, LetterRepair, LetterSelection } from '../src/protocols/json/wire.ts'
import { wholeNumber, type CommandArgument, type CommandOption } from './command.ts'
import { usageFailure } from './failure.ts'
import { readMoment } from './moment.ts'

/** The topic and the ids that the commands about dead letters take. */
export const LETTER_ARGUMENTS: readonly CommandArgument[] = [
  { name: 'TOPIC', description: 'the dead letter topic, or the topic that it belongs to', completes: 'topic' },
  { name: 'ID', description: 'only these, as dlq show lists them (all open ones)', isOptional: true, isVariadic: true },
]

/** The options that choose dead letters. */
export const SELECTION_OPTIONS: readonly CommandOption[] = [
  {
    flags: '--where <KEY=VALUE>',
    description: 'reason=required (repeated: any of them), pointer=/amount, origin=TOPIC, group=GROUP',
    isRepeatable: true,
    parse: parseWhere,
  },
  { flags: '--since <TIME>', description: 'became dead letters then or later: -1h, 10:30, 2026-11-24', parse: moment },
  { flags: '--until <TIME>', description: 'became dead letters before then', parse: moment },
]

/** The options that say how dead letters are sent. */
export const ORDER_OPTIONS: readonly CommandOption[] = [
  { flags: '--to <TOPIC>', description: 'another topic than each came from', completes: 'topic' },
  {
    flags: '--rename </FROM=/TO>',
    description: 'move a member of the JSON value; may be repeated, before --set and --remove',
    isRepeatable: true,
    parse: parseRename,
  },
  {
    flags: '--set </PATH=VALUE>',
    description: 'give a member a value, JSON or else text; may be repeated',
    isRepeatable: true,
    parse: parseSet,
  },
  {
    flags: '--remove </PATH>',
    description: 'take a member away; may be repeated',
    isRepeatable: true,
    parse: parseRemove,
  },
  { flags: '--force', description: 'also those that were redriven three times already' },
]

/** The options of commands that change something. */
export const CHANGE_OPTIONS: readonly CommandOption[] = [
  {
    flags: '-n, --limit <N>',
    description: 'so many at most',
    parse: wholeNumber('a number of dead letters', 1, usageFailure),
  },
  { flags: '--note <TEXT>', description: 'why, for those who look later' },
  { flags: '--execute', description: 'do it' },
]

type WhereKey = 'reason' | 'pointer' | 'origin' | 'group'
const WHERE_KEYS: readonly WhereKey[] = ['reason', 'pointer', 'origin', 'group']

/** The values of SELECTION_OPTIONS. */
export interface SelectionOptions {
  readonly where?: readonly { readonly key: WhereKey; readonly value: string }[]
  readonly since?: number
  readonly until?: number
}

/** The values of ORDER_OPTIONS. */
export interface OrderOptions {
  readonly to?: string
  readonly rename?: readonly LetterRepair[]
  readonly set?: readonly LetterRepair[]
  readonly remove?: readonly LetterRepair[]
  readonly force?: boolean
}

/** The values of CHANGE_OPTIONS. */
export interface ChangeOptions {
  readonly limit?: number
  readonly note?: string
  readonly execute?: boolean
}

/**
 * Which dead letters are meant.
 *
 * @throws CliFailure when something is said twice
 */
export function selectionOf(ids: readonly string[], { where = [], since, until }: SelectionOptions): LetterSelection {
  const reasons = where.filter(({ key }) => key === 'reason').map(({ value }) => value)
  const others: Partial<Record<WhereKey, string>> = {}
  for (const { key, value } of where) {
    if (key === 'reason') continue
    if (others[key] !== undefined) throw usageFailure(`--where ${key}= can be given once; only reason can be repeated`)
    others[key] = value
  }
  return {
    ...(reasons.length > 0 && { reasons }),
    ...others,
    ...(since !== undefined && { fromTime: since }),
    ...(until !== undefined && { toTime: until }),
    ...(ids.length > 0 && { ids }),
  }
}

/** How they are to be sent. */
export function orderOf({ to, rename = [], set = [], remove = [], force }: OrderOptions): LetterOrder {
  const repair = [...rename, ...set, ...remove]
  return { ...(to !== undefined && { to }), ...(repair.length > 0 && { repair }), ...(force === true && { force }) }
}

/** Who asks. */
export function whoAsks(): string {
  try {
    return `${userInfo().username}, brokerctl`
  } catch {
    // A container may know no name for its user.
    return 'brokerctl'
  }
}

/** `100/s` or `100` → 100 */
export function parseRate(text: string): number {
  const [, digits] = /^(\d{1,7})(?:\/s)?$/.exec(text) ?? []
  if (digits !== undefined && Number(digits) > 0) return Number(digits)
  throw usageFailure(`Cannot use ${JSON.stringify(text)} as a rate: records a second, as in 100/s`)
}

function parseWhere(text: string): { key: WhereKey; value: string } {
  const at = text.indexOf('=')
  const key = WHERE_KEYS.find((known) => known === text.slice(0, Math.max(0, at)))
  if (key !== undefined) return { key, value: text.slice(at + 1) }
  const forms = WHERE_KEYS.map((known) => `${known}=`).join(', ')
  throw usageFailure(`Cannot use ${JSON.stringify(text)} to choose dead letters: it begins with one of ${forms}`)
}

function parseSet(text: string): LetterRepair {
  const at = text.indexOf('=')
  if (!text.startsWith('/') || at < 0) throw wrongRepair(text, '/currency=EUR, /amount=12.5')
  const value = text.slice(at + 1)
  return { op: 'set', path: text.slice(0, at), value: readJson(value) }
}

function parseRename(text: string): LetterRepair {
  const at = text.indexOf('=/')
  if (!text.startsWith('/') || at < 0) throw wrongRepair(text, '/amt=/amount')
  return { op: 'rename', from: text.slice(0, at), to: text.slice(at + 1) }
}

function parseRemove(text: string): LetterRepair {
  if (!text.startsWith('/')) throw wrongRepair(text, '/debug')
  return { op: 'remove', path: text }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function wrongRepair(text: string, right: string): Error {
  return usageFailure(`Cannot use ${JSON.stringify(text)}: a JSON Pointer begins with /, as in ${right}`)
}

function moment(text: string): number {
  const found = readMoment(text.replace(/^@/, ''), systemClock.now())
  if (found !== undefined) return found
  throw usageFailure(`Cannot use ${JSON.stringify(text)} as a time: -1h, 10:30, 2026-11-24, or seconds since 1970`)
}
