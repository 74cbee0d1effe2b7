/** A transaction that was rolled back, as a consumer of committed records must know it. */
export interface AbortedTransaction {
  readonly producerId: number
  /** Where its first record in this partition lies. */
  readonly firstOffset: number
}

/** Numbers for each transaction, see `add`. */
const STRIDE = 5
const FIRST = 1
const LAST = 2
const MARKER = 3
const STABLE = 4

/**
 * The aborted transactions of a partition in the order of their markers. One array of numbers, since a log may have very
 * many of them. Kafka keeps the same in its transaction index.
 */
export class AbortedTransactions {
  #numbers: number[] = []

  get count(): number {
    return this.#numbers.length / STRIDE
  }

  /**
   * Adds a transaction whose marker is behind all others.
   *
   * `lastOffset` is that of its last record, `stableOffset` the one below which no transaction was open once this one had
   * ended: what ends later began there or behind it.
   */
  add(found: {
    readonly producerId: number
    readonly firstOffset: number
    readonly lastOffset: number
    readonly markerOffset: number
    readonly stableOffset: number
  }): void {
    this.#numbers.push(found.producerId, found.firstOffset, found.lastOffset, found.markerOffset, found.stableOffset)
  }

  /** Takes the last one back. */
  removeLast(): void {
    this.#numbers.length -= STRIDE
  }

  /** Those with records between `fromOffset` and before `toOffset`, by their first offsets. */
  find(fromOffset: number, toOffset: number): AbortedTransaction[] {
    const numbers = this.#numbers
    const found: AbortedTransaction[] = []
    for (let at = this.#firstWithMarkerFrom(fromOffset) * STRIDE; at < numbers.length; at += STRIDE) {
      const firstOffset = numbers[at + FIRST]
      if (firstOffset < toOffset && numbers[at + LAST] >= fromOffset) {
        found.push({ producerId: numbers[at], firstOffset })
      }
      if (numbers[at + STABLE] >= toOffset) break
    }
    return found.toSorted((a, b) => a.firstOffset - b.firstOffset)
  }

  /** Forgets those that lie wholly below the log start. */
  trim(logStartOffset: number): void {
    const gone = this.#firstWithMarkerFrom(logStartOffset) * STRIDE
    if (gone > 0) this.#numbers = this.#numbers.slice(gone)
  }

  /** The numbers of those whose markers lie before `endOffset`, for a snapshot. */
  numbersBefore(endOffset: number): readonly number[] {
    return this.#numbers.slice(0, this.#firstWithMarkerFrom(endOffset) * STRIDE)
  }

  /** Takes what `numbersBefore` gave. */
  restore(numbers: readonly number[]): void {
    this.#numbers = [...numbers]
  }

  #firstWithMarkerFrom(offset: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#numbers[middle * STRIDE + MARKER] < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
