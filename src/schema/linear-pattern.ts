import type { CharacterTest, PatternNode } from './pattern-parser.ts'
import { parsePattern, PatternRefused } from './pattern-parser.ts'
import type { WorkBudget } from './work-budget.ts'

// Patterns come from outside, and so do the texts they are matched with: JavaScript's own regular expressions take time
// exponential in the length of a text on `^(a|a)*$`. Here a pattern becomes a program for a machine that is in several
// states at once (Thompson 1968). It reads each character once, and visits each state at most once for it.

/** Steps of the program; what `{n,m}` repeats counts as often as it may occur. */
const PROGRAM_STEPS_MAX = 5_000
/** What repeats nothing adds no step, and may be nested in what repeats it a thousand times. */
const EMITTED_MAX = 10 * PROGRAM_STEPS_MAX
const ASCII = 128
/** What it costs to visit a state, in steps of the budget. */
const STATE_STEPS = 4

type Step =
  | { readonly kind: 'character'; readonly set: CharacterSet }
  | { readonly kind: 'split'; readonly next: number; readonly other: number }
  | { readonly kind: 'jump'; readonly next: number }
  | { readonly kind: 'start' | 'end' | 'boundary' | 'noBoundary' | 'match' }

/** A regular expression that takes time in proportion to the text, whatever it is and whatever the text is. */
export class LinearPattern {
  readonly source: string
  readonly #program: readonly Step[]
  /** Where the machine is in no danger of going back, the language's own engine is as linear, and quicker. */
  readonly #native: RegExp | undefined
  readonly #nativeCost: number
  readonly #marks: Int32Array
  readonly #stack: number[] = []
  #mark = 0
  #states: number[] = []
  #nextStates: number[] = []
  #isMatched = false
  #visited = 0

  /** @throws PatternRefused */
  constructor(source: string) {
    this.source = source
    const node = parsePattern(source)
    const emitter = new Emitter(source)
    emitter.emit(node)
    this.#program = [...emitter.program, { kind: 'match' }]
    this.#marks = new Int32Array(this.#program.length)
    this.#native = toNative(source, node)
    this.#nativeCost = this.#program.length
  }

  /** How large its program is. */
  get steps(): number {
    return this.#program.length
  }

  /**
   * Whether the pattern is found anywhere in `text`.
   *
   * @throws WorkExceeded
   */
  test(text: string, budget: WorkBudget): boolean {
    if (this.#native !== undefined) {
      budget.charge(Math.min(text.length, this.#nativeCost) + text.length / 8)
      return this.#native.test(text)
    }
    return this.#simulate(text, budget)
  }

  #simulate(text: string, budget: WorkBudget): boolean {
    this.#isMatched = false
    this.#states.length = 0
    let before = -1
    let at = 0
    for (;;) {
      const codePoint = at < text.length ? (text.codePointAt(at) ?? -1) : -1
      this.#mark++
      // The states so far were followed up to here by the last round; a match may also begin here.
      const states = this.#states
      const next = this.#nextStates
      next.length = 0
      this.#visited = 0
      for (const state of states) this.#follow(state, before, codePoint, next)
      this.#follow(0, before, codePoint, next)
      budget.charge(STATE_STEPS * (1 + next.length) + this.#visited)
      if (this.#isMatched) return true
      if (codePoint === -1) return false
      states.length = 0
      for (const state of next) {
        const step = this.#program[state]
        if (step.kind === 'character' && step.set.has(codePoint)) states.push(state + 1)
      }
      before = codePoint
      at += codePoint > 0xffff ? 2 : 1
    }
  }

  /** Goes on from a state as far as no character is needed, and adds what waits for one to `into`. */
  #follow(from: number, before: number, after: number, into: number[]): void {
    const stack = this.#stack
    stack.push(from)
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (this.#marks[state] === this.#mark) continue
      this.#marks[state] = this.#mark
      this.#visited++
      const step = this.#program[state]
      switch (step.kind) {
        case 'character':
          into.push(state)
          break
        case 'split':
          stack.push(step.other, step.next)
          break
        case 'jump':
          stack.push(step.next)
          break
        case 'start':
          if (before === -1) stack.push(state + 1)
          break
        case 'end':
          if (after === -1) stack.push(state + 1)
          break
        case 'boundary':
          if (isWord(before) !== isWord(after)) stack.push(state + 1)
          break
        case 'noBoundary':
          if (isWord(before) === isWord(after)) stack.push(state + 1)
          break
        case 'match':
          this.#isMatched = true
          break
      }
    }
  }
}

function isWord(codePoint: number): boolean {
  return (
    (codePoint >= 0x30 && codePoint <= 0x39) ||
    (codePoint >= 0x41 && codePoint <= 0x5a) ||
    codePoint === 0x5f ||
    (codePoint >= 0x61 && codePoint <= 0x7a)
  )
}

/** The characters that a step takes: looked up for ASCII, and asked of the language's own classes for others. */
class CharacterSet {
  readonly #ascii = new Uint8Array(ASCII)
  readonly #codePoint: number
  readonly #expression: RegExp | undefined

  constructor(test: CharacterTest) {
    if (test.kind === 'literal') {
      this.#codePoint = test.codePoint
      this.#expression = undefined
      if (test.codePoint < ASCII) this.#ascii[test.codePoint] = 1
      return
    }
    this.#codePoint = -1
    this.#expression = toExpression(`^${test.source}$`)
    for (let codePoint = 0; codePoint < ASCII; codePoint++) {
      if (this.#expression.test(String.fromCodePoint(codePoint))) this.#ascii[codePoint] = 1
    }
  }

  has(codePoint: number): boolean {
    if (codePoint < ASCII) return this.#ascii[codePoint] === 1
    return this.#expression?.test(String.fromCodePoint(codePoint)) ?? codePoint === this.#codePoint
  }
}

function toExpression(source: string): RegExp {
  try {
    return new RegExp(source, 'u')
  } catch {
    return new RegExp(source)
  }
}

/** Writes a pattern as steps, each repetition as often as it may occur. */
class Emitter {
  readonly program: Step[] = []
  readonly #source: string
  /** One class is often meant many times: `[a-z]{2,40}`. */
  readonly #sets = new Map<CharacterTest, CharacterSet>()
  #emitted = 0

  constructor(source: string) {
    this.#source = source
  }

  emit(node: PatternNode): void {
    if (this.program.length > PROGRAM_STEPS_MAX || ++this.#emitted > EMITTED_MAX) {
      throw new PatternRefused(
        `the pattern ${JSON.stringify(this.#source)} is not taken: what it repeats comes to more than ${PROGRAM_STEPS_MAX} steps`,
      )
    }
    switch (node.kind) {
      case 'character': {
        const set = this.#sets.get(node.test) ?? new CharacterSet(node.test)
        this.#sets.set(node.test, set)
        this.program.push({ kind: 'character', set })
        break
      }
      case 'sequence':
        for (const part of node.parts) this.emit(part)
        break
      case 'choice':
        this.#emitChoice(node.parts)
        break
      case 'repeat':
        this.#emitRepeat(node.part, node.min, node.max)
        break
      default:
        this.program.push({ kind: node.kind })
    }
  }

  #emitChoice(parts: readonly PatternNode[]): void {
    const jumps: number[] = []
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) {
        this.emit(part)
        break
      }
      const split = this.#reserve()
      this.emit(part)
      jumps.push(this.#reserve())
      this.program[split] = { kind: 'split', next: split + 1, other: this.program.length }
    }
    for (const jump of jumps) this.program[jump] = { kind: 'jump', next: this.program.length }
  }

  #emitRepeat(part: PatternNode, min: number, max: number): void {
    for (let count = 0; count < min; count++) this.emit(part)
    if (max === Infinity) {
      const split = this.#reserve()
      this.emit(part)
      this.program.push({ kind: 'jump', next: split })
      this.program[split] = { kind: 'split', next: split + 1, other: this.program.length }
      return
    }
    const splits: number[] = []
    for (let count = min; count < max; count++) {
      splits.push(this.#reserve())
      this.emit(part)
    }
    for (const split of splits) this.program[split] = { kind: 'split', next: split + 1, other: this.program.length }
  }

  /** A step that is written when it is known where it leads. */
  #reserve(): number {
    return this.program.push({ kind: 'jump', next: 0 }) - 1
  }
}

/**
 * The language's own engine goes back over a text only where it has a choice. A pattern that begins at the start of the
 * text, has no group or alternative, and repeats one class of characters at most once a variable number of times, leaves
 * it one: as many ways as the text has characters, each as long as the pattern.
 */
function toNative(source: string, node: PatternNode): RegExp | undefined {
  const parts = node.kind === 'sequence' ? node.parts : [node]
  if (parts[0]?.kind !== 'start') return undefined
  let variable = 0
  for (const part of parts) {
    if (part.kind === 'choice' || part.kind === 'sequence') return undefined
    if (part.kind !== 'repeat') continue
    if (part.part.kind !== 'character') return undefined
    if (part.min !== part.max && ++variable > 1) return undefined
  }
  // Behind the repetition only the end may follow: otherwise each way would be tried as far as it goes.
  const last = parts.findLastIndex((part) => part.kind === 'repeat' && part.min !== part.max)
  if (last !== -1 && parts.slice(last + 1).some((part) => part.kind !== 'end')) return undefined
  return toExpression(source)
}
