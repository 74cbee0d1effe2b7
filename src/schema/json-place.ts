/** A place in a text as editors count it, both from 1. */
export interface TextPlace {
  readonly line: number
  readonly column: number
}

/** What is wrong with a text that is not JSON, and where. */
export interface JsonTextFault extends TextPlace {
  readonly message: string
}

/** One step of a JSON Pointer, escaped. */
export function escapePointerToken(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Where a position in a text is, for people. */
export function placeAt(text: string, position: number): TextPlace {
  const before = text.slice(0, position)
  const line = before.split('\n').length
  return { line, column: position - (before.lastIndexOf('\n') + 1) + 1 }
}

/** Says where a text stops being JSON; undefined if it is JSON all through. For texts of a few dozen kilobytes. */
export function findJsonFault(text: string): JsonTextFault | undefined {
  const walker = new JsonWalker(text)
  try {
    walker.walkDocument()
    return undefined
  } catch (error) {
    if (!(error instanceof NotJson)) throw error
    return { ...placeAt(text, error.position), message: error.message }
  }
}

/** The place of the value that a JSON Pointer leads to, or of the nearest value around it that is there. */
export function findPointerPlace(text: string, pointer: string): TextPlace {
  const walker = new JsonWalker(text)
  try {
    walker.walkDocument()
  } catch (error) {
    if (!(error instanceof NotJson)) throw error
  }
  let position: number | undefined
  for (let wanted = pointer; position === undefined; wanted = wanted.slice(0, wanted.lastIndexOf('/'))) {
    position = walker.positions.get(wanted)
    if (wanted === '') break
  }
  return placeAt(text, position ?? 0)
}

class NotJson extends Error {
  readonly position: number

  constructor(position: number, message: string) {
    super(message)
    this.position = position
  }
}

const DEPTH_MAX = 200
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const STRING = /"(?:[^"\\\t\r\n]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const WORD = /true|false|null/y
const SPACE = /[ \t\r\n]*/y

/** Goes through JSON text and notes where each value begins, by its JSON Pointer. */
class JsonWalker {
  readonly positions = new Map<string, number>()
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  walkDocument(): void {
    this.#walkValue('', 0)
    if (this.#at < this.#text.length) throw this.#fault('something follows the value: only one may be there')
  }

  #walkValue(pointer: string, depth: number): void {
    this.#take(SPACE)
    this.positions.set(pointer, this.#at)
    if (depth > DEPTH_MAX) throw this.#fault(`it is nested more than ${DEPTH_MAX} deep`)
    switch (this.#text[this.#at]) {
      case '{': {
        this.#walkMembers(pointer, depth)
        break
      }
      case '[': {
        this.#walkItems(pointer, depth)
        break
      }
      case '"': {
        if (this.#take(STRING) === undefined) throw this.#fault('a text begins here that does not end, or is malformed')
        break
      }
      default: {
        if (this.#take(NUMBER) === undefined && this.#take(WORD) === undefined) {
          throw this.#fault(this.#at < this.#text.length ? 'a value is wanted here' : 'the text ends too early')
        }
      }
    }
    this.#take(SPACE)
  }

  #walkMembers(pointer: string, depth: number): void {
    this.#at++
    this.#take(SPACE)
    if (this.#skip('}')) return
    const names = new Set<string>()
    do {
      this.#take(SPACE)
      const start = this.#at
      const quoted = this.#take(STRING)
      if (quoted === undefined) throw this.#fault('the name of a member is wanted here, in double quotes')
      const name = String(JSON.parse(quoted))
      if (names.has(name)) {
        this.#at = start
        throw this.#fault(`${JSON.stringify(name)} is there twice`)
      }
      names.add(name)
      this.#take(SPACE)
      if (!this.#skip(':')) throw this.#fault('a colon is wanted here')
      this.#walkValue(`${pointer}/${escapePointerToken(name)}`, depth + 1)
    } while (this.#skip(','))
    if (!this.#skip('}')) throw this.#fault('a comma or } is wanted here')
  }

  #walkItems(pointer: string, depth: number): void {
    this.#at++
    this.#take(SPACE)
    if (this.#skip(']')) return
    let index = 0
    do this.#walkValue(`${pointer}/${index++}`, depth + 1)
    while (this.#skip(','))
    if (!this.#skip(']')) throw this.#fault('a comma or ] is wanted here')
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take(expression: RegExp): string | undefined {
    expression.lastIndex = this.#at
    const found = expression.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #fault(message: string): NotJson {
    return new NotJson(this.#at, message)
  }
}
