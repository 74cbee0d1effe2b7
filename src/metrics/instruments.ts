// The instruments behind /metrics. They know no library: the road of a record only ever does `counter.add(n)` on a plain
// number, and everything else happens when somebody scrapes.

/** A number that only grows. One series. */
export class Counter {
  value = 0

  /** `amount` must not be negative. */
  add(amount: number): void {
    this.value += amount
  }
}

/** A number that goes up and down. One series. */
export class Gauge {
  value = 0

  set(value: number): void {
    this.value = value
  }
  add(amount: number): void {
    this.value += amount
  }
}

/** Counts observations by size. One series per bound, and a sum and a count. */
export class Histogram {
  /** Upper bounds, ascending; an observation equal to a bound belongs to it. */
  readonly bounds: readonly number[]
  /** How many fell into each bucket, not cumulative; the last one is for those above all bounds. */
  readonly counts: number[]
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  // A search from below: with some fifteen bounds, most observations among the first, that beats bisection.
  observe(value: number): void {
    const bounds = this.bounds
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]) bucket++
    this.counts[bucket]++
    this.sum += value
    this.count++
  }
}

export type Instrument = Counter | Gauge | Histogram

/** Hands one sample to a scrape: its value, and its label values in the order of the family's label names. */
export type Emit = (value: number, ...labelValues: readonly string[]) => void

/** Between label values in a key; no label value of ours contains it. */
const SEPARATOR = '\u0000'

/** All series of one metric name, told apart by their label values. */
export class Family<Child extends Instrument = Instrument> {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labelNames: readonly string[]
  /**
   * Emits the samples that are read from live state, at each scrape, beside those of the children. State that is gone
   * then takes its series with it. Whoever owns the state sets it, once. Not for histograms. One that takes long may be a
   * generator: where it yields, others get their turn.
   */
  collect: ((emit: Emit) => void | Generator<void, void>) | undefined
  readonly #children = new Map<string, { readonly labelValues: readonly string[]; readonly instrument: Child }>()
  readonly #make: () => Child

  constructor(options: {
    readonly name: string
    readonly help: string
    readonly type: 'counter' | 'gauge' | 'histogram'
    readonly labelNames: readonly string[]
    readonly make: () => Child
  }) {
    this.name = options.name
    this.help = options.help
    this.type = options.type
    this.labelNames = options.labelNames
    this.#make = options.make
  }

  /**
   * The series with these label values, made (and from then on exported) when there is none. Look it up once and keep
   * it: the look-up builds a string.
   */
  child(...labelValues: readonly string[]): Child {
    const key = labelValues.join(SEPARATOR)
    const existing = this.#children.get(key)
    if (existing !== undefined) return existing.instrument
    const instrument = this.#make()
    this.#children.set(key, { labelValues, instrument })
    return instrument
  }

  /** Every series that has an instrument. Those of `collect` are not among them. */
  *children(): Iterable<readonly [labelValues: readonly string[], instrument: Child]> {
    for (const { labelValues, instrument } of this.#children.values()) yield [labelValues, instrument]
  }
}
