import { Produce } from './apis/00-produce.ts'
import { Fetch } from './apis/01-fetch.ts'
import { ListOffsets } from './apis/02-list-offsets.ts'
import { Metadata } from './apis/03-metadata.ts'
import { FindCoordinator } from './apis/10-find-coordinator.ts'
import { ApiVersions } from './apis/18-api-versions.ts'
import { CreateTopics } from './apis/19-create-topics.ts'
import { DeleteTopics } from './apis/20-delete-topics.ts'
import { DeleteRecords } from './apis/21-delete-records.ts'
import { OffsetForLeaderEpoch } from './apis/23-offset-for-leader-epoch.ts'
import { DescribeAcls } from './apis/29-describe-acls.ts'
import { CreateAcls } from './apis/30-create-acls.ts'
import { DeleteAcls } from './apis/31-delete-acls.ts'
import { DescribeConfigs } from './apis/32-describe-configs.ts'
import { AlterConfigs } from './apis/33-alter-configs.ts'
import { DescribeLogDirs } from './apis/35-describe-log-dirs.ts'
import { CreatePartitions } from './apis/37-create-partitions.ts'
import { ElectLeaders } from './apis/43-elect-leaders.ts'
import { IncrementalAlterConfigs } from './apis/44-incremental-alter-configs.ts'
import { AlterPartitionReassignments } from './apis/45-alter-partition-reassignments.ts'
import { ListPartitionReassignments } from './apis/46-list-partition-reassignments.ts'
import { DescribeCluster } from './apis/60-describe-cluster.ts'
import type { RequestContext } from './context.ts'
import { createAcls, deleteAcls, describeAcls } from './handlers/acls.ts'
import { apiVersions } from './handlers/api-versions.ts'
import { describeCluster, describeLogDirs, findCoordinator } from './handlers/cluster.ts'
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from './handlers/configs.ts'
import { fetch } from './handlers/fetch.ts'
import { listOffsets, offsetForLeaderEpoch } from './handlers/list-offsets.ts'
import { metadata } from './handlers/metadata.ts'
import { produce } from './handlers/produce.ts'
import { alterPartitionReassignments, electLeaders, listPartitionReassignments } from './handlers/reassignments.ts'
import { createPartitions, createTopics, deleteRecords, deleteTopics } from './handlers/topics.ts'
import { Registry } from './registry.ts'

/** Everything that is served, and so everything that ApiVersions names. */
export function createRegistry(): Registry<RequestContext> {
  const registry = new Registry<RequestContext>()
  registry.serve(Produce, produce)
  registry.serve(Fetch, fetch)
  registry.serve(ListOffsets, listOffsets)
  registry.serve(Metadata, metadata)
  registry.serve(FindCoordinator, findCoordinator)
  registry.serve(ApiVersions, apiVersions)
  registry.serve(CreateTopics, createTopics)
  registry.serve(DeleteTopics, deleteTopics)
  registry.serve(DeleteRecords, deleteRecords)
  registry.serve(OffsetForLeaderEpoch, offsetForLeaderEpoch)
  registry.serve(DescribeAcls, describeAcls)
  registry.serve(CreateAcls, createAcls)
  registry.serve(DeleteAcls, deleteAcls)
  registry.serve(DescribeConfigs, describeConfigs)
  registry.serve(AlterConfigs, alterConfigs)
  registry.serve(DescribeLogDirs, describeLogDirs)
  registry.serve(CreatePartitions, createPartitions)
  registry.serve(ElectLeaders, electLeaders)
  registry.serve(IncrementalAlterConfigs, incrementalAlterConfigs)
  registry.serve(AlterPartitionReassignments, alterPartitionReassignments)
  registry.serve(ListPartitionReassignments, listPartitionReassignments)
  registry.serve(DescribeCluster, describeCluster)
  return registry
}
