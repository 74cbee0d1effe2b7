import { SCHEMA_LIMITS } from './limits.ts'

/** A pattern that is not taken. The message says why, and what is taken. */
export class PatternRefused extends Error {
  override readonly name = 'PatternRefused'
}

/** What one character is compared with. */
export type CharacterTest =
  | { readonly kind: 'literal'; readonly codePoint: number }
  /** As an expression that decides about a text of exactly one character. */
  | { readonly kind: 'class'; readonly source: string }

export type PatternNode =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly part: PatternNode; readonly min: number; readonly max: number }
  | { readonly kind: 'start' | 'end' | 'boundary' | 'noBoundary' }

const DEPTH_MAX = 50
const REPEAT_MAX = 1_000
const QUANTIFIER = /\{(\d{1,9})(?:(,)(\d{1,9})?)?\}/y
const ESCAPE = /\\(?:[pP]\{[\w=]{1,60}\}|u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|[^])/uy
const CLASS = /\[(?:\\[^]|[^\]\\])*\]/uy
const CONTROLS = new Map([
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
  ['f', 0x0c],
  ['0', 0],
])

/**
 * Reads a regular expression in the syntax of ECMA-262 with Unicode, as JSON Schema has it: literals, classes with ranges and
 * properties, groups, `|`, all quantifiers, `^`, `$`, `\b`. What cannot be matched in linear time, back-references and
 * looking around, is refused.
 *
 * @throws PatternRefused
 */
export function parsePattern(text: string): PatternNode {
  if (text.length > SCHEMA_LIMITS.patternCharactersMax) {
    throw new PatternRefused(
      `a pattern of ${text.length} characters is too long: ${SCHEMA_LIMITS.patternCharactersMax} are the most`,
    )
  }
  return new PatternParser(text).parse()
}

class PatternParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): PatternNode {
    const node = this.#parseChoice(0)
    if (this.#at < this.#text.length) throw this.#refuse('a ) closes nothing')
    return node
  }

  #parseChoice(depth: number): PatternNode {
    if (depth > DEPTH_MAX) throw this.#refuse(`groups are nested more than ${DEPTH_MAX} deep`)
    const parts = [this.#parseSequence(depth)]
    while (this.#skip('|')) parts.push(this.#parseSequence(depth))
    return parts.length === 1 ? parts[0] : { kind: 'choice', parts }
  }

  #parseSequence(depth: number): PatternNode {
    const parts: PatternNode[] = []
    while (this.#at < this.#text.length && this.#text[this.#at] !== '|' && this.#text[this.#at] !== ')') {
      parts.push(this.#parseQuantifier(this.#parseAtom(depth)))
    }
    return parts.length === 1 ? parts[0] : { kind: 'sequence', parts }
  }

  #parseQuantifier(part: PatternNode): PatternNode {
    let min: number
    let max: number
    if (this.#skip('*')) [min, max] = [0, Infinity]
    else if (this.#skip('+')) [min, max] = [1, Infinity]
    else if (this.#skip('?')) [min, max] = [0, 1]
    else {
      const found = this.#take(QUANTIFIER)
      if (found === undefined) return part
      min = Number(found[1])
      max = found[2] === undefined ? min : found[3] === undefined ? Infinity : Number(found[3])
      if (max < min) throw this.#refuse(`${found[0]} wants more than it allows`)
      if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX)) {
        throw this.#refuse(`${found[0]} repeats too often: ${REPEAT_MAX} is the most`)
      }
    }
    // How much a quantifier likes to take does not change whether there is a match.
    this.#skip('?')
    const isRepeatable =
      part.kind === 'character' || part.kind === 'sequence' || part.kind === 'choice' || part.kind === 'repeat'
    if (!isRepeatable) throw this.#refuse('an assertion cannot be repeated')
    if (/^[*+?]|^\{\d/.test(this.#text.slice(this.#at, this.#at + 2)))
      throw this.#refuse('one quantifier follows another')
    return { kind: 'repeat', part, min, max }
  }

  #parseAtom(depth: number): PatternNode {
    const character = this.#text[this.#at]
    switch (character) {
      case '^':
        this.#at++
        return { kind: 'start' }
      case '$':
        this.#at++
        return { kind: 'end' }
      case '(':
        return this.#parseGroup(depth)
      case '[':
        return this.#parseClass()
      case '\\':
        return this.#parseEscape()
      case '.':
        this.#at++
        return { kind: 'character', test: { kind: 'class', source: '.' } }
      case '*':
      case '+':
      case '?':
        throw this.#refuse(`there is nothing before ${character} to repeat`)
    }
    const codePoint = this.#text.codePointAt(this.#at) ?? 0
    this.#at += codePoint > 0xffff ? 2 : 1
    return literal(codePoint)
  }

  #parseGroup(depth: number): PatternNode {
    this.#at++
    if (this.#skip('?')) {
      if (!this.#skip(':') && this.#take(/<[A-Za-z_$][\w$]{0,60}>/y) === undefined) {
        throw this.#refuse('looking ahead or behind is not taken: nothing can do it in linear time')
      }
    }
    const inside = this.#parseChoice(depth + 1)
    if (!this.#skip(')')) throw this.#refuse('a group is not closed')
    return inside.kind === 'start' ||
      inside.kind === 'end' ||
      inside.kind === 'boundary' ||
      inside.kind === 'noBoundary'
      ? { kind: 'sequence', parts: [inside] }
      : inside
  }

  #parseClass(): PatternNode {
    const found = this.#take(CLASS)
    if (found === undefined) throw this.#refuse('a class is not closed')
    return this.#classNode(found[0])
  }

  #parseEscape(): PatternNode {
    const found = this.#take(ESCAPE)
    if (found === undefined) throw this.#refuse('a \\ stands at the end')
    const escape = found[0].slice(1)
    if (escape === 'b') return { kind: 'boundary' }
    if (escape === 'B') return { kind: 'noBoundary' }
    if (/^[1-9]$/.test(escape) || escape === 'k') {
      throw this.#refuse(`a back-reference, \\${escape}, is not taken: nothing can do it in linear time`)
    }
    if (/^[dDwWsS]$|^[pP]\{/.test(escape)) return this.#classNode(found[0])
    if (/^u\{|^[ux][0-9a-fA-F]/.test(escape)) return literal(this.#codePointOf(escape.replace(/[ux{}]/g, '')))
    if (/^c[A-Za-z]$/.test(escape)) return literal(escape.charCodeAt(1) % 32)
    const control = CONTROLS.get(escape)
    if (control !== undefined) return literal(control)
    if (/^[A-Za-z]/.test(escape)) throw this.#refuse(`\\${escape} means nothing`)
    return literal(escape.codePointAt(0) ?? 0)
  }

  #codePointOf(digits: string): number {
    const codePoint = Number.parseInt(digits, 16)
    if (codePoint > 0x10ffff) throw this.#refuse(`\\u{${digits}} is no character`)
    return codePoint
  }

  /** The engine of the language is asked about single characters only, which takes it no time worth mentioning. */
  #classNode(source: string): PatternNode {
    for (const flags of ['u', '']) {
      try {
        void new RegExp(source, flags)
        return { kind: 'character', test: { kind: 'class', source } }
      } catch {
        // Without Unicode more is allowed, such as \- in a class.
        if (/\\[pPu]\{/.test(source)) break
      }
    }
    throw this.#refuse(`${source} is no class of characters`)
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at
    const found = expression.exec(this.#text)
    if (found === null) return undefined
    this.#at += found[0].length
    return found
  }

  #refuse(why: string): PatternRefused {
    return new PatternRefused(`the pattern ${JSON.stringify(this.#text)} is not taken: ${why}`)
  }
}

function literal(codePoint: number): PatternNode {
  return { kind: 'character', test: { kind: 'literal', codePoint } }
}
