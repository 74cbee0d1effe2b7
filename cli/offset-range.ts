import { usageFailure } from './failure.ts'
import { readMoment } from './moment.ts'

/** A place in a partition, before it is known what the partition holds. */
export type Place =
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }
  | { readonly kind: 'offset'; readonly offset: number }
  /** `count` records after the start (as where to stop: after where reading began). */
  | { readonly kind: 'after'; readonly count: number }
  | { readonly kind: 'beforeEnd'; readonly count: number }
  | { readonly kind: 'time'; readonly timestamp: number }

/** Where to begin and, perhaps, where to stop: `until` itself is not read. */
export interface OffsetRange {
  readonly from: Place
  readonly until: Place | undefined
}

const FORMS = 'start, end, N, +N, -N, :end, N:M, @TIME, @-1h, @-1h:end, @TIME:TIME'

/**
 * Reads the argument of `consume -o`.
 *
 * @throws CliFailure
 */
export function parseOffsetRange(text: string, now: number): OffsetRange {
  const range = text.startsWith('@') ? readTimeRange(text.slice(1), now) : readRange(text, now)
  if (range === undefined) throw usageFailure(`Cannot use ${JSON.stringify(text)} as an offset range: ${FORMS}`)
  return range
}

/**
 * Reads one place: `start` (or Kafka's `earliest`), `end` (`latest`), an offset, `+N`, `-N`, `@TIME`.
 *
 * @throws CliFailure
 */
export function parsePlace(text: string, now: number): Place {
  const place = readPlace(text, now)
  if (place === undefined) {
    throw usageFailure(
      `Cannot use ${JSON.stringify(text)} as an offset: start, end, N, +N, -N or @TIME (as in @-1h, @10:30, @2026-11-24)`,
    )
  }
  return place
}

function readRange(text: string, now: number): OffsetRange | undefined {
  const colon = text.indexOf(':')
  const from = colon === 0 ? ({ kind: 'start' } as const) : readPlace(colon < 0 ? text : text.slice(0, colon), now)
  if (from === undefined) return undefined
  const rest = colon < 0 ? '' : text.slice(colon + 1)
  if (rest === '') return colon === 0 ? undefined : { from, until: undefined }
  const until = readPlace(rest, now)
  return until && { from, until }
}

/** Times hold colons themselves, so the whole is tried as one time first, then every colon from the last one on. */
function readTimeRange(text: string, now: number): OffsetRange | undefined {
  const whole = readMoment(text, now)
  if (whole !== undefined) return { from: { kind: 'time', timestamp: whole }, until: undefined }
  for (let colon = text.lastIndexOf(':'); colon > 0; colon = text.lastIndexOf(':', colon - 1)) {
    const timestamp = readMoment(text.slice(0, colon), now)
    if (timestamp === undefined) continue
    const rest = text.slice(colon + 1)
    const endTime = readMoment(rest.replace(/^@/, ''), now)
    const until = endTime === undefined ? readPlace(rest, now) : ({ kind: 'time', timestamp: endTime } as const)
    if (until) return { from: { kind: 'time', timestamp }, until }
  }
  return undefined
}

function readPlace(text: string, now: number): Place | undefined {
  if (text === 'start' || text === 'earliest') return { kind: 'start' }
  if (text === 'end' || text === 'latest') return { kind: 'end' }
  if (text.startsWith('@')) {
    const timestamp = readMoment(text.slice(1), now)
    return timestamp === undefined ? undefined : { kind: 'time', timestamp }
  }
  const number = /^([+-]?)(\d{1,15})$/.exec(text)
  if (!number) return undefined
  const count = Number(number[2])
  if (number[1] === '+') return { kind: 'after', count }
  if (number[1] === '-') return { kind: 'beforeEnd', count }
  return { kind: 'offset', offset: count }
}

/** What is known of a partition when a place is looked up in it. */
export interface PartitionBounds {
  readonly logStartOffset: number
  readonly highWatermark: number
  /** The first offset at or after the time of the place, -1 when there is none; only asked for `time`. */
  readonly offsetAtTime?: number
}

/** The offset that a place means in a partition, not limited to what the partition holds. */
export function locate(place: Place, bounds: PartitionBounds, countFrom = bounds.logStartOffset): number {
  switch (place.kind) {
    case 'start':
      return bounds.logStartOffset
    case 'end':
      return bounds.highWatermark
    case 'offset':
      return place.offset
    case 'after':
      return countFrom + place.count
    case 'beforeEnd':
      return bounds.highWatermark - place.count
    case 'time':
      return bounds.offsetAtTime === undefined || bounds.offsetAtTime < 0 ? bounds.highWatermark : bounds.offsetAtTime
  }
}

/** The same, limited to what the partition holds. */
export function locateWithin(place: Place, bounds: PartitionBounds, countFrom?: number): number {
  return Math.min(Math.max(locate(place, bounds, countFrom), bounds.logStartOffset), bounds.highWatermark)
}
