import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { GroupOffset, PartitionMetadata } from '../src/protocols/json/wire.ts'
import { CliFailure } from './failure.ts'
import { findGroup } from './groups.ts'
import { counted, groupDigits } from './numbers.ts'
import { locate, locateWithin, type OffsetRange, type PartitionBounds, type Place } from './offset-range.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

/** A partition that is being read, and how far. Offsets move as it goes on. */
export interface Assignment {
  readonly topic: string
  readonly partition: number
  /** The next record to read. */
  nextOffset: number
  /** Every record before it has been printed. */
  printedOffset: number
  /** Where reading stops; undefined: never. */
  readonly stopOffset: number | undefined
  /** What the group has committed. */
  committedOffset: number | undefined
}

export interface AssignmentPlan {
  readonly topics: readonly string[]
  readonly partitions: readonly number[] | undefined
  readonly group: string | undefined
  readonly range: OffsetRange
  /** Whether somebody asked for this range, or it is what happens when nobody does. */
  readonly saidWhere: boolean
  readonly ignoresCommitted: boolean
  readonly stopsAtEnd: boolean
}

/**
 * Decides from where to where each partition is read.
 *
 * @throws CliFailure when a topic or partition is not there.
 */
export async function planAssignments(
  session: Session,
  connection: JsonConnection,
  plan: AssignmentPlan,
): Promise<Assignment[]> {
  const topics = await readTopics(connection, plan.topics)
  const committed = plan.group === undefined ? [] : await readCommitted(connection, plan.group)
  const assignments: Assignment[] = []
  let lag = 0
  for (const topic of topics) {
    const fromTimes = await offsetsAtTime(connection, topic.name, plan.range.from)
    const untilTimes = await offsetsAtTime(connection, topic.name, plan.range.until)
    for (const partition of pick(topic.name, topic.partitions, plan.partitions)) {
      const mine = committed.find((offset) => offset.topic === topic.name && offset.partition === partition.partition)
      const isResumed = mine !== undefined && !plan.ignoresCommitted
      const from = isResumed
        ? resume(session, mine, partition)
        : begin(session, topic.name, plan.range.from, withTime(partition, fromTimes))
      if (isResumed) lag += Math.max(0, partition.logEndOffset - from)
      const stops = [
        ...(plan.range.until === undefined ? [] : [locate(plan.range.until, withTime(partition, untilTimes), from)]),
        ...(plan.stopsAtEnd ? [partition.highWatermark] : []),
      ]
      assignments.push({
        topic: topic.name,
        partition: partition.partition,
        nextOffset: from,
        printedOffset: from,
        stopOffset: stops.length === 0 ? undefined : Math.min(...stops),
        committedOffset: mine?.offset,
      })
    }
  }
  explain(session, plan, assignments, lag)
  return assignments
}

async function readCommitted(connection: JsonConnection, group: string): Promise<readonly GroupOffset[]> {
  return (await findGroup(connection, group))?.offsets ?? []
}

/** For each partition the first offset at the place's time; nothing when the place is not a time. */
async function offsetsAtTime(
  connection: JsonConnection,
  topic: string,
  place: Place | undefined,
): Promise<Map<number, number>> {
  if (place?.kind !== 'time') return new Map()
  const { offsets } = await call(connection, 'LIST_OFFSETS', { topic, timestamp: place.timestamp })
  return new Map(offsets.map(({ partition, offset }) => [partition, offset]))
}

function withTime(
  partition: PartitionMetadata,
  times: ReadonlyMap<number, number>,
): PartitionMetadata & PartitionBounds {
  const offsetAtTime = times.get(partition.partition)
  return offsetAtTime === undefined ? partition : { ...partition, offsetAtTime }
}

function pick(topic: string, partitions: readonly PartitionMetadata[], wanted: readonly number[] | undefined) {
  if (wanted === undefined) return partitions
  return wanted.map((number) => {
    const partition = partitions.find((candidate) => candidate.partition === number)
    if (partition) return partition
    const range = partitions.length === 1 ? '0' : `0 to ${partitions.length - 1}`
    throw new CliFailure(
      3,
      'UNKNOWN_TOPIC_OR_PARTITION',
      `There is no partition ${number} in topic "${topic}": it has ${range}`,
    )
  })
}

function resume(session: Session, committed: GroupOffset, partition: PartitionMetadata): number {
  const { offset } = committed
  if (offset < partition.logStartOffset) {
    session.warn(
      `${counted(partition.logStartOffset - offset, 'record')} of ${committed.topic}/${committed.partition} expired before they were read: going on at ${partition.logStartOffset}`,
    )
    return partition.logStartOffset
  }
  if (offset > partition.logEndOffset) {
    session.warn(
      `${committed.topic}/${committed.partition} ends at ${partition.logEndOffset}, before the committed offset ${offset}: going on at its end`,
    )
    return partition.highWatermark
  }
  return offset
}

function begin(session: Session, topic: string, place: Place, partition: PartitionMetadata & PartitionBounds): number {
  const offset = locateWithin(place, partition)
  if (place.kind === 'offset' && place.offset !== offset) {
    const { logStartOffset, highWatermark } = partition
    const content = highWatermark > logStartOffset ? `holds ${logStartOffset} to ${highWatermark - 1}` : 'is empty'
    session.warn(`${topic}/${partition.partition} ${content}: beginning at ${offset} instead of ${place.offset}`)
  }
  return offset
}

/** Says on stderr what a person would otherwise wonder about. */
function explain(session: Session, plan: AssignmentPlan, assignments: readonly Assignment[], lag: number) {
  const isResumed = !plan.ignoresCommitted && assignments.some(({ committedOffset }) => committedOffset !== undefined)
  if (isResumed && plan.saidWhere) {
    session.note(
      `${plan.group} has committed offsets; resuming there (lag ${groupDigits(lag)}). Use --reset to start over.`,
    )
  }
  if (!isResumed && !plan.saidWhere && !plan.stopsAtEnd && plan.range.from.kind === 'end') {
    const topics = plan.topics.join(', ')
    session.note(
      session.noteColors.dim(
        `Waiting for new records of ${topics}. From the first one on: --from-beginning. Ctrl-C ends.`,
      ),
    )
  }
}
