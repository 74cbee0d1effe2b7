import { isUtf8 } from 'node:buffer'

import type { JsonLimits } from './limits.ts'

/** Why some bytes are not taken for JSON. */
export type JsonFaultReason = 'parse' | 'too_large' | 'too_deep'

/** JSON that is malformed, or more than it may be. The message holds nothing of the text. */
export class JsonFault extends Error {
  override readonly name = 'JsonFault'
  readonly reason: JsonFaultReason

  constructor(reason: JsonFaultReason, message: string) {
    // One batch may hold thousands of bad records, and where in the code they were found is of no interest.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
    this.reason = reason
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/**
 * Parses JSON that anyone may have sent. How large and how deep it is, is counted first, in one pass that stops at the
 * first thing too much: ten megabytes of `[` cost no more than a hundred bytes of them. A key `__proto__` becomes a property
 * like any other, which is how JSON.parse has it; look properties up with `Object.hasOwn`.
 *
 * @throws JsonFault
 */
export function parseGuardedJson(bytes: Buffer, limits: JsonLimits): unknown {
  if (bytes.length > limits.bytesMax) {
    throw new JsonFault('too_large', `it has ${bytes.length} bytes: ${limits.bytesMax} are the most`)
  }
  if (!isUtf8(bytes)) throw new JsonFault('parse', 'it is not UTF-8 text')
  checkShape(bytes, limits)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new JsonFault('parse', bytes.length === 0 ? 'it is empty, which is not JSON' : 'it is not JSON')
  }
}

function checkShape(bytes: Buffer, { depthMax, keysMax, valuesMax }: JsonLimits): void {
  let depth = 0
  let keys = 0
  let values = 1
  const end = bytes.length
  for (let at = 0; at < end; at++) {
    switch (bytes[at]) {
      case QUOTE: {
        at++
        while (at < end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
        break
      }
      case OPEN_BRACKET:
      case OPEN_BRACE: {
        values++
        if (++depth > depthMax) {
          throw new JsonFault('too_deep', `its arrays and objects are nested more than ${depthMax} deep`)
        }
        break
      }
      case CLOSE_BRACKET:
      case CLOSE_BRACE: {
        depth--
        break
      }
      case COMMA: {
        if (++values > valuesMax) throw new JsonFault('too_large', `it has more than ${valuesMax} values`)
        break
      }
      case COLON: {
        if (++keys > keysMax) throw new JsonFault('too_large', `it has more than ${keysMax} keys`)
        break
      }
    }
  }
}
