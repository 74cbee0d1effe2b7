// Runs the simulation. `npm run sim -- --seed N` lives through one seed, and tells its story when a promise was broken.
//
// --seed 1,5,9      lives through a list of seeds
// --seeds COUNT, --cuts COUNT, --seconds S
//                   goes on from --seed until so many lives, power cuts or seconds
// --habit NAME      how the lives are lived, see habits.ts; otherwise each in its own way
// --lines COUNT     how much of the story is told
// --sweep           breaks off, and disturbs, a fixed piece of work at each of its operations instead
import { parseArgs } from 'node:util'
import { HABIT_NAMES, type HabitName } from './habits.ts'
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
  const isList = values.seed.includes(',')
  const isOpenEnded = values.cuts !== undefined || values.seconds !== undefined
  const options = {
    habit: parseHabit(values.habit),
    seeds: parseCount('seeds', values.seeds, isOpenEnded || isList ? Number.POSITIVE_INFINITY : 1),
    powerCuts: parseCount('cuts', values.cuts, Number.POSITIVE_INFINITY),
    milliseconds: parseCount('seconds', values.seconds, Number.POSITIVE_INFINITY) * 1000,
  }
  const storyLines = parseCount('lines', values.lines, 60)
  const failure = await runSeeds(parseSeeds(values.seed), options, report, storyLines)
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
    if (result) console.log(`  ${name}: ${result.cases} cases over ${result.operations} operations`)
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
  if (text === undefined || HABIT_NAMES.includes(text as HabitName)) return text as HabitName | undefined
  throw new Error(`Cannot use --habit ${text}: one of ${HABIT_NAMES.join(', ')}`)
}

/** One seed to begin with, or a list of them. */
function parseSeeds(text: string): Iterable<number> {
  if (!text.includes(',')) return seedsFrom(parseCount('seed', text, 1))
  const seeds = text.split(',').filter((seed) => seed !== '')
  return seeds.map((seed) => parseCount('seed', seed, 1))
}

function parseCount(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 0) throw new Error(`Cannot use --${name} ${text}: a whole number`)
  return count
}
