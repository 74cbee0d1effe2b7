import type { OperationName, WireErrorCode } from './protocols/json/wire.ts'
import type { ERROR_CODES } from './protocols/kafka/error-codes.ts'

/** The APIs of the Kafka door, for the compiler: a name that is none of them does not compile. A test compares them with the door. */
export const KAFKA_REQUEST_NAMES = [
  'Produce',
  'Fetch',
  'ListOffsets',
  'Metadata',
  'OffsetCommit',
  'OffsetFetch',
  'FindCoordinator',
  'JoinGroup',
  'Heartbeat',
  'LeaveGroup',
  'SyncGroup',
  'DescribeGroups',
  'ListGroups',
  'SaslHandshake',
  'ApiVersions',
  'CreateTopics',
  'DeleteTopics',
  'DeleteRecords',
  'InitProducerId',
  'OffsetForLeaderEpoch',
  'AddPartitionsToTxn',
  'AddOffsetsToTxn',
  'EndTxn',
  'TxnOffsetCommit',
  'DescribeAcls',
  'CreateAcls',
  'DeleteAcls',
  'DescribeConfigs',
  'AlterConfigs',
  'DescribeLogDirs',
  'SaslAuthenticate',
  'CreatePartitions',
  'DeleteGroups',
  'ElectLeaders',
  'IncrementalAlterConfigs',
  'AlterPartitionReassignments',
  'ListPartitionReassignments',
  'OffsetDelete',
  'DescribeClientQuotas',
  'AlterClientQuotas',
  'DescribeUserScramCredentials',
  'AlterUserScramCredentials',
  'DescribeCluster',
  'DescribeProducers',
  'DescribeTransactions',
  'ListTransactions',
  'ConsumerGroupHeartbeat',
  'ConsumerGroupDescribe',
  'DescribeTopicPartitions',
] as const

/** A request that can go wrong: a Kafka API or an operation of the JSON protocol, which also says at which door. */
export type RequestName = OperationName | (typeof KAFKA_REQUEST_NAMES)[number]

/** The errors with which that door can answer. */
export type ErrorNameFor<Name extends RequestName> = Name extends OperationName
  ? WireErrorCode
  : keyof typeof ERROR_CODES
