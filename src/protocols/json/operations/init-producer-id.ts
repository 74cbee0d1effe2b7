import type { Operation } from '../context.ts'

const PRODUCER_ID_RANGE = { min: 0, max: Number.MAX_SAFE_INTEGER }
const EPOCH_RANGE = { min: 0, max: 0x7fff }

/** Gives a producer its identity: a new one, or the next epoch of the one that it says it has. */
export const initProducerId: Operation<'INIT_PRODUCER_ID'> = async ({ broker }, fields) => {
  const isRenewal =
    fields.optionalInteger('producerId', PRODUCER_ID_RANGE) !== undefined ||
    fields.optionalInteger('producerEpoch', EPOCH_RANGE) !== undefined
  if (!isRenewal) return { ok: true, producerId: await broker.producerIds.next(), producerEpoch: 0 }
  const producerId = fields.integer('producerId', PRODUCER_ID_RANGE)
  const producerEpoch = fields.integer('producerEpoch', EPOCH_RANGE)
  return { ok: true, ...(await broker.producerIds.renew({ producerId, producerEpoch })) }
}
