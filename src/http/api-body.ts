import { isUtf8 } from 'node:buffer'
import { BrokerError } from '../base/broker-error.ts'
import { JSON_DEPTH_MAX, nestsTooDeep, quote } from '../base/untrusted-json.ts'
import { isObject } from './api-fields.ts'

/**
 * Reads the body of a request as a JSON object; an empty body is one without fields. Only own properties of it may be asked
 * for: what a client calls `__proto__` is one like any other.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function parseApiBody(action: string, bytes: Buffer): Readonly<Record<string, unknown>> {
  if (bytes.length === 0) return {}
  if (!isUtf8(bytes)) throw refuse(action, 'with this body: it must be UTF-8')
  if (nestsTooDeep(bytes)) throw refuse(action, `with this body: it nests deeper than ${JSON_DEPTH_MAX} levels`)
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw refuse(action, `with this body: it is not JSON (${reason})`)
  }
  if (isObject(value)) return value
  throw refuse(action, `with the body ${quote(value)}: it must be a JSON object`)
}

function refuse(action: string, what: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `Cannot ${action} ${what}`)
}
