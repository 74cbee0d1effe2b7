/** One change to a JSON value. Places are JSON Pointers (RFC 6901). */
export type JsonEdit =
  /** Puts a value there, in the place of whatever is there. What it is in must be there. `json` is its text. */
  | { readonly op: 'set'; readonly path: string; readonly json: string }
  /** Moves what is there to a place where nothing is. */
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'remove'; readonly path: string }

/** A change that cannot be made to this value. The message holds nothing of the value but names of members. */
export class EditRefused extends Error {
  override readonly name = 'EditRefused'
  /** Where it failed. */
  readonly pointer: string

  constructor(pointer: string, message: string) {
    super(message)
    this.pointer = pointer
  }
}

const SPACE = /[\t\n\r ]/
const END_OF_SCALAR = /[\t\n\r ,\]}]/
const WRONG_ESCAPE = /~(?![01])/

/**
 * Splits a JSON Pointer into the names and indexes that it is made of; undefined when it is none.
 */
export function parsePointer(pointer: string): string[] | undefined {
  if (pointer === '') return []
  if (!pointer.startsWith('/') || WRONG_ESCAPE.test(pointer)) return undefined
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * Makes changes to a text that is JSON, one after the other, and returns the text that comes of it. What is not changed
 * stays as it was written, byte for byte: numbers of any size, the order of members, white space.
 *
 * @throws EditRefused
 */
export function editJson(text: string, edits: readonly JsonEdit[]): string {
  return edits.reduce(applyEdit, text)
}

function applyEdit(text: string, edit: JsonEdit): string {
  switch (edit.op) {
    case 'set':
      return set(text, edit.path, edit.json)
    case 'remove':
      return remove(text, edit.path)
    case 'rename':
      return rename(text, edit.from, edit.to)
  }
}

function set(text: string, pointer: string, json: string): string {
  const tokens = tokensOf(pointer)
  const name = tokens.pop()
  if (name === undefined) return json
  const container = openContainer(text, tokens, pointer)
  const found = container.parts.findLast((part) => part.name === name)
  if (found !== undefined) return splice(text, found.valueStart, found.valueEnd, json)
  const { isArray, parts } = container
  if (isArray && name !== '-' && name !== String(parts.length)) {
    throw new EditRefused(pointer, `the array has ${parts.length} items: there is no place ${JSON.stringify(name)}`)
  }
  const end = parts.at(-1)?.valueEnd ?? container.start + 1
  const added = isArray ? json : `${JSON.stringify(name)}:${json}`
  return splice(text, end, end, parts.length === 0 ? added : `,${added}`)
}

function remove(text: string, pointer: string): string {
  const tokens = tokensOf(pointer)
  const name = tokens.pop()
  if (name === undefined) throw new EditRefused(pointer, 'the whole value cannot be removed')
  let left = text
  let { parts } = openContainer(left, tokens, pointer)
  let at = parts.findLastIndex((part) => part.name === name)
  if (at < 0) throw new EditRefused(pointer, 'there is nothing to be removed')
  const { isArray } = openContainer(left, tokens, pointer)
  // A name may stand there twice, and the last one counts: the one before must not come in its place.
  while (at >= 0) {
    const last = at === parts.length - 1
    const start = last && at > 0 ? parts[at - 1].valueEnd : parts[at].start
    left = splice(left, start, last ? parts[at].valueEnd : parts[at + 1].start, '')
    if (isArray) break
    parts = openContainer(left, tokens, pointer).parts
    at = parts.findLastIndex((part) => part.name === name)
  }
  return left
}

function rename(text: string, from: string, to: string): string {
  const fromTokens = tokensOf(from)
  const toTokens = tokensOf(to)
  const name = fromTokens.at(-1)
  const newName = toTokens.at(-1)
  if (name === undefined || newName === undefined) throw new EditRefused(from, 'the whole value has no name')
  const { parts, isArray } = openContainer(text, fromTokens.slice(0, -1), from)
  const found = parts.findLast((part) => part.name === name)
  if (found === undefined) throw new EditRefused(from, 'there is nothing to be renamed')
  const isWithin =
    fromTokens.length === toTokens.length && fromTokens.slice(0, -1).every((token, at) => token === toTokens[at])
  const target = openContainer(text, toTokens.slice(0, -1), to)
  if (target.parts.some((part) => part.name === newName)) throw new EditRefused(to, 'there is something already')
  const isSingle = parts.filter((part) => part.name === name).length === 1
  if (isWithin && !isArray && isSingle) return splice(text, found.start, found.nameEnd, JSON.stringify(newName))
  return set(remove(text, from), to, text.slice(found.valueStart, found.valueEnd))
}

/** An item of an array, or a member of an object with its name. */
interface Part {
  readonly name: string
  readonly start: number
  /** Behind the name; of an item where it starts. */
  readonly nameEnd: number
  readonly valueStart: number
  readonly valueEnd: number
}

interface Container {
  readonly start: number
  readonly isArray: boolean
  readonly parts: readonly Part[]
}

/** The array or object that `tokens` lead to. `pointer` is for the refusal. */
function openContainer(text: string, tokens: readonly string[], pointer: string): Container {
  let container = readContainer(text, skipSpace(text, 0))
  for (const token of tokens) {
    const found = container?.parts.findLast((part) => part.name === token)
    if (found === undefined) throw new EditRefused(pointer, `there is no ${JSON.stringify(token)} on the way`)
    container = readContainer(text, found.valueStart)
  }
  if (container === undefined) throw new EditRefused(pointer, 'what it is in is neither an object nor an array')
  return container
}

function readContainer(text: string, start: number): Container | undefined {
  const isArray = text[start] === '['
  if (!isArray && text[start] !== '{') return undefined
  const parts: Part[] = []
  let at = skipSpace(text, start + 1)
  while (text[at] !== ']' && text[at] !== '}') {
    const partStart = at
    let nameEnd = at
    let name = String(parts.length)
    if (!isArray) {
      nameEnd = skipText(text, at)
      name = JSON.parse(text.slice(at, nameEnd)) as string
      at = skipSpace(text, skipSpace(text, nameEnd) + 1)
    }
    const valueEnd = skipValue(text, at)
    parts.push({ name, start: partStart, nameEnd, valueStart: at, valueEnd })
    at = skipSpace(text, valueEnd)
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return { start, isArray, parts }
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (at < text.length && SPACE.test(text[at])) at++
  return at
}

/** From an opening quote to behind the closing one. */
function skipText(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function skipValue(text: string, start: number): number {
  if (text[start] === '"') return skipText(text, start)
  let at = start
  let depth = 0
  while (at < text.length) {
    const character = text[at]
    if (character === '"') {
      at = skipText(text, at)
      continue
    }
    if (depth === 0 && END_OF_SCALAR.test(character)) return at
    at++
    if (character === '{' || character === '[') depth++
    else if ((character === '}' || character === ']') && --depth === 0) return at
  }
  return at
}

function tokensOf(pointer: string): string[] {
  const tokens = parsePointer(pointer)
  if (tokens === undefined) throw new EditRefused(pointer, 'that is no JSON Pointer')
  return tokens
}

function splice(text: string, start: number, end: number, added: string): string {
  return text.slice(0, start) + added + text.slice(end)
}
