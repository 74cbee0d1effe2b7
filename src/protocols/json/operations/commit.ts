import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import type { MemberOfGeneration } from '../../../groups/classic-messages.ts'
import type { CommitRequest } from '../../../groups/group-offsets.ts'
import { OUTSIDER } from '../../../groups/group-offsets.ts'
import { isRefusal } from '../../../groups/outcome.ts'
import type { Operation } from '../context.ts'
import type { Fields } from '../fields.ts'
import { OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'

const GENERATION_RANGE = { min: 0, max: 0x7fffffff }

/** Stores the next offset that a group wants of a partition. */
export const commit: Operation<'COMMIT'> = async ({ broker }, fields) => {
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  const group = fields.text('group')
  const offset = fields.integer('offset', OFFSET_RANGE)
  const member = readMember(fields)
  broker.getLog(topic, partition)
  await store(broker, { group, member, offsets: [{ topic, partition, offset }] })
  return { ok: true }
}

/** Groups with members are theirs alone; others are open to consumers that choose their partitions by themselves. */
function readMember(fields: Fields): MemberOfGeneration {
  const isMember =
    fields.optionalText('memberId') !== undefined ||
    fields.optionalInteger('generation', GENERATION_RANGE) !== undefined
  if (!isMember) return OUTSIDER
  return { memberId: fields.text('memberId'), generation: fields.integer('generation', GENERATION_RANGE) }
}

function store(broker: Broker, request: CommitRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    broker.groups.offsets.commit(request, (answer) => {
      const refusal = isRefusal(answer) ? answer : answer.refusals[0]
      if (refusal === undefined) return resolve()
      // Who knows nothing of members knows none of their errors.
      const code =
        request.member === OUTSIDER && refusal.error === 'UNKNOWN_MEMBER_ID' ? 'INVALID_REQUEST' : refusal.error
      reject(new BrokerError(code, refusal.message))
    })
  })
}
