import type { HabitName } from './habits.ts'
import { live } from './life.ts'
import type { LifeReport } from './life-report.ts'
import { Violation } from './partition-model.ts'
import { ProcessStopped } from './sim-file-system.ts'

/** A seed in whose life a promise was broken. */
export interface SeedFailure {
  readonly seed: number
  readonly violation: Violation
  /** The last events before it. */
  readonly story: readonly string[]
}

export interface RunOptions {
  /** How all lives are lived; each in its own way when undefined. */
  readonly habit: HabitName | undefined
  /** Lives that are begun at most. */
  readonly seeds: number
  /** No life is begun once so many power cuts have happened. */
  readonly powerCuts: number
  /** Nor once so much time has passed. */
  readonly milliseconds: number
}

const ENDINGS_PER_LIFE = 10
const STORY_LINES = 60

/**
 * Lives through seeds `first`, `first` + 1 and so on until a limit is reached or a promise is broken. What a failing
 * seed did is found out by living it again, with every event noted: it goes the same way.
 */
export async function runSeeds(
  seeds: Iterable<number>,
  options: RunOptions,
  report: LifeReport,
  storyLines = STORY_LINES,
): Promise<SeedFailure | undefined> {
  const startedAt = performance.now()
  let count = 0
  for (const seed of seeds) {
    if (count >= options.seeds || report.powerCuts >= options.powerCuts) return undefined
    if (performance.now() - startedAt >= options.milliseconds) return undefined
    count += 1
    if (!(await liveOnce(seed, options.habit, report, undefined))) continue
    const story: string[] = []
    const note = (line: string) => {
      story.push(line)
      if (story.length > 2 * storyLines) story.splice(0, storyLines)
    }
    const violation = await liveOnce(seed, options.habit, { ...report }, note)
    if (!violation) throw new Error(`Seed ${seed} went two different ways: something in it is left to chance`)
    return { seed, violation, story: story.slice(-storyLines) }
  }
  return undefined
}

/** All whole numbers from `first` on. */
export function* seedsFrom(first: number): Generator<number> {
  for (let seed = first; ; seed += 1) yield seed
}

async function liveOnce(
  seed: number,
  habit: HabitName | undefined,
  report: LifeReport,
  onTrace: ((line: string) => void) | undefined,
): Promise<Violation | undefined> {
  // A rejection that nobody handles ends a real broker. Only of a process that is gone it means nothing.
  let stray: unknown
  const catchStray = (error: unknown) => {
    if (!isOfDeadProcess(error)) stray ??= error
  }
  process.on('unhandledRejection', catchStray)
  process.on('uncaughtException', catchStray)
  try {
    await live({ seed, habit, endings: ENDINGS_PER_LIFE, report, ...(onTrace && { onTrace }) })
  } catch (error) {
    if (error instanceof Violation) return error
    throw new Error(`Seed ${seed} broke the simulation itself`, { cause: error })
  } finally {
    process.off('unhandledRejection', catchStray)
    process.off('uncaughtException', catchStray)
  }
  if (stray === undefined) return undefined
  return new Violation(`I16 no stray errors: ${stray instanceof Error ? stray.stack : JSON.stringify(stray)}`)
}

function isOfDeadProcess(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof ProcessStopped) return true
  return false
}
