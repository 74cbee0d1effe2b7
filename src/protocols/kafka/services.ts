import { Produce } from './apis/00-produce.ts'
import { Fetch } from './apis/01-fetch.ts'
import { ListOffsets } from './apis/02-list-offsets.ts'
import { Metadata } from './apis/03-metadata.ts'
import { OffsetCommit } from './apis/08-offset-commit.ts'
import { OffsetFetch } from './apis/09-offset-fetch.ts'
import { FindCoordinator } from './apis/10-find-coordinator.ts'
import { JoinGroup } from './apis/11-join-group.ts'
import { Heartbeat } from './apis/12-heartbeat.ts'
import { LeaveGroup } from './apis/13-leave-group.ts'
import { SyncGroup } from './apis/14-sync-group.ts'
import { DescribeGroups } from './apis/15-describe-groups.ts'
import { ListGroups } from './apis/16-list-groups.ts'
import { SaslHandshake } from './apis/17-sasl-handshake.ts'
import { ApiVersions } from './apis/18-api-versions.ts'
import { CreateTopics } from './apis/19-create-topics.ts'
import { DeleteTopics } from './apis/20-delete-topics.ts'
import { DeleteRecords } from './apis/21-delete-records.ts'
import { InitProducerId } from './apis/22-init-producer-id.ts'
import { OffsetForLeaderEpoch } from './apis/23-offset-for-leader-epoch.ts'
import { AddPartitionsToTxn } from './apis/24-add-partitions-to-txn.ts'
import { AddOffsetsToTxn } from './apis/25-add-offsets-to-txn.ts'
import { EndTxn } from './apis/26-end-txn.ts'
import { TxnOffsetCommit } from './apis/28-txn-offset-commit.ts'
import { DescribeAcls } from './apis/29-describe-acls.ts'
import { CreateAcls } from './apis/30-create-acls.ts'
import { DeleteAcls } from './apis/31-delete-acls.ts'
import { DescribeConfigs } from './apis/32-describe-configs.ts'
import { AlterConfigs } from './apis/33-alter-configs.ts'
import { DescribeLogDirs } from './apis/35-describe-log-dirs.ts'
import { SaslAuthenticate } from './apis/36-sasl-authenticate.ts'
import { CreatePartitions } from './apis/37-create-partitions.ts'
import { DeleteGroups } from './apis/42-delete-groups.ts'
import { ElectLeaders } from './apis/43-elect-leaders.ts'
import { IncrementalAlterConfigs } from './apis/44-incremental-alter-configs.ts'
import { AlterPartitionReassignments } from './apis/45-alter-partition-reassignments.ts'
import { ListPartitionReassignments } from './apis/46-list-partition-reassignments.ts'
import { OffsetDelete } from './apis/47-offset-delete.ts'
import { DescribeClientQuotas } from './apis/48-describe-client-quotas.ts'
import { AlterClientQuotas } from './apis/49-alter-client-quotas.ts'
import { DescribeUserScramCredentials } from './apis/50-describe-user-scram-credentials.ts'
import { AlterUserScramCredentials } from './apis/51-alter-user-scram-credentials.ts'
import { DescribeCluster } from './apis/60-describe-cluster.ts'
import { DescribeProducers } from './apis/61-describe-producers.ts'
import { DescribeTransactions } from './apis/65-describe-transactions.ts'
import { ListTransactions } from './apis/66-list-transactions.ts'
import { ConsumerGroupHeartbeat } from './apis/68-consumer-group-heartbeat.ts'
import { ConsumerGroupDescribe } from './apis/69-consumer-group-describe.ts'
import { DescribeTopicPartitions } from './apis/75-describe-topic-partitions.ts'
import type { RequestContext } from './context.ts'
import { createAcls, deleteAcls, describeAcls } from './handlers/acls.ts'
import { apiVersions } from './handlers/api-versions.ts'
import {
  alterUserScramCredentials,
  describeUserScramCredentials,
  saslAuthenticate,
  saslHandshake,
} from './handlers/authentication.ts'
import { heartbeat, joinGroup, leaveGroup, syncGroup } from './handlers/classic-groups.ts'
import { describeCluster, describeLogDirs, findCoordinator } from './handlers/cluster.ts'
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from './handlers/configs.ts'
import { consumerGroupDescribe, consumerGroupHeartbeat } from './handlers/consumer-groups.ts'
import { describeProducers } from './handlers/describe-producers.ts'
import { fetch } from './handlers/fetch.ts'
import { deleteGroups, describeGroups, listGroups } from './handlers/group-admin.ts'
import { offsetCommit, offsetDelete, offsetFetch } from './handlers/group-offsets.ts'
import { initProducerId } from './handlers/init-producer-id.ts'
import { listOffsets, offsetForLeaderEpoch } from './handlers/list-offsets.ts'
import { metadata } from './handlers/metadata.ts'
import { produce } from './handlers/produce.ts'
import { alterClientQuotas, describeClientQuotas } from './handlers/quotas.ts'
import { alterPartitionReassignments, electLeaders, listPartitionReassignments } from './handlers/reassignments.ts'
import { describeTopicPartitions } from './handlers/topic-partitions.ts'
import { createPartitions, createTopics, deleteRecords, deleteTopics } from './handlers/topics.ts'
import { describeTransactions, listTransactions } from './handlers/transaction-admin.ts'
import { addOffsetsToTxn, addPartitionsToTxn, endTxn, txnOffsetCommit } from './handlers/transactions.ts'
import { Registry } from './registry.ts'

/** Everything that is served, and so everything that ApiVersions names. */
export function createRegistry(): Registry<RequestContext> {
  const registry = new Registry<RequestContext>()
  registry.serve(Produce, produce)
  registry.serve(Fetch, fetch)
  registry.serve(ListOffsets, listOffsets)
  registry.serve(Metadata, metadata)
  registry.serve(OffsetCommit, offsetCommit)
  registry.serve(OffsetFetch, offsetFetch)
  registry.serve(FindCoordinator, findCoordinator)
  registry.serve(JoinGroup, joinGroup)
  registry.serve(Heartbeat, heartbeat)
  registry.serve(LeaveGroup, leaveGroup)
  registry.serve(SyncGroup, syncGroup)
  registry.serve(DescribeGroups, describeGroups)
  registry.serve(ListGroups, listGroups)
  registry.serve(SaslHandshake, saslHandshake)
  registry.serve(ApiVersions, apiVersions)
  registry.serve(CreateTopics, createTopics)
  registry.serve(DeleteTopics, deleteTopics)
  registry.serve(DeleteRecords, deleteRecords)
  registry.serve(InitProducerId, initProducerId)
  registry.serve(OffsetForLeaderEpoch, offsetForLeaderEpoch)
  registry.serve(AddPartitionsToTxn, addPartitionsToTxn)
  registry.serve(AddOffsetsToTxn, addOffsetsToTxn)
  registry.serve(EndTxn, endTxn)
  registry.serve(TxnOffsetCommit, txnOffsetCommit)
  registry.serve(DescribeAcls, describeAcls)
  registry.serve(CreateAcls, createAcls)
  registry.serve(DeleteAcls, deleteAcls)
  registry.serve(DescribeConfigs, describeConfigs)
  registry.serve(AlterConfigs, alterConfigs)
  registry.serve(DescribeLogDirs, describeLogDirs)
  registry.serve(SaslAuthenticate, saslAuthenticate)
  registry.serve(CreatePartitions, createPartitions)
  registry.serve(DeleteGroups, deleteGroups)
  registry.serve(ElectLeaders, electLeaders)
  registry.serve(IncrementalAlterConfigs, incrementalAlterConfigs)
  registry.serve(AlterPartitionReassignments, alterPartitionReassignments)
  registry.serve(ListPartitionReassignments, listPartitionReassignments)
  registry.serve(OffsetDelete, offsetDelete)
  registry.serve(DescribeClientQuotas, describeClientQuotas)
  registry.serve(AlterClientQuotas, alterClientQuotas)
  registry.serve(DescribeUserScramCredentials, describeUserScramCredentials)
  registry.serve(AlterUserScramCredentials, alterUserScramCredentials)
  registry.serve(DescribeCluster, describeCluster)
  registry.serve(DescribeProducers, describeProducers)
  registry.serve(DescribeTransactions, describeTransactions)
  registry.serve(ListTransactions, listTransactions)
  registry.serve(ConsumerGroupHeartbeat, consumerGroupHeartbeat)
  registry.serve(ConsumerGroupDescribe, consumerGroupDescribe)
  registry.serve(DescribeTopicPartitions, describeTopicPartitions)
  return registry
}
