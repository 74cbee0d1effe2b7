import { isCompacted, isDeleted, type LogConfig } from './log-engine.ts'
import type { SegmentFacts } from './segment.ts'

/** Why a segment goes. */
export type RetentionReason = 'time' | 'size' | 'manual'

/** What retention decides by. -1 is "no limit". */
export interface RetentionLimits {
  readonly retentionMs: number
  readonly retentionBytes: number
}

const NO_LIMITS: RetentionLimits = { retentionMs: -1, retentionBytes: -1 }

/** The limits that a topic's settings come to: none when it is only compacted. */
export function retentionLimits(config: LogConfig): RetentionLimits {
  return isDeleted(config) ? config : NO_LIMITS
}

/** How old a segment's first batch may get before the next segment begins. Only what is no longer written to is compacted. */
export function rollAfterMs(config: LogConfig): number {
  const { segmentMs, maxCompactionLagMs } = config
  return isCompacted(config) && maxCompactionLagMs >= 0 ? Math.min(segmentMs, maxCompactionLagMs) : segmentMs
}

/**
 * How many of the oldest segments have outlived the limits, and why. Whole segments go, oldest first: by time once their
 * youngest record is too old, by size while what stays is still at least `retentionBytes`. The last segment, which takes
 * the appends, always stays; the log rolls it beforehand when it is old enough.
 */
export function countExpired(
  segments: readonly SegmentFacts[],
  limits: RetentionLimits,
  now: number,
): { count: number; reason: RetentionReason } {
  let byTime = 0
  if (limits.retentionMs >= 0) {
    while (byTime < segments.length - 1 && isTooOld(segments[byTime], limits.retentionMs, now)) byTime++
  }
  let bySize = 0
  if (limits.retentionBytes >= 0) {
    let excess = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0) - limits.retentionBytes
    while (bySize < segments.length - 1 && excess >= segments[bySize].sizeBytes) {
      excess -= segments[bySize].sizeBytes
      bySize++
    }
  }
  return byTime >= bySize ? { count: byTime, reason: 'time' } : { count: bySize, reason: 'size' }
}

/** Whether even the youngest record of a segment has outlived `retentionMs`. */
export function isTooOld(segment: SegmentFacts, retentionMs: number, now: number): boolean {
  if (retentionMs < 0 || segment.sizeBytes === 0) return false
  const youngest = segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.firstAppendMs
  return now - youngest > retentionMs
}
