import { quote } from '../../base/untrusted-json.ts'
import type { BrokerError } from '../../base/broker-error.ts'
import { isTopicName, TOPIC_NAME_RULE } from '../../base/topic-name.ts'
import { refuse } from './payload.ts'
import type { OperationName, TopicConfigText, TopicPartitions } from './wire.ts'

export interface IntegerRange {
  readonly min: number
  readonly max: number
}

export const OFFSET_RANGE: IntegerRange = { min: 0, max: Number.MAX_SAFE_INTEGER }
export const PARTITION_RANGE: IntegerRange = { min: 0, max: 0x7fffffff }

/**
 * Reads the fields of one request strictly: a field that is asked for and has another shape than it must have refuses
 * the request, with its name, its value, and what would be right. Fields that nobody asks for are ignored. An optional
 * field that is null counts as absent.
 */
export class Fields {
  readonly #operation: OperationName
  readonly #object: Record<string, unknown>
  readonly #path: string

  /** `path` stands before the names of fields in refusals: that of an object within the request, with its dot. */
  constructor(operation: OperationName, object: Record<string, unknown>, path = '') {
    this.#operation = operation
    this.#object = object
    this.#path = path
  }

  /** @throws BrokerError INVALID_REQUEST, as every method here */
  text(name: string): string {
    return this.optionalText(name) ?? this.#missing(name, 'text is needed')
  }

  optionalText(name: string): string | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.#wrong(name, value, 'text is needed')
  }

  /** The name of a topic, which may or may not be there: one that no topic can have is refused. */
  topicName(name: string): string {
    const text = this.text(name)
    if (isTopicName(text)) return text
    throw this.#wrong(name, text, TOPIC_NAME_RULE)
  }

  integer(name: string, range: IntegerRange): number {
    return this.optionalInteger(name, range) ?? this.#missing(name, describeRange(range))
  }

  optionalInteger(name: string, range: IntegerRange): number | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= range.min && value <= range.max)
      return value
    throw this.#wrong(name, value, describeRange(range))
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.#wrong(name, value, 'true or false is needed')
  }

  optionalTextList(name: string): readonly string[] | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw this.#wrong(name, value, 'an array of texts is needed')
    return value.map((item: unknown, index) => {
      if (typeof item === 'string') return item
      throw this.#wrong(`${name}[${index}]`, item, 'text is needed')
    })
  }

  /** An object whose values are texts. Its keys are the client's: it has no prototype to be confused with them. */
  optionalTextMap(name: string): TopicConfigText | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (typeof value !== 'object' || Array.isArray(value)) {
      throw this.#wrong(name, value, 'an object of texts is needed, like {"retention.ms":"7d"}')
    }
    const map = Object.create(null) as Record<string, string>
    for (const [key, text] of Object.entries(value as object)) {
      if (typeof text !== 'string') throw this.#wrong(`${name}.${key.slice(0, 80)}`, text, 'text is needed')
      map[key] = text
    }
    return map
  }

  /** An array of objects, one at the least; `what` says what they are, in the plural. */
  objects(name: string, what: string, countMax: number): readonly Fields[] {
    const value = this.#get(name)
    if (value === undefined) return this.#missing(name, `an array of ${what} is needed`)
    if (!Array.isArray(value)) throw this.#wrong(name, value, `an array of ${what} is needed`)
    if (value.length === 0 || value.length > countMax) {
      const count = `with ${value.length} ${what} in ${JSON.stringify(this.#path + name)}`
      throw refuse(this.#operation, count, `1 to ${countMax} are needed`)
    }
    return value.map((item: unknown, index) => {
      const path = `${name}[${index}]`
      if (typeof item !== 'object' || item === null || Array.isArray(item)) {
        throw this.#wrong(path, item, 'an object is needed')
      }
      return new Fields(this.#operation, item as Record<string, unknown>, `${this.#path}${path}.`)
    })
  }

  /** What is there, unread; undefined for null too. */
  get(name: string): unknown {
    return this.#get(name)
  }

  /** One of a few words. */
  optionalChoice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.optionalText(name)
    const found = words.find((word) => word === text)
    if (text === undefined || found !== undefined) return found
    throw this.#wrong(name, text, `one of these is needed: ${words.join(', ')}`)
  }

  /** What a producer waits for; everything when it does not say. */
  acks(): 0 | 1 | 'all' {
    switch (this.#get('acks')) {
      case undefined:
      case 'all':
      case -1:
        return 'all'
      case 0:
        return 0
      case 1:
        return 1
      default:
        throw this.wrong('acks', '"all", -1, 1 or 0 is needed')
    }
  }

  optionalPartitions(name: string): readonly TopicPartitions[] | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw this.#wrong(name, value, 'an array of topics with partitions is needed')
    return value.map((item: unknown, index) => {
      if (isTopicPartitions(item)) return item
      throw this.#wrong(`${name}[${index}]`, item, 'something like {"topic":"orders","partitions":[0,1]} is needed')
    })
  }

  /** A refusal of the whole request because of a field, for what the methods above cannot know. */
  wrong(name: string, right: string): BrokerError {
    return this.#wrong(name, this.#get(name), right)
  }

  #get(name: string): unknown {
    if (!Object.hasOwn(this.#object, name)) return undefined
    return this.#object[name] ?? undefined
  }

  #wrong(name: string, value: unknown, right: string): BrokerError {
    return refuse(this.#operation, `with ${JSON.stringify(this.#path + name)} ${quote(value)}`, right)
  }

  #missing(name: string, right: string): never {
    throw refuse(this.#operation, `without ${JSON.stringify(this.#path + name)}`, right)
  }
}

function isTopicPartitions(item: unknown): item is TopicPartitions {
  if (typeof item !== 'object' || item === null) return false
  const { topic, partitions } = item as Record<string, unknown>
  return typeof topic === 'string' && Array.isArray(partitions) && partitions.every(isPartition)
}

function isPartition(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= PARTITION_RANGE.max
}

function describeRange({ min, max }: IntegerRange): string {
  return `a whole number from ${min} to ${max} is needed`
}
