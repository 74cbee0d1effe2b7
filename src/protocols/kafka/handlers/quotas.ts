import type { DescribeClientQuotas } from '../apis/48-describe-client-quotas.ts'
import type { DescribeUserScramCredentials } from '../apis/50-describe-user-scram-credentials.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'

// Clients have no quotas and users no passwords here. Tools that list all settings of users and clients ask for both.

/** There are none, whatever is filtered. */
export const describeClientQuotas: Handler<typeof DescribeClientQuotas, RequestContext> = () => ({
  errorCode: 0,
  errorMessage: null,
  entries: [],
})

/** There are none to list, and nobody who could be asked about. */
export const describeUserScramCredentials: Handler<typeof DescribeUserScramCredentials, RequestContext> = (
  { users },
  context,
) => {
  const names = new Set((users ?? []).map(({ name }) => name))
  const unknown = (user: string) => new Refusal('RESOURCE_NOT_FOUND', `There is no user ${JSON.stringify(user)}`)
  const results = [...names].map((user) => ({ user, ...context.describe(unknown(user)), credentialInfos: [] }))
  return { errorCode: 0, errorMessage: null, results }
}
