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
  compact: 0,
} as const

export type Step = keyof typeof STEPS

/**
 * What a life does often, seldom or never. With the same mixture in every life, what needs three rare things one after the
 * other would hardly ever happen; so each life leaves some things out and overdoes others.
 */
export interface Habits {
  readonly steps: Readonly<Record<Step, number>>
  /** How many of the lives have a disk that fails, fills up and rots. */
  readonly faultyShare: number
  /** How many of the processes are stopped in order. */
  readonly cleanShare: number
  /** How many of the others are killed without a power cut. */
  readonly killShare: number
  /** How often indexes and checkpoints are spoilt between two processes. */
  readonly spoilShare: number
  /** How many of the starts are cut short, or meet a fault. */
  readonly troubledStartShare: number
  /** Flush policies that topics have. */
  readonly policies: readonly FlushPolicy['kind'][]
  /** Steps that a process may take. */
  readonly stepCounts: readonly number[]
  /** How many of the topics are compacted. Where any are, all records have keys. */
  readonly compactedShare: number
  /** Sizes that segments may have. */
  readonly segmentBytes: readonly number[]
}

const PLAIN: Habits = {
  steps: STEPS,
  faultyShare: 0.5,
  cleanShare: 0.15,
  killShare: 0.25,
  spoilShare: 0.15,
  troubledStartShare: 0.25,
  policies: ['always', 'always', 'always', 'interval', 'os'],
  stepCounts: [4, 30, 90],
  compactedShare: 0,
  segmentBytes: [300, 1_000, 4_000, 20_000],
}

/** Ways to live, by name. */
export const HABITS = {
  /** A bit of everything. */
  plain: PLAIN,
  /** The disk is full again and again. */
  fullDisk: {
    ...PLAIN,
    steps: { ...STEPS, append: 700, fillDisk: 120, makeRoom: 120, fault: 0, rot: 0 },
    faultyShare: 1,
    cleanShare: 0.3,
    policies: ['always'],
    stepCounts: [30],
  },
  /** Disks fail, and the process dies of it while the page cache lives on. */
  failingDisk: {
    ...PLAIN,
    steps: { ...STEPS, fault: 100, fillDisk: 0 },
    faultyShare: 1,
    killShare: 0.6,
    policies: ['always', 'always', 'interval'],
    stepCounts: [12, 30],
  },
  /** Processes live short lives and are killed in the middle of everything. */
  shortLives: {
    ...PLAIN,
    steps: { ...STEPS, openTopic: 60, deleteTopic: 10 },
    faultyShare: 0,
    killShare: 0.6,
    cleanShare: 0.05,
    policies: ['always'],
    stepCounts: [4, 12],
  },
  /** Between short lives, indexes and checkpoints are lost or spoilt. */
  spoiltFiles: {
    ...PLAIN,
    faultyShare: 0.1,
    cleanShare: 0.4,
    killShare: 0.8,
    spoilShare: 0.8,
    stepCounts: [4, 12],
  },
  /** A slow disk, so that checkpoints are in flight when the process dies, and starts that do not get through. */
  troubledStarts: {
    ...PLAIN,
    steps: { ...STEPS, append: 200, completeOne: 60, completeAll: 10, advance: 300, deleteRecords: 60 },
    faultyShare: 0.2,
    cleanShare: 0.05,
    killShare: 0.8,
    troubledStartShare: 0.7,
    stepCounts: [12],
  },
  /** Topics come and go. */
  manyTopics: {
    ...PLAIN,
    steps: { ...STEPS, openTopic: 80, deleteTopic: 80, deleteRecords: 60 },
    faultyShare: 0.2,
    stepCounts: [30],
  },
  /** Records are synced some time after they were acknowledged. */
  lateSyncs: {
    ...PLAIN,
    steps: { ...STEPS, append: 600, completeAll: 300, advance: 300 },
    faultyShare: 0.1,
    policies: ['interval'],
    stepCounts: [30],
  },
  /** Logs lose their beginnings all the time. */
  expiry: {
    ...PLAIN,
    steps: { ...STEPS, deleteRecords: 120, configure: 60, advance: 200 },
    faultyShare: 0.3,
    spoilShare: 0.4,
    policies: ['always', 'interval', 'os'],
    stepCounts: [30],
  },
  /** Consumers ask for times and offsets, and find damage. */
  lookups: {
    ...PLAIN,
    steps: { ...STEPS, findTime: 300, read: 300, rot: 10 },
    cleanShare: 0.4,
    spoilShare: 0.5,
  },
} as const satisfies Record<string, Habits>

/** `compaction` is any of the others, or a mixture, with topics that are compacted. */
export type HabitName = keyof typeof HABITS | 'compaction'

/** The names of all ways to live. */
export const HABIT_NAMES: readonly HabitName[] = [...(Object.keys(HABITS) as HabitName[]), 'compaction']

/** The habits of that name; `random` chooses where there is a choice. */
export function habitsOf(name: HabitName | undefined, random: SeededRandom): Habits {
  if (name === undefined) return anyHabits(random)
  if (name !== 'compaction') return HABITS[name]
  const { steps, ...habits } = anyHabits(random)
  // Time goes on, or nobody could say when a tombstone may go; and a damaged batch ends the cleaning of its partition.
  return {
    ...habits,
    steps: { ...steps, compact: random.pick([60, 200]), jump: 0, rot: 0 },
    compactedShare: 0.7,
    segmentBytes: [300, 600, 1_500],
  }
}

/** Some way to live: one of those that have a name, or a mixture that nobody has thought of. */
function anyHabits(random: SeededRandom): Habits {
  if (random.chance(0.6)) return HABITS[random.pick(Object.keys(HABITS) as (keyof typeof HABITS)[])]
  const steps = Object.entries(STEPS).map(([step, weight]) => {
    if (weight === 0) return [step, weight]
    // Without appends and syncs there would be nothing to lose.
    const factors = step === 'append' || step === 'completeOne' ? [0.5, 1, 1] : [0, 0.3, 1, 4]
    return [step, Math.round(weight * random.pick(factors))]
  })
  return {
    steps: Object.fromEntries(steps) as Record<Step, number>,
    faultyShare: random.pick([0, 1]),
    cleanShare: random.pick([0, 0.15, 0.5]),
    killShare: random.pick([0.1, 0.25, 0.6]),
    spoilShare: random.pick([0, 0.15, 0.5]),
    troubledStartShare: random.pick([0, 0.25, 0.7]),
    policies: random.pick<Habits['policies']>([PLAIN.policies, ['always'], ['interval'], ['os', 'always']]),
    stepCounts: random.pick([[12], [40], PLAIN.stepCounts]),
    compactedShare: 0,
    segmentBytes: PLAIN.segmentBytes,
  }
}
