/** Units of size, largest first. Binary, as Kafka's users and JEDEC mean them: 1 KB = 1 KiB = 1,024 bytes. */
const SIZE_UNITS = [
  { name: 'TB', bytes: 2 ** 40 },
  { name: 'GB', bytes: 2 ** 30 },
  { name: 'MB', bytes: 2 ** 20 },
  { name: 'KB', bytes: 2 ** 10 },
  { name: 'B', bytes: 1 },
] as const

/** Units of time, largest first. */
const DURATION_UNITS = [
  { name: 'w', ms: 7 * 24 * 60 * 60 * 1000 },
  { name: 'd', ms: 24 * 60 * 60 * 1000 },
  { name: 'h', ms: 60 * 60 * 1000 },
  { name: 'm', ms: 60 * 1000 },
  { name: 's', ms: 1000 },
  { name: 'ms', ms: 1 },
] as const

const SIZE = /^(\d+(?:\.\d+)?) ?([kmgt]i?b|b)$/i
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]) ?)+(?<! )$/
const DURATION_PART = /([\d.]+)(ms|[smhdw])/g
const WHOLE_NUMBER = /^\d+$/

/** How to write a size and a duration, for the part of a message that says what would be right. */
export const SIZE_WANTED = 'a whole number of bytes, or a number with B, KB, MB, GB or TB, such as "512MB"'
export const DURATION_WANTED =
  'a whole number of milliseconds, or numbers with w, d, h, m, s or ms, the larger first, such as "7d" or "1h30m"'

/** What else than an amount may stand for one. */
export interface UnitOptions {
  /** Takes `-1` as "no limit", and returns it. */
  readonly allowUnlimited?: boolean
}

/**
 * Reads a size in bytes: a whole number of bytes, or a number with B, KB, MB, GB or TB (or KiB to TiB, which are the same),
 * in capitals or not. `"1GB"` is 2^30. A fraction is fine if it comes to whole bytes, as `"1.5KB"` does.
 *
 * Returns undefined for anything else, and for more than 2^53 - 1 bytes.
 */
export function parseSize(text: string, options: UnitOptions = {}): number | undefined {
  const plain = parsePlain(text, options)
  if (plain !== undefined) return countable(plain)
  const [, number, unit] = SIZE.exec(text) ?? []
  const unitBytes = SIZE_UNITS.find(({ name }) => name === unit?.toUpperCase().replace('I', ''))?.bytes
  return unitBytes === undefined ? undefined : countable(Number(number) * unitBytes)
}

/**
 * Reads a duration in milliseconds: a whole number of milliseconds, or numbers with w, d, h, m, s or ms, each at most
 * once and the larger first: `"7d"`, `"1h30m"`, `"1.5s"`.
 *
 * Returns undefined for anything else, and for more than 2^53 - 1 milliseconds.
 */
export function parseDuration(text: string, options: UnitOptions = {}): number | undefined {
  const plain = parsePlain(text, options)
  if (plain !== undefined) return countable(plain)
  if (!DURATION.test(text)) return undefined
  let durationMs = 0
  let lastUnit = -1
  for (const [, number, unit] of text.matchAll(DURATION_PART)) {
    const index = DURATION_UNITS.findIndex(({ name }) => name === unit)
    if (index <= lastUnit) return undefined
    durationMs += Number(number) * DURATION_UNITS[index].ms
    lastUnit = index
  }
  return countable(durationMs)
}

/** Writes a size so that `parseSize` reads the same number: in the largest unit that it is a whole number of. */
export function formatSize(sizeBytes: number): string {
  if (sizeBytes <= 0) return sizeBytes < 0 ? '-1' : '0B'
  const unit = SIZE_UNITS.find(({ bytes }) => sizeBytes % bytes === 0)
  return unit === undefined ? String(sizeBytes) : `${sizeBytes / unit.bytes}${unit.name}`
}

/** Writes a duration so that `parseDuration` reads the same number: `"7d"`, `"1h30m"`, `"250ms"`. */
export function formatDuration(durationMs: number): string {
  if (durationMs <= 0) return durationMs < 0 ? '-1' : '0ms'
  let text = ''
  let restMs = durationMs
  for (const { name, ms } of DURATION_UNITS) {
    // Nobody says "1w" for the retention of seven days.
    if (name === 'w' || restMs < ms) continue
    text += `${Math.floor(restMs / ms)}${name}`
    restMs %= ms
  }
  return text
}

function parsePlain(text: string, { allowUnlimited = false }: UnitOptions): number | undefined {
  if (text === '-1' && allowUnlimited) return -1
  return WHOLE_NUMBER.test(text) ? Number(text) : undefined
}

function countable(amount: number): number | undefined {
  // In binary, 1.001 times 1,000 falls a hair short of 1,001.
  const whole = Math.round(amount)
  return Number.isSafeInteger(whole) && Math.abs(amount - whole) < 1e-6 ? whole : undefined
}
