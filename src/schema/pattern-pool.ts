import { SCHEMA_LIMITS } from './limits.ts'
import { LinearPattern } from './linear-pattern.ts'
import { PatternRefused } from './pattern-parser.ts'

/** A class of Unicode's properties is a list of hundreds of ranges, which the language's engine makes anew for each. */
const PROPERTY = /\\[pP]\{/g
const PROPERTY_STEPS = 2_000

/** The patterns of one schema: each is made once, and all of them together are bounded. */
export class PatternPool {
  readonly #patterns = new Map<string, LinearPattern>()
  #steps = 0

  /** @throws PatternRefused */
  compile(source: string): LinearPattern {
    const known = this.#patterns.get(source)
    if (known !== undefined) return known
    this.#count(PROPERTY_STEPS * (source.match(PROPERTY)?.length ?? 0))
    const pattern = new LinearPattern(source)
    this.#count(pattern.steps)
    this.#patterns.set(source, pattern)
    return pattern
  }

  #count(steps: number): void {
    this.#steps += steps
    if (this.#steps <= SCHEMA_LIMITS.patternStepsMax) return
    throw new PatternRefused(
      `the patterns up to here come to more than ${SCHEMA_LIMITS.patternStepsMax} steps, where a class with \\p counts as ${PROPERTY_STEPS}`,
    )
  }
}
