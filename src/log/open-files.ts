import { assert } from '../base/assert.ts'
import type { File, FileSystem } from '../base/file-system.ts'

/** A file that the cache holds open. */
export interface OpenFile {
  readonly file: File
  readonly owner: FileOwner
  /** Work in the thread pool that still needs the descriptor. */
  pins: number
  /** It was closed while pinned: the last pin closes it. */
  isClosing: boolean
}

/** Who opened a file through the cache. */
export interface FileOwner {
  /** The file is about to be closed to make room: whatever must reach the disk through this descriptor must go now. */
  beforeClose(file: File): void
}

/**
 * Keeps at most `limit` files open, the most recently used ones, so that ten thousand partitions do not need twenty
 * thousand descriptors. A file that is pinned stays open; if all are, the limit is passed rather than work refused.
 */
export class OpenFiles {
  readonly #fileSystem: FileSystem
  readonly #limit: number
  /** In order of use, the least recent first. */
  readonly #files = new Map<string, OpenFile>()
  #latest: string | undefined

  constructor(fileSystem: FileSystem, limit: number) {
    this.#fileSystem = fileSystem
    this.#limit = limit
  }

  get count(): number {
    return this.#files.size
  }

  /** The open file of that path, for use in this turn only. Throws the system's error when it cannot be opened. */
  use(path: string, owner: FileOwner): File {
    const open = this.#files.get(path)
    if (open !== undefined) {
      if (this.#latest !== path) {
        this.#files.delete(path)
        this.#files.set(path, open)
        this.#latest = path
      }
      return open.file
    }
    return this.#add(path, owner, 'write')
  }

  /** Makes a new file and keeps it open. */
  create(path: string, owner: FileOwner): File {
    return this.#add(path, owner, 'create')
  }

  /** Like `use`, and keeps the file open until `unpin`, whatever happens to its path. */
  pin(path: string, owner: FileOwner): OpenFile {
    this.use(path, owner)
    const open = this.#files.get(path)
    assert(open !== undefined, 'a file that was just used is open')
    open.pins++
    return open
  }

  unpin(open: OpenFile): void {
    open.pins--
    if (open.pins > 0) return
    if (open.isClosing) open.file.close()
    else this.#closeDownTo(this.#limit)
  }

  /** Closes a file if it is open, without asking its owner; one that is pinned, as soon as it no longer is. */
  close(path: string): void {
    const open = this.#files.get(path)
    if (open === undefined) return
    this.#files.delete(path)
    if (this.#latest === path) this.#latest = undefined
    open.isClosing = true
    if (open.pins === 0) open.file.close()
  }

  closeAll(): void {
    for (const path of this.#files.keys()) this.close(path)
  }

  #add(path: string, owner: FileOwner, mode: 'write' | 'create'): File {
    this.#closeDownTo(this.#limit - 1)
    const file = this.#fileSystem.open(path, mode)
    this.#files.set(path, { file, owner, pins: 0, isClosing: false })
    this.#latest = path
    return file
  }

  #closeDownTo(count: number): void {
    if (this.#files.size <= count) return
    for (const [path, open] of this.#files) {
      if (open.pins > 0) continue
      open.owner.beforeClose(open.file)
      this.close(path)
      if (this.#files.size <= count) return
    }
  }
}
