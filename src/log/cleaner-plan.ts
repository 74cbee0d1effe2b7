import type { LogConfig } from './log-engine.ts'
import type { Segment } from './segment.ts'

/** A log that may be cleaned, as it stands. */
export interface CleanableLog {
  readonly logStartOffset: number
  /** What lies above it may still be rolled back. */
  readonly lastStableOffset: number
  readonly cleanedOffset: number
  readonly config: LogConfig
  readonly segments: readonly Segment[]
}

/** What there is to clean in a log. */
export interface CleaningPlan {
  /** The segments that are made anew, the clean ones too: what is in them may have been overtaken. */
  readonly segments: readonly Segment[]
  /** The first offset whose key the clean part may have too. */
  readonly dirtyOffset: number
  readonly dirtyBytes: number
  /** The share of the bytes that is dirty, 0 to 1. */
  readonly dirtyRatio: number
  /** Whether it is to be cleaned now. */
  readonly isDue: boolean
}

/**
 * Looks what compaction could do. It may have segments that are complete and on stable storage, lie below the last stable
 * offset and have no record that is younger than `min.compaction.lag.ms`; never the last segment, which takes the appends.
 * Undefined when there is nothing dirty among them.
 */
export function planCleaning(log: CleanableLog, now: number): CleaningPlan | undefined {
  const { config } = log
  const { lastStableOffset } = log
  const dirtyOffset = Math.max(log.cleanedOffset, log.logStartOffset)
  const segments: Segment[] = []
  let bytes = 0
  let dirtyBytes = 0
  let isOverdue = false
  for (let i = 0; i < log.segments.length - 1; i++) {
    const segment = log.segments[i]
    if (segment.nextOffset <= log.logStartOffset) continue
    if (!segment.isDurable || segment.nextOffset > lastStableOffset || isTooYoung(segment, config, now)) break
    segments.push(segment)
    bytes += segment.sizeBytes
    if (segment.nextOffset <= dirtyOffset) continue
    dirtyBytes += segment.sizeBytes
    isOverdue ||= config.maxCompactionLagMs >= 0 && now - segment.firstAppendMs >= config.maxCompactionLagMs
  }
  if (dirtyBytes === 0) return undefined
  const dirtyRatio = dirtyBytes / bytes
  const isDue = isOverdue || dirtyRatio >= config.minCleanableDirtyRatio
  return { segments, dirtyOffset, dirtyBytes, dirtyRatio, isDue }
}

function isTooYoung(segment: Segment, { minCompactionLagMs }: LogConfig, now: number): boolean {
  const youngest = segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.firstAppendMs
  return minCompactionLagMs > 0 && now - youngest < minCompactionLagMs
}
