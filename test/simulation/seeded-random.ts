/**
 * A small fast source of chance (sfc32) that gives the same numbers for the same seed on every machine, so that one
 * number reproduces a whole simulated life of the broker.
 */
export class SeededRandom {
  #a: number
  #b: number
  #c = 0x9e3779b9
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    // Seeds beyond 32 bits differ in the second word.
    this.#b = Math.floor(seed / 0x1_0000_0000) >>> 0
    for (let round = 0; round < 12; round += 1) this.next()
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** A whole number from 0 to `limit` - 1; `limit` is at least 1. */
  below(limit: number): number {
    return this.next() % limit
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000
  }

  /** One of the items, each as likely as the others. */
  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]
  }

  /** A key of the table, as likely as its weight says. */
  pickWeighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const entries = Object.entries(weights) as [Key, number][]
    let left = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0))
    for (const [key, weight] of entries) {
      if (left < weight) return key
      left -= weight
    }
    return entries[0][0]
  }

  /** Fills `target` with noise. */
  fill(target: Buffer): void {
    for (let at = 0; at < target.length; at += 1) target[at] = this.next() & 0xff
  }
}
