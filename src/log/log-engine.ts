import type { TopicName } from '../base/topic-name.ts'
import type { Codec, TransactionMarker } from '../record/record-batch.ts'

/** When a written batch goes to stable storage. docs/durability.md says what each setting survives. */
export type FlushPolicy =
  { readonly kind: 'always' } | { readonly kind: 'interval'; readonly intervalMs: number } | { readonly kind: 'os' }

/**
 * What becomes of old records: `delete` removes whole segments by retention, `compact` keeps the newest record of each key,
 * `compact,delete` does both.
 */
export type CleanupPolicy = 'delete' | 'compact' | 'compact,delete'

/** The settings of a topic that its logs obey. Times are milliseconds, -1 is "no limit" where that is allowed. */
export interface LogConfig {
  readonly retentionMs: number
  /** For each partition, as in Kafka. */
  readonly retentionBytes: number
  readonly segmentMs: number
  readonly segmentBytes: number
  readonly batchBytesMax: number
  readonly indexIntervalBytes: number
  readonly flushPolicy: FlushPolicy
  readonly cleanupPolicy: CleanupPolicy
  /** How long a tombstone stays after the first cleaning that saw it. */
  readonly deleteRetentionMs: number
  /** Records younger than this are not compacted. */
  readonly minCompactionLagMs: number
  /** Records older than this are compacted whatever the share of the log that is dirty; -1 is "no limit". */
  readonly maxCompactionLagMs: number
  /** The share of a log, 0 to 1, that must be dirty before it is worth cleaning. */
  readonly minCleanableDirtyRatio: number
  /** Whether records have their producer's time, or that at which the broker took them. */
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  /** How far a producer's time may lie behind the broker's, and ahead of it; -1 is "no limit". */
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
  /** How records are kept: as their producer sends them, or as this codec. */
  readonly compression: 'producer' | Codec
  readonly gzipLevel: number
  readonly zstdLevel: number
  /** Whether records may ask for delayed delivery. */
  readonly delayEnable: boolean
  /** How far ahead they may be due, and how many may wait; -1 is "no limit". */
  readonly delayMaxMs: number
  readonly delayRecordsMax: number
}

/** Whether old records go by retention. */
export function isDeleted({ cleanupPolicy }: Pick<LogConfig, 'cleanupPolicy'>): boolean {
  return cleanupPolicy !== 'compact'
}

/** Whether only the newest record of each key is kept. */
export function isCompacted({ cleanupPolicy }: Pick<LogConfig, 'cleanupPolicy'>): boolean {
  return cleanupPolicy !== 'delete'
}

/** What a producer waits for: nothing (`acks=0`), the page cache (`acks=1`), stable storage as the policy says (`acks=all`). */
export type Acks = 0 | 1 | 'all'

/** Told once about each appended batch that it waits for. */
export interface AppendWaiter {
  /**
   * `error` is undefined when the batch is as safe as was asked for. With an error the batch is not in the log, unless
   * its message says that the outcome is not known.
   */
  appended(error: Error | undefined): void
}

/** Kafka's isolation levels: whether a consumer sees records of transactions that are still open. */
export type Isolation = 'read_uncommitted' | 'read_committed'

/** What a partition remembers of a producer, as Kafka's DescribeProducers shows it. */
export interface DescribedProducer {
  readonly producerId: number
  readonly producerEpoch: number
  /** -1 when it has sent nothing under this epoch. */
  readonly lastSequence: number
  /** Unix milliseconds, as the producer said it. */
  readonly lastTimestamp: number
  /** -1 before its first transaction here has ended. */
  readonly coordinatorEpoch: number
  /** -1 without an open transaction. */
  readonly currentTransactionStartOffset: number
}

/** Whole record batches as they lie on disk; the first one contains the offset that was asked for, or follows it. */
export interface ReadBatches {
  /** Empty when there is nothing to read yet. Valid until `release` is called. */
  readonly bytes: Buffer
  /** Gives the buffer back; call it exactly once, also when `bytes` is empty. */
  release(): void
}

/** One partition's log, as everything above the log room sees it. */
export interface PartitionLog {
  readonly topic: TopicName
  readonly partition: number
  /** The offset of the oldest record that is kept. Never goes back. */
  readonly logStartOffset: number
  /** The offset that the next record will get. */
  readonly logEndOffset: number
  /** The offset up to which a consumer may read. */
  readonly highWatermark: number
  /**
   * The offset up to which consumers of committed records may read: where the earliest open transaction begins, otherwise
   * the high watermark. A transaction counts as open until its marker lies below the high watermark.
   */
  readonly lastStableOffset: number
  readonly leaderEpoch: number
  readonly sizeBytes: number
  readonly segmentCount: number
  /** Why nothing can be written until the broker was started anew; undefined while all is well. */
  readonly failure: Error | undefined
  /** Records that clients were given since the start; whoever gives them adds to it. For the metrics. */
  deliveredRecords: number

  /**
   * Takes one record batch with room for `recordCount` records, sets its base offset and leader epoch in place, and returns
   * the base offset. It may have fewer records, or none: the offsets of the others are used up all the same. The bytes must stay as they are until the current turn of the event loop ends; they are written then,
   * together with all others of this partition. `waiter` is told later, never from within this call.
   *
   * A batch with a producer id is held against what is known of the producer, at once and without any wait in between. One
   * of its last five batches sent again is not appended: its first base offset is returned, and `waiter` is told when that
   * one is as safe as `acks` asks. A transactional batch opens a transaction if none is open.
   *
   * @throws BrokerError MESSAGE_TOO_LARGE, KAFKA_STORAGE_ERROR, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
   *   INVALID_TXN_STATE (outside the transaction that is open), POLICY_VIOLATION (too many producers)
   */
  append(batch: Buffer, recordCount: number, acks: Acks, waiter: AppendWaiter | undefined): number

  /**
   * Reads whole batches from the one that contains `fromOffset` on, or where compaction has left nothing there from the
   * next one on, below the high watermark, at most `bytesMax` bytes, but at least one batch if there is any. Batches of
   * compacted topics may lack records or have none: go on behind the last batch, not behind the last record. Every batch's checksum has been compared. `done` is called at once for
   * small reads and later for large ones. With `read_committed` it stops below the last stable offset; what was aborted is
   * among it, see `abortedTransactions`.
   *
   * Errors: BrokerError OFFSET_OUT_OF_RANGE (outside log start to log end), CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR.
   */
  read(
    fromOffset: number,
    bytesMax: number,
    done: (error: Error | undefined, batches: ReadBatches) => void,
    isolation?: Isolation,
  ): void

  /**
   * The aborted transactions with records between `fromOffset` and before `toOffset`, by first offset. A consumer drops the
   * records of such a producer from the first offset on until it meets the marker. Right below the last stable offset.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  abortedTransactions(
    fromOffset: number,
    toOffset: number,
  ): readonly { readonly producerId: number; readonly firstOffset: number }[]

  /**
   * Appends the marker that ends a transaction, also when nothing is known of that here, and returns its offset; `waiter`
   * is told when it is as safe as `acks: "all"` makes it.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED
   */
  endTransaction(marker: TransactionMarker, waiter: AppendWaiter | undefined): number

  /**
   * Whether the producer has a transaction open in this partition.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  hasOpenTransaction(producerId: number): boolean

  /**
   * The producers that are remembered.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  describeProducers(): readonly DescribedProducer[]

  /**
   * The first record, at or below the high watermark, whose timestamp is `timestamp` or later.
   *
   * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  findOffsetByTime(timestamp: number): { offset: number; timestamp: number } | undefined

  /** The record with the largest timestamp, the earliest of several. */
  findOffsetOfMaxTimestamp(): { offset: number; timestamp: number } | undefined

  /**
   * The first record from `fromOffset` on, below the high watermark, that is no mark of a transaction. The ones asked for last are remembered, so that asking
   * again and again for what a consumer wants next costs nothing.
   *
   * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  findFirstRecord(fromOffset: number): { offset: number; timestamp: number } | undefined

  /**
   * Where the records of a leader epoch end, with the largest epoch up to the one asked for; undefined for an epoch that
   * the log knows nothing of.
   */
  epochEndOffset(epoch: number): { epoch: number; endOffset: number } | undefined

  /** Moves the log start to `offset` (at most the high watermark); resolves when that is durable. */
  deleteRecordsBefore(offset: number): Promise<void>
}

/** A file of an image: where it belongs in a data directory, and how many of its bytes belong to the image. */
export interface StagedFile {
  readonly path: string
  readonly sizeBytes: number
}

/**
 * The port to whatever keeps the records. Nothing above it knows that segments exist.
 */
export interface LogEngine {
  /** Called whenever a partition's high watermark has moved. Set by the broker, once. */
  onHighWatermark: (log: PartitionLog) => void
  /** Opens partitions 0 to `partitionCount` - 1, making those that are not there; resolves when they are durable. */
  openTopic(topic: TopicName, partitionCount: number, config: LogConfig): Promise<void>
  /** Applies from the next append, roll or retention pass on. */
  configureTopic(topic: TopicName, config: LogConfig): void
  /** Removes all partitions of a topic with their records; waiters are told UNKNOWN_TOPIC_OR_PARTITION. */
  deleteTopic(topic: TopicName): Promise<void>
  get(topic: TopicName, partition: number): PartitionLog | undefined
  /** Whether appends are refused because the disk has no room. */
  readonly isDiskFull: boolean
  /**
   * Puts into an empty directory of the same file system what a process that died at the moment of this call would leave
   * behind: everything that was written by then, acknowledged or not. A start on these files finds what a start after a kill
   * finds. The files are second names of those in use, so this costs no space until retention removes something; only their
   * first `sizeBytes` bytes belong to the image.
   *
   * Rejects with the system's error.
   */
  stageImage(directory: string): Promise<readonly StagedFile[]>
  /** Makes everything durable and leaves the mark of a clean stop. */
  close(): Promise<void>
}
