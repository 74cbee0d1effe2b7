import type { SegmentFacts } from './segment.ts'

/** A leader epoch and the first offset that was appended under it. */
export type EpochStart = readonly [epoch: number, startOffset: number]

/** What the checkpoint remembers of a partition: enough to open it without reading it. */
export interface PartitionFacts {
  readonly logStartOffset: number
  /** Everything below this offset is on stable storage: the recovery point. */
  readonly durableOffset: number
  /** How many bytes of the last segment in `segments` lie below the recovery point. */
  readonly durableBytes: number
  readonly epochs: readonly EpochStart[]
  /** Below this offset no two records have the same key: so far compaction has come. */
  readonly cleanedOffset: number
  /** Below this offset there was nothing to remember of any producer: see partition-producers.ts. */
  readonly producersEmptyAt: number
  /** In order; the last one is where the recovery point lies. Empty for a partition that was never written. */
  readonly segments: readonly SegmentFacts[]
}
