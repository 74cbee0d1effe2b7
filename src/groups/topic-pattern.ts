import { BrokerError } from '../base/broker-error.ts'

// Patterns come from outside, so JavaScript's own regular expressions will not do: on `(a+)+$` they take time exponential in
// the length of a name. Here a pattern becomes a program for a machine that is in several states at once (Thompson 1968). It
// reads each character of a name once, whatever the pattern is, and visits each state at most once for it.

/** Longer patterns are refused. */
const PATTERN_CHARACTERS_MAX = 4_000
/** Steps of the program; what `{n,m}` repeats counts as often as it may occur. */
const PROGRAM_STEPS_MAX = 2_000
const NODES_MAX = 10 * PROGRAM_STEPS_MAX
const REPEAT_MAX = 1_000
const DEPTH_MAX = 100

/** The characters that a step takes: one entry for each of ASCII, which is all that topic names have. */
type CharacterSet = Uint8Array
const ASCII = 128

type Node =
  | { readonly kind: 'characters'; readonly set: CharacterSet }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number }
  | { readonly kind: 'start' | 'end' }

type Step =
  | { readonly kind: 'characters'; readonly set: CharacterSet }
  | { readonly kind: 'split'; readonly next: number; readonly other: number }
  | { readonly kind: 'jump'; readonly next: number }
  | { readonly kind: 'start' | 'end' | 'match' }

/**
 * A regular expression over topic names, in the syntax of RE2 as far as topic names need it: literals, `.`, classes, `\d`,
 * `\w`, `\s`, groups, `|`, `*`, `+`, `?`, `{n,m}`, `^`, `$`, `\Q…\E`, and `(?i)` at the beginning. As in Kafka, it has to
 * match the whole name. What RE2 has besides (Unicode classes, word boundaries, flags inside) is refused, as are
 * back-references and looking around, which RE2 does not have either.
 */
export class TopicPattern {
  /** How much work all matches so far were, in visited states. */
  work = 0
  readonly #program: readonly Step[]
  // Which states the machine is in, and a mark for each state that was visited at the current character.
  readonly #marks: Int32Array
  #mark = 0

  /** @throws BrokerError INVALID_REGULAR_EXPRESSION */
  constructor(text: string) {
    const emitter = new Emitter(text)
    emitter.emit(new PatternParser(text).parse())
    this.#program = [...emitter.program, { kind: 'match' }]
    this.#marks = new Int32Array(this.#program.length)
  }

  /** Whether the pattern matches all of `name`. Takes time in proportion to its length. */
  matches(name: string): boolean {
    let states = this.#follow([0], 0, name.length)
    for (let at = 0; at < name.length && states.length > 0; at++) {
      const character = name.charCodeAt(at)
      const next: number[] = []
      for (const state of states) {
        const step = this.#program[state]
        if (step.kind === 'characters' && step.set[character] === 1) next.push(state + 1)
      }
      states = this.#follow(next, at + 1, name.length)
    }
    return states.some((state) => this.#program[state].kind === 'match')
  }

  /** All states that are reached from these without taking a character, those that wait for one or are the end. */
  #follow(from: number[], at: number, end: number): number[] {
    const reached: number[] = []
    const mark = this.#nextMark()
    for (let open = from, state = open.pop(); state !== undefined; state = open.pop()) {
      if (this.#marks[state] === mark) continue
      this.#marks[state] = mark
      this.work++
      const step = this.#program[state]
      if (step.kind === 'split') open.push(step.next, step.other)
      else if (step.kind === 'jump') open.push(step.next)
      else if (step.kind === 'characters' || step.kind === 'match') reached.push(state)
      else if (at === (step.kind === 'start' ? 0 : end)) open.push(state + 1)
    }
    return reached
  }

  #nextMark(): number {
    if (this.#mark === 0x7fffffff) {
      this.#marks.fill(0)
      this.#mark = 0
    }
    return ++this.#mark
  }
}

/** Writes a pattern out as a program. */
class Emitter {
  readonly program: Step[] = []
  readonly #text: string
  /** Counted apart from the steps, because what is empty may be repeated too. */
  #nodes = 0

  constructor(text: string) {
    this.#text = text
  }

  emit(node: Node): void {
    if (++this.#nodes > NODES_MAX || this.program.length > PROGRAM_STEPS_MAX) {
      throw refuse(this.#text, `its repetitions written out, it has more than ${PROGRAM_STEPS_MAX} steps`)
    }
    switch (node.kind) {
      case 'sequence':
        for (const part of node.parts) this.emit(part)
        return
      case 'choice':
        return this.#emitChoice(node.parts)
      case 'repeat':
        return this.#emitRepeat(node)
      default:
        this.program.push(node)
    }
  }

  #emitChoice(parts: readonly Node[]) {
    const { program } = this
    const ends: number[] = []
    for (const part of parts.slice(0, -1)) {
      const split = this.#reserve()
      this.emit(part)
      ends.push(this.#reserve())
      program[split] = { kind: 'split', next: split + 1, other: program.length }
    }
    this.emit(parts[parts.length - 1])
    for (const place of ends) program[place] = { kind: 'jump', next: program.length }
  }

  #emitRepeat({ part, min, max }: Node & { kind: 'repeat' }) {
    const { program } = this
    for (let times = 0; times < min; times++) this.emit(part)
    const splits: number[] = []
    if (max === Infinity) {
      const split = this.#reserve()
      splits.push(split)
      this.emit(part)
      program.push({ kind: 'jump', next: split })
    } else {
      for (let times = min; times < max; times++) {
        splits.push(this.#reserve())
        this.emit(part)
      }
    }
    for (const place of splits) program[place] = { kind: 'split', next: place + 1, other: program.length }
  }

  /** A place for a step that is known once what follows it has been written. */
  #reserve(): number {
    return this.program.push({ kind: 'match' }) - 1
  }
}

/** Reads a pattern by recursive descent. */
class PatternParser {
  readonly #text: string
  #at = 0
  #depth = 0
  #ignoresCase = false

  constructor(text: string) {
    if (text.length > PATTERN_CHARACTERS_MAX) {
      throw refuse(text, `it has ${text.length} characters, at most ${PATTERN_CHARACTERS_MAX} are taken`)
    }
    this.#text = text
  }

  parse(): Node {
    this.#ignoresCase = this.#skip('(?i)')
    const node = this.#parseChoice()
    if (this.#at < this.#text.length) throw this.#wrong('")" without "("')
    return node
  }

  #parseChoice(): Node {
    if (++this.#depth > DEPTH_MAX) throw this.#wrong(`more than ${DEPTH_MAX} groups within each other`)
    const parts = [this.#parseSequence()]
    while (this.#skip('|')) parts.push(this.#parseSequence())
    this.#depth--
    return parts.length === 1 ? parts[0] : { kind: 'choice', parts }
  }

  #parseSequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#text.length && !this.#isNext('|') && !this.#isNext(')')) {
      if (this.#skip('\\Q')) parts.push(this.#parseQuoted())
      else parts.push(this.#parseRepeat(this.#parseAtom()))
    }
    return { kind: 'sequence', parts }
  }

  #parseQuoted(): Node {
    const end = this.#text.indexOf('\\E', this.#at)
    const quoted = this.#text.slice(this.#at, end === -1 ? undefined : end)
    this.#at += quoted.length + (end === -1 ? 0 : 2)
    return { kind: 'sequence', parts: Array.from(quoted, (character) => this.#literal(character)) }
  }

  #parseRepeat(part: Node): Node {
    const range = this.#parseRange()
    if (range === undefined) return part
    // Whether it takes many or few makes no difference to whether all of a name matches.
    this.#skip('?')
    if (this.#parseRange() !== undefined) throw this.#wrong('a repetition of a repetition')
    return { kind: 'repeat', part, ...range }
  }

  #parseRange(): { min: number; max: number } | undefined {
    if (this.#skip('*')) return { min: 0, max: Infinity }
    if (this.#skip('+')) return { min: 1, max: Infinity }
    if (this.#skip('?')) return { min: 0, max: 1 }
    const [all, minText, comma, maxText] = /^\{(\d+)(,?)(\d*)\}/.exec(this.#text.slice(this.#at, this.#at + 16)) ?? []
    if (all === undefined) return undefined
    const min = Number(minText)
    const max = comma === '' ? min : maxText === '' ? Infinity : Number(maxText)
    if (min > max || min > REPEAT_MAX || (max > REPEAT_MAX && max !== Infinity)) {
      throw this.#wrong(`repetitions are 0 to ${REPEAT_MAX}`)
    }
    this.#at += all.length
    return { min, max }
  }

  #parseAtom(): Node {
    const character = this.#take()
    switch (character) {
      case '(':
        return this.#parseGroup()
      case '[':
        return { kind: 'characters', set: this.#parseClass() }
      case '.':
        return { kind: 'characters', set: new Uint8Array(ASCII).fill(1) }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '\\':
        return this.#parseEscape()
      case '*':
      case '+':
      case '?':
        throw this.#wrong(`nothing before "${character}" that it could repeat`)
      default:
        return this.#literal(character)
    }
  }

  #parseGroup(): Node {
    const name = /^\?(?::|P?<\w+>)/.exec(this.#text.slice(this.#at, this.#at + 80))
    if (name !== null) this.#at += name[0].length
    else if (this.#isNext('?')) throw this.#wrong('"(?" with anything but ":" or a name')
    const node = this.#parseChoice()
    if (!this.#skip(')')) throw this.#wrong('"(" without ")"')
    return node
  }

  #parseEscape(): Node {
    const character = this.#take()
    if (character === 'A') return { kind: 'start' }
    if (character === 'z') return { kind: 'end' }
    const set = this.#escaped(character)
    return { kind: 'characters', set: this.#ignoresCase ? withBothCases(set) : set }
  }

  /** What a backslash and this character stand for, inside a class and outside. */
  #escaped(character: string): CharacterSet {
    const named = NAMED_SETS[character.toLowerCase()]
    if (named !== undefined) return character === character.toLowerCase() ? named : complement(named)
    const control = CONTROL_CHARACTERS[character]
    if (control !== undefined) return setOf(control)
    if (character === 'x') {
      const [all, digits, more] = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(this.#text.slice(this.#at)) ?? []
      if (all === undefined) throw this.#wrong('"\\x" without two hexadecimal digits')
      this.#at += all.length
      return setOf(Number.parseInt(digits ?? more, 16))
    }
    if (character === '' || /[a-zA-Z0-9]/.test(character)) throw this.#wrong(`the escape "\\${character}"`)
    return setOf(character.charCodeAt(0))
  }

  #parseClass(): CharacterSet {
    const set = new Uint8Array(ASCII)
    const isComplement = this.#skip('^')
    // A closing bracket in the first place stands for itself.
    for (let isFirst = true; isFirst || !this.#isNext(']'); isFirst = false) {
      if (this.#at >= this.#text.length) throw this.#wrong('"[" without "]"')
      this.#parseClassItem(set)
    }
    this.#at++
    const whole = this.#ignoresCase ? withBothCases(set) : set
    return isComplement ? complement(whole) : whole
  }

  #parseClassItem(set: CharacterSet) {
    if (this.#isNext('[:')) throw this.#wrong('a class by name')
    const from = this.#takeClassCharacter(set)
    if (from === undefined) return
    let to: number | undefined = from
    if (this.#isNext('-') && this.#text[this.#at + 1] !== ']') {
      this.#at++
      to = this.#takeClassCharacter(set)
    }
    if (to === undefined || to < from) throw this.#wrong('a range in a class')
    for (let code = from; code <= Math.min(to, ASCII - 1); code++) set[code] = 1
  }

  /** One character; undefined when it was a whole set, which then has gone into `set`. */
  #takeClassCharacter(set: CharacterSet): number | undefined {
    const character = this.#take()
    if (character !== '\\') return character.charCodeAt(0)
    const escaped = this.#escaped(this.#take())
    const codes = [...escaped.keys()].filter((code) => escaped[code] === 1)
    if (codes.length === 1) return codes[0]
    for (const code of codes) set[code] = 1
    return undefined
  }

  #literal(character: string): Node {
    const set = setOf(character.charCodeAt(0))
    return { kind: 'characters', set: this.#ignoresCase ? withBothCases(set) : set }
  }

  #take(): string {
    return this.#text.charAt(this.#at++)
  }

  #isNext(text: string): boolean {
    return this.#text.startsWith(text, this.#at)
  }

  #skip(text: string): boolean {
    if (!this.#isNext(text)) return false
    this.#at += text.length
    return true
  }

  #wrong(what: string): BrokerError {
    return refuse(this.#text, `${what} is not taken, at character ${Math.min(this.#at, this.#text.length)}`)
  }
}

function refuse(text: string, reason: string): BrokerError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new BrokerError(
    'INVALID_REGULAR_EXPRESSION',
    `Cannot subscribe to topics by ${JSON.stringify(shown)}: ${reason}`,
  )
}

/** Characters beyond ASCII leave it empty: no topic name has one. */
function setOf(...codes: number[]): CharacterSet {
  const set = new Uint8Array(ASCII)
  for (const code of codes) if (code < ASCII) set[code] = 1
  return set
}

function setOfText(characters: string): CharacterSet {
  return setOf(...Array.from(characters, (character) => character.charCodeAt(0)))
}

function complement(set: CharacterSet): CharacterSet {
  return set.map((isIn) => 1 - isIn)
}

function withBothCases(set: CharacterSet): CharacterSet {
  const both = set.slice()
  for (let lower = 0x61; lower <= 0x7a; lower++) {
    const isIn = set[lower] | set[lower - 0x20]
    both[lower] = isIn
    both[lower - 0x20] = isIn
  }
  return both
}

const DIGITS = '0123456789'
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const NAMED_SETS: Readonly<Record<string, CharacterSet | undefined>> = {
  d: setOfText(DIGITS),
  w: setOfText(`${DIGITS}${LETTERS}${LETTERS.toUpperCase()}_`),
  s: setOfText(' \t\n\f\r'),
}
const CONTROL_CHARACTERS: Readonly<Record<string, number | undefined>> = {
  a: 7,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
}
