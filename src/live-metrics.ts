import type { Clock } from './base/clock.ts'
import type { FileSystem } from './base/file-system.ts'
import type { TopicName } from './base/topic-name.ts'
import type { Redrives } from './broker/dlq/redrives.ts'
import type { Topics } from './broker/topics.ts'
import type { DelayQueue } from './delay/delay-queue.ts'
import type { CommittedOffsets } from './groups/committed-offsets.ts'
import type { GroupCoordinator } from './groups/coordinator.ts'
import type { CommittedOffset } from './groups/offset-rows.ts'
import type { SegmentPartitionLog } from './log/partition-log.ts'
import type { SegmentLogEngine } from './log/segment-log-engine.ts'
import type { Emit } from './metrics/instruments.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { TransactionCoordinator } from './transactions/coordinator.ts'
import { TRANSACTION_STATES } from './transactions/transaction.ts'

/** Of records that are read for the metrics, how many before others get their turn. */
const READS_AT_ONCE = 50

/** What the live series are read from. */
export interface LiveState {
  readonly engine: SegmentLogEngine
  readonly committedOffsets: CommittedOffsets
  readonly topics: Topics
  readonly groups: GroupCoordinator
  readonly fileSystem: FileSystem
  readonly dataDirectory: string
  readonly clock: Clock
}

/**
 * Lets the metrics that describe topics, partitions, groups and the disk read them at each scrape. Nothing is counted
 * twice and nothing is left behind: the series of a deleted topic or group go with it.
 */
export function collectFromState(metrics: Metrics, state: LiveState): void {
  const { engine } = state

  metrics.messages.collect = (emit) => {
    for (const log of engine.partitions()) {
      const partition = String(log.partition)
      emit(log.appendedRecords, log.topic, partition, 'in')
      emit(log.deliveredRecords, log.topic, partition, 'out')
    }
  }
  metrics.logStartOffset.collect = (emit) => {
    for (const log of engine.partitions()) emit(log.logStartOffset, log.topic, String(log.partition))
  }
  metrics.logEndOffset.collect = (emit) => {
    for (const log of engine.partitions()) emit(log.logEndOffset, log.topic, String(log.partition))
  }

  metrics.topics.collect = (emit) => emit(state.topics.list().length)
  metrics.partitions.collect = (emit) => emitByTopic(engine, emit, () => 1)
  metrics.logSizeBytes.collect = (emit) => emitByTopic(engine, emit, (log) => log.sizeBytes)
  metrics.logSegments.collect = (emit) => emitByTopic(engine, emit, (log) => log.segmentCount)
  metrics.retentionDeletedBytes.collect = (emit) => {
    for (const reason of ['time', 'size', 'manual'] as const) {
      const emitReason: Emit = (value, topic) => emit(value, topic, reason)
      emitByTopic(engine, emitReason, (log) => log.deletedBytes[reason])
    }
  }
  collectCompaction(metrics, engine)
  metrics.partitionsOffline.collect = (emit) => emit(countOffline(engine).offline)
  metrics.producers.collect = (emit) => emit(sumOf(engine, ({ producers }) => producers.count))
  metrics.producerDuplicates.collect = (emit) => emit(sumOf(engine, ({ producers }) => producers.duplicates))
  metrics.producerOutOfOrder.collect = (emit) => emit(sumOf(engine, ({ producers }) => producers.outOfOrder))
  metrics.lastStableOffsetLag.collect = (emit) => {
    for (const log of engine.partitions()) {
      // Nobody is to be made to read a log for this.
      if (log.producers.firstUnstableOffset === undefined) continue
      emit(log.highWatermark - log.lastStableOffset, log.topic, String(log.partition))
    }
  }
  metrics.corruptBatches.collect = (emit) => emit(engine.corruptBatches)

  metrics.consumerCommittedOffset.collect = (emit) => {
    for (const [group, { topic, partition, offset }] of listCommitted(state)) {
      emit(offset, group, topic, String(partition))
    }
  }
  metrics.consumerLag.collect = (emit) => {
    for (const [group, { topic: name, partition, offset }] of listCommitted(state)) {
      const topic = state.topics.get(name)
      const log = topic === undefined ? undefined : engine.get(topic.name, partition)
      if (log === undefined) continue
      emit(Math.max(0, log.logEndOffset - Math.max(offset, log.logStartOffset)), group, name, String(partition))
    }
  }

  metrics.consumerGroups.collect = (emit) => {
    const counts = new Map<string, number>()
    for (const group of state.groups.list()) {
      const key = `${group.kind} ${group.state}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    for (const [key, count] of counts) emit(count, ...key.split(' '))
  }
  metrics.consumerGroupMembers.collect = (emit) => {
    for (const { group, memberCount } of state.groups.list()) emit(memberCount, group)
  }
  metrics.consumerGroupState.collect = (emit) => {
    for (const { group, state: groupState } of state.groups.list()) emit(1, group, groupState)
  }
  metrics.consumerRebalances.collect = (emit) => {
    for (const { group, generation } of state.groups.list()) emit(generation, group)
  }

  metrics.consumerSkippedRecords.collect = (emit) => {
    const skipped = new Map<string, number>()
    for (const [group, { topic: name, partition, offset }] of listCommitted(state)) {
      const topic = state.topics.get(name)
      const log = topic === undefined ? undefined : engine.get(topic.name, partition)
      const key = `${group}\0${name}`
      if (log !== undefined) skipped.set(key, (skipped.get(key) ?? 0) + Math.max(0, log.logStartOffset - offset))
    }
    for (const [key, count] of skipped) {
      const [group, topic] = key.split('\0')
      emit(count, group, topic)
    }
  }

  // It reads a record of each partition, from the disk if need be: a few at a time.
  metrics.consumerLagSeconds.collect = function* (emit) {
    const ages = new Map<string, number>()
    let reads = 0
    for (const [group, committed] of listCommitted(state)) {
      if (++reads % READS_AT_ONCE === 0) yield
      const age = readAge(state, committed)
      const key = `${group}\0${committed.topic}`
      if (age !== undefined) ages.set(key, Math.max(age, ages.get(key) ?? 0))
    }
    for (const [key, age] of ages) {
      const [group, topic] = key.split('\0')
      emit(age, group, topic)
    }
  }

  metrics.diskFreeBytes.collect = (emit) => emitSpace(state, emit, 'freeBytes')
  metrics.diskTotalBytes.collect = (emit) => emitSpace(state, emit, 'totalBytes')
}

/** Seconds since the record was written that the group wants next; 0 when it has all. */
function readAge({ topics, engine, clock }: LiveState, { topic: name, partition, offset }: CommittedOffset) {
  const topic = topics.get(name)
  const log = topic === undefined ? undefined : engine.get(topic.name, partition)
  if (log === undefined) return undefined
  try {
    const next = log.findFirstRecord(offset)
    return next === undefined ? 0 : Math.max(0, (clock.now() - next.timestamp) / 1000)
  } catch {
    // What cannot be read is told elsewhere, and must not hide the lag of the others.
    return undefined
  }
}

function collectCompaction(metrics: Metrics, engine: SegmentLogEngine): void {
  const { cleaner } = engine
  metrics.compactionRuns.collect = (emit) => {
    for (const [outcome, count] of Object.entries(cleaner.runs)) emit(count, outcome)
  }
  metrics.compactionReadBytes.collect = (emit) => emit(cleaner.bytesBefore)
  metrics.compactionWrittenBytes.collect = (emit) => emit(cleaner.bytesAfter)
  metrics.compactionRemovedRecords.collect = (emit) => {
    emit(cleaner.overtakenRecords, 'overtaken')
    emit(cleaner.expiredTombstones, 'tombstone')
    emit(cleaner.keylessRecords, 'no_key')
  }
  metrics.compactionBatchesKept.collect = (emit) => emit(cleaner.batchesLeftWhole)
  metrics.compactionLastRunSeconds.collect = (emit) => emit(cleaner.lastRunSeconds)
  metrics.compactionDirtyRatioMax.collect = (emit) => {
    let max = 0
    for (const log of engine.partitions()) max = Math.max(max, cleaner.dirtyRatio(log))
    emit(max)
  }
  metrics.compactionUncleanable.collect = (emit) => {
    let count = 0
    for (const log of engine.partitions()) if (cleaner.isUncleanable(log)) count++
    emit(count)
  }
}

/** How many partitions there are, and how many of them are closed for writes. */
export function countOffline(engine: SegmentLogEngine): { all: number; offline: number } {
  let all = 0
  let offline = 0
  for (const log of engine.partitions()) {
    all++
    if (log.failure !== undefined) offline++
  }
  return { all, offline }
}

/** Without the directory there is nothing to say about its disk, and all other metrics are needed the more. */
function emitSpace({ fileSystem, dataDirectory }: LiveState, emit: Emit, of: 'freeBytes' | 'totalBytes'): void {
  let space
  try {
    space = fileSystem.space(dataDirectory)
  } catch {
    return
  }
  emit(space[of])
}

function* listCommitted({ committedOffsets }: LiveState): Iterable<readonly [group: string, CommittedOffset]> {
  for (const group of committedOffsets.groups()) {
    for (const committed of committedOffsets.list(group) ?? []) yield [group, committed]
  }
}

function sumOf(engine: SegmentLogEngine, valueOf: (log: SegmentPartitionLog) => number): number {
  let sum = 0
  for (const log of engine.partitions()) sum += valueOf(log)
  return sum
}

/** One sample for each topic: the sum over its partitions, which the engine hands out topic by topic. */
function emitByTopic(engine: SegmentLogEngine, emit: Emit, valueOf: (log: SegmentPartitionLog) => number): void {
  let topic: TopicName | undefined
  let sum = 0
  for (const log of engine.partitions()) {
    if (topic !== undefined && log.topic !== topic) {
      emit(sum, topic)
      sum = 0
    }
    topic = log.topic
    sum += valueOf(log)
  }
  if (topic !== undefined) emit(sum, topic)
}

/** Lets the metrics of delayed records read the queue at each scrape. A topic has them from its first delayed record on. */
export function collectDelay(metrics: Metrics, delay: DelayQueue): void {
  metrics.scheduledInflight.collect = (emit) => {
    for (const { topic, inflight } of delay.describe()) emit(inflight, topic)
  }
  metrics.scheduledOverdue.collect = (emit) => {
    for (const { topic, overdue } of delay.describe()) emit(overdue, topic)
  }
  metrics.scheduled.collect = (emit) => {
    for (const { topic, events } of delay.describe()) {
      for (const [event, count] of Object.entries(events)) emit(count, topic, event)
    }
  }
  metrics.scheduledNextDue.collect = (emit) => {
    let next = Number.POSITIVE_INFINITY
    for (const { nextDueAtMs = next } of delay.describe()) next = Math.min(next, nextDueAtMs)
    if (next !== Number.POSITIVE_INFINITY) emit(next / 1000)
  }
}

/** Lets the metrics of dead letters read their states at each scrape. Every topic for dead letters has them. */
export function collectRedrives(metrics: Metrics, redrives: Redrives): void {
  metrics.dlqDepth.collect = (emit) => {
    for (const { topic, open } of redrives.describe()) emit(open, topic)
  }
  metrics.dlqRedriven.collect = (emit) => {
    for (const { topic, events } of redrives.describe()) {
      emit(events.ok, topic, 'ok')
      emit(events.rejectedAgain, topic, 'rejected_again')
      emit(events.failed, topic, 'failed')
    }
  }
  metrics.dlqDiscarded.collect = (emit) => {
    for (const { topic, events } of redrives.describe()) emit(events.discarded, topic)
  }
}

/** Lets the metrics of transactions read them at each scrape: every state that one can be in has a series. */
export function collectTransactions(metrics: Metrics, transactions: TransactionCoordinator): void {
  metrics.transactions.collect = (emit) => {
    const counts = new Map<string, number>()
    for (const { state } of transactions.list()) counts.set(state, (counts.get(state) ?? 0) + 1)
    for (const state of TRANSACTION_STATES) {
      if (state !== 'Dead' && state !== 'PrepareEpochFence') emit(counts.get(state) ?? 0, state)
    }
  }
}
