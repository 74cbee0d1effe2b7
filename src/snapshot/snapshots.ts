import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { FileSystem } from '../base/file-system.ts'
import type { Logger } from '../base/logger.ts'
import type { LogEngine, StagedFile } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Store } from '../store/store.ts'
import { SNAPSHOT_FORMAT, type SnapshotManifest } from './snapshot-manifest.ts'

/** Where a snapshot is laid out, in the data directory; no topic has such a name. */
const STAGING_DIRECTORY = '@snapshot'
/** Where the store is in a data directory. */
const STORE_DIRECTORY = '@store'
const STORE_FILE = 'data.mdb'
/** A snapshot from which nobody has read for so long is given up: its client is gone. */
export const SNAPSHOT_IDLE_MS = 60_000
/** The most that is read at a time. */
export const SNAPSHOT_READ_BYTES_MAX = 4 * 1024 * 1024
/** Files that are removed before the event loop gets a turn. */
const REMOVED_PER_TURN = 200

/** What snapshots are taken of, and with. */
export interface SnapshotParts {
  /** For how long nobody has read, and how long one took; wall time that is set forward by a test ends none. */
  readonly machineClock: Clock
  readonly clock: Clock
  readonly fileSystem: FileSystem
  readonly logger: Logger
  readonly metrics: Metrics
  readonly engine: LogEngine
  readonly store: Store
  readonly dataDirectory: string
  readonly version: string
  readonly clusterId: string
}

/** A snapshot that can be read. */
export interface BegunSnapshot {
  readonly id: string
  /** Files have numbers from 0 on; 0 is the manifest, which lists the others in their order. */
  readonly fileCount: number
  readonly sizeBytes: number
}

interface Running extends BegunSnapshot {
  readonly startedAtMs: number
  readonly manifest: Buffer
  readonly files: readonly StagedFile[]
  lastUsedMs: number
}

/**
 * Snapshots of everything that the broker keeps, taken while it goes on.
 *
 * A snapshot is of one moment: what a process that was killed then would leave behind. Files of logs get second names below
 * `@snapshot`, and the rows of the store are copied from one read transaction; both are taken hold of in one turn of the
 * event loop, so that whatever a kill cannot tear apart a snapshot does not tear apart either: records and the offsets that
 * were committed for them, a delayed record in the store and in its log, a transaction and its markers. Clients then read
 * file by file, at their own pace.
 *
 *   none      begin → beginning
 *   beginning → running, or none when it fails
 *   running   read; end, nobody reads, or the disk is full → removing
 *   removing  second names are removed → none
 */
export class Snapshots {
  readonly #parts: SnapshotParts
  readonly #directory: string
  #running: Running | undefined
  /** While one is beginning or being removed. */
  #changing: Promise<unknown> | undefined
  #timer: Timer | undefined
  #isClosed = false

  /** Removes what a process that was killed has left behind. Throws the system's error. */
  constructor(parts: SnapshotParts) {
    this.#parts = parts
    this.#directory = join(parts.dataDirectory, STAGING_DIRECTORY)
    this.#removeAtOnce()
  }

  /**
   * Takes hold of everything as it is at this moment. One at a time.
   *
   * @throws BrokerError POLICY_VIOLATION while another one is there; KAFKA_STORAGE_ERROR when the disk refuses
   */
  async begin(): Promise<BegunSnapshot> {
    const { engine, store, logger } = this.#parts
    if (this.#running !== undefined || this.#changing !== undefined || this.#isClosed) {
      throw new BrokerError(
        'POLICY_VIOLATION',
        `Cannot begin a snapshot: another one is under way, and one whose client is gone ends after ${SNAPSHOT_IDLE_MS / 1000} s`,
      )
    }
    if (engine.isDiskFull)
      throw refuse('begin a snapshot', 'the disk is full, and a snapshot keeps retention from making room')
    if (store.failure !== undefined)
      throw refuse('begin a snapshot', 'a commit has failed, start the broker anew', store.failure)
    const beginning = this.#begin()
    this.#changing = beginning
    try {
      const running = await beginning
      this.#running = running
      this.#watch()
      return running
    } catch (error) {
      logger.warn({ error }, 'cannot begin a snapshot')
      this.#parts.metrics.snapshots.child('error').add(1)
      await this.#remove([]).catch(() => {})
      throw error instanceof BrokerError ? error : refuse('begin a snapshot', messageOf(error), error)
    } finally {
      this.#changing = undefined
    }
  }

  /**
   * Some bytes of a file, fewer than `bytesMax` only at its end.
   *
   * @throws BrokerError INVALID_REQUEST for what is not there; KAFKA_STORAGE_ERROR
   */
  async read(id: string, place: { file: number; position: number; bytesMax: number }): Promise<Buffer> {
    const running = this.#find('read', id)
    const { file, position, bytesMax } = place
    running.lastUsedMs = this.#parts.machineClock.monotonic()
    if (file >= running.fileCount) {
      throw new BrokerError(
        'INVALID_REQUEST',
        `Cannot read file ${file} of snapshot "${id}": it has ${running.fileCount}`,
      )
    }
    if (this.#parts.engine.isDiskFull) {
      await this.end(id, false)
      throw refuse('go on with the snapshot', 'the disk is full, and the snapshot kept retention from making room')
    }
    if (file === 0) return running.manifest.subarray(position, position + bytesMax)
    const { path, sizeBytes } = running.files[file - 1]
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(bytesMax, sizeBytes - position)))
    try {
      await this.#fill(join(this.#directory, path), bytes, position)
    } catch (error) {
      throw refuse(`read ${path} of the snapshot`, messageOf(error), error)
    }
    return bytes
  }

  /**
   * Lets go of a snapshot; `isComplete` when its client has all of it safely. Resolves when nothing of it is left.
   *
   * @throws BrokerError INVALID_REQUEST when there is none of that id
   */
  async end(id: string, isComplete: boolean): Promise<void> {
    const { sizeBytes, startedAtMs, files } = this.#find('end', id)
    const { metrics, clock, machineClock, logger } = this.#parts
    this.#running = undefined
    this.#timer?.cancel()
    const seconds = (machineClock.monotonic() - startedAtMs) / 1000
    metrics.snapshots.child(isComplete ? 'ok' : 'error').add(1)
    if (isComplete) {
      metrics.snapshotLastSuccess.set(clock.now() / 1000)
      metrics.snapshotLastSizeBytes.set(sizeBytes)
      metrics.snapshotLastDurationSeconds.set(seconds)
      logger.info({ id, sizeBytes, seconds }, 'a snapshot was taken')
    } else logger.warn({ id, seconds }, 'a snapshot was given up')
    const removing = this.#remove(files)
    this.#changing = removing
    try {
      await removing
    } catch (error) {
      logger.warn(
        { directory: this.#directory, error },
        'cannot remove what a snapshot needed; the next one tries again',
      )
    } finally {
      this.#changing = undefined
    }
  }

  /** Gives up what is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#changing?.catch(() => {})
    this.#running = undefined
    this.#timer?.cancel()
    this.#removeAtOnce()
  }

  async #begin(): Promise<Running> {
    const { engine, store, fileSystem, machineClock } = this.#parts
    const startedAtMs = machineClock.monotonic()
    this.#removeAtOnce()
    fileSystem.makeDirectory(this.#directory)
    // Both take hold of what is there before they wait for anything: that is the moment of the snapshot.
    const staging = engine.stageImage(this.#directory)
    const copying = store.copyTo(join(this.#directory, STORE_DIRECTORY))
    const createdAtMs = this.#parts.clock.now()
    // Nothing goes on behind the back of a failure.
    await Promise.allSettled([staging, copying])
    await copying
    const files: StagedFile[] = [...(await staging)]
    const storePath = `${STORE_DIRECTORY}/${STORE_FILE}`
    files.push({ path: storePath, sizeBytes: fileSystem.sizeOf(join(this.#directory, storePath)) ?? 0 })
    const manifest = this.#describe(files, createdAtMs)
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, manifest.length)
    const id = randomBytes(8).toString('hex')
    const lastUsedMs = machineClock.monotonic()
    return { id, fileCount: files.length + 1, sizeBytes, startedAtMs, manifest, files, lastUsedMs }
  }

  #describe(files: readonly StagedFile[], createdAtMs: number): Buffer {
    const { version, clusterId } = this.#parts
    const createdAt = new Date(createdAtMs).toISOString()
    const manifest: SnapshotManifest = { format: SNAPSHOT_FORMAT, version, clusterId, createdAt, files }
    return Buffer.from(`${JSON.stringify(manifest)}\n`)
  }

  #find(action: string, id: string): Running {
    if (this.#running?.id === id) return this.#running
    throw new BrokerError(
      'INVALID_REQUEST',
      `Cannot ${action} snapshot "${id}": there is none of that id, or no longer; it ends when nobody reads for ${SNAPSHOT_IDLE_MS / 1000} s`,
    )
  }

  async #fill(path: string, bytes: Buffer, position: number): Promise<void> {
    if (bytes.length === 0) return
    const file = this.#parts.fileSystem.open(path, 'read')
    try {
      let done = 0
      while (done < bytes.length) {
        const count = await new Promise<number>((resolve, reject) => {
          file.readLater(bytes, done, bytes.length - done, position + done, (error, read) => {
            if (error === null) resolve(read)
            else reject(error)
          })
        })
        if (count === 0) throw new Error(`it ends at byte ${position + done}`)
        done += count
      }
    } finally {
      file.close()
    }
  }

  /** Gives a snapshot up from which nobody reads. */
  #watch(): void {
    const { machineClock } = this.#parts
    const running = this.#running
    if (running === undefined) return
    const leftMs = running.lastUsedMs + SNAPSHOT_IDLE_MS - machineClock.monotonic()
    if (leftMs <= 0) return void this.end(running.id, false)
    this.#timer = machineClock.setTimer(leftMs, () => this.#watch())
  }

  /** Removes the second names, some in each turn. */
  async #remove(files: readonly StagedFile[]): Promise<void> {
    for (const [i, { path }] of files.entries()) {
      this.#parts.fileSystem.remove(join(this.#directory, path))
      if (i % REMOVED_PER_TURN === REMOVED_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
    }
    this.#removeAtOnce()
  }

  #removeAtOnce(): void {
    const { fileSystem } = this.#parts
    if (fileSystem.sizeOf(this.#directory) !== undefined) fileSystem.removeDirectory(this.#directory)
  }
}

function refuse(action: string, reason: string, cause?: unknown): BrokerError {
  return new BrokerError('KAFKA_STORAGE_ERROR', `Cannot ${action}: ${reason}`, { cause })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
