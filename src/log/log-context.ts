import type { BufferPool } from '../base/buffer-pool.ts'
import type { Clock } from '../base/clock.ts'
import type { FileSystem } from '../base/file-system.ts'
import type { Logger } from '../base/logger.ts'
import type { OpenFiles } from './open-files.ts'
import type { SegmentPartitionLog } from './partition-log.ts'
import type { SyncTurns } from './sync-turns.ts'

/** What all partition logs of an engine share. */
export interface LogContext {
  readonly fileSystem: FileSystem
  readonly clock: Clock
  readonly logger: Logger
  readonly files: OpenFiles
  readonly buffers: BufferPool
  readonly syncTurns: SyncTurns
  readonly leaderEpoch: number
  /** The most that the records of a batch may grow to when one looks inside. */
  readonly unpackedBytesMax: number
  /** After so many bytes of a log a snapshot of its producers is taken. */
  readonly producerSnapshotBytes: number
  /** Whether the disk has no room; appends are refused until it has. */
  readonly isDiskFull: boolean
  /** Whether files must stay where they are for a moment, because an image of the logs is being taken. */
  readonly isHeld: boolean
  /** Batches whose checksum or shape was wrong when they were read. */
  corruptBatches: number
  noteDiskFull(error: Error): void
  /** Asks for `writePending` at the end of this turn. */
  scheduleWrite(log: SegmentPartitionLog): void
  highWatermarkMoved(log: SegmentPartitionLog): void
  observeSync(seconds: number): void
  /** A segment was begun: there may be something for retention to do. */
  noteRolled(log: SegmentPartitionLog): void
  /** Saves the state as it is now in both files of the checkpoint; rejects when that is not certain. */
  saveCheckpoint(): Promise<void>
  /** Resolves when files need not stay where they are; look again afterwards whether that still holds. */
  untilReleased(): Promise<void>
  /** Lets other work have a turn of the event loop. */
  yieldTurn(): Promise<void>
  /** Makes the log start durable, then removes what lies below it. */
  saveLogStart(log: SegmentPartitionLog): Promise<void>
}
