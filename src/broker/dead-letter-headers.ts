import type { RecordHeader } from '../record/record-batch.ts'

/** The headers of a dead letter. Their values are text; numbers are decimal. docs/dead-letters.md explains them. */
export const DEAD_LETTER_HEADERS = {
  /** A short word: a keyword of JSON Schema, or `parse`, `too_large`, `too_deep`, `too_costly`, `handler-failed`. */
  reason: 'cafelog-dlq-reason',
  /** A sentence for people, which holds nothing of the record but names of members. */
  message: 'cafelog-dlq-message',
  /** Where in the value, as a JSON Pointer. */
  pointer: 'cafelog-dlq-pointer',
  /** Where the record was sent to: `topic/partition@offset`, without `@offset` when it never had one. */
  origin: 'cafelog-dlq-origin',
  /** The record's own timestamp, Unix milliseconds. */
  time: 'cafelog-dlq-time',
  schemaVersion: 'cafelog-dlq-schema-version',
  /** How often it has failed by now. */
  attempts: 'cafelog-dlq-attempts',
  firstFailure: 'cafelog-dlq-first-failure',
  lastFailure: 'cafelog-dlq-last-failure',
  /** The consumer group that could not deal with it. */
  group: 'cafelog-dlq-group',
} as const

/** How often a record was sent again from a dead letter topic. */
export const REDRIVE_COUNT_HEADER = 'cafelog-redrive-count'
/** Which dead letter it was the last time: `topic/partition@offset`. */
export const REDRIVE_OF_HEADER = 'cafelog-redrive-of'

const DEAD_LETTER_PREFIX = 'cafelog-dlq-'
const MESSAGE_CHARACTERS_MAX = 1_000

/** Why a record has become a dead letter. */
export interface DeadLetterCause {
  readonly reason: string
  readonly message: string
  readonly pointer: string
  readonly origin: string
  /** The record's own timestamp. */
  readonly timestamp: number
  readonly schemaVersion: number | undefined
  readonly failedAtMs: number
}

/** The headers of a record when it becomes a dead letter: its own, and behind them why. */
export function toDeadLetterHeaders(headers: readonly RecordHeader[], cause: DeadLetterCause): RecordHeader[] {
  const attempts = Number(findHeader(headers, DEAD_LETTER_HEADERS.attempts) ?? 0)
  const firstFailure = findHeader(headers, DEAD_LETTER_HEADERS.firstFailure)
  const { message, pointer, schemaVersion, failedAtMs } = cause
  const added: (readonly [string, string | undefined])[] = [
    [DEAD_LETTER_HEADERS.reason, cause.reason],
    [DEAD_LETTER_HEADERS.message, message.slice(0, MESSAGE_CHARACTERS_MAX)],
    [DEAD_LETTER_HEADERS.pointer, pointer],
    [DEAD_LETTER_HEADERS.origin, cause.origin],
    [DEAD_LETTER_HEADERS.time, String(cause.timestamp)],
    [DEAD_LETTER_HEADERS.schemaVersion, schemaVersion === undefined ? undefined : String(schemaVersion)],
    [DEAD_LETTER_HEADERS.attempts, String((Number.isSafeInteger(attempts) && attempts > 0 ? attempts : 0) + 1)],
    [DEAD_LETTER_HEADERS.firstFailure, firstFailure ?? String(failedAtMs)],
    [DEAD_LETTER_HEADERS.lastFailure, String(failedAtMs)],
  ]
  return [...withoutDeadLetterHeaders(headers), ...toHeaders(added)]
}

/**
 * The headers of a dead letter that is sent again: its own, without those that said why it was one, but for how often it has
 * failed and when first, so that this goes on if it fails again; behind them `added`.
 */
export function toRedrivenHeaders(
  headers: readonly RecordHeader[],
  without: readonly string[],
  added: Readonly<Record<string, string>>,
): RecordHeader[] {
  const { attempts, firstFailure } = DEAD_LETTER_HEADERS
  const kept = headers.filter(({ key }) => {
    if (key === attempts || key === firstFailure) return true
    return !key.startsWith(DEAD_LETTER_PREFIX) && !without.includes(key) && !Object.hasOwn(added, key)
  })
  return [...kept, ...toHeaders(Object.entries(added))]
}

/** The text of a header, the last one of that name. */
function findHeader(headers: readonly RecordHeader[], key: string): string | undefined {
  return headers.findLast((header) => header.key === key)?.value?.toString()
}

function withoutDeadLetterHeaders(headers: readonly RecordHeader[]): RecordHeader[] {
  return headers.filter(({ key }) => !key.startsWith(DEAD_LETTER_PREFIX))
}

function toHeaders(entries: readonly (readonly [key: string, text: string | undefined])[]): RecordHeader[] {
  return entries.flatMap(([key, text]) => (text === undefined ? [] : [{ key, value: Buffer.from(text) }]))
}
