import type { RecordHeader } from '../record/record-batch.ts'

/** A partition that a span is about. */
export interface TracedPartition {
  readonly topic: string
  readonly partition: number
}

/** Something that is going on. */
export interface TracedWork {
  /** It is over; `error` says why it failed. Only the first call counts. `baseOffset` is where its records are. */
  end(error?: unknown, baseOffset?: number): void
}

/** Records that the broker writes by itself, on behalf of whoever has sent them. */
export interface TracedForwarding extends TracedWork {
  /**
   * The headers that a record is to be written with: `headers`, in which the context of a span that begins now takes the place
   * of the context that was there. Headers without a context, and those of a trace that is not recorded, stay as they are.
   */
  add(headers: readonly RecordHeader[]): readonly RecordHeader[]
}

/** What a fetch has read of one partition. */
export interface TracedReading extends TracedPartition {
  /** Where the fetch began to read: records before it, of the same batch, are not its own. */
  readonly fromOffset: number
  /** Whole record batches. They are read within the call. */
  readonly bytes: Buffer
  readonly error: unknown
}

/** Whose offsets are committed, and of which partitions. */
export interface TracedCommit {
  readonly group: string
  readonly offsets: readonly TracedPartition[]
}

/** Why the broker writes records by itself. */
export type ForwardingReason = 'deliver' | 'dead_letter' | 'redrive'

/**
 * What the rooms tell about their work, as spans in the traces that records carry in their headers (W3C Trace Context). Rooms
 * have none as long as tracing is off. Nothing here throws, waits, or keeps bytes that it is given.
 */
export interface Tracer {
  /** A batch of a producer is about to be appended. */
  produce(partition: TracedPartition, batch: Buffer): TracedWork
  /** A fetch is about to be answered. It has begun to read at `startedAtMs`, on the monotonic clock. */
  fetched(startedAtMs: number, readings: readonly TracedReading[]): void
  commit(request: TracedCommit): TracedWork
  /** Records are about to be packed for a partition; the batch is one piece of work. */
  forward(reason: ForwardingReason, partition: TracedPartition): TracedForwarding
}
