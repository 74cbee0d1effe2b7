import * as fs from 'node:fs'

/** Called when a piece of work in the thread pool is over; `error` is the operating system's, with its `code`. */
export type Done = (error: NodeJS.ErrnoException | null) => void

/**
 * One open file. Positions and lengths are bytes. Every method that can meet the disk throws or passes on the operating
 * system's error unchanged; nothing is retried here.
 */
export interface File {
  readonly path: string
  /** The size by the file system, not by what we believe we wrote. */
  size(): number
  /** Reads up to `length` bytes into `target` at `offset`; returns how many there were, 0 at the end of the file. */
  read(target: Buffer, offset: number, length: number, position: number): number
  /** The same in the thread pool, for reads that may meet a cold disk. */
  readLater(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  ): void
  /**
   * Writes the buffers one after the other at `position` and returns how many bytes the system took. That can be fewer
   * than all of them without any error (a disk that is nearly full does so): the caller must look.
   */
  write(buffers: readonly Buffer[], position: number): number
  truncate(sizeBytes: number): void
  /** `fdatasync` in the thread pool: data and size are on stable storage once it succeeds. Never retry a failed one. */
  sync(done: Done): void
  /** `fdatasync`, waiting for it. For start-up, shutdown and tools. */
  syncNow(): void
  close(): void
}

export interface DirectoryEntry {
  readonly name: string
  readonly isDirectory: boolean
}

/**
 * Everything the broker does to the disk. The storage engine gets one passed in, so that its tests can run on a file
 * system that forgets what was not synced, fills up, and lies.
 */
export interface FileSystem {
  /** `read` wants an existing file; `write` too, and may change it; `create` makes a new, empty one and refuses an old. */
  open(path: string, mode: 'read' | 'write' | 'create'): File
  list(path: string): DirectoryEntry[]
  /** Size in bytes, or undefined when there is no such file or directory. */
  sizeOf(path: string): number | undefined
  readWhole(path: string): Buffer
  /** With its parents; an existing directory is fine. */
  makeDirectory(path: string): void
  rename(from: string, to: string): void
  /** Gives a file a second name in the same file system: both are the same file from then on. Refuses an existing one. */
  link(path: string, secondPath: string): void
  remove(path: string): void
  /** With everything in it. */
  removeDirectory(path: string): void
  /** `fsync` of a directory in the thread pool: its entries (created, renamed, removed) are on stable storage after it. */
  syncDirectory(path: string, done: Done): void
  syncDirectoryNow(path: string): void
  /** Bytes that an ordinary process may still use, and bytes in all, of the file system that holds `path`. */
  space(path: string): { freeBytes: number; totalBytes: number }
}

const FLAGS = {
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
}

class NodeFile implements File {
  readonly path: string
  readonly #descriptor: number

  constructor(path: string, mode: keyof typeof FLAGS) {
    this.path = path
    this.#descriptor = fs.openSync(path, FLAGS[mode], 0o640)
  }

  size() {
    return fs.fstatSync(this.#descriptor).size
  }
  read(target: Buffer, offset: number, length: number, position: number) {
    return fs.readSync(this.#descriptor, target, offset, length, position)
  }
  readLater(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  ) {
    fs.read(this.#descriptor, target, offset, length, position, done)
  }
  write(buffers: readonly Buffer[], position: number) {
    if (buffers.length === 1) return fs.writeSync(this.#descriptor, buffers[0], 0, buffers[0].length, position)
    return fs.writevSync(this.#descriptor, buffers, position)
  }
  truncate(sizeBytes: number) {
    fs.ftruncateSync(this.#descriptor, sizeBytes)
  }
  sync(done: Done) {
    fs.fdatasync(this.#descriptor, done)
  }
  syncNow() {
    fs.fdatasyncSync(this.#descriptor)
  }
  close() {
    fs.closeSync(this.#descriptor)
  }
}

/** The real disk. */
export const nodeFileSystem: FileSystem = {
  open: (path, mode) => new NodeFile(path, mode),
  list: (path) =>
    fs
      .readdirSync(path, { withFileTypes: true })
      .map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() })),
  sizeOf: (path) => fs.statSync(path, { throwIfNoEntry: false })?.size,
  readWhole: (path) => fs.readFileSync(path),
  makeDirectory(path) {
    fs.mkdirSync(path, { recursive: true, mode: 0o750 })
  },
  rename: (from, to) => fs.renameSync(from, to),
  link: (path, secondPath) => fs.linkSync(path, secondPath),
  remove: (path) => fs.unlinkSync(path),
  removeDirectory: (path) => fs.rmSync(path, { recursive: true }),
  syncDirectory(path, done) {
    fs.open(path, fs.constants.O_RDONLY, (openError, descriptor) => {
      if (openError) return done(openError)
      fs.fsync(descriptor, (syncError) => {
        fs.closeSync(descriptor)
        done(syncError)
      })
    })
  },
  syncDirectoryNow(path) {
    const descriptor = fs.openSync(path, fs.constants.O_RDONLY)
    try {
      fs.fsyncSync(descriptor)
    } finally {
      fs.closeSync(descriptor)
    }
  },
  space(path) {
    const stats = fs.statfsSync(path)
    return { freeBytes: stats.bavail * stats.bsize, totalBytes: stats.blocks * stats.bsize }
  },
}
