import type { FindCoordinator } from '../apis/10-find-coordinator.ts'
import type { DescribeLogDirs } from '../apis/35-describe-log-dirs.ts'
import type { DescribeCluster } from '../apis/60-describe-cluster.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'
import { partitionNumbers } from './topic-lookup.ts'

const KEY_TYPES = { group: 0, transaction: 1 }
const ENDPOINT_TYPES = { brokers: 1, controllers: 2 }

/** The coordinator of everything is this broker. */
export const findCoordinator: Handler<typeof FindCoordinator, RequestContext> = (request, context) => {
  const isKnown = Object.values(KEY_TYPES).includes(request.keyType)
  const errorCode = isKnown ? 0 : context.refuse('INVALID_REQUEST')
  const errorMessage = isKnown ? null : `There is no coordinator for keys of type ${request.keyType}`
  const node = isKnown ? { nodeId: NODE_ID, ...context.node } : { nodeId: -1, host: '', port: -1 }
  return {
    errorCode,
    errorMessage,
    ...node,
    coordinators: request.coordinatorKeys.map((key) => ({ key, ...node, errorCode, errorMessage })),
  }
}

/** A cluster of one. */
export const describeCluster: Handler<typeof DescribeCluster, RequestContext> = ({ endpointType }, context) => {
  const { clusterId } = context.broker.identity
  if (endpointType === ENDPOINT_TYPES.brokers) {
    const brokers = [{ brokerId: NODE_ID, ...context.node }]
    return { errorCode: 0, clusterId, controllerId: NODE_ID, brokers }
  }
  const isController = endpointType === ENDPOINT_TYPES.controllers
  return {
    errorCode: context.refuse(isController ? 'MISMATCHED_ENDPOINT_TYPE' : 'UNSUPPORTED_ENDPOINT_TYPE'),
    errorMessage: `There are brokers here (type ${ENDPOINT_TYPES.brokers}), and nothing else`,
    endpointType,
    clusterId,
    controllerId: -1,
    brokers: [],
  }
}

/** All partitions lie in one directory. */
export const describeLogDirs: Handler<typeof DescribeLogDirs, RequestContext> = (request, { broker }) => {
  const wanted =
    request.topics ?? broker.topics.list().map((topic) => ({ topic: topic.name, partitions: partitionNumbers(topic) }))
  const topics = wanted.flatMap(({ topic, partitions }) => {
    const partitionCount = broker.topics.get(topic)?.partitionCount ?? 0
    // What is not here is not listed, as in Kafka.
    const here = partitions.filter((partition) => partition >= 0 && partition < partitionCount)
    return here.length === 0 ? [] : [{ name: topic, partitions: here.map((partition) => describe(topic, partition)) }]
  })
  return { results: [{ errorCode: 0, logDir: broker.identity.dataDirectory, topics }] }

  function describe(topic: string, partitionIndex: number) {
    const { sizeBytes } = broker.getLog(topic, partitionIndex)
    return { partitionIndex, partitionSize: sizeBytes, offsetLag: 0, isFutureKey: false }
  }
}
