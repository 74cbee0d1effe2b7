import type { SchemaFault } from './check-value.ts'

/** Values that do not fit for the same reason. `Example` says which value it was. */
export interface FaultGroup<Example> {
  readonly reason: string
  /** A JSON Pointer in which `*` stands for any index of an array. */
  readonly pointer: string
  /** What was said of the first one. */
  readonly message: string
  count: number
  /** The first ones. */
  readonly examples: Example[]
}

/** Whoever sends records chooses the names in them, and so how many groups there could be. */
const GROUPS_MAX = 100
const EXAMPLES_MAX = 5

/** Counts values that were checked, and those that do not fit by why and where. */
export class FaultSummary<Example> {
  readonly #groups = new Map<string, FaultGroup<Example>>()
  valid = 0
  invalid = 0

  /** Counts one value; `fault` is undefined when it fits. */
  add(fault: SchemaFault | undefined, example: Example): void {
    if (fault === undefined) {
      this.valid++
      return
    }
    this.invalid++
    const { reason, message } = fault
    const pointer = fault.pointer.replaceAll(/\/\d+(?=\/|$)/g, '/*')
    const key = `${reason} ${pointer}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      if (this.#groups.size === GROUPS_MAX) return
      group = { reason, pointer, message, count: 0, examples: [] }
      this.#groups.set(key, group)
    }
    group.count++
    if (group.examples.length < EXAMPLES_MAX) group.examples.push(example)
  }

  /** The groups, the largest first: at most a hundred, of those that came first. */
  groups(): readonly FaultGroup<Example>[] {
    return [...this.#groups.values()].toSorted((one, other) => other.count - one.count)
  }
}
