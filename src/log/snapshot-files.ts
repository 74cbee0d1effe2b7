import { join } from 'node:path'
import type { LogContext } from './log-context.ts'
import {
  encodeSnapshot,
  listSnapshots,
  type ProducerSnapshot,
  readSnapshot,
  snapshotFileName,
  writeSnapshot,
} from './producer-snapshot.ts'

/** Errors that mean "no room". */
export const FULL_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
/** The newest, and one in case that is damaged. */
const SNAPSHOTS_KEPT = 2

/**
 * The snapshots of one partition's producers: taken when the log is written up to some offset, put into a file once it is
 * durable up to there. So a snapshot never speaks of batches that a power cut may take.
 */
export class SnapshotFiles {
  readonly #context: LogContext
  readonly #directory: string
  /** Of the files that are there, the newest last. */
  #offsets: number[] = []
  #newestOffset = -1
  /** Taken, and waiting for the log to be durable. */
  #taken: { readonly offset: number; readonly bytes: Buffer } | undefined
  /** Of the one that is being written, -1 while none is. */
  #writingOffset = -1
  #durableOffset = -1
  #waiting: (() => void)[] = []
  /** The last one could not be written for want of room. */
  hadNoRoom = false

  constructor(context: LogContext, directory: string) {
    this.#context = context
    this.#directory = directory
  }

  /**
   * The offset of the newest one that this process has made durable, -1 without any. One that was found may have been written
   * by a process that was killed before its sync.
   */
  get newestOffset(): number {
    return this.#newestOffset
  }

  /** The offset of the newest that is on its way, -1 while none is. */
  get comingOffset(): number {
    return this.#taken?.offset ?? this.#writingOffset
  }

  /**
   * The newest that is whole and that `isOfLog` agrees to. Those which are not are removed: the log must not grow up to
   * them.
   *
   * Throws the system's error when one cannot be read.
   */
  read(isOfLog: (snapshot: ProducerSnapshot) => boolean): ProducerSnapshot | undefined {
    const { fileSystem } = this.#context
    const found = listSnapshots(fileSystem, this.#directory)
    for (const [i, offset] of found.entries()) {
      const snapshot = readSnapshot(fileSystem, this.#directory, offset)
      if (snapshot !== undefined && isOfLog(snapshot)) {
        this.#offsets = found.slice(i).toReversed()
        return snapshot
      }
      this.#remove(offset)
    }
    return undefined
  }

  /** Takes a snapshot; the one before, if it still waits, is forgotten. */
  take(snapshot: ProducerSnapshot): void {
    this.#taken = { offset: snapshot.offset, bytes: encodeSnapshot(snapshot) }
  }

  /** Puts the one that was taken into its file, if the log is durable up to it. */
  writeUpTo(durableOffset: number): void {
    const taken = this.#taken
    this.#durableOffset = durableOffset
    if (taken === undefined || taken.offset > durableOffset || this.#writingOffset >= 0) return
    this.#taken = undefined
    this.#writingOffset = taken.offset
    const { fileSystem, syncTurns, logger } = this.#context
    syncTurns.take(() => {
      writeSnapshot(fileSystem, this.#directory, taken, (error) => {
        syncTurns.giveBack()
        this.#writingOffset = -1
        this.hadNoRoom = error !== null && FULL_CODES.has(error.code ?? '')
        if (error === null) this.#keep(taken.offset)
        else {
          logger.warn({ directory: this.#directory, error }, 'cannot write a snapshot of the producers')
          // One that was found there before is whole all the same.
          if (!this.#offsets.includes(taken.offset)) this.#remove(taken.offset)
        }
        // Another one may have been taken meanwhile.
        this.writeUpTo(this.#durableOffset)
        if (this.comingOffset < 0) this.#resolveWaiting()
      })
    })
  }

  /** Forgets the one that waits, for a log that goes out of service. */
  drop(): void {
    this.#taken = undefined
    if (this.comingOffset < 0) this.#resolveWaiting()
  }

  /** Resolves when none is on its way any more. */
  async settled(): Promise<void> {
    if (this.comingOffset >= 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #resolveWaiting(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #keep(offset: number): void {
    this.#newestOffset = offset
    this.#offsets = [...this.#offsets.filter((other) => other !== offset), offset]
    // Those that are too many go with the next one.
    if (this.#context.isHeld) return
    for (const old of this.#offsets.splice(0, Math.max(0, this.#offsets.length - SNAPSHOTS_KEPT))) this.#remove(old)
  }

  #remove(offset: number): void {
    try {
      this.#context.fileSystem.remove(join(this.#directory, snapshotFileName(offset)))
    } catch {
      // It may not be there; if it is, it is damaged or older than another one.
    }
  }
}
