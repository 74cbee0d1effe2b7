import { join } from 'node:path'
import type { FileSystem } from '../base/file-system.ts'
import type { TopicName } from '../base/topic-name.ts'
import { Checkpoint } from './checkpoint.ts'
import type { StagedFile } from './log-engine.ts'
import type { PartitionFacts } from './partition-facts.ts'
import { listSnapshots, snapshotFileName } from './producer-snapshot.ts'
import { segmentFileName } from './segment.ts'

/** Files that are linked before the event loop gets a turn: 2 to 5 ms. */
const LINKS_PER_TURN = 200

/** What the log of one partition consists of at one moment. */
export interface PartitionImage {
  readonly topic: TopicName
  readonly partition: number
  readonly directory: string
  /** The end of what is written. */
  readonly logEndOffset: number
  readonly segments: readonly {
    /** Where the file is; one that compaction has made may not have its own name yet. */
    readonly path: string
    readonly baseOffset: number
    /** What is written; the file may grow. */
    readonly sizeBytes: number
  }[]
  /** Up to the recovery point. */
  readonly facts: PartitionFacts
}

/** What all logs consist of at one moment. */
export interface LogImage {
  readonly leaderEpoch: number
  readonly partitions: readonly PartitionImage[]
}

/**
 * Lays out an image as a data directory: segments and snapshots of producers as second names of the files in use, and a
 * checkpoint of a stop that was not clean. The files of the image must stay where they are until this resolves.
 *
 * Indexes are left out: they are made anew when they are missed. Of the snapshots those up to the end of the log are taken,
 * whenever they were written: they say nothing but what the log up to their offset says. One that is half written is
 * recognized by its checksum.
 *
 * Rejects with the system's error.
 */
export async function linkImage(
  parts: { readonly fileSystem: FileSystem; readonly directory: string; readonly yieldTurn: () => Promise<void> },
  image: LogImage,
): Promise<readonly StagedFile[]> {
  const { fileSystem, directory, yieldTurn } = parts
  const files: StagedFile[] = []
  for (const { topic, partition, directory: source, logEndOffset, segments } of image.partitions) {
    const folder = `${topic}/partition-${partition}`
    fileSystem.makeDirectory(join(directory, folder))
    const add = async (from: string, name: string, sizeBytes: number) => {
      const path = `${folder}/${name}`
      fileSystem.link(from, join(directory, path))
      files.push({ path, sizeBytes })
      if (files.length % LINKS_PER_TURN === 0) await yieldTurn()
    }
    for (const { path, baseOffset, sizeBytes } of segments) {
      await add(path, segmentFileName(baseOffset, '.log'), sizeBytes)
    }
    for (const offset of listSnapshots(fileSystem, source)) {
      const name = snapshotFileName(offset)
      const sizeBytes = fileSystem.sizeOf(join(source, name))
      if (offset <= logEndOffset && sizeBytes !== undefined) await add(join(source, name), name, sizeBytes)
    }
  }
  const { leaderEpoch, partitions } = image
  await new Checkpoint(fileSystem, directory).write({ isClean: false, leaderEpoch, partitions })
  for (const { name, isDirectory } of fileSystem.list(directory)) {
    if (!isDirectory) files.push({ path: name, sizeBytes: fileSystem.sizeOf(join(directory, name)) ?? 0 })
  }
  return files
}
