import { isUtf8 } from 'node:buffer'
import { BrokerError } from '../../base/broker-error.ts'
import type { OperationName } from './wire.ts'

/** Deeper nesting than any message has, and shallow enough to walk without fear for the stack. */
const DEPTH_MAX = 64
const QUOTED_CHARACTERS_MAX = 80

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

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
  if (nestsTooDeep(bytes)) throw refuse(operation, 'with this payload', `it nests deeper than ${DEPTH_MAX} levels`)
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw refuse(operation, 'with this payload', `it is not JSON (${reason})`)
  }
}

// JSON.parse itself takes any depth; whoever walks through the result afterwards would not.
function nestsTooDeep(bytes: Buffer): boolean {
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

/** The refusal of a request: `Cannot take FETCH without "offset": a whole number is needed`. */
export function refuse(operation: OperationName, what: string, right: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `Cannot take ${operation} ${what}: ${right}`)
}

/** A value as it stood in the request, cut short when it is long. */
export function quote(value: unknown): string {
  // A number that became Infinity when it was parsed has no other JSON than null.
  if (typeof value === 'number') return String(value)
  const text =
    JSON.stringify(typeof value === 'string' ? value.slice(0, QUOTED_CHARACTERS_MAX + 1) : value) ?? 'nothing'
  return text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX)}…` : text
}
