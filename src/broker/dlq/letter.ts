import type { RecordHeader } from '../../record/record-batch.ts'
import { DEAD_LETTER_HEADERS, REDRIVE_COUNT_HEADER } from '../dead-letter-headers.ts'
import type { LetterState } from './letter-rows.ts'

/** A dead letter, as it lies in its topic, and what its headers say. What they do not say is undefined. */
export interface DeadLetter {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** When it became one, Unix milliseconds. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
  readonly state: LetterState
  /** The number of the redrive or discard that gave it its state, 0 when it is open. */
  readonly job: number
}

/** Where a record was sent to that became a dead letter. */
export interface LetterOrigin {
  readonly topic: string
  readonly partition: number
  readonly offset: number | undefined
}

const ORIGIN = /^([\w.-]{1,249})\/(\d{1,10})(?:@(\d{1,16}))?$/
const NUMBER = /^\d{1,16}$/

/** How a dead letter is named within its topic: `partition@offset`. */
export function letterId({ partition, offset }: Pick<DeadLetter, 'partition' | 'offset'>): string {
  return `${partition}@${offset}`
}

/** The text of a header, the last one of that name. */
export function headerText({ headers }: Pick<DeadLetter, 'headers'>, name: string): string | undefined {
  return headers.findLast(({ key }) => key === name)?.value?.toString()
}

/** The number that is in a header. */
export function headerNumber(letter: Pick<DeadLetter, 'headers'>, name: string): number | undefined {
  const text = headerText(letter, name)
  return text !== undefined && NUMBER.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}

/** Where the record was sent to. */
export function originOf(letter: Pick<DeadLetter, 'headers'>): LetterOrigin | undefined {
  const [, topic, partition, offset] = ORIGIN.exec(headerText(letter, DEAD_LETTER_HEADERS.origin) ?? '') ?? []
  if (topic === undefined) return undefined
  return { topic, partition: Number(partition), offset: offset === undefined ? undefined : Number(offset) }
}

/** How often the record was redriven before it became this dead letter. */
export function redriveCountOf(letter: Pick<DeadLetter, 'headers'>): number {
  return headerNumber(letter, REDRIVE_COUNT_HEADER) ?? 0
}

/** Which dead letters are meant: all that is given must fit. */
export interface LetterFilter {
  readonly state?: LetterState | undefined
  readonly reasons?: readonly string[] | undefined
  /** Where in the value the fault was, as a JSON Pointer. */
  readonly pointer?: string | undefined
  /** The topic that the record was sent to. */
  readonly origin?: string | undefined
  readonly group?: string | undefined
  /** Became a dead letter then or later, Unix milliseconds. */
  readonly fromMs?: number | undefined
  /** Became a dead letter before then. */
  readonly toMs?: number | undefined
  /** These only, by `letterId`. */
  readonly ids?: readonly string[] | undefined
}

/** Whether a dead letter fits, but for its state and id. */
export function matches(letter: Pick<DeadLetter, 'headers' | 'timestamp'>, filter: LetterFilter): boolean {
  const { reasons, pointer, origin, group, fromMs, toMs } = filter
  if (fromMs !== undefined && letter.timestamp < fromMs) return false
  if (toMs !== undefined && letter.timestamp >= toMs) return false
  if (reasons !== undefined && !reasons.includes(headerText(letter, DEAD_LETTER_HEADERS.reason) ?? '')) return false
  if (pointer !== undefined && headerText(letter, DEAD_LETTER_HEADERS.pointer) !== pointer) return false
  if (group !== undefined && headerText(letter, DEAD_LETTER_HEADERS.group) !== group) return false
  return origin === undefined || originOf(letter)?.topic === origin
}
