import { join } from 'node:path'
import type { FileSystem } from '../base/file-system.ts'
import {
  cleanedFileName,
  isCleanedFileName,
  parseSegmentFileName,
  segmentFileName,
  type SegmentFacts,
} from './segment.ts'

/**
 * Finishes what compaction was doing when the process ended, and removes what it had begun.
 *
 * The checkpoint decides. Where it speaks of a cleaned segment, the file that holds it is put in place if that was not done
 * yet, and only then, once its name is durable, go the segments that it has swallowed. Every other file of the cleaner is a
 * work that was broken off. Can be interrupted anywhere and done again. `segments` are those that the checkpoint knows.
 * Returns whether anything was changed.
 */
export function finishCleaning(
  fileSystem: FileSystem,
  directory: string,
  segments: readonly SegmentFacts[],
): { isChanged: boolean } {
  const names = fileSystem.list(directory).map(({ name }) => name)
  const left = new Set(names.filter(isCleanedFileName))
  let isChanged = false
  const remove = (name: string) => {
    fileSystem.remove(join(directory, name))
    isChanged = true
  }
  for (const { baseOffset, cleanings } of segments) {
    const name = cleanedFileName(baseOffset, cleanings)
    if (!left.delete(name)) continue
    const index = segmentFileName(baseOffset, '.idx')
    if (names.includes(index)) remove(index)
    fileSystem.rename(join(directory, name), join(directory, segmentFileName(baseOffset, '.log')))
    isChanged = true
  }
  if (isChanged) fileSystem.syncDirectoryNow(directory)
  for (const name of swallowedFiles(names, segments)) remove(name)
  for (const name of left) remove(name)
  return { isChanged }
}

/** The files of segments that now lie within a cleaned one. */
export function swallowedFiles(names: readonly string[], segments: readonly SegmentFacts[]): string[] {
  const cleaned = segments.filter(({ cleanings }) => cleanings > 0)
  if (cleaned.length === 0) return []
  return names.flatMap((name) => {
    const baseOffset = parseSegmentFileName(name)
    const isSwallowed =
      baseOffset !== undefined &&
      cleaned.some((segment) => segment.baseOffset < baseOffset && baseOffset < segment.nextOffset)
    if (!isSwallowed) return []
    const index = segmentFileName(baseOffset, '.idx')
    return names.includes(index) ? [name, index] : [name]
  })
}
