// Runs the simulation: `npm run sim -- --seed N` lives through one seed, and tells its story when a promise was broken;
// with --seeds, --cuts or --seconds it goes on from that seed until so many lives, power cuts or seconds; --sweep breaks
// off and disturbs a fixed piece of work at each of its operations instead. --lines says how much of the story is told,
// --habit how it is lived (habits.ts).
import { parseArgs } from 'node:util'
import { type HabitName, HABITS } from './habits.ts'
import { formatReport, newReport } from './life-report.ts'
import { runSeeds, seedsFrom } from './run.ts'
import { type SweepResult, sweepEnds, sweepFaults } from './sweep.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    habit: { type: 'string' },
    seeds: { type: 'string' },
    cuts: { type: 'string' },
    seconds: { type: 'string' },
    lines: { type: 'string' },
    sweep: { type: 'boolean', default: false },
  },
})

const report = newReport()
const startedAt = performance.now()
const isFine = values.sweep ? await sweep() : await run()
console.log(formatReport(report))
console.log(`  ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(13)}  seconds`)
console.log(`  ${(isFine ? '0' : '1').padStart(13)}  violations`)
process.exitCode = isFine ? 0 : 1

async function run(): Promise<boolean> {
  const isOpenEnded = values.cuts !== undefined || values.seconds !== undefined
  const options = {
    habit: parseHabit(values.habit),
    seeds: parseCount('seeds', values.seeds, isOpenEnded ? Number.POSITIVE_INFINITY : 1),
    powerCuts: parseCount('cuts', values.cuts, Number.POSITIVE_INFINITY),
    milliseconds: parseCount('seconds', values.seconds, Number.POSITIVE_INFINITY) * 1000,
  }
  const storyLines = parseCount('lines', values.lines, 60)
  const failure = await runSeeds(seedsFrom(parseCount('seed', values.seed, 1)), options, report, storyLines)
  if (!failure) return true
  console.log(failure.story.join('\n'))
  console.log(
    `\n${failure.violation.message}\nAgain with: npm run sim -- --seed ${failure.seed}${values.habit ? ` --habit ${values.habit}` : ''}\n`,
  )
  return false
}

async function sweep(): Promise<boolean> {
  const ends = await sweepEnds(report)
  const faults = ends.failure ? undefined : await sweepFaults(report)
  for (const [name, result] of [
    ['ends', ends],
    ['faults', faults],
  ] as const) {
    if (result) console.log(`  ${name}: ${result.cases} cases over ${result.operations.length} operations`)
  }
  const failure = ends.failure ?? faults?.failure
  if (failure) tellSweep(failure)
  return !failure
}

function tellSweep({ what, violation, story }: NonNullable<SweepResult['failure']>): void {
  console.log(story.slice(-60).join('\n'))
  console.log(`\n${what}: ${violation.message}\nAgain with: npm run sim -- --sweep\n`)
}

function parseHabit(text: string | undefined): HabitName | undefined {
  if (text === undefined || text in HABITS) return text as HabitName | undefined
  throw new Error(`Cannot use --habit ${text}: one of ${Object.keys(HABITS).join(', ')}`)
}

function parseCount(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 0) throw new Error(`Cannot use --${name} ${text}: a whole number`)
  return count
}
