import type { Clock } from '../base/clock.ts'
import { Deadlines } from '../base/deadlines.ts'
import type { Logger } from '../base/logger.ts'
import type { TopicName } from '../base/topic-name.ts'
import type { LogConfig, PartitionLog } from '../log/log-engine.ts'
import type { Store } from '../store/store.ts'
import type { Tracer } from '../tracing/tracer.ts'
import type { DelayOptions } from './delay-options.ts'
import { Outcomes } from './outcomes.ts'
import type { PartitionSchedules } from './partition-schedules.ts'
import type { Schedule } from './schedule-rows.ts'
import { dueKey } from './schedule-rows.ts'
import { TopicSchedules } from './topic-schedules.ts'

/** Where delayed records go. */
export interface DelayTargets {
  /** Undefined when there is no such topic, or no such partition. */
  find(topic: string, partition: number): { readonly log: PartitionLog; readonly config: LogConfig } | undefined
}

/** What the parts of the delay queue work with. */
export interface DelayStateParts {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly targets: DelayTargets
  readonly options: DelayOptions
  /** Called with how late each record is delivered, in seconds. */
  readonly observeDelay: (seconds: number) => void
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
}

/** What is taken into memory at once, so that nobody waits long for it. */
const REFILL_MAX = 1024
const NEAR_MIN = 1024

/** What is in memory of the delay queue, shared by those who accept, change and deliver. */
export class DelayState {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly targets: DelayTargets
  readonly options: DelayOptions
  readonly observeDelay: (seconds: number) => void
  readonly tracer: Tracer | undefined
  readonly topics = new Map<string, TopicSchedules>()
  readonly outcomes = new Outcomes()
  /** When each partition is to be looked at next, Unix milliseconds. */
  readonly moments = new Deadlines<PartitionSchedules>()
  /** Ids that were appended, or are about to be, and are still in the store. */
  readonly onTheirWay = new Set<string>()
  /** Ids that somebody is just cancelling or moving. */
  readonly changing = new Set<string>()
  isClosed = false
  /** Called when something may have to be looked at earlier than was known. */
  onPlanned: () => void = () => {}

  constructor(parts: DelayStateParts) {
    this.store = parts.store
    this.clock = parts.clock
    this.logger = parts.logger
    this.targets = parts.targets
    this.options = parts.options
    this.observeDelay = parts.observeDelay
    this.tracer = parts.tracer
  }

  /** The schedules of a topic, of which there may be none yet. */
  topicOf(name: TopicName): TopicSchedules {
    let found = this.topics.get(name)
    if (found === undefined) {
      found = new TopicSchedules(name, this.store)
      this.topics.set(name, found)
    }
    return found
  }

  /** Whether a partition is still that of a topic which is there. */
  isCurrent(partition: PartitionSchedules): boolean {
    return this.topics.get(partition.topic)?.partitions.get(partition.partition) === partition
  }

  /** Notes when a partition is to be looked at next, if ever. */
  plan(partition: PartitionSchedules): void {
    const moment = this.isCurrent(partition) ? this.#momentOf(partition) : Number.POSITIVE_INFINITY
    if (moment === Number.POSITIVE_INFINITY) this.moments.delete(partition)
    else this.moments.set(partition, moment)
  }

  #momentOf({ near, deliveries, point, quietSinceMs, retryAtMs, isUnknown }: PartitionSchedules): number {
    if (isUnknown || point === 'opening' || point === 'closing') return Number.POSITIVE_INFINITY
    const { batchesOnTheirWayMax, quietMs } = this.options
    const isFull = deliveries.size >= batchesOnTheirWayMax
    const next = near.first === undefined || isFull ? Number.POSITIVE_INFINITY : near.first.tryAtMs
    const quiet = point === 'open' && deliveries.size === 0 ? quietSinceMs + quietMs : Number.POSITIVE_INFINITY
    return Math.max(retryAtMs, Math.min(next, quiet))
  }

  /** Sees to it that a topic has those in memory that are due next, not too few and not too many. */
  keepNear(topic: TopicSchedules): void {
    const nearMax = Math.max(NEAR_MIN, Math.floor(this.options.nearMax / Math.max(1, this.topics.size)))
    let { nearCount } = topic
    if (nearCount > 2 * nearMax) {
      topic.forget()
      nearCount = 0
    }
    if (!topic.hasMore || nearCount > nearMax / 2) return
    for (const partition of topic.refill(Math.min(REFILL_MAX, nearMax - nearCount))) this.plan(partition)
  }
  /** These are in the store now. */
  noteStored(
    topic: TopicSchedules,
    schedules: readonly Pick<Schedule, 'topic' | 'partition' | 'dueAtMs' | 'id'>[],
  ): void {
    if (this.topics.get(topic.topic) !== topic) return
    const changed = new Set<PartitionSchedules>()
    for (const schedule of schedules) {
      if (!topic.isNear(dueKey(schedule))) continue
      const { id, dueAtMs } = schedule
      const partition = topic.getPartition(schedule.partition)
      partition.near.push({ id, dueAtMs, tryAtMs: dueAtMs })
      changed.add(partition)
    }
    for (const partition of changed) this.plan(partition)
    this.keepNear(topic)
    this.onPlanned()
  }
}
