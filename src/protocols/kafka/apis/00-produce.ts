import { api } from '../api.ts'
import { array, int16, int32, int64, records, string, struct } from '../schema.ts'

/**
 * Appends one record batch to each of the partitions named.
 *
 * `acks` says what the answer waits for: -1 for stable storage, 1 for the page cache. With 0 there is no answer at all;
 * what goes wrong then is told by closing the connection, so that the client asks for metadata anew. A refusal belongs
 * to its partition. A batch that the partition has already (same producer, epoch and sequence) is answered with success
 * and its first offset.
 *
 * - v3: the first with transactions and with the record batches that we keep, format 2
 * - v4: may answer KAFKA_STORAGE_ERROR
 * - v5: the log start offset, by which a producer tells "expired" from "lost"
 * - v7: batches may be compressed with zstd, before: UNSUPPORTED_COMPRESSION_TYPE
 * - v8: which records were refused, and why
 * - v9: flexible
 * - v10: where the leader is when it is not here (KIP-951)
 * - v11: TRANSACTION_ABORTABLE (KIP-890)
 *
 * Versions 0 to 2 are advertised and not served, as Kafka does it: librdkafka up to 2.11 compresses nothing, without a
 * word, when version 0 is missing (KAFKA-18659). A request of one of them closes the connection.
 */
export const Produce = api(
  0,
  'Produce',
  { versions: '3-11', advertiseMin: 0, flexible: 9 },
  {
    request: {
      transactionalId: string.nullable.default(null),
      acks: int16,
      timeoutMs: int32,
      topicData: array({
        name: string,
        partitionData: array({
          index: int32,
          records: records.nullable,
        }),
      }),
    },
    response: {
      responses: array({
        name: string,
        partitionResponses: array({
          index: int32,
          errorCode: int16,
          /** -1 with an error. */
          baseOffset: int64,
          /** -1 unless the topic's timestamps are those of the append. */
          logAppendTimeMs: int64.default(-1),
          logStartOffset: int64.since(5).default(-1),
          recordErrors: array({ batchIndex: int32, batchIndexErrorMessage: string.nullable.default(null) })
            .since(8)
            .default([]),
          errorMessage: string.nullable.since(8).default(null),
          currentLeader: struct({ leaderId: int32.default(-1), leaderEpoch: int32.default(-1) })
            .tag(0)
            .since(10),
        }),
      }),
      throttleTimeMs: int32.default(0),
      nodeEndpoints: array({ nodeId: int32, host: string, port: int32, rack: string.nullable.default(null) })
        .tag(0)
        .since(10),
    },
  },
)
