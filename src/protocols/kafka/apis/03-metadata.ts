import { api } from '../api.ts'
import { array, bool, int16, int32, NO_UUID, string, uuid } from '../schema.ts'

/**
 * Tells who the brokers are, and which topics there are with which leaders: the first thing that a client wants to know.
 * The addresses in the answer are the ones it connects to from then on.
 *
 * `topics` null asks for all (in v0, which knows no null: an empty list), an empty list for none. A topic that is named
 * and not there is created if the request and the broker allow it. Before v4 every request allows it.
 *
 * - v1: rack, controller, whether a topic is internal
 * - v2: cluster id
 * - v4: the request says whether topics may be created
 * - v5: offline replicas
 * - v7: leader epoch
 * - v8: operations that the client is authorized for
 * - v9: flexible. librdkafka from 2.1 on sends three surplus bytes when it asks for all topics
 * - v10: topic ids (KIP-516)
 * - v11: operations on the cluster have moved to DescribeCluster (KIP-700)
 * - v12: topics may be asked for by id, with a null name: UNKNOWN_TOPIC_ID
 * - v13: an error of the whole request
 */
export const Metadata = api(
  3,
  'Metadata',
  { versions: '0-13', flexible: 9 },
  {
    request: {
      topics: array({
        topicId: uuid.since(10).default(NO_UUID),
        name: string.nullableSince(10),
      }).nullableSince(1),
      allowAutoTopicCreation: bool.since(4).default(true),
      includeClusterAuthorizedOperations: bool.in('8-10').default(false),
      includeTopicAuthorizedOperations: bool.since(8).default(false),
    },
    response: {
      throttleTimeMs: int32.since(3).default(0),
      brokers: array({
        nodeId: int32,
        host: string,
        port: int32,
        rack: string.nullable.since(1).default(null),
      }),
      clusterId: string.nullable.since(2).default(null),
      controllerId: int32.since(1).default(-1),
      topics: array({
        errorCode: int16,
        /** Null for an id that is not known. */
        name: string.nullableSince(12),
        topicId: uuid.since(10),
        isInternal: bool.since(1).default(false),
        partitions: array({
          errorCode: int16,
          partitionIndex: int32,
          leaderId: int32,
          leaderEpoch: int32.since(7).default(-1),
          replicaNodes: array(int32),
          isrNodes: array(int32),
          offlineReplicas: array(int32).since(5).default([]),
        }),
        /** The default says that nobody asked. */
        topicAuthorizedOperations: int32.since(8).default(-2147483648),
      }),
      /** The default says that nobody asked. */
      clusterAuthorizedOperations: int32.in('8-10').default(-2147483648),
      errorCode: int16.since(13).default(0),
    },
  },
)
