import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import type { CommittedOffset } from '../../../groups/committed-offsets.ts'
import { quote } from '../payload.ts'
import type { GroupOffset } from '../wire.ts'

/**
 * What a group has committed, and how far it is behind.
 *
 * @throws BrokerError GROUP_ID_NOT_FOUND for a group that has no committed offsets
 */
export function describeOffsets(broker: Broker, group: string): readonly GroupOffset[] {
  const committed = broker.committedOffsets.list(group)
  if (committed === undefined) {
    const message = `There is no group ${quote(group)}: a group exists while it has committed offsets`
    throw new BrokerError('GROUP_ID_NOT_FOUND', message)
  }
  return committed.flatMap((offset) => describeOffset(broker, offset))
}

function describeOffset(broker: Broker, committed: CommittedOffset): readonly GroupOffset[] {
  const { topic, partition, offset, committedAtMs } = committed
  // A topic goes a moment before the offsets in it do.
  if (broker.topics.get(topic) === undefined) return []
  const { logStartOffset, logEndOffset } = broker.getLog(topic, partition)
  const lag = Math.max(0, logEndOffset - offset)
  return [{ topic, partition, offset, committedAt: committedAtMs, logStartOffset, logEndOffset, lag }]
}
