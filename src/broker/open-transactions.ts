import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { GroupCoordinator } from '../groups/coordinator.ts'
import type { LogEngine, PartitionLog } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Store } from '../store/store.ts'
import { TransactionCoordinator } from '../transactions/coordinator.ts'
import type { OpenTransaction } from '../transactions/orphans.ts'
import type { ProducerIds } from '../transactions/producer-ids.ts'
import type { TransactionOptions } from '../transactions/transaction-options.ts'
import type { Topics } from './topics.ts'

/**
 * Opens the transactions on the logs and groups there are, and goes on with those that were under way. All topics must have
 * been loaded.
 *
 * @throws Error when there is a row that this version cannot read
 */
export function openTransactions(parts: {
  readonly store: Store
  readonly engine: LogEngine
  readonly topics: Topics
  readonly groups: GroupCoordinator
  readonly producerIds: ProducerIds
  readonly clock: Clock
  readonly metrics: Metrics
  readonly logger: Logger
  readonly options?: Partial<TransactionOptions>
}): TransactionCoordinator {
  const { engine, topics, groups, ...rest } = parts
  const findLog = (name: string, partition: number) => {
    const topic = topics.get(name)
    return topic === undefined ? undefined : engine.get(topic.name, partition)
  }
  const endOffsets = (producerId: number, isCommit: boolean) => groups.offsets.endTransaction(producerId, isCommit)
  const coordinator = new TransactionCoordinator({ ...rest, targets: { findLog, endOffsets } })
  coordinator.open()
  void abortOrphans(coordinator, topics, findLog)
  return coordinator
}

/**
 * Goes through all partitions, one in a turn, since a log may have to be read for that: nobody waits for it, and who reads
 * committed records stops below what is open in any case.
 */
async function abortOrphans(
  coordinator: TransactionCoordinator,
  topics: Topics,
  findLog: (topic: string, partition: number) => PartitionLog | undefined,
): Promise<void> {
  for (const { name, partitionCount } of topics.list()) {
    for (let partition = 0; partition < partitionCount; partition++) {
      await new Promise((nextTurn) => setImmediate(nextTurn))
      if (coordinator.isClosed) return
      const log = findLog(name, partition)
      if (log !== undefined) coordinator.abortOrphans(listOpen(log))
    }
  }
}

function listOpen(log: PartitionLog): OpenTransaction[] {
  const { topic, partition } = log
  // What has failed cannot be written to before the next start, which looks again.
  if (log.failure !== undefined || log.lastStableOffset === log.logEndOffset) return []
  try {
    const open = log.describeProducers().filter(({ currentTransactionStartOffset: start }) => start >= 0)
    return open.map(({ producerId, producerEpoch }) => ({ producerId, producerEpoch, topic, partition }))
  } catch {
    return []
  }
}
