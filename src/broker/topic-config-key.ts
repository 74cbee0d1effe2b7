import { DURATION_WANTED, formatDuration, formatSize, parseDuration, parseSize, SIZE_WANTED } from '../base/units.ts'

/** One setting of a topic: what the documentation says about it, and how its text is read. */
export interface TopicConfigKey<Value> {
  /** Kafka's name for it, where Kafka has one. */
  readonly name: string
  readonly default: Value
  /** What would be right: the second half of an error message. */
  readonly wanted: string
  readonly meaning: string
  /** Undefined when the text is not what is wanted. */
  readonly parse: (text: string) => Value | undefined
  /** The one way in which a value is stored and shown, whatever way it was written in. */
  format(value: Value): string
}

/** How clients of Kafka's say "no limit", mostly where Kafka has no -1 for it. */
export const INT64_MAX = '9223372036854775807'

interface Range {
  readonly least: number
  readonly most: number
  readonly allowUnlimited?: boolean
}

/** A number of bytes. */
export function size(range: Range) {
  return amount(range, { parse: parseSize, show: formatSize, wanted: SIZE_WANTED })
}

/** A number of milliseconds. */
export function duration(range: Range) {
  return amount(range, { parse: parseDuration, show: formatDuration, wanted: DURATION_WANTED })
}

/** A whole number. */
export function integer(least: number, most: number) {
  return {
    wanted: `a whole number from ${least} to ${most}`,
    parse: (text: string) => {
      const value = /^-?\d{1,10}$/.test(text) ? Number(text) : Number.NaN
      return value >= least && value <= most ? value : undefined
    },
    format: String,
  }
}

/** One of a few words. */
export function oneOf<Word extends string>(words: readonly Word[]) {
  const last = words.at(-1) ?? ''
  return {
    wanted: words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`,
    parse: (text: string) => words.find((word) => word === text),
    format: String,
  }
}

function amount(
  { least, most, allowUnlimited = false }: Range,
  unit: {
    parse: (text: string, options: { allowUnlimited: boolean }) => number | undefined
    show: (value: number) => string
    wanted: string
  },
) {
  const hasMost = most !== Number.MAX_SAFE_INTEGER
  const upTo = hasMost ? `, at most ${unit.show(most)}` : ''
  return {
    wanted: `${unit.wanted}, at least ${unit.show(least)}${upTo}${allowUnlimited ? ', or -1 for no limit' : ''}`,
    parse: (text: string) => {
      if (text === INT64_MAX && allowUnlimited) return -1
      if (text === INT64_MAX && !hasMost) return most
      const value = unit.parse(text, { allowUnlimited })
      return value === -1 || (value !== undefined && value >= least && value <= most) ? value : undefined
    },
    format: String,
  }
}
