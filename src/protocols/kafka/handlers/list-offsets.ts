import type { PartitionLog } from '../../../log/log-engine.ts'
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
export const listOffsets: Handler<typeof ListOffsets, RequestContext> = (request, context) => ({
  topics: request.topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex, currentLeaderEpoch, timestamp }) => {
      try {
        const log = context.broker.getLog(name, partitionIndex)
        checkLeaderEpoch(log, currentLeaderEpoch)
        return {
          partitionIndex,
          errorCode: 0,
          ...find(log, timestamp, context.version, request.isolationLevel === READ_COMMITTED),
        }
      } catch (error) {
        return { partitionIndex, errorCode: context.codeOf(error) }
      }
    }),
  })),
})

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
export const offsetForLeaderEpoch: Handler<typeof OffsetForLeaderEpoch, RequestContext> = ({ topics }, context) => ({
  topics: topics.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }) => {
      try {
        const log = context.broker.getLog(topic, partition)
        checkLeaderEpoch(log, currentLeaderEpoch)
        const found = log.epochEndOffset(leaderEpoch)
        return { errorCode: 0, partition, leaderEpoch: found?.epoch ?? -1, endOffset: found?.endOffset ?? -1 }
      } catch (error) {
        return { errorCode: context.codeOf(error), partition }
      }
    }),
  })),
})
