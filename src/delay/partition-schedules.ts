import type { TopicName } from '../base/topic-name.ts'
import { MinHeap } from '../base/min-heap.ts'

/** A schedule that is due soon. The rest of it is in the store. */
export interface NearSchedule {
  readonly id: string
  readonly dueAtMs: number
  /** When to try, Unix milliseconds: when it is due, or later when that failed. */
  readonly tryAtMs: number
}

/** Records of one partition that were appended together. */
export interface Delivery {
  readonly baseOffset: number
  readonly schedules: readonly NearSchedule[]
}

/** Whether the store says that the log may hold deliveries that it does not know of; see delivery.ts. */
export type PointState = 'closed' | 'opening' | 'open' | 'closing'

/** What is in memory of the schedules of one partition: those that are due first, and those on their way to the log. */
export class PartitionSchedules {
  readonly topic: TopicName
  readonly partition: number
  readonly near = new MinHeap<NearSchedule>(({ tryAtMs }) => tryAtMs)
  /** Appended, or about to be, and still in the store. */
  readonly deliveries = new Set<Delivery>()
  point: PointState = 'closed'
  /** Since when nothing was delivered, Unix milliseconds. */
  quietSinceMs = 0
  /** Not to be tried before, Unix milliseconds. */
  retryAtMs = 0
  /** What was said of the last failure, so that it is said once. */
  lastError: string | undefined
  /** One record at a time, because one of several is not taken. */
  isSingly = false
  /** Whether the log has to be read before anything may be delivered. */
  isUnknown = false

  constructor(topic: TopicName, partition: number) {
    this.topic = topic
    this.partition = partition
  }
}
