import type { CreateAcls } from '../apis/30-create-acls.ts'
import type { DeleteAcls } from '../apis/31-delete-acls.ts'
import type { DescribeAcls } from '../apis/29-describe-acls.ts'
import type { ErrorAnswer, RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'

// Nothing checks who may do what, so there is nothing to list, and what is added would protect nothing.

function refuse(context: RequestContext): ErrorAnswer {
  return context.describe(new Refusal('SECURITY_DISABLED', 'There is no authorizer in this broker'))
}

/** There are none to list. */
export const describeAcls: Handler<typeof DescribeAcls, RequestContext> = (_request, context) => ({
  ...refuse(context),
  resources: [],
})

/** None are taken. */
export const createAcls: Handler<typeof CreateAcls, RequestContext> = ({ creations }, context) => {
  const refused = refuse(context)
  return { results: creations.map(() => refused) }
}

/** None are there to be removed. */
export const deleteAcls: Handler<typeof DeleteAcls, RequestContext> = ({ filters }, context) => {
  const refused = { ...refuse(context), matchingAcls: [] }
  return { filterResults: filters.map(() => refused) }
}
