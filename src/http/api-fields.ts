import { BrokerError } from '../base/broker-error.ts'
import { didYouMean } from '../base/nearest.ts'
import { quote } from '../base/untrusted-json.ts'

/** The least and the most that a number may be. */
export interface IntegerRange {
  readonly min: number
  readonly max: number
}

/** What counts partitions, offsets and milliseconds. */
export const PARTITION_RANGE: IntegerRange = { min: 0, max: 0x7fffffff }
export const SAFE_RANGE: IntegerRange = { min: 0, max: Number.MAX_SAFE_INTEGER }

/**
 * Reads the fields of a request strictly. A field that has another shape than it must have, or that is not one of those
 * that may be there, refuses the request with its name, its value, and what would be right. A field that is null counts as
 * absent. Numbers and booleans of a query are texts, and are read all the same.
 */
export class ApiFields {
  readonly #action: string
  readonly #values: Readonly<Record<string, unknown>>
  readonly #areTexts: boolean
  readonly #path: string

  /**
   * `action` is what the request wants, as refusals have it behind "Cannot": `create a topic`. `known` are the names of all
   * fields there may be.
   *
   * @throws BrokerError INVALID_REQUEST if there is another field
   */
  constructor(options: {
    readonly action: string
    readonly values: Readonly<Record<string, unknown>>
    readonly known: readonly string[]
    /** Whether all values are texts, as those of a query. */
    readonly areTexts?: boolean
    /** Stands before the names of fields in refusals: that of an object within the request, with its dot. */
    readonly path?: string
  }) {
    this.#action = options.action
    this.#values = options.values
    this.#areTexts = options.areTexts ?? false
    this.#path = options.path ?? ''
    for (const name of Object.keys(options.values)) {
      if (options.known.includes(name)) continue
      const right = didYouMean(name, options.known) || `: ${listNames(options.known)} may be there`
      throw this.#refuse(`with ${quote(this.#path + name)}, which is not known${right}`)
    }
  }

  /** Whether there is such a field, whatever is in it. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name)
  }

  /** What is there, unread; undefined for null too. */
  get(name: string): unknown {
    if (!this.has(name)) return undefined
    return this.#values[name] ?? undefined
  }

  /** @throws BrokerError INVALID_REQUEST, as every method here */
  text(name: string): string {
    return this.optionalText(name) ?? this.missing(name, 'text is needed')
  }

  optionalText(name: string): string | undefined {
    const value = this.get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.wrong(name, 'text is needed')
  }

  /** One of a few words. */
  optionalChoice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    const choice = choices.find((each) => each === value)
    if (choice === undefined) throw this.wrong(name, `${listNames(choices, 'or')} is needed`)
    return choice
  }

  integer(name: string, range: IntegerRange): number {
    return this.optionalInteger(name, range) ?? this.missing(name, describeRange(range))
  }

  optionalInteger(name: string, range: IntegerRange): number | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    const isDigits = this.#areTexts && typeof value === 'string' && /^-?\d{1,16}$/.test(value)
    const number = isDigits ? Number(value) : value
    if (typeof number === 'number' && Number.isSafeInteger(number) && number >= range.min && number <= range.max) {
      return number
    }
    throw this.wrong(name, describeRange(range))
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.get(name)
    if (value === undefined || typeof value === 'boolean') return value
    if (this.#areTexts && (value === 'true' || value === 'false')) return value === 'true'
    throw this.wrong(name, 'true or false is needed')
  }

  /** Values by names of the client's: the map has no prototype to be confused with them. A null is kept as such. */
  optionalTextMap<Other = never>(
    name: string,
    example: string,
    takesOther: (value: unknown) => value is Other = (_value): _value is Other => false,
  ): Readonly<Record<string, string | Other>> | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    if (typeof value !== 'object' || Array.isArray(value)) throw this.wrong(name, `an object like ${example} is needed`)
    const map = Object.create(null) as Record<string, string | Other>
    for (const [key, text] of Object.entries(value as Record<string, unknown>)) {
      if (typeof text !== 'string' && !takesOther(text)) {
        throw this.#refuse(`with ${quote(`${this.#path}${name}.${key}`)} ${quote(text)}: text is needed`)
      }
      map[key] = text
    }
    return map
  }

  /** An array, of one item at the least. */
  list(name: string, what: string, countMax: number): readonly unknown[] {
    const value = this.get(name)
    if (value === undefined) return this.missing(name, `an array of ${what} is needed`)
    if (!Array.isArray(value)) throw this.wrong(name, `an array of ${what} is needed`)
    if (value.length > 0 && value.length <= countMax) return value
    throw this.#refuse(`with ${value.length} ${what} in ${quote(this.#path + name)}: 1 to ${countMax} are needed`)
  }

  /** The fields of an object within this one. */
  within(value: unknown, path: string, known: readonly string[]): ApiFields {
    if (!isObject(value)) throw this.#refuse(`with ${quote(this.#path + path)} ${quote(value)}: an object is needed`)
    return new ApiFields({ action: this.#action, values: value, known, path: `${this.#path}${path}.` })
  }

  /** The refusal of the request because of one of its fields. */
  wrong(name: string, right: string): BrokerError {
    return this.#refuse(`with ${quote(this.#path + name)} ${quote(this.get(name))}: ${right}`)
  }

  missing(name: string, right: string): never {
    throw this.#refuse(`without ${quote(this.#path + name)}: ${right}`)
  }

  #refuse(what: string): BrokerError {
    return new BrokerError('INVALID_REQUEST', `Cannot ${this.#action} ${what}`)
  }
}

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function listNames(names: readonly string[], word = 'and'): string {
  if (names.length < 2) return names[0] ?? 'nothing'
  return `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`
}

function describeRange({ min, max }: IntegerRange): string {
  return `a whole number from ${min} to ${max} is needed`
}
