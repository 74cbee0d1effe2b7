import type { SaslHandshake } from '../apis/17-sasl-handshake.ts'
import type { SaslAuthenticate } from '../apis/36-sasl-authenticate.ts'
import type { DescribeUserScramCredentials } from '../apis/50-describe-user-scram-credentials.ts'
import type { AlterUserScramCredentials } from '../apis/51-alter-user-scram-credentials.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'

// Nobody has to say who they are. Clients that want to are answered as a listener of Kafka's without authentication does.

const NO_BYTES = Buffer.alloc(0)

/** There is no mechanism to be picked. */
export const saslHandshake: Handler<typeof SaslHandshake, RequestContext> = (_request, context) => ({
  errorCode: context.refuse('ILLEGAL_SASL_STATE'),
  mechanisms: [],
})

/** Nothing has begun that could go on. */
export const saslAuthenticate: Handler<typeof SaslAuthenticate, RequestContext> = (_request, context) => ({
  ...context.describe(new Refusal('ILLEGAL_SASL_STATE', 'This broker asks nobody for authentication')),
  authBytes: NO_BYTES,
})

/** There are no users. */
export const describeUserScramCredentials: Handler<typeof DescribeUserScramCredentials, RequestContext> = (
  { users },
  context,
) => {
  const isTwice = new Map<string, boolean>()
  for (const { name } of users ?? []) isTwice.set(name, isTwice.has(name))
  const results = Array.from(isTwice, ([user, isNamedTwice]) => {
    const refusal = isNamedTwice
      ? new Refusal('DUPLICATE_RESOURCE', `Cannot describe user ${JSON.stringify(user)} twice: once is enough`)
      : notThere('describe', user)
    return { user, ...context.describe(refusal), credentialInfos: [] }
  })
  return { errorCode: 0, errorMessage: null, results }
}

/** None are taken, and none are there to be removed. */
export const alterUserScramCredentials: Handler<typeof AlterUserScramCredentials, RequestContext> = (
  { deletions, upsertions },
  context,
) => {
  const refusals = new Map<string, Refusal>()
  for (const { name } of deletions) refusals.set(name, notThere('delete', name))
  for (const { name } of upsertions) {
    const message = `Cannot set a password for user ${JSON.stringify(name)}: this broker asks nobody for authentication`
    refusals.set(name, new Refusal('UNSUPPORTED_SASL_MECHANISM', message))
  }
  return { results: [...refusals].map(([user, refusal]) => ({ user, ...context.describe(refusal) })) }
}

function notThere(action: string, user: string): Refusal {
  return new Refusal('RESOURCE_NOT_FOUND', `Cannot ${action} user ${JSON.stringify(user)}: there are no users here`)
}
