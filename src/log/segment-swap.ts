import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import type { FileSystem } from '../base/file-system.ts'
import type { OpenFiles } from './open-files.ts'
import { cleanedFileName, type Segment } from './segment.ts'

/**
 * A cleaned segment that takes the place of others.
 *
 * | stage     | on disk                                             | in memory, and for readers | in the checkpoint      |
 * | --------- | --------------------------------------------------- | -------------------------- | ---------------------- |
 * | `offered` | the old files, and the new one as `.cleaned`        | the old ones               | the new one, from now on |
 * | `placed`  | the new one under its name, some old ones beside it | the new one                | the new one            |
 *
 * It is placed once both files of the checkpoint have it: before that a crash leaves the old segments, after it the new
 * one, and nobody who has seen the new one ever sees the old ones again. There is no way back from `offered`: some start may
 * already go by the new one.
 */
export interface SegmentSwap {
  readonly olds: readonly Segment[]
  readonly segment: Segment
  stage: 'offered' | 'placed'
}

/** The segments of a log as the checkpoint is to have them. */
export function segmentsToSave(segments: readonly Segment[], swap: SegmentSwap | undefined): readonly Segment[] {
  if (swap?.stage !== 'offered') return segments
  return segments.flatMap((segment) => {
    if (!swap.olds.includes(segment)) return segment
    return segment === swap.olds[0] ? swap.segment : []
  })
}

/** Whether the segments of a swap lie one behind the other in a log, and are safe with the one that follows them. */
export function canBeOffered(segments: readonly Segment[], { olds, segment }: SegmentSwap): boolean {
  const first = segments.indexOf(olds[0])
  const next = segments.at(first + olds.length)
  return (
    first >= 0 &&
    olds.every((old, i) => segments[first + i] === old && old.isDurable) &&
    // The last segment of a checkpoint is where the recovery point lies, and no cleaned one may be that.
    next?.isNameSynced === true &&
    segment.baseOffset === olds[0].baseOffset &&
    segment.nextOffset === next.baseOffset
  )
}

/** Puts the new file under its name and the new segment into the list, in one turn. Throws the system's error. */
export function placeSwap(
  parts: { directory: string; fileSystem: FileSystem; files: OpenFiles },
  segments: Segment[],
  swap: SegmentSwap,
): void {
  const { olds, segment } = swap
  const at = segments.indexOf(olds[0])
  assert(at >= 0 && swap.stage === 'offered', 'what is placed was offered, and its segments are in the log')
  for (const old of olds) {
    parts.files.close(old.logPath)
    parts.files.close(old.indexPath)
  }
  removeIfThere(parts.fileSystem, segment.indexPath)
  const cleaned = join(parts.directory, cleanedFileName(segment.baseOffset, segment.cleanings))
  parts.fileSystem.rename(cleaned, segment.logPath)
  segments.splice(at, olds.length, segment)
  for (const old of olds) old.isGone = true
  swap.stage = 'placed'
  segment.releaseIndex()
}

/** Removes what a placed segment has swallowed; its name must be durable. Throws the system's error. */
export function removeSwallowed(fileSystem: FileSystem, { olds }: SegmentSwap): void {
  for (const old of olds.slice(1)) {
    removeIfThere(fileSystem, old.logPath)
    removeIfThere(fileSystem, old.indexPath)
  }
}

function removeIfThere(fileSystem: FileSystem, path: string): void {
  if (fileSystem.sizeOf(path) !== undefined) fileSystem.remove(path)
}
