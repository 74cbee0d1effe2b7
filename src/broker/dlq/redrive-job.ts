import type { StoreChange } from '../../store/store.ts'
import type { LetterFilter } from './letter.ts'
import type { RedriveFault, RedriveOrder } from './plan-redrive.ts'

// Row of the table `redrives`. Key: the number of the job in 10 decimal digits. Value: JSON, the job below with a version.
const ROW_VERSION = 1
const NUMBER_DIGITS = 10

/** Where a redrive is: `cancelling` ends as `cancelled` as soon as it is known what was sent. */
export type RedriveState = 'running' | 'cancelling' | 'done' | 'cancelled'

/** What became of the dead letters that a redrive has looked at. */
export interface RedriveCounts {
  /** Sent again, or discarded. */
  readonly done: number
  readonly rejected: number
  readonly refused: number
  readonly failed: number
}

/** A dead letter that stays one. */
export interface RedriveProblem extends Omit<RedriveFault, 'kind'> {
  /** `partition@offset`. */
  readonly id: string
}

/** What is about to be appended, or was: the logs say which. */
export interface RedriveIntent {
  /** The ids of the dead letters, and where each goes. */
  readonly sends: readonly (readonly [id: string, topic: string, partition: number])[]
  /** The log end offsets before. */
  readonly points: readonly (readonly [topic: string, partition: number, offset: number])[]
}

/** A redrive or a discard, from when it was asked for. The rows of those that are over are the record of who did what. */
export interface RedriveJob {
  readonly number: number
  readonly kind: 'redrive' | 'discard'
  /** The dead letter topic. */
  readonly topic: string
  readonly topicId: string
  /** Who asked for it, and why; text for people. */
  readonly by: string
  readonly note: string
  readonly startedAtMs: number
  readonly filter: LetterFilter
  readonly order: RedriveOrder
  /** Records a second; undefined is no limit. */
  readonly rate: number | undefined
  /** So many at most; undefined is no limit. */
  readonly limit: number | undefined
  /** By partition, the offset at which it ends: what comes later is not its business. */
  readonly ends: readonly number[]
  readonly state: RedriveState
  readonly partition: number
  /** Where in the partition it goes on. */
  readonly offset: number
  readonly counts: RedriveCounts
  /** The first dead letters that stay. */
  readonly problems: readonly RedriveProblem[]
  readonly intent: RedriveIntent | undefined
  readonly endedAtMs: number | undefined
}

/** Whether there is still something to be done. */
export function isOver({ state }: RedriveJob): boolean {
  return state === 'done' || state === 'cancelled'
}

/** The row of a job. */
export function jobRow(job: RedriveJob): StoreChange {
  return {
    table: 'redrives',
    key: keyOf(job.number),
    value: Buffer.from(JSON.stringify({ version: ROW_VERSION, ...job })),
  }
}

/** Removes the row of a job. */
export function withoutJob(number: number): StoreChange {
  return { table: 'redrives', key: keyOf(number), value: undefined }
}

/** @throws Error when the row is not one that this version can read */
export function decodeJob(key: string, value: Buffer): RedriveJob {
  const { version, ...job } = JSON.parse(value.toString()) as RedriveJob & { version: number }
  if (version !== ROW_VERSION || job.number !== Number(key)) {
    throw new Error(`Cannot read the redrive ${JSON.stringify(key)} in the store: it has version ${version}`)
  }
  return job
}

function keyOf(number: number): string {
  return String(number).padStart(NUMBER_DIGITS, '0')
}
