// What comes from outside as JSON: looked at before it is parsed, and quoted when it is refused.

/** Deeper nesting than any message has, and shallow enough to walk without fear for the stack. */
export const JSON_DEPTH_MAX = 64
const QUOTED_CHARACTERS_MAX = 80

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/** Whether JSON is deeper than any message. JSON.parse takes any depth; whoever walks through the result does not. */
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
      if (depth > JSON_DEPTH_MAX) return true
    } else if (byte === CLOSING_BRACE || byte === CLOSING_BRACKET) {
      depth--
    }
  }
  return false
}

/** A value as it stood in the request, cut short when it is long. */
export function quote(value: unknown): string {
  // A number that became Infinity when it was parsed has no other JSON than null.
  if (typeof value === 'number') return String(value)
  const text =
    JSON.stringify(typeof value === 'string' ? value.slice(0, QUOTED_CHARACTERS_MAX + 1) : value) ?? 'nothing'
  return text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX)}…` : text
}
