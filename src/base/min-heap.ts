/**
 * The smallest first, by a number that each thing has: a binary heap. Things cannot be moved or looked up in it; for that
 * there is `Deadlines`.
 */
export class MinHeap<Thing> {
  readonly #orderOf: (thing: Thing) => number
  #things: Thing[] = []

  /** `orderOf` must not change for a thing that is in the heap. */
  constructor(orderOf: (thing: Thing) => number) {
    this.#orderOf = orderOf
  }

  get size(): number {
    return this.#things.length
  }

  /** The smallest, or undefined when there is none. Of several equals, any. */
  get first(): Thing | undefined {
    return this.#things[0]
  }

  /** All of them, in no order that means anything. */
  values(): Iterable<Thing> {
    return this.#things
  }

  push(thing: Thing): void {
    const things = this.#things
    const order = this.#orderOf(thing)
    let place = things.length
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.#orderOf(things[parent]) <= order) break
      things[place] = things[parent]
      place = parent
    }
    things[place] = thing
  }

  /** Takes out the smallest. */
  pop(): Thing | undefined {
    const things = this.#things
    const [first] = things
    const last = things.pop()
    if (last === undefined || things.length === 0) return first
    const order = this.#orderOf(last)
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= things.length) break
      if (child + 1 < things.length && this.#orderOf(things[child + 1]) < this.#orderOf(things[child])) child++
      if (order <= this.#orderOf(things[child])) break
      things[place] = things[child]
      place = child
    }
    things[place] = last
    return first
  }

  clear(): void {
    this.#things = []
  }
}
