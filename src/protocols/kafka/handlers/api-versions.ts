import type { ApiVersions } from '../apis/18-api-versions.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'

/** Kafka's rule for the name and version of a client. */
const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/
const NAMED_SINCE = 3

/** Lists what is registered. */
export const apiVersions: Handler<typeof ApiVersions, RequestContext> = (request, context) => {
  const names = [request.clientSoftwareName, request.clientSoftwareVersion]
  if (context.version >= NAMED_SINCE && !names.every((name) => SOFTWARE_NAME.test(name))) {
    return { errorCode: context.refuse('INVALID_REQUEST'), apiKeys: [] }
  }
  return { errorCode: 0, apiKeys: context.parts.advertise() }
}
