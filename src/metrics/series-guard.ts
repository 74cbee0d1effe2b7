import type { Emit, Family } from './instruments.ts'
import type { Metrics } from './metrics.ts'

/** Stands, in the labels `topic`, `partition` and `group`, for all that have no series of their own. */
export const OTHER = '__other__'

/** Series of a topic: those of each partition (records in and out, two offsets), and about so many of the topic. */
const SERIES_PER_PARTITION = 4
const SERIES_PER_TOPIC = 12
/** Series of a group: lag and committed offset of each partition, and about so many of the group. */
const SERIES_PER_OFFSET = 2
const SERIES_PER_GROUP = 4

/** The labels whose values grow with what people make, by what they belong to. */
const FOLDED_WITH = { topic: ['topic', 'partition'], group: ['group', 'topic', 'partition'] } as const
type Owner = keyof typeof FOLDED_WITH

/** One sample of a scrape. */
export interface Sample {
  readonly value: number
  readonly labelValues: readonly string[]
}

/**
 * Keeps the number of series within a limit, so that no number of topics or groups can drown a Prometheus. Topics get series
 * of their own as long as `seriesMax` lasts, consumer groups as long as another `seriesMax` does. Those that come later are
 * added up under `__other__`; of lag in time, the largest counts.
 *
 * Who has own series keeps them and who has not gets none, until it is deleted or the broker starts anew: a counter that moved
 * between the two would look like a burst. For the same reason, what deleted topics have counted stays in the sum.
 */
export class SeriesGuard {
  readonly #metrics: Metrics
  readonly #names: Readonly<Record<Owner, Names>>
  readonly #sums = new Map<Family, Sums>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
    this.#names = { topic: new Names(metrics.seriesMax), group: new Names(metrics.seriesMax) }
    metrics.foldedSeries.collect = (emit) => {
      for (const family of metrics.families)
        if (ownersOf(family).length > 0) emit(this.#sums.get(family)?.foldedCount ?? 0, family.name)
    }
  }

  /** At the beginning of a scrape: looks which topics and groups there are. */
  look(): void {
    const { partitions, consumerGroupMembers, consumerCommittedOffset } = this.#metrics
    const topics = new Map<string, number>()
    partitions.collect?.((count, topic) => topics.set(topic, SERIES_PER_TOPIC + count * SERIES_PER_PARTITION))
    this.#names.topic.update(topics)
    const groups = new Map<string, number>()
    consumerGroupMembers.collect?.((_, group) => groups.set(group, SERIES_PER_GROUP))
    consumerCommittedOffset.collect?.((_, group) => {
      groups.set(group, (groups.get(group) ?? SERIES_PER_GROUP) + SERIES_PER_OFFSET)
    })
    this.#names.group.update(groups)
  }

  /**
   * What a family has now, with what must be folded added up behind the rest. A family that is read in pieces yields between
   * them, so that others get their turn.
   */
  *read(family: Family, into: Sample[]): Generator<void, void> {
    const owners = ownersOf(family).filter((owner) => this.#names[owner].hasFolded)
    const sums = owners.length === 0 && !this.#sums.has(family) ? undefined : this.#sumsOf(family)
    sums?.begin()
    const emit: Emit = (value, ...labelValues) => {
      for (const owner of owners) {
        const name = labelValues[family.labelNames.indexOf(owner)]
        if (!this.#names[owner].isFolded(name)) continue
        const rest = labelValues.map((label, index) => (isOf(owner, family.labelNames[index]) ? OTHER : label))
        sums?.add(value, `${owner} ${name}`, rest)
        return
      }
      into.push({ value, labelValues })
    }
    const pieces = family.collect?.(emit)
    if (pieces !== undefined) yield* pieces
    if (sums !== undefined) into.push(...sums.end())
  }

  #sumsOf(family: Family): Sums {
    const existing = this.#sums.get(family)
    if (existing !== undefined) return existing
    const sums = new Sums(family)
    this.#sums.set(family, sums)
    return sums
  }
}

/** A group comes first: where it is folded, so is all that is said of its topics. */
function ownersOf({ labelNames }: Family): Owner[] {
  return (['group', 'topic'] as const).filter((owner) => labelNames.includes(owner))
}

function isOf(owner: Owner, label: string): boolean {
  return (FOLDED_WITH[owner] as readonly string[]).includes(label)
}

/** Who of the topics, or of the groups, has series of its own. */
class Names {
  readonly #seriesMax: number
  readonly #own = new Set<string>()
  readonly #folded = new Set<string>()

  constructor(seriesMax: number) {
    this.#seriesMax = seriesMax
  }

  get hasFolded(): boolean {
    return this.#folded.size > 0
  }

  isFolded(name: string): boolean {
    return this.#folded.has(name)
  }

  /** `present`: how many series each would have. Those that are new take what is left, in this order. */
  update(present: ReadonlyMap<string, number>): void {
    for (const names of [this.#own, this.#folded]) {
      for (const name of names) if (!present.has(name)) names.delete(name)
    }
    let series = 0
    for (const name of this.#own) series += present.get(name) ?? 0
    for (const [name, wanted] of present) {
      if (this.#own.has(name) || this.#folded.has(name)) continue
      if (series + wanted > this.#seriesMax) {
        this.#folded.add(name)
        continue
      }
      this.#own.add(name)
      series += wanted
    }
  }
}

/** One series of those into which others are folded. */
interface Sum {
  readonly labelValues: readonly string[]
  /** What those have counted that are gone. */
  gone: number
  /** By topic or group. */
  before: ReadonlyMap<string, number>
  now: Map<string, number>
}

/** The folded series of one family. */
class Sums {
  readonly #isCounter: boolean
  readonly #isLargest: boolean
  readonly #sums = new Map<string, Sum>()
  foldedCount = 0

  constructor(family: Family) {
    this.#isCounter = family.type === 'counter'
    this.#isLargest = family.name.endsWith('_seconds')
  }

  begin(): void {
    this.foldedCount = 0
    for (const sum of this.#sums.values()) {
      sum.before = sum.now
      sum.now = new Map()
    }
  }

  add(value: number, source: string, labelValues: readonly string[]): void {
    const key = labelValues.join('\0')
    let sum = this.#sums.get(key)
    if (sum === undefined) {
      sum = { labelValues, gone: 0, before: new Map(), now: new Map() }
      this.#sums.set(key, sum)
    }
    const soFar = sum.now.get(source)
    this.foldedCount++
    if (soFar === undefined) sum.now.set(source, value)
    else sum.now.set(source, this.#isLargest ? Math.max(soFar, value) : soFar + value)
  }

  end(): Sample[] {
    const samples: Sample[] = []
    for (const [key, sum] of this.#sums) {
      if (this.#isCounter) {
        for (const [source, value] of sum.before) if ((sum.now.get(source) ?? 0) < value) sum.gone += value
      } else if (sum.now.size === 0) {
        this.#sums.delete(key)
        continue
      }
      let total = sum.gone
      for (const value of sum.now.values()) total = this.#isLargest ? Math.max(total, value) : total + value
      samples.push({ value: total, labelValues: sum.labelValues })
    }
    return samples
  }
}
