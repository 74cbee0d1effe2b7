import { randomUUID } from 'node:crypto'

import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import { didYouMean } from '../base/nearest.ts'
import { parseTopicName } from '../base/topic-name.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { CommittedOffsets } from '../groups/committed-offsets.ts'
import type { DelayQueue } from '../delay/delay-queue.ts'
import type { LogConfig, LogEngine, PartitionLog } from '../log/log-engine.ts'
import type { Store } from '../store/store.ts'
import type { Redrives } from './dlq/redrives.ts'
import {
  checkTopicConfigName,
  describeTopicConfig,
  describeTopicSetting,
  NO_SETTINGS,
  parseTopicSettings,
  toLogConfig,
} from './topic-config.ts'
import type { ConfigSource, TopicSettings } from './topic-config.ts'
import { decodeTopicRow, encodeTopicRow } from './topic-row.ts'
import type { TopicSchemas } from './topic-schemas.ts'

/** Partitions that one topic may have. */
export const PARTITIONS_PER_TOPIC_MAX = 10_000
/** Partitions that the broker keeps in all, unless told otherwise: each costs memory, and time at every start. */
export const PARTITIONS_MAX = 50_000

/**
 * Suggestions of names that may have been meant: so many at once, and so many a second. Each compares a name with hundreds
 * of others, and one request can ask for a hundred thousand topics that are not there.
 */
const HINTS_MAX = 20
const HINTS_PER_SECOND = 50

/** A topic as it is now. Never changed: an altered topic is a new object. */
export interface Topic {
  /** A UUID: a topic that is made anew under an old name is another topic. */
  readonly id: string
  readonly name: TopicName
  readonly partitionCount: number
  /** What was set for this topic, by Kafka's names. */
  readonly overrides: TopicSettings
  /** What is in force. */
  readonly config: LogConfig
  readonly createdAtMs: number
}

/** A topic to be. */
export interface TopicWish {
  readonly name: string
  readonly partitionCount: number
  readonly overrides?: Readonly<Record<string, string>> | TopicSettings
}

/** What is to be changed about a topic; what is left out stays. */
export interface TopicAlteration {
  readonly name: string
  /** May only grow. */
  readonly partitionCount?: number
  readonly set?: Readonly<Record<string, string>> | TopicSettings
  /** Keys that are to have the broker's value again. */
  readonly unset?: readonly string[]
  /** Checks everything and changes nothing. */
  readonly dryRun?: boolean
}

/** One thing that an alteration changes: a configuration key, or `partitions`. */
export interface TopicChange {
  readonly key: string
  readonly from: string
  readonly to: string
}

/** What the topics are given to work with. */
export interface TopicsParts {
  readonly store: Store
  readonly engine: LogEngine
  readonly committedOffsets: Pick<CommittedOffsets, 'removeTopic'>
  /** Whose records go with their topic. */
  readonly delay?: Pick<DelayQueue, 'removeTopic'>
  /** Whose schemas go with their topic. */
  readonly schemas?: Pick<TopicSchemas, 'removeTopic'>
  /** Which know what became of the records of a dead letter topic. */
  readonly redrives?: Pick<Redrives, 'removeTopic'>
  readonly clock: Clock
  /** Settings of all topics that do not have their own. */
  readonly brokerSettings?: TopicSettings
  readonly partitionsMax?: number
  /** Makes the id of a new topic. */
  readonly createId?: () => string
}

/**
 * All topics: which there are, how they are set, and their making, altering and deleting.
 *
 * A topic is there once its row is in the store, and its partitions are durable before that: a crash in between leaves
 * empty folders that the next topic of that name takes over. Deleting goes the other way: the row is marked, then
 * partitions and committed offsets go, then the row. A deletion that was interrupted is finished at the next start, or by
 * the next one who wants the name.
 *
 * Whatever changes one topic waits for what changes the same topic.
 */
export class Topics {
  /** Called when a topic is gone, with its logs and the error for whoever waits for them. Set by the broker, once. */
  onRetired: (logs: readonly PartitionLog[], error: BrokerError) => void = () => {}
  /** Called when a topic was made or altered, or is gone. Set by the broker, once. */
  onChanged: (topic: TopicName) => void = () => {}

  readonly #store: Store
  readonly #engine: LogEngine
  readonly #committedOffsets: Pick<CommittedOffsets, 'removeTopic'>
  readonly #delay: Pick<DelayQueue, 'removeTopic'> | undefined
  readonly #schemas: Pick<TopicSchemas, 'removeTopic'> | undefined
  readonly #redrives: Pick<Redrives, 'removeTopic'> | undefined
  readonly #clock: Clock
  readonly #brokerSettings: TopicSettings
  readonly #partitionsMax: number
  readonly #createId: () => string

  readonly #topics = new Map<string, Topic>()
  readonly #namesById = new Map<string, TopicName>()
  #listed: readonly Topic[] | undefined
  /** Marked as deleted, and something of them is still there. */
  readonly #halfDeleted = new Set<TopicName>()
  /** The end of the queue of each topic that something is being done to. */
  readonly #queues = new Map<string, Promise<void>>()
  /** Of all topics, with those that are just being made. */
  #partitionCount = 0
  #hintsLeft = HINTS_MAX
  #hintedAtMs: number

  constructor(parts: TopicsParts) {
    this.#store = parts.store
    this.#engine = parts.engine
    this.#committedOffsets = parts.committedOffsets
    this.#delay = parts.delay
    this.#schemas = parts.schemas
    this.#redrives = parts.redrives
    this.#clock = parts.clock
    this.#brokerSettings = parts.brokerSettings ?? NO_SETTINGS
    this.#partitionsMax = parts.partitionsMax ?? PARTITIONS_MAX
    this.#createId = parts.createId ?? randomUUID
    this.#hintedAtMs = this.#clock.monotonic()
  }

  /** Opens all topics that are in the store, and finishes deletions that were interrupted. Once, before anything else. */
  async load(): Promise<void> {
    for (const [key, value] of this.#store.entries('topics')) {
      const row = decodeTopicRow(key, value)
      if (row.isDeleting) {
        this.#halfDeleted.add(row.name)
        continue
      }
      const config = toLogConfig(row.overrides, this.#brokerSettings)
      const { id, name, partitionCount, overrides, createdAtMs } = row
      this.#put({ id, name, partitionCount, overrides, config, createdAtMs })
      this.#partitionCount += partitionCount
    }
    for (const { name, partitionCount, config } of this.list()) {
      await this.#engine.openTopic(name, partitionCount, config)
    }
    for (const name of this.#halfDeleted) await this.#finishDeletion(name)
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  /** The topic with this id, a UUID in lower case. */
  getById(id: string): Topic | undefined {
    const name = this.#namesById.get(id)
    return name === undefined ? undefined : this.#topics.get(name)
  }

  /** @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION */
  getExisting(name: string): Topic {
    const topic = this.#topics.get(name)
    if (topic === undefined) throw this.unknown(name)
    return topic
  }

  /** The refusal for a topic that is not there, with the nearest name. */
  unknown(name: string): BrokerError {
    const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
    const hint = (this.#mayHint() && didYouMean(name, this.#topics.keys())) || ', create it first'
    return new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${JSON.stringify(shown)}${hint}`)
  }

  #mayHint(): boolean {
    const now = this.#clock.monotonic()
    this.#hintsLeft = Math.min(HINTS_MAX, this.#hintsLeft + ((now - this.#hintedAtMs) / 1000) * HINTS_PER_SECOND)
    this.#hintedAtMs = now
    if (this.#hintsLeft < 1) return false
    this.#hintsLeft--
    return true
  }

  /** All topics, by name. */
  list(): readonly Topic[] {
    this.#listed ??= [...this.#topics.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1))
    return this.#listed
  }

  /** The names of all topics, in no order. */
  names(): Iterable<string> {
    return this.#topics.keys()
  }

  /** How many partitions a topic has; undefined if there is no such topic. */
  partitionCount(name: string): number | undefined {
    return this.#topics.get(name)?.partitionCount
  }

  /** Every configuration key of a topic with the value in force and where it comes from. */
  describeConfig(topic: Topic): ReadonlyMap<string, { readonly value: string; readonly source: ConfigSource }> {
    return describeTopicConfig(topic.overrides, this.#brokerSettings)
  }

  /** One setting of a topic: what is in force, and then what would be if that were not set. */
  traceSetting(topic: Topic, name: string): { readonly value: string; readonly source: ConfigSource }[] {
    const levels = [topic.overrides, NO_SETTINGS].map((own) => describeTopicSetting(name, own, this.#brokerSettings))
    const all = [...levels, describeTopicSetting(name, NO_SETTINGS, NO_SETTINGS)]
    return all.filter(({ source }, index) => all.findIndex((other) => other.source === source) === index)
  }

  /** What topics get that say nothing about it. */
  describeDefault(name: string): { readonly value: string; readonly source: ConfigSource } {
    return describeTopicSetting(name, NO_SETTINGS, this.#brokerSettings)
  }

  /** How many partitions may still be made, in all topics together. */
  get partitionsLeft(): number {
    return Math.max(0, this.#partitionsMax - this.#partitionCount)
  }

  /**
   * Makes a topic. One that is there already is fine when it has as many partitions, and every setting asked for has
   * that value; `created` is false then.
   *
   * @throws BrokerError INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_CONFIG, TOPIC_ALREADY_EXISTS, KAFKA_STORAGE_ERROR
   */
  async create(wish: TopicWish): Promise<{ created: boolean }> {
    const name = parseTopicName(wish.name)
    const overrides = parseTopicSettings(wish.overrides ?? {})
    const { partitionCount } = wish
    checkPartitionCount(`create topic "${name}"`, partitionCount)
    return this.#serially(name, async () => {
      const existing = this.#topics.get(name)
      if (existing !== undefined) {
        this.#checkSame(existing, partitionCount, overrides)
        return { created: false }
      }
      if (this.#halfDeleted.has(name)) await this.#finishDeletion(name)
      await this.#withMorePartitions(`create topic "${name}"`, partitionCount, async () => {
        await this.#make(name, partitionCount, overrides)
      })
      return { created: true }
    })
  }

  /**
   * Adds partitions and changes settings, all or nothing, and returns what is different now.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_CONFIG, KAFKA_STORAGE_ERROR
   */
  async alter(alteration: TopicAlteration): Promise<readonly TopicChange[]> {
    return this.#serially(alteration.name, async () => {
      const topic = this.getExisting(alteration.name)
      const altered = this.#plan(topic, alteration)
      const changes = this.#compare(topic, altered)
      const newPartitions = altered.partitionCount - topic.partitionCount
      const action = `add partitions to topic "${topic.name}"`
      this.#checkPartitionsLeft(action, newPartitions)
      if (alteration.dryRun === true) return changes
      await this.#withMorePartitions(action, newPartitions, async () => {
        await this.#apply(topic, altered)
      })
      return changes
    })
  }

  /**
   * Deletes a topic with its records and committed offsets. It is gone for everybody as soon as that is on record, and
   * all is gone when this resolves.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR
   */
  async delete(nameText: string): Promise<void> {
    return this.#serially(nameText, async () => {
      const topic = this.#topics.get(nameText)
      const name = topic?.name ?? [...this.#halfDeleted].find((halfDeleted) => halfDeleted === nameText)
      if (name === undefined) throw this.unknown(nameText)
      if (topic !== undefined) await this.#hide(topic)
      await this.#finishDeletion(name)
    })
  }

  #checkSame(existing: Topic, partitionCount: number, overrides: TopicSettings) {
    const refuse = (wanted: string, there: string) =>
      new BrokerError(
        'TOPIC_ALREADY_EXISTS',
        `Cannot create topic "${existing.name}" with ${wanted}: it is there with ${there}, alter it instead`,
      )
    if (existing.partitionCount !== partitionCount) {
      throw refuse(count(partitionCount, 'partition'), String(existing.partitionCount))
    }
    for (const [key, wanted] of overrides) {
      const { value } = describeTopicSetting(key, existing.overrides, this.#brokerSettings)
      if (value !== wanted) throw refuse(`${key}=${wanted}`, value)
    }
  }

  async #make(name: TopicName, partitionCount: number, overrides: TopicSettings) {
    const config = toLogConfig(overrides, this.#brokerSettings)
    const topic = { id: this.#createId(), name, partitionCount, overrides, config, createdAtMs: this.#clock.now() }
    try {
      await this.#engine.openTopic(name, partitionCount, config)
      await this.#store.commit([{ table: 'topics', key: name, value: encodeTopicRow(topic) }])
    } catch (error) {
      // Empty folders that nobody knows do no harm, but the engine must not hold them open. If this fails too, the
      // first error is the one to tell.
      await this.#engine.deleteTopic(name).catch(() => {})
      throw toStorageError(`create topic "${name}"`, error)
    }
    this.#put(topic)
  }

  #plan(topic: Topic, { partitionCount = topic.partitionCount, set = {}, unset = [] }: TopicAlteration): Topic {
    checkPartitionCount(`alter topic "${topic.name}"`, partitionCount)
    if (partitionCount < topic.partitionCount) {
      throw new BrokerError(
        'INVALID_PARTITIONS',
        `Cannot alter topic "${topic.name}" to ${count(partitionCount, 'partition')}: it has ${topic.partitionCount}, and they can only become more`,
      )
    }
    const overrides = new Map(topic.overrides)
    const changed = parseTopicSettings(set)
    for (const key of unset) {
      checkTopicConfigName(key)
      if (changed.has(key)) {
        throw new BrokerError('INVALID_CONFIG', `Cannot both set and unset ${key} of topic "${topic.name}": choose one`)
      }
      overrides.delete(key)
    }
    for (const [key, value] of changed) overrides.set(key, value)
    return { ...topic, partitionCount, overrides, config: toLogConfig(overrides, this.#brokerSettings) }
  }

  #compare(before: Topic, after: Topic): TopicChange[] {
    const changes: TopicChange[] = []
    if (before.partitionCount !== after.partitionCount) {
      changes.push({ key: 'partitions', from: String(before.partitionCount), to: String(after.partitionCount) })
    }
    const valuesAfter = this.describeConfig(after)
    for (const [key, { value: from }] of this.describeConfig(before)) {
      const to = valuesAfter.get(key)?.value ?? from
      if (from !== to) changes.push({ key, from, to })
    }
    return changes
  }

  async #apply(before: Topic, after: Topic) {
    const isSame = before.partitionCount === after.partitionCount && areSame(before.overrides, after.overrides)
    if (isSame) return
    try {
      if (after.partitionCount > before.partitionCount) {
        await this.#engine.openTopic(after.name, after.partitionCount, after.config)
      }
      await this.#store.commit([{ table: 'topics', key: after.name, value: encodeTopicRow(after) }])
    } catch (error) {
      throw toStorageError(`alter topic "${after.name}"`, error)
    }
    this.#put(after)
    this.#engine.configureTopic(after.name, after.config)
  }

  async #hide(topic: Topic) {
    await this.#store.commit([
      { table: 'topics', key: topic.name, value: encodeTopicRow({ ...topic, isDeleting: true }) },
    ])
    const logs: PartitionLog[] = []
    for (let partition = 0; partition < topic.partitionCount; partition++) {
      const log = this.#engine.get(topic.name, partition)
      if (log !== undefined) logs.push(log)
    }
    this.#halfDeleted.add(topic.name)
    this.#topics.delete(topic.name)
    this.#namesById.delete(topic.id)
    this.#listed = undefined
    this.#partitionCount -= topic.partitionCount
    this.onRetired(logs, new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `Topic "${topic.name}" was deleted`))
    this.onChanged(topic.name)
  }

  async #finishDeletion(name: TopicName) {
    try {
      await this.#engine.deleteTopic(name)
      await this.#committedOffsets.removeTopic(name)
      await this.#delay?.removeTopic(name)
      await this.#schemas?.removeTopic(name)
      await this.#redrives?.removeTopic(name)
      await this.#store.commit([{ table: 'topics', key: name, value: undefined }])
    } catch (error) {
      throw toStorageError(`delete topic "${name}"`, error)
    }
    this.#halfDeleted.delete(name)
  }

  #put(topic: Topic) {
    this.#topics.set(topic.name, Object.freeze(topic))
    this.#namesById.set(topic.id, topic.name)
    this.#listed = undefined
    this.onChanged(topic.name)
  }

  /** Counts the partitions before they are there, so that several topics made at a time keep the limit together. */
  async #withMorePartitions(action: string, more: number, work: () => Promise<void>) {
    this.#checkPartitionsLeft(action, more)
    this.#partitionCount += more
    try {
      await work()
    } catch (error) {
      this.#partitionCount -= more
      throw error
    }
  }

  #checkPartitionsLeft(action: string, more: number) {
    if (more <= this.partitionsLeft) return
    throw new BrokerError(
      'INVALID_PARTITIONS',
      `Cannot ${action}: ${count(more, 'partition')} more than the ${this.#partitionCount} there are would pass the broker's limit of ${this.#partitionsMax}`,
    )
  }

  /** Runs `work` once everything before it that concerns the same topic is over, whatever came of that. */
  #serially<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#queues.get(name) ?? Promise.resolve()).then(work)
    const end: Promise<void> = result.then(
      () => this.#leaveQueue(name, end),
      () => this.#leaveQueue(name, end),
    )
    this.#queues.set(name, end)
    return result
  }

  #leaveQueue(name: string, end: Promise<void>) {
    if (this.#queues.get(name) === end) this.#queues.delete(name)
  }
}

function checkPartitionCount(action: string, partitionCount: number) {
  if (Number.isInteger(partitionCount) && partitionCount >= 1 && partitionCount <= PARTITIONS_PER_TOPIC_MAX) return
  throw new BrokerError(
    'INVALID_PARTITIONS',
    `Cannot ${action} with ${count(partitionCount, 'partition')}: a topic has 1 to ${PARTITIONS_PER_TOPIC_MAX}`,
  )
}

function areSame(left: TopicSettings, right: TopicSettings): boolean {
  return left.size === right.size && [...left].every(([key, value]) => right.get(key) === value)
}

function count(many: number, noun: string): string {
  return `${many} ${noun}${many === 1 ? '' : 's'}`
}

function toStorageError(action: string, error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new BrokerError('KAFKA_STORAGE_ERROR', `Cannot ${action}: ${reason}`, { cause: error })
}
