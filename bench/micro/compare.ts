import { formatTable } from '../format.ts'
import { median } from '../statistics.ts'

/** One way to do something. */
export interface Candidate {
  readonly name: string
  /** Does it once. What it returns is looked at, so that the work cannot be optimised away. */
  run(): unknown
}

const ROUNDS = 5
const ROUND_MS = 60
const WARM_UP_MS = 60

/**
 * Measures the candidates in turns and prints what each of them takes, and how that compares with the first one, which
 * does the same work in another way. Absolute times belong to this machine; the ratios travel.
 */
export function compare(title: string, unit: { name: string; perRun: number }, candidates: readonly Candidate[]): void {
  const times = candidates.map((candidate) => {
    timeRuns(candidate, WARM_UP_MS)
    return [] as number[]
  })
  for (let round = 0; round < ROUNDS; round++) {
    candidates.forEach((candidate, index) => times[index].push(timeRuns(candidate, ROUND_MS)))
  }
  const medians = times.map((list) => median(list))
  console.log(`\n${title}\n`)
  console.log(
    formatTable(
      ['way', `ns/${unit.name}`, 'times as fast'],
      candidates.map(({ name }, index) => [
        name,
        (medians[index] / unit.perRun).toFixed(1),
        (medians[0] / medians[index]).toFixed(2),
      ]),
    ),
  )
}

let seen = 0

/** Nanoseconds of one run, from as many as fit into `milliseconds`. */
function timeRuns(candidate: Candidate, milliseconds: number): number {
  const startedAt = performance.now()
  let runs = 0
  let elapsedMs = 0
  while (elapsedMs < milliseconds) {
    for (let i = 0; i < 10; i++) if (candidate.run() === undefined) seen++
    runs += 10
    elapsedMs = performance.now() - startedAt
  }
  return (elapsedMs * 1e6) / runs
}

/** Keeps the counter alive; prints nothing as long as every candidate returned something. */
process.on('exit', () => {
  if (seen > 0) console.error(`${seen} runs returned nothing: their times may be wrong`)
})
