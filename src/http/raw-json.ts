const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d
const SPACE_MAX = 0x20

/** Where a value lies: from its first byte to before the one behind its last. */
export interface RawValue {
  readonly start: number
  readonly end: number
}

/**
 * Finds where in an object the value of a member lies, as it was written: what JSON.parse makes of it has lost digits of
 * large numbers and the order of keys. `bytes` are valid JSON, with the object at `at`. Of a member that is there twice the
 * last one counts, as for JSON.parse.
 */
export function findRawMember(bytes: Buffer, at: number, name: string): RawValue | undefined {
  let found: RawValue | undefined
  let next = skipSpace(bytes, skipSpace(bytes, at) + 1)
  while (bytes[next] !== CLOSING_BRACE) {
    const nameEnd = endOfText(bytes, next)
    const isIt = readText(bytes, next, nameEnd) === name
    // Behind the name there is a colon.
    const start = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1)
    const end = endOfValue(bytes, start)
    if (isIt) found = { start, end }
    next = skipSpace(bytes, end)
    if (bytes[next] === COMMA) next = skipSpace(bytes, next + 1)
  }
  return found
}

/** Calls `visit` with where each item of the array at `at` begins. */
export function visitRawItems(bytes: Buffer, at: number, visit: (at: number, index: number) => void): void {
  let next = skipSpace(bytes, at + 1)
  for (let index = 0; bytes[next] !== CLOSING_BRACKET; index++) {
    visit(next, index)
    next = skipSpace(bytes, endOfValue(bytes, next))
    if (bytes[next] === COMMA) next = skipSpace(bytes, next + 1)
  }
}

function skipSpace(bytes: Buffer, at: number): number {
  while (bytes[at] <= SPACE_MAX) at++
  return at
}

function endOfValue(bytes: Buffer, at: number): number {
  if (bytes[at] === QUOTE) return endOfText(bytes, at)
  if (bytes[at] !== OPENING_BRACE && bytes[at] !== OPENING_BRACKET) return endOfWord(bytes, at)
  let depth = 0
  for (;;) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = endOfText(bytes, at)
      continue
    }
    at++
    if (byte === OPENING_BRACE || byte === OPENING_BRACKET) depth++
    else if ((byte === CLOSING_BRACE || byte === CLOSING_BRACKET) && --depth === 0) return at
  }
}

function endOfText(bytes: Buffer, at: number): number {
  at++
  while (bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at + 1
}

/** Of a number, `true`, `false` or `null`. */
function endOfWord(bytes: Buffer, at: number): number {
  for (;;) {
    const byte = bytes[at]
    if (byte === undefined || byte === COMMA || byte === CLOSING_BRACE || byte === CLOSING_BRACKET) return at
    if (byte <= SPACE_MAX) return at
    at++
  }
}

/** A text with quotes around it. */
function readText(bytes: Buffer, start: number, end: number): unknown {
  const quoted = bytes.toString('utf8', start, end)
  return quoted.includes('\\') ? JSON.parse(quoted) : quoted.slice(1, -1)
}
