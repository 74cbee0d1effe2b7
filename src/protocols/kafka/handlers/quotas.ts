import type { DescribeClientQuotas } from '../apis/48-describe-client-quotas.ts'
import type { AlterClientQuotas } from '../apis/49-alter-client-quotas.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'

// Nobody is slowed down, so no quota that is set would be kept.

/** There are none. */
export const describeClientQuotas: Handler<typeof DescribeClientQuotas, RequestContext> = () => ({
  errorCode: 0,
  errorMessage: null,
  entries: [],
})

/** None can be set; removing them is done before it begins. */
export const alterClientQuotas: Handler<typeof AlterClientQuotas, RequestContext> = ({ entries }, context) => ({
  entries: entries.map(({ entity, ops }) => {
    const op = ops.find(({ remove }) => !remove)
    if (op === undefined) return { errorCode: 0, errorMessage: null, entity }
    const message = `Cannot set the quota ${JSON.stringify(op.key)}: this broker slows nobody down`
    return { ...context.describe(new Refusal('INVALID_REQUEST', message)), entity }
  }),
})
