/**
 * Work on JSON as text. A payload never goes through JSON.parse and back: a double would round its large integers, and
 * duplicate members, number spellings and escapes would change. All functions but `isJsonText` want valid JSON.
 */

/** Whether the text is one valid JSON value. */
export function isJsonText(text: string): boolean {
  if (!/^[\s]*[-{["\dtfn]/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The tokens of a JSON text, without the white space between them. */
function* tokensOf(text: string): Generator<string> {
  let at = 0
  while (at < text.length) {
    const begin = at
    const character = text[at] ?? ''
    if (character === '"') {
      at = endOfString(text, at)
      yield text.slice(begin, at)
    } else if ('{}[]:,'.includes(character)) {
      at++
      yield character
    } else if (' \t\r\n'.includes(character)) {
      at++
    } else {
      while (at < text.length && !' \t\r\n{}[]:,"'.includes(text[at] ?? '')) at++
      yield text.slice(begin, at)
    }
  }
}

function endOfString(text: string, begin: number): number {
  let at = begin + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return text.length
    let backslashes = 0
    while (text[quote - 1 - backslashes] === '\\') backslashes++
    at = quote + 1
    if (backslashes % 2 === 0) return at
  }
}

/** The same value without white space between tokens. */
export function compactJson(text: string): string {
  let compact = ''
  for (const token of tokensOf(text)) compact += token
  return compact
}

/** How a token is dressed: `kind` is what it is. */
export type Paint = (token: string, kind: 'key' | 'string' | 'number' | 'word' | 'mark') => string

/** The same value with colours, on one line. */
export function paintJson(text: string, paint: Paint): string {
  let painted = ''
  visitTokens(text, (token, kind) => {
    painted += paint(token, kind)
  })
  return painted
}

/** The same value indented by two spaces, one member a line. */
export function indentJson(text: string, paint: Paint): string {
  let out = ''
  let depth = 0
  let previous = ''
  visitTokens(text, (token, kind) => {
    const isClosing = token === '}' || token === ']'
    if (isClosing) depth--
    const opened = previous === '{' || previous === '['
    if (isClosing ? !opened : opened || previous === ',') out += `\n${'  '.repeat(depth)}`
    else if (previous === ':') out += ' '
    out += paint(token, kind)
    if (token === '{' || token === '[') depth++
    previous = token
  })
  return out
}

function visitTokens(text: string, visit: (token: string, kind: Parameters<Paint>[1]) => void) {
  let pendingString: string | undefined
  for (const token of tokensOf(text)) {
    // A string is a member's name when a colon follows.
    if (pendingString !== undefined) visit(pendingString, token === ':' ? 'key' : 'string')
    pendingString = undefined
    if (token.startsWith('"')) pendingString = token
    else if ('{}[]:,'.includes(token)) visit(token, 'mark')
    else visit(token, /^[-\d]/.test(token) ? 'number' : 'word')
  }
  if (pendingString !== undefined) visit(pendingString, 'string')
}

/** The members of a JSON object, each value as the text that stood there; of duplicates the last, as JSON.parse does. */
export function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>()
  const marks = /["{}[\]:,]/g
  let depth = 0
  let name: string | undefined
  let valueBegin = -1
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) {
    const at = mark.index
    const character = mark[0]
    if (character === '"') {
      marks.lastIndex = endOfString(text, at)
      if (depth === 1 && name === undefined) name = JSON.parse(text.slice(at, marks.lastIndex)) as string
      continue
    }
    if (character === '}' || character === ']') depth--
    if (depth === 1 && character === ':' && valueBegin < 0) valueBegin = at + 1
    if ((depth === 1 && character === ',') || (depth === 0 && character === '}')) {
      if (name !== undefined) members.set(name, text.slice(valueBegin, at).trim())
      name = undefined
      valueBegin = -1
    }
    if (character === '{' || character === '[') depth++
  }
  return members
}
