import { BrokerError } from '../base/broker-error.ts'
import { quoteId } from './refusals.ts'
import { TopicPattern } from './topic-pattern.ts'

/** Existing topics are tried with a new pattern up to this much work: some tens of milliseconds. */
const PATTERN_WORK_MAX = 2_000_000

/** Which topics there are; what somebody subscribes to need not be. */
export interface TopicsView {
  /** How many partitions a topic has; undefined if there is no such topic. */
  partitionCount(topic: string): number | undefined
  names(): Iterable<string>
}

/** What a member wants to read. */
export interface Subscription {
  /** In order, each once. */
  readonly names: readonly string[]
  /** Empty for none. */
  readonly pattern: string
}

interface KnownPattern {
  readonly matcher: TopicPattern
  /** The topics that it matches, of those that exist. */
  readonly topics: Set<string>
}

/** Finds out which topics the subscriptions of a group come to, and keeps the patterns among them. */
export class Subscriptions {
  readonly #view: TopicsView
  readonly #patterns = new Map<string, KnownPattern>()

  constructor(view: TopicsView) {
    this.#view = view
  }

  /**
   * Compiles a pattern and tries it on all topics, unless that was done.
   *
   * @throws BrokerError INVALID_REGULAR_EXPRESSION
   */
  learn(text: string): void {
    if (text === '' || this.#patterns.has(text)) return
    const matcher = new TopicPattern(text)
    const topics = new Set<string>()
    for (const name of this.#view.names()) {
      if (matcher.matches(name)) topics.add(name)
      if (matcher.work <= PATTERN_WORK_MAX) continue
      const message = `Cannot subscribe to topics by ${quoteId(text)}: there are too many topics for so intricate a pattern`
      throw new BrokerError('INVALID_REGULAR_EXPRESSION', message)
    }
    this.#patterns.set(text, { matcher, topics })
  }

  /** Forgets all patterns but these. */
  keepOnly(patterns: ReadonlySet<string>): void {
    for (const text of this.#patterns.keys()) if (!patterns.has(text)) this.#patterns.delete(text)
  }

  /** The topics that names and a learned pattern come to, of those that exist. */
  resolve({ names, pattern }: Subscription): ReadonlySet<string> {
    const named = names.filter((name) => this.#view.partitionCount(name) !== undefined)
    return new Set([...named, ...(this.#patterns.get(pattern)?.topics ?? [])])
  }

  /** Looks again at one topic, which has come or gone. */
  updateTopic(topic: string): void {
    const exists = this.#view.partitionCount(topic) !== undefined
    for (const { matcher, topics } of this.#patterns.values()) {
      if (!exists) topics.delete(topic)
      else if (matcher.matches(topic)) topics.add(topic)
    }
  }

  /** Learns patterns that were taken once, whatever work they make, in place of all that it knows. */
  relearn(patterns: ReadonlySet<string>): void {
    this.#patterns.clear()
    for (const text of patterns) {
      if (text === '') continue
      const matcher = new TopicPattern(text)
      const topics = new Set([...this.#view.names()].filter((name) => matcher.matches(name)))
      this.#patterns.set(text, { matcher, topics })
    }
  }
}

export function areSameSubscriptions(left: Subscription, right: Subscription): boolean {
  return (
    left.pattern === right.pattern &&
    left.names.length === right.names.length &&
    left.names.every((name, index) => name === right.names[index])
  )
}

/** How much memory it takes. */
export function countSubscriptionBytes({ names, pattern }: Subscription): number {
  return names.reduce((sum, name) => sum + name.length, pattern.length)
}
