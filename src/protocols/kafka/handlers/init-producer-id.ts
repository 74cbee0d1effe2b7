import type { InitProducerId } from '../apis/22-init-producer-id.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { codeForProducer } from './transactions.ts'

/** The first version that knows PRODUCER_FENCED. */
const FENCED_SINCE = 4
const NONE = -1
/** @platformatic/kafka says 0 for none. There is no such producer. */
const NOBODY = 0

/** Gives a producer its identity: a new one each time, or the next one of its transactional id. */
export const initProducerId: Handler<typeof InitProducerId, RequestContext> = async (request, context) => {
  const { transactionalId, transactionTimeoutMs, producerId, producerEpoch } = request
  const { producerIds, transactions } = context.broker
  try {
    if (transactionalId === null) return { errorCode: 0, producerId: await producerIds.next(), producerEpoch: 0 }
    if ((producerId === NONE) !== (producerEpoch === NONE)) {
      const reason = `producer ${producerId} and epoch ${producerEpoch} do not go together`
      throw new Refusal('INVALID_REQUEST', `Cannot initialise a transactional id: ${reason}`)
    }
    const isSomebody = producerId !== NONE && producerId !== NOBODY
    const expected = isSomebody ? { producerId, producerEpoch } : undefined
    const made = await transactions.initProducer({ transactionalId, timeoutMs: transactionTimeoutMs, expected })
    return { errorCode: 0, ...made }
  } catch (error) {
    return { errorCode: codeForProducer(context, FENCED_SINCE, error), producerId: NONE, producerEpoch: NONE }
  }
}
