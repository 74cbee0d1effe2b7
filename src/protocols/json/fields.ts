import type { BrokerError } from '../../base/broker-error.ts'
import { quote, refuse } from './payload.ts'
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

  constructor(operation: OperationName, object: Record<string, unknown>) {
    this.#operation = operation
    this.#object = object
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
    return refuse(this.#operation, `with ${JSON.stringify(name)} ${quote(value)}`, right)
  }

  #missing(name: string, right: string): never {
    throw refuse(this.#operation, `without ${JSON.stringify(name)}`, right)
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
