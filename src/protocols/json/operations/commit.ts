import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import type { OffsetToCommit } from '../../../groups/group-offsets.ts'
import { OUTSIDER } from '../../../groups/group-offsets.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Operation } from '../context.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'

/** Stores the next offset that a group wants of a partition. */
export const commit: Operation<'COMMIT'> = async ({ broker }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  const group = fields.text('group')
  const offset = fields.integer('offset', OFFSET_RANGE)
  broker.getLog(topic, partition)
  await commitByHand(broker, group, { topic, partition, offset })
  return { ok: true }
}

/** For consumers that choose their partitions by themselves. Groups with members are theirs alone. */
function commitByHand(broker: Broker, group: string, offset: OffsetToCommit): Promise<void> {
  return new Promise((resolve, reject) => {
    broker.groups.offsets.commit({ group, member: OUTSIDER, offsets: [offset] }, (answer) => {
      const refusal = isRefusal(answer) ? answer : answer.refusals[0]
      if (refusal === undefined) resolve()
      else reject(new BrokerError(refusal.error, refusal.message))
    })
  })
}
