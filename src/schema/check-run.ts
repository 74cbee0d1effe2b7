import { NESTING_MAX } from './limits.ts'
import type { WorkBudget } from './work-budget.ts'
import { WorkExceeded } from './work-budget.ts'

/** What it costs to note one member or item more. */
const NOTED_STEPS = 4

/** What keywords have looked at of one array or object, for `unevaluatedItems` and `unevaluatedProperties`. */
export class Evaluated {
  allProperties = false
  readonly properties = new Set<string>()
  /** All items before this one. */
  itemsBelow = 0
  readonly items = new Set<number>()

  /** @throws WorkExceeded */
  add(other: Evaluated, budget: WorkBudget): void {
    budget.charge(NOTED_STEPS * (other.properties.size + other.items.size))
    this.allProperties ||= other.allProperties
    for (const name of other.properties) this.properties.add(name)
    this.itemsBelow = Math.max(this.itemsBelow, other.itemsBelow)
    for (const index of other.items) this.items.add(index)
  }

  hasItem(index: number): boolean {
    return index < this.itemsBelow || this.items.has(index)
  }

  hasProperty(name: string): boolean {
    return this.allProperties || this.properties.has(name)
  }
}

/**
 * Whether a value fits a schema, or one keyword of it. A check that says no has told `run` why. `seen` is there when
 * somebody around asks what was looked at.
 */
export type Check = (value: unknown, run: CheckRun, seen: Evaluated | undefined) => boolean

/** The checking of one value: the work that may still be done, and what was found wrong first. */
export class CheckRun {
  readonly budget: WorkBudget
  /** Ids of the resources that led here, outermost first; kept only where a reference depends on it. */
  readonly scope: string[] = []
  keyword = ''
  message = ''
  /** The way to what is wrong, innermost first: each check adds its step on the way out. */
  readonly path: string[] = []
  #nesting = 0

  constructor(budget: WorkBudget) {
    this.budget = budget
  }

  /** @throws WorkExceeded */
  enter(): void {
    this.budget.charge(1)
    if (++this.#nesting > NESTING_MAX) throw new WorkExceeded('its schema leads to itself too often')
  }

  leave(): void {
    this.#nesting--
  }

  /** Notes what is wrong with the value that is being looked at; always false. */
  fail(keyword: string, message: string): false {
    this.keyword = keyword
    this.message = message
    this.path.length = 0
    return false
  }

  /** What is wrong is with a member or an item of the value; always false. */
  within(step: string): false {
    this.path.push(step)
    return false
  }
}
