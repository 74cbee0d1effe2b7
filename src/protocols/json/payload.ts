import { isUtf8 } from 'node:buffer'
import { BrokerError } from '../../base/broker-error.ts'
import { JSON_DEPTH_MAX, nestsTooDeep, quote } from '../../base/untrusted-json.ts'
import type { OperationName } from './wire.ts'

/**
 * Reads the payload of a frame, `bytes`, as a JSON object. Only own properties of it may be asked for: what a client
 * calls `__proto__` is one like any other.
 *
 * @throws BrokerError INVALID_REQUEST that says what is wrong and where
 */
export function parsePayload(operation: OperationName, bytes: Buffer): Record<string, unknown> {
  const object = parseJson(operation, bytes)
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw refuse(operation, `with the payload ${quote(object)}`, 'it must be a JSON object')
  }
  return object as Record<string, unknown>
}

function parseJson(operation: OperationName, bytes: Buffer): unknown {
  if (bytes.length === 0) throw refuse(operation, 'with an empty payload', 'it must be a JSON object')
  if (!isUtf8(bytes)) throw refuse(operation, 'with this payload', 'it must be UTF-8')
  if (nestsTooDeep(bytes)) throw refuse(operation, 'with this payload', `it nests deeper than ${JSON_DEPTH_MAX} levels`)
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw refuse(operation, 'with this payload', `it is not JSON (${reason})`)
  }
}

/** The refusal of a request: `Cannot take FETCH without "offset": a whole number is needed`. */
export function refuse(operation: OperationName, what: string, right: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `Cannot take ${operation} ${what}: ${right}`)
}
