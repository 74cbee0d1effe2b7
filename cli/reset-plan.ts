import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { GroupOffset, PartitionMetadata } from '../src/protocols/json/wire.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { findGroup, readGroup, refuseActive } from './groups.ts'
import { locate, parsePlace, type Place } from './offset-range.ts'
import { readOffsetsFile, type ExportedOffset } from './offsets-file.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

/** Where the offsets of a group are to be moved. */
export type ResetTarget =
  | { readonly kind: 'place'; readonly place: Place }
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'file'; readonly path: string }

/** What becomes of one partition. */
export interface ResetRow {
  readonly topic: string
  readonly partition: number
  /** null when nothing is committed. */
  readonly from: number | null
  /** null when nothing will be. */
  readonly to: number | null
  readonly lag: number | null
}

export interface ResetRequest {
  readonly group: string
  readonly target: ResetTarget
  /** Only these; undefined: all that the group, the other group, or the file has. */
  readonly topics: readonly string[] | undefined
  readonly partition: number | undefined
}

/**
 * Reads the argument of `--to`: a place, `group:OTHER` or `file:FILE`.
 *
 * @throws CliFailure
 */
export function parseResetTarget(text: string, now: number): ResetTarget {
  const [, kind, name = ''] = /^(group|file):(.*)$/s.exec(text) ?? []
  if (kind !== undefined && name === '') throw usageFailure(`Which ${kind}?  --to ${kind}:NAME`)
  if (kind === 'group') return { kind, group: name }
  if (kind === 'file') return { kind, path: name }
  return { kind: 'place', place: parsePlace(text, now) }
}

/**
 * Works out what a reset would change, and changes nothing.
 *
 * @throws CliFailure when the group has members, or when a group, topic or partition is not there
 */
export async function planReset(
  session: Session,
  connection: JsonConnection,
  request: ResetRequest,
): Promise<ResetRow[]> {
  const { group, target } = request
  // Who says where each partition is to go may begin a new group, or bring back one that was deleted.
  const isKnown = target.kind === 'place'
  const { members, offsets } = isKnown
    ? await readGroup(connection, group)
    : await readGroupOrNothing(connection, group)
  refuseActive('reset', group, members)
  return target.kind === 'place'
    ? planPlace(session, connection, request, target.place, offsets)
    : planOffsets(session, connection, request, await readTarget(session, connection, target), offsets)
}

async function readGroupOrNothing(connection: JsonConnection, group: string) {
  return (await findGroup(connection, group)) ?? { members: [], offsets: [] }
}

async function readTarget(
  session: Session,
  connection: JsonConnection,
  target: Exclude<ResetTarget, { kind: 'place' }>,
): Promise<readonly ExportedOffset[]> {
  if (target.kind === 'file') return readOffsetsFile(target.path, session.stdin)
  return (await readGroup(connection, target.group)).offsets
}

async function planPlace(
  session: Session,
  connection: JsonConnection,
  request: ResetRequest,
  place: Place,
  offsets: readonly GroupOffset[],
): Promise<ResetRow[]> {
  const names = request.topics ?? [...new Set(offsets.map((offset) => offset.topic))].toSorted()
  const rows: ResetRow[] = []
  for (const topic of await readTopics(connection, names)) {
    const times =
      place.kind === 'time'
        ? (await call(connection, 'LIST_OFFSETS', { topic: topic.name, timestamp: place.timestamp })).offsets
        : []
    const wanted = topic.partitions.filter(
      ({ partition }) => request.partition === undefined || partition === request.partition,
    )
    if (wanted.length === 0) throw unknownPartition(topic.name, request.partition ?? 0)
    for (const bounds of wanted) {
      const from = committedIn(offsets, topic.name, bounds.partition)
      // Here +N and -N count from where the group is, as with Kafka's --shift-by.
      const base = from ?? bounds.logStartOffset
      const found = times.find((time) => time.partition === bounds.partition)
      const wish =
        place.kind === 'beforeEnd'
          ? base - place.count
          : locate(place, found === undefined ? bounds : { ...bounds, offsetAtTime: found.offset }, base)
      const to = place.kind === 'offset' ? limit(session, topic.name, bounds, wish) : clamp(bounds, wish)
      rows.push({ topic: topic.name, partition: bounds.partition, from, to, lag: bounds.logEndOffset - to })
    }
  }
  return rows
}

async function planOffsets(
  session: Session,
  connection: JsonConnection,
  { topics, partition }: ResetRequest,
  wanted: readonly ExportedOffset[],
  offsets: readonly GroupOffset[],
): Promise<ResetRow[]> {
  const meant = wanted.filter((wish) => {
    return (topics === undefined || topics.includes(wish.topic)) && (partition ?? wish.partition) === wish.partition
  })
  const rows: ResetRow[] = []
  const names = [...new Set(meant.map(({ topic }) => topic))].toSorted()
  for (const topic of names.length === 0 ? [] : await readTopics(connection, names)) {
    for (const wish of meant.filter((candidate) => candidate.topic === topic.name).toSorted(byPartition)) {
      const bounds = topic.partitions.find((candidate) => candidate.partition === wish.partition)
      if (bounds === undefined) throw unknownPartition(topic.name, wish.partition)
      const from = committedIn(offsets, topic.name, wish.partition)
      if (from === null && wish.offset === null) continue
      const to = wish.offset === null ? null : limit(session, topic.name, bounds, wish.offset)
      const lag = to === null ? null : bounds.logEndOffset - to
      rows.push({ topic: topic.name, partition: wish.partition, from, to, lag })
    }
  }
  return rows
}

function committedIn(offsets: readonly GroupOffset[], topic: string, partition: number): number | null {
  return offsets.find((offset) => offset.topic === topic && offset.partition === partition)?.offset ?? null
}

function byPartition(left: ExportedOffset, right: ExportedOffset): number {
  return left.partition - right.partition
}

function clamp({ logStartOffset, highWatermark }: PartitionMetadata, offset: number): number {
  return Math.min(Math.max(offset, logStartOffset), highWatermark)
}

/** The same, but told: somebody has said exactly this offset. */
function limit(session: Session, topic: string, bounds: PartitionMetadata, offset: number): number {
  const to = clamp(bounds, offset)
  const { partition, logStartOffset, highWatermark } = bounds
  if (to !== offset) {
    session.warn(
      `${topic}/${partition} begins at ${logStartOffset} and ends at ${highWatermark}: ${to} instead of ${offset}`,
    )
  }
  return to
}

function unknownPartition(topic: string, partition: number): CliFailure {
  return new CliFailure(3, 'UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${partition} in topic "${topic}"`, [
    `What is there:  brokerctl topic offsets ${topic}`,
  ])
}
