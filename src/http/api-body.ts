import { isUtf8 } from 'node:buffer'
import { BrokerError } from '../base/broker-error.ts'
import { isObject, quote } from './api-fields.ts'

/** Deeper nesting than any request has, and shallow enough to walk without fear for the stack. */
const DEPTH_MAX = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/**
 * Reads the body of a request as a JSON object; an empty body is one without fields. Only own properties of it may be asked
 * for: what a client calls `__proto__` is one like any other.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function parseApiBody(action: string, bytes: Buffer): Readonly<Record<string, unknown>> {
  if (bytes.length === 0) return {}
  if (!isUtf8(bytes)) throw refuse(action, 'with this body: it must be UTF-8')
  if (nestsTooDeep(bytes)) throw refuse(action, `with this body: it nests deeper than ${DEPTH_MAX} levels`)
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

/** Whether JSON is deeper than requests and answers are. JSON.parse takes any depth; whoever walks through the result does not. */
export function nestsTooDeep(bytes: Buffer): boolean {
  let depth = 0
  let isInText = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (isInText) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) isInText = false
    } else if (byte === QUOTE) {
      isInText = true
    } else if (byte === OPENING_BRACE || byte === OPENING_BRACKET) {
      depth++
      if (depth > DEPTH_MAX) return true
    } else if (byte === CLOSING_BRACE || byte === CLOSING_BRACKET) {
      depth--
    }
  }
  return false
}

function refuse(action: string, what: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `Cannot ${action} ${what}`)
}
