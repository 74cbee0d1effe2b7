/** The smallest, the middle and the largest of a few runs. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** The middle value; of an even number of them the mean of the two in the middle. NaN when there is none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** What a table shows of several runs of the same thing. */
export function spread(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) }
}

/**
 * The middle of the ratios of runs that were made next to each other. Steadier than the ratio of two medians: what
 * disturbs the machine for a while disturbs both sides of a pair.
 */
export function medianRatio(measured: readonly number[], reference: readonly number[]): number {
  const pairs = Math.min(measured.length, reference.length)
  return median(Array.from({ length: pairs }, (_, round) => measured[round] / reference[round]))
}
