/**
 * Things with the moment at which each is due, the earliest first: a binary heap that knows where each thing lies, so that
 * moving one's moment or forgetting it costs no more than adding it.
 */
export class Deadlines<Thing> {
  readonly #heap: { readonly thing: Thing; readonly at: number }[] = []
  readonly #places = new Map<Thing, number>()

  /** The earliest of them, or undefined when there are none. Of several that are due together, any. */
  get first(): { readonly thing: Thing; readonly at: number } | undefined {
    return this.#heap[0]
  }

  /** When `thing` is due; undefined when it is not here. */
  get(thing: Thing): number | undefined {
    const place = this.#places.get(thing)
    return place === undefined ? undefined : this.#heap[place].at
  }

  /** Lets `thing` be due at `at`, whenever it was due before. */
  set(thing: Thing, at: number): void {
    const place = this.#places.get(thing) ?? this.#heap.length
    this.#heap[place] = { thing, at }
    this.#places.set(thing, place)
    this.#sinkDown(this.#riseUp(place))
  }

  /** Forgets `thing`; does nothing when it is not here. */
  delete(thing: Thing): void {
    const place = this.#places.get(thing)
    if (place === undefined) return
    this.#places.delete(thing)
    const last = this.#heap.pop()
    if (last === undefined || place === this.#heap.length) return
    this.#heap[place] = last
    this.#places.set(last.thing, place)
    this.#sinkDown(this.#riseUp(place))
  }

  /** Takes out the earliest if it is due at `now`. */
  takeDue(now: number): Thing | undefined {
    const first = this.#heap[0]
    if (first === undefined || first.at > now) return undefined
    this.delete(first.thing)
    return first.thing
  }

  #riseUp(from: number): number {
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.#heap[parent].at <= this.#heap[place].at) break
      this.#swap(place, parent)
      place = parent
    }
    return place
  }

  #sinkDown(from: number) {
    let place = from
    for (;;) {
      const left = 2 * place + 1
      if (left >= this.#heap.length) return
      const right = left + 1
      const child = right < this.#heap.length && this.#heap[right].at < this.#heap[left].at ? right : left
      if (this.#heap[place].at <= this.#heap[child].at) return
      this.#swap(place, child)
      place = child
    }
  }

  #swap(left: number, right: number) {
    const kept = this.#heap[left]
    this.#heap[left] = this.#heap[right]
    this.#heap[right] = kept
    this.#places.set(this.#heap[left].thing, left)
    this.#places.set(kept.thing, right)
  }
}
