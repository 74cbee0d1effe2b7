/** Candidates that are compared; a typing error among more names than that goes without a suggestion. */
const CANDIDATES_MAX = 1_000
const WORD_LENGTH_MAX = 64

/**
 * The candidate that `word` was most probably meant to be, or undefined when none is near: one slip (a letter missing, too
 * many, wrong, or swapped with its neighbour) for every three letters, and one at least. Capitals do not count.
 */
export function suggestNearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word === '' || word.length > WORD_LENGTH_MAX) return undefined
  let slipsMax = Math.max(1, Math.floor(word.length / 3))
  let nearest: string | undefined
  let compared = 0
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > slipsMax) continue
    if (++compared > CANDIDATES_MAX) break
    const slips = countSlips(word.toLowerCase(), candidate.toLowerCase())
    if (slips > slipsMax || (slips === slipsMax && nearest !== undefined)) continue
    nearest = candidate
    slipsMax = slips
  }
  return nearest
}

/** `, did you mean "orders"?`, or nothing: the end of a message about a name that is not there. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const nearest = suggestNearest(word, candidates)
  return nearest === undefined ? '' : `, did you mean ${JSON.stringify(nearest)}?`
}

/** The Damerau-Levenshtein distance (of optimal string alignment), row by row. */
function countSlips(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1]
      let slips = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (isSame ? 0 : 1))
      const isSwapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (isSwapped) slips = Math.min(slips, beforeLast[column - 2] + 1)
      current.push(slips)
    }
    beforeLast = last
    last = current
  }
  return last[to.length]
}
