import type { Broker } from '../../../broker/broker.ts'
import type { Operation } from '../context.ts'

/** What is running, since when, and where. */
export const brokerInfo: Operation<'BROKER_INFO'> = ({ broker }) => {
  const address = (door: string) => broker.addresses.get(door) ?? ''
  const { version, clusterId, startedAtMs, dataDirectory, flushPolicy } = broker.identity
  return {
    version,
    clusterId,
    startedAt: startedAtMs,
    dataDir: dataDirectory,
    flushPolicy,
    addresses: { json: address('json'), kafka: address('kafka'), http: address('http') },
    status: hasFailedPartition(broker) ? 'degraded' : 'ok',
  }
}

function hasFailedPartition(broker: Broker): boolean {
  for (const { name, partitionCount } of broker.topics.list()) {
    for (let partition = 0; partition < partitionCount; partition++) {
      if (broker.getLog(name, partition).failure !== undefined) return true
    }
  }
  return false
}
