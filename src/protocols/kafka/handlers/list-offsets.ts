import { BrokerError } from '../../../base/broker-error.ts'
import type { PartitionLog } from '../../../log/log-engine.ts'
import type { RequestOf } from '../api.ts'
import type { ListOffsets } from '../apis/02-list-offsets.ts'
import type { OffsetForLeaderEpoch } from '../apis/23-offset-for-leader-epoch.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { checkLeaderEpoch } from './topic-lookup.ts'

const READ_COMMITTED = 1
const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
/** The first versions that know these timestamps. */
const SINCE = new Map([
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9],
])

interface Found {
  readonly offset: number
  readonly timestamp: number
  readonly leaderEpoch: number
}

const NOTHING: Found = { offset: -1, timestamp: -1, leaderEpoch: -1 }

/** Finds offsets by time. */
export const listOffsets: Handler<typeof ListOffsets, RequestContext> = async ({ topics, isolationLevel }, context) => {
  const isCommitted = isolationLevel === READ_COMMITTED
  const twice = findRepeated(topics)
  const answers = await context.inTurns(topics, async ({ name, partitions }) => ({
    name,
    partitions: await context.inTurns(partitions, ({ partitionIndex, currentLeaderEpoch, timestamp }) => {
      try {
        // Each lookup may read, and unpack, a batch. As in Kafka nobody gets several for one partition.
        if (twice.has(`${name}/${partitionIndex}`)) {
          throw new BrokerError('INVALID_REQUEST', `Partition ${partitionIndex} of "${name}" is asked for twice`)
        }
        const log = context.broker.getLog(name, partitionIndex)
        checkLeaderEpoch(log, currentLeaderEpoch)
        return { partitionIndex, errorCode: 0, ...find(log, timestamp, context.version, isCommitted) }
      } catch (error) {
        return { partitionIndex, errorCode: context.codeOf(error) }
      }
    }),
  }))
  return { topics: answers }
}

function findRepeated(topics: RequestOf<typeof ListOffsets>['topics']): ReadonlySet<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const { name, partitions } of topics) {
    for (const { partitionIndex } of partitions) {
      const key = `${name}/${partitionIndex}`
      ;(seen.has(key) ? repeated : seen).add(key)
    }
  }
  return repeated
}

function find(log: PartitionLog, timestamp: number, version: number, isCommitted: boolean): Found {
  const { leaderEpoch, logStartOffset } = log
  if (version < (SINCE.get(timestamp) ?? 0) || timestamp < LATEST_TIERED) {
    throw new Refusal('UNSUPPORTED_VERSION', `Version ${version} does not know the timestamp ${timestamp}`)
  }
  if (timestamp === LATEST) {
    return { offset: isCommitted ? log.lastStableOffset : log.highWatermark, timestamp: -1, leaderEpoch }
  }
  if (timestamp === EARLIEST || timestamp === EARLIEST_LOCAL) {
    return { offset: logStartOffset, timestamp: -1, leaderEpoch }
  }
  if (timestamp === LATEST_TIERED) return NOTHING
  const found = timestamp === MAX_TIMESTAMP ? log.findOffsetOfMaxTimestamp() : log.findOffsetByTime(timestamp)
  return found === undefined ? NOTHING : { ...found, leaderEpoch }
}

/** Tells where leader epochs end. */
export const offsetForLeaderEpoch: Handler<typeof OffsetForLeaderEpoch, RequestContext> = async (
  { topics },
  context,
) => {
  const answers = await context.inTurns(topics, async ({ topic, partitions }) => ({
    topic,
    partitions: await context.inTurns(partitions, ({ partition, currentLeaderEpoch, leaderEpoch }) => {
      try {
        const log = context.broker.getLog(topic, partition)
        checkLeaderEpoch(log, currentLeaderEpoch)
        const found = log.epochEndOffset(leaderEpoch)
        return { errorCode: 0, partition, leaderEpoch: found?.epoch ?? -1, endOffset: found?.endOffset ?? -1 }
      } catch (error) {
        return { errorCode: context.codeOf(error), partition }
      }
    }),
  }))
  return { topics: answers }
}
