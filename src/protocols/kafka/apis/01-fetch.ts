import { api } from '../api.ts'
import { array, int16, int32, int64, int8, records, string, struct, uuid } from '../schema.ts'

/**
 * Reads record batches, whole ones, from the batch that contains the offset asked for; the client drops what lies
 * before it.
 *
 * Answered when `minBytes` are there, a partition has an error, or `maxWaitMs` have passed. The first batch of the first
 * partition with data is sent even when it is larger than the limits, so that nobody gets stuck; partitions are served
 * in the order of the request. `records` is empty, never null, when there are none: librdkafka takes null for a broken
 * answer.
 *
 * Fetch sessions (KIP-227) spare clients with hundreds of partitions from naming them each time. Session id 0 in the
 * answer declines one, and the client goes on with full requests.
 *
 * - v4: isolation level; aborted transactions and last stable offset. The first with record batches of format 2
 * - v5: log start offset
 * - v7: fetch sessions, and an error of the whole request
 * - v9: the leader epoch that the client believes in (KIP-320)
 * - v10: batches may be compressed with zstd
 * - v11: rack, for reading from the nearest replica (KIP-392)
 * - v12: flexible; finds diverged logs by epoch
 * - v13: topics by id instead of name (KIP-516): UNKNOWN_TOPIC_ID
 * - v15: what only replicas send moves into a tagged field (KIP-903)
 * - v16: where the leader is when it is not here (KIP-951)
 * - v17: directory ids, for replicas (KIP-853)
 */
export const Fetch = api(
  1,
  'Fetch',
  { versions: '4-17', flexible: 12 },
  {
    request: {
      clusterId: string.nullable.tag(0).since(12).default(null),
      replicaId: int32.in('0-14').default(-1),
      replicaState: struct({ replicaId: int32.default(-1), replicaEpoch: int64.default(-1) })
        .tag(1)
        .since(15),
      maxWaitMs: int32,
      minBytes: int32,
      maxBytes: int32.default(0x7fffffff),
      /** 0: up to the high watermark. 1: up to the last stable offset, and the aborted transactions are listed. */
      isolationLevel: int8.default(0),
      /** 0 for no session. */
      sessionId: int32.since(7).default(0),
      /** 0 opens a session, -1 asks for everything without one or ends it. */
      sessionEpoch: int32.since(7).default(-1),
      topics: array({
        topic: string.in('0-12').default(''),
        topicId: uuid.since(13),
        partitions: array({
          partition: int32,
          /** -1 when the client does not know it. */
          currentLeaderEpoch: int32.since(9).default(-1),
          fetchOffset: int64,
          lastFetchedEpoch: int32.since(12).default(-1),
          logStartOffset: int64.since(5).default(-1),
          partitionMaxBytes: int32,
          replicaDirectoryId: uuid.tag(0).since(17),
        }),
      }),
      forgottenTopicsData: array({
        topic: string.in('7-12').default(''),
        topicId: uuid.since(13),
        partitions: array(int32),
      })
        .since(7)
        .default([]),
      rackId: string.since(11).default(''),
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16.since(7),
      sessionId: int32.since(7).default(0),
      responses: array({
        topic: string.in('0-12'),
        topicId: uuid.since(13),
        partitions: array({
          partitionIndex: int32,
          errorCode: int16,
          highWatermark: int64,
          lastStableOffset: int64.default(-1),
          logStartOffset: int64.since(5).default(-1),
          divergingEpoch: struct({ epoch: int32.default(-1), endOffset: int64.default(-1) })
            .tag(0)
            .since(12),
          currentLeader: struct({ leaderId: int32.default(-1), leaderEpoch: int32.default(-1) })
            .tag(1)
            .since(12),
          snapshotId: struct({ endOffset: int64.default(-1), epoch: int32.default(-1) })
            .tag(2)
            .since(12),
          /** Null unless the isolation level asks for it. By first offset. */
          abortedTransactions: array({ producerId: int64, firstOffset: int64 }).nullable,
          preferredReadReplica: int32.since(11).default(-1),
          records: records.nullable,
        }),
      }),
      nodeEndpoints: array({ nodeId: int32, host: string, port: int32, rack: string.nullable.default(null) })
        .tag(0)
        .since(16),
    },
  },
)
