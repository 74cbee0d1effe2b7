import { basename, dirname, join, resolve } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { findLockHolder } from '../src/base/directory-lock.ts'
import { nodeFileSystem, type File } from '../src/base/file-system.ts'
import { didYouMean } from '../src/base/nearest.ts'
import { parseSegmentFileName, readFully, segmentFileName } from '../src/log/segment.ts'
import { BATCH_HEADER_BYTES, findBatchFault, findHeaderFault, getBatchBytes } from '../src/record/record-batch.ts'
import { CliFailure, usageFailure } from './failure.ts'
import type { Session } from './session.ts'

const CHUNK_BYTES = 1024 * 1024

/** The option by which the commands of this kind find the files. */
export const DATA_DIR_OPTION = {
  flags: '--data-dir <DIR>',
  description: "the broker's data directory (env CAFELOG_DATA_DIR, default ./data)",
} as const

/** The files of one partition. */
export interface PartitionFiles {
  readonly topic: string
  readonly partition: number
  readonly directory: string
  /** Base offsets of the segments, in order. */
  readonly segments: readonly number[]
}

/** One batch as it lies in a file. */
export interface BatchOnDisk {
  readonly position: number
  /** Valid until the next one is asked for; undefined when not even its length makes sense, and nothing follows. */
  readonly batch: Buffer | undefined
  readonly bytes: number
  /** What is wrong with it, if anything is. */
  readonly fault: string | undefined
}

/** The data directory that a command works on. */
export function dataDirectoryOf(session: Session, option: string | undefined): string {
  return option ?? (session.env['CAFELOG_DATA_DIR'] || './data')
}

/**
 * Makes sure that a data directory is there and no broker is using it.
 *
 * @throws CliFailure
 */
export async function checkStopped(directory: string): Promise<void> {
  if (nodeFileSystem.sizeOf(directory) === undefined) {
    throw usageFailure(`There is no data directory ${JSON.stringify(directory)}`, 'Other place:  --data-dir DIR')
  }
  const holder = await findLockHolder(directory, systemClock)
  if (holder === undefined) return
  throw new CliFailure(
    6,
    'DATA_DIRECTORY_IN_USE',
    `The data directory ${JSON.stringify(directory)} is in use by process ${holder.pid} on ${holder.host}: its files change while they are read`,
    ['Stop the broker first, or read through it:  brokerctl consume TOPIC'],
  )
}

/** All partitions of a data directory, or those of some topics. @throws CliFailure when a topic is not there. */
export function listPartitions(directory: string, topics: readonly string[]): PartitionFiles[] {
  const names = nodeFileSystem
    .list(directory)
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith('@'))
    .map(({ name }) => name)
    .toSorted()
  for (const topic of topics) {
    if (!names.includes(topic)) {
      const message = `There is no topic ${JSON.stringify(topic)} in ${directory}${didYouMean(topic, names)}`
      throw new CliFailure(
        3,
        'UNKNOWN_TOPIC_OR_PARTITION',
        message,
        names.length === 0 ? [] : [`What is there:  ${names.slice(0, 20).join(' ')}`],
      )
    }
  }
  return (topics.length === 0 ? names : topics).flatMap((topic) => listTopic(directory, topic))
}

function listTopic(dataDirectory: string, topic: string): PartitionFiles[] {
  const partitions: PartitionFiles[] = []
  for (const { name } of nodeFileSystem.list(join(dataDirectory, topic))) {
    const partition = /^partition-(\d+)$/.exec(name)
    if (!partition) continue
    const directory = join(dataDirectory, topic, name)
    partitions.push({ topic, partition: Number(partition[1]), directory, segments: listSegments(directory) })
  }
  return partitions.toSorted((a, b) => a.partition - b.partition)
}

function listSegments(directory: string): number[] {
  return nodeFileSystem
    .list(directory)
    .flatMap(({ name }) => parseSegmentFileName(name) ?? [])
    .toSorted((a, b) => a - b)
}

/**
 * The partition that a path of one segment file belongs to, with only that segment, and its data directory.
 *
 * @throws CliFailure when it is no segment file in such a place.
 */
export function partitionOfFile(path: string): { dataDirectory: string; files: PartitionFiles } {
  const directory = dirname(resolve(path))
  const baseOffset = parseSegmentFileName(basename(path))
  const partition = /^partition-(\d+)$/.exec(basename(directory))
  if (baseOffset === undefined || !partition) {
    throw usageFailure(
      `Cannot use ${JSON.stringify(path)}: the file of a segment is TOPIC/partition-N/${segmentFileName(0, '.log')}`,
    )
  }
  const topic = basename(dirname(directory))
  return {
    dataDirectory: dirname(dirname(directory)),
    files: { topic, partition: Number(partition[1]), directory, segments: [baseOffset] },
  }
}

/** Opens the log file of a segment. */
export function openSegment(directory: string, baseOffset: number): File {
  return nodeFileSystem.open(join(directory, segmentFileName(baseOffset, '.log')), 'read')
}

/** Reads a file batch by batch and checks each; a batch with a wrong checksum is passed over, nonsense ends it. */
export function* readBatches(file: File): Generator<BatchOnDisk> {
  const sizeBytes = file.size()
  let buffer = Buffer.allocUnsafe(Math.min(sizeBytes, CHUNK_BYTES))
  let bufferAt = 0
  let buffered = 0
  const load = (position: number, bytes: number): number => {
    if (position + bytes > bufferAt + buffered) {
      if (bytes > buffer.length) buffer = Buffer.allocUnsafe(bytes)
      bufferAt = position
      buffered = readFully(file, buffer, Math.min(buffer.length, sizeBytes - position), position)
    }
    return position - bufferAt
  }
  let position = 0
  while (position < sizeBytes) {
    const left = sizeBytes - position
    const header = load(position, Math.min(left, BATCH_HEADER_BYTES))
    const bytes = left < BATCH_HEADER_BYTES ? 0 : getBatchBytes(buffer, header)
    if (bytes < BATCH_HEADER_BYTES || bytes > left) {
      const fault =
        left < BATCH_HEADER_BYTES
          ? `a batch begins, but only ${left} bytes are left`
          : findHeaderFault(buffer, header, header + left)
      yield { position, batch: undefined, bytes: left, fault }
      return
    }
    const at = load(position, bytes)
    yield { position, batch: buffer.subarray(at, at + bytes), bytes, fault: findBatchFault(buffer, at, at + bytes) }
    position += bytes
  }
}
