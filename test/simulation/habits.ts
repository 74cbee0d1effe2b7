import type { FlushPolicy } from '../../src/log/log-engine.ts'
import type { SeededRandom } from './seeded-random.ts'

/** What may happen next in a running process, and how often in a life without habits of its own. */
const STEPS = {
  append: 440,
  completeOne: 220,
  completeAll: 60,
  turn: 40,
  advance: 100,
  read: 80,
  findTime: 40,
  deleteRecords: 20,
  openTopic: 20,
  deleteTopic: 10,
  configure: 20,
  jump: 10,
  fillDisk: 15,
  makeRoom: 25,
  fault: 20,
  rot: 3,
} as const

export type Step = keyof typeof STEPS

/**
 * What a life does often, seldom or never. With the same mixture in every life, what needs three rare things one after the
 * other would hardly ever happen; so each life leaves some things out and overdoes others.
 */
export interface Habits {
  readonly steps: Readonly<Record<Step, number>>
  /** How many of the processes are stopped in order. */
  readonly cleanShare: number
  /** How many of the others are killed without a power cut. */
  readonly killShare: number
  /** How often indexes and checkpoints are spoilt between two processes. */
  readonly spoilShare: number
  /** Flush policies that topics have. */
  readonly policies: readonly FlushPolicy['kind'][]
  /** Steps that a process may take. */
  readonly stepCounts: readonly number[]
}

/** A bit of everything. */
export const PLAIN_HABITS: Habits = {
  steps: STEPS,
  cleanShare: 0.15,
  killShare: 0.25,
  spoilShare: 0.15,
  policies: ['always', 'always', 'always', 'interval', 'os'],
  stepCounts: [4, 30, 90],
}

/** Some habits. */
export function anyHabits(random: SeededRandom): Habits {
  if (random.chance(0.3)) return PLAIN_HABITS
  const steps = Object.entries(STEPS).map(([step, weight]) => {
    // Without appends and syncs there would be nothing to lose.
    const factors = step === 'append' || step === 'completeOne' ? [0.5, 1, 1] : [0, 0.3, 1, 4]
    return [step, Math.round(weight * random.pick(factors))]
  })
  return {
    steps: Object.fromEntries(steps) as Record<Step, number>,
    cleanShare: random.pick([0, 0.15, 0.5]),
    killShare: random.pick([0.1, 0.25, 0.6]),
    spoilShare: random.pick([0, 0.15, 0.5]),
    policies: random.pick<Habits['policies']>([
      PLAIN_HABITS.policies,
      ['always'],
      ['always'],
      ['interval'],
      ['os', 'always'],
    ]),
    stepCounts: random.pick([[12], [40], PLAIN_HABITS.stepCounts]),
  }
}
