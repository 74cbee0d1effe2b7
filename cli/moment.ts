import { parseDuration as parseUnits } from '../src/base/units.ts'
import { usageFailure } from './failure.ts'

/**
 * `500ms`, `10s`, `1h30m`, `7d` → milliseconds. A number alone is refused: one person means seconds by it, another
 * milliseconds.
 *
 * @throws CliFailure
 */
export function parseDuration(text: string): number {
  const durationMs = readDuration(text)
  if (durationMs === undefined) {
    throw usageFailure(
      `Cannot use ${JSON.stringify(text)} as a duration: a number and a unit, as in 500ms, 10s, 5m, 1h30m or 7d`,
    )
  }
  return durationMs
}

function readDuration(text: string): number | undefined {
  if (/^\d*$/.test(text)) return undefined
  try {
    return parseUnits(text)
  } catch {
    return undefined
  }
}

/**
 * A moment as people write it → Unix milliseconds, or undefined when it is none: `now`, `-90s` (ago), seconds or
 * milliseconds since 1970, `2026-11-24`, `2026-11-24T10:30` (with `Z` or `+01:00`, else local time), `10:30` (the most
 * recent one).
 */
export function readMoment(text: string, now: number): number | undefined {
  if (text === 'now') return now
  if (text.startsWith('-')) {
    const ago = readDuration(text.slice(1))
    return ago === undefined ? undefined : now - ago
  }
  if (/^\d{9,10}$/.test(text)) return Number(text) * 1_000
  if (/^\d{12,14}$/.test(text)) return Number(text)
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text)
  if (clock) {
    const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)]
    if (hours > 23 || minutes > 59 || seconds > 59) return undefined
    const date = new Date(now)
    date.setHours(hours, minutes, seconds, 0)
    if (date.getTime() > now) date.setDate(date.getDate() - 1)
    return date.getTime()
  }
  const date = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text)
  if (!date) return undefined
  // A date alone would be read as UTC; with a time and no zone it is local, which is what a person means in both cases.
  const moment = Date.parse(`${date[1]}T${date[2] ?? '00:00'}${date[3]?.toUpperCase() ?? ''}`)
  return Number.isNaN(moment) ? undefined : moment
}

/** A moment as `readMoment` reads it, but that `10:30` is the next one. */
export function readComingMoment(text: string, now: number): number | undefined {
  const moment = readMoment(text, now)
  if (moment === undefined || moment >= now || !/^\d{1,2}:/.test(text)) return moment
  const date = new Date(moment)
  date.setDate(date.getDate() + 1)
  return date.getTime()
}

/** The latest moment that a date can be; a timestamp may be any integer. */
const DATE_MAX = 8_640_000_000_000_000

/** `2026-01-31T10:30:00.123Z`; the number itself when no date is that late; null for "no time" (-1). */
export function isoTime(timestamp: number): string | null {
  if (timestamp < 0) return null
  return timestamp > DATE_MAX ? String(timestamp) : new Date(timestamp).toISOString()
}

/** `2026-01-31 10:30:00.123` in the time zone of this machine. */
export function localTime(timestamp: number): string {
  if (timestamp < 0 || timestamp > DATE_MAX) return String(timestamp)
  const date = new Date(timestamp)
  const two = (value: number) => String(value).padStart(2, '0')
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
  )
}
