import type { DirectoryEntry, Done, File, FileSystem } from '../../src/base/file-system.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimDirectory, SimDisk, SimInode, SimNode } from './sim-disk.ts'

export type OperationKind =
  | 'open'
  | 'create'
  | 'size'
  | 'read'
  | 'write'
  | 'truncate'
  | 'sync'
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'removeDirectory'
  | 'syncDirectory'

/** What goes wrong with one operation. */
export type Fault =
  /** The operation is refused with this code; a sync loses what it was to write, see SimDisk. */
  | { readonly kind: 'error'; readonly code: 'EIO' | 'ENOSPC' | 'EMFILE' | 'EROFS' }
  /** A read or write stops after some of the bytes, without an error. */
  | { readonly kind: 'short' }
  /** The process dies before the operation; of a write, some of the bytes may have been taken. */
  | { readonly kind: 'stop' }

/** Thrown by every operation of a process that is no longer there. */
export class ProcessStopped extends Error {
  override readonly name = 'ProcessStopped'
}

interface Completion {
  readonly kind: OperationKind
  readonly path: string
  readonly run: () => void
  /** What becomes of it when the process dies first. */
  readonly abandon: (() => void) | undefined
}

/**
 * One process' view of a simulated disk. It counts and remembers every operation, asks `onOperation` what shall go
 * wrong with it, and keeps work for the thread pool back until `complete` is called: so the order in which the world
 * answers is the test's, and the same seed gives the same life. After `stop` nothing reaches the disk any more.
 */
export class SimFileSystem implements FileSystem {
  readonly disk: SimDisk
  /** Called before each operation. `number` counts from 1. */
  onOperation: ((kind: OperationKind, path: string, number: number) => Fault | undefined) | undefined
  /** Called with each operation and its outcome; for the story of a failing seed. */
  onTrace: ((line: string) => void) | undefined
  /** How many files may be open at once; one more is refused with EMFILE. */
  openFilesMax = Number.POSITIVE_INFINITY
  /** What the process did that no process should: used a closed file, closed one with work in flight. */
  readonly misuses: string[] = []
  /** The files of which a sync has failed and said so. */
  readonly failedSyncs: string[] = []
  /** How often a sync failed because of what an earlier process had left behind. */
  inheritedErrors = 0
  readonly #random: SeededRandom
  readonly #handles = new Set<SimFile>()
  #completions: Completion[] = []
  #operations = 0
  #hash = 0x811c9dc5
  #isStopped = false

  constructor(disk: SimDisk, random: SeededRandom) {
    this.disk = disk
    this.#random = random
  }

  /** How many operations there were. */
  get operations(): number {
    return this.#operations
  }

  /** A digest of all operations, their arguments and outcomes, in order. */
  get traceHash(): number {
    return this.#hash >>> 0
  }

  get openFiles(): number {
    return this.#handles.size
  }

  get openPaths(): string[] {
    return [...this.#handles].map((handle) => handle.path)
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** How much work waits in the thread pool. */
  get pendingCompletions(): number {
    return this.#completions.length
  }

  /** Finishes one piece of work, any of those that wait. Returns false when there was none. */
  complete(random: SeededRandom): boolean {
    if (this.#completions.length === 0) return false
    const [completion] = this.#completions.splice(random.below(this.#completions.length), 1)
    completion.run()
    return true
  }

  /** The process dies: its files are closed, its work in the thread pool is forgotten, the page cache stays. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    for (const completion of this.#completions) completion.abandon?.()
    this.#completions = []
    for (const handle of this.#handles) handle.abandon()
    this.#handles.clear()
    this.onTrace?.('process stopped')
  }

  open(path: string, mode: 'read' | 'write' | 'create'): File {
    this.begin(mode === 'create' ? 'create' : 'open', path)
    if (this.#handles.size >= this.openFilesMax) throw systemError('EMFILE', 'open', path)
    const { directory, name } = this.disk.parentOf(path)
    if (!directory) throw systemError('ENOENT', 'open', path)
    const node = directory.live.get(name)
    if (node?.isDirectory) throw systemError('EISDIR', 'open', path)
    let inode = node
    if (mode === 'create') {
      if (inode) throw systemError('EEXIST', 'open', path)
      if (this.disk.freeBytes === 0) throw systemError('ENOSPC', 'open', path)
      inode = this.disk.newFile(directory, name)
    }
    if (!inode) throw systemError('ENOENT', 'open', path)
    const file = new SimFile(this, inode, path, mode !== 'read', this.#random)
    this.#handles.add(file)
    return file
  }

  list(path: string): DirectoryEntry[] {
    this.begin('list', path)
    const directory = this.#directory(path, 'scandir')
    return [...directory.live].map(([name, node]) => ({ name, isDirectory: node.isDirectory }))
  }

  sizeOf(path: string): number | undefined {
    this.begin('size', path)
    const node = this.disk.find(path)
    if (!node) return undefined
    return node.isDirectory ? 4096 : node.live.size
  }

  readWhole(path: string): Buffer {
    this.begin('read', path)
    const node = this.disk.find(path)
    if (!node) throw systemError('ENOENT', 'open', path)
    if (node.isDirectory) throw systemError('EISDIR', 'read', path)
    return Buffer.from(node.live.view())
  }

  makeDirectory(path: string): void {
    this.begin('makeDirectory', path)
    let directory = this.disk.root
    for (const name of path.split('/').filter((part) => part !== '')) {
      let node = directory.live.get(name)
      if (node && !node.isDirectory) throw systemError('ENOTDIR', 'mkdir', path)
      node ??= this.disk.newDirectory(directory, name)
      if (!node.isDirectory) throw systemError('ENOTDIR', 'mkdir', path)
      directory = node
    }
  }

  rename(from: string, to: string): void {
    this.begin('rename', `${from} -> ${to}`)
    const source = this.disk.parentOf(from)
    const target = this.disk.parentOf(to)
    const node = source.directory?.live.get(source.name)
    if (!source.directory || !node || !target.directory) throw systemError('ENOENT', 'rename', from)
    // Across directories the two halves have their own syncs; nothing in the broker needs that, so it is not modelled.
    if (source.directory !== target.directory) throw systemError('EXDEV', 'rename', from)
    const replaced = target.directory.live.get(target.name)
    if (replaced?.isDirectory && replaced.live.size > 0) throw systemError('ENOTEMPTY', 'rename', from)
    this.disk.rename(source.directory, source.name, target.name, node)
  }

  /** Not modelled: no step on the road of a record, and no start, gives a file a second name. */
  link(path: string, secondPath: string): void {
    throw systemError('EPERM', 'link', `${path} -> ${secondPath}`)
  }

  remove(path: string): void {
    this.begin('remove', path)
    const { directory, name } = this.disk.parentOf(path)
    const node = directory?.live.get(name)
    if (!directory || !node) throw systemError('ENOENT', 'unlink', path)
    if (node.isDirectory) throw systemError('EISDIR', 'unlink', path)
    this.disk.unlink(directory, name, node)
  }

  removeDirectory(path: string): void {
    const { directory, name } = this.disk.parentOf(path)
    const node = directory?.live.get(name)
    if (!directory || !node) {
      this.begin('removeDirectory', path)
      throw systemError('ENOENT', 'rm', path)
    }
    // One operation for each entry, so that the process can die in between.
    this.#removeTree(directory, name, node, path)
  }

  syncDirectory(path: string, done: Done): void {
    const finish = unlessStopped(() => this.#beginDirectorySync(path))
    if (!finish) return
    this.later('syncDirectory', path, () => {
      let error: NodeJS.ErrnoException | null = null
      try {
        finish()
      } catch (cause) {
        error = cause as NodeJS.ErrnoException
      }
      done(error)
    })
  }

  syncDirectoryNow(path: string): void {
    this.#beginDirectorySync(path)()
  }

  space(path: string): { freeBytes: number; totalBytes: number } {
    this.begin('size', path)
    const roomy = 1 << 40
    if (this.disk.capacityBytes === Number.POSITIVE_INFINITY) return { freeBytes: roomy, totalBytes: roomy }
    return { freeBytes: this.disk.freeBytes, totalBytes: this.disk.capacityBytes }
  }

  /** Counts an operation and lets it meet its fault; a fault that is not an error is returned for the caller to obey. */
  begin(kind: OperationKind, path: string, detail = 0): 'short' | 'stop' | 'lose' | undefined {
    if (this.#isStopped) throw new ProcessStopped(`Cannot ${kind} ${path}: the process is gone`)
    this.#operations += 1
    const fault = this.onOperation?.(kind, path, this.#operations)
    this.#note(kind, path, detail)
    if (this.onTrace) {
      const what = fault ? `  !! ${fault.kind === 'error' ? fault.code : fault.kind}` : ''
      this.onTrace(`#${this.#operations} ${kind} ${path}${detail === 0 ? '' : ` ${detail}`}${what}`)
    }
    if (!fault) return undefined
    if (fault.kind === 'short') return 'short'
    if (fault.kind === 'stop') {
      if (kind === 'write') return 'stop'
      this.stop()
      throw new ProcessStopped(`Cannot ${kind} ${path}: the process is gone`)
    }
    if (kind === 'sync' && fault.code !== 'EMFILE') return 'lose'
    throw systemError(fault.code, kind, path)
  }

  /** Puts work into the thread pool. */
  later(kind: OperationKind, path: string, run: () => void, abandon?: () => void): void {
    this.#completions.push({
      kind,
      path,
      abandon,
      run: () => {
        this.#note('done', path, 0)
        this.onTrace?.(`done ${kind} ${path}`)
        run()
      },
    })
  }

  closed(file: SimFile): void {
    this.#handles.delete(file)
  }

  misuse(text: string): never {
    this.misuses.push(text)
    throw systemError('EBADF', 'use', text)
  }

  #beginDirectorySync(path: string): () => void {
    let refused: unknown
    try {
      this.begin('syncDirectory', path)
    } catch (error) {
      if (error instanceof ProcessStopped) throw error
      refused = error
    }
    const directory = this.#directory(path, 'fsync')
    const upTo = this.disk.sequence
    return () => {
      if (refused !== undefined) throw refused
      this.disk.persistDirectory(directory, upTo)
    }
  }

  #directory(path: string, action: string): SimDirectory {
    const node = this.disk.find(path)
    if (!node) throw systemError('ENOENT', action, path)
    if (!node.isDirectory) throw systemError('ENOTDIR', action, path)
    return node
  }

  #removeTree(parent: SimDirectory, name: string, node: SimNode, path: string): void {
    if (node.isDirectory) {
      for (const [childName, child] of node.live) this.#removeTree(node, childName, child, `${path}/${childName}`)
    }
    this.begin('removeDirectory', path)
    this.disk.unlink(parent, name, node)
  }

  #note(kind: string, path: string, detail: number): void {
    let hash = this.#hash
    for (let at = 0; at < kind.length; at += 1) hash = Math.imul(hash ^ kind.charCodeAt(at), 0x01000193)
    for (let at = 0; at < path.length; at += 1) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193)
    this.#hash = Math.imul(hash ^ detail, 0x01000193)
  }
}

/** One open handle. */
class SimFile implements File {
  readonly path: string
  readonly #fileSystem: SimFileSystem
  readonly #inode: SimInode
  readonly #mayWrite: boolean
  readonly #random: SeededRandom
  #isOpen = true
  #inFlight = 0
  /** Whether this handle is owed the news of a failed write-back that happened before it was opened. */
  #owesError: boolean

  constructor(fileSystem: SimFileSystem, inode: SimInode, path: string, mayWrite: boolean, random: SeededRandom) {
    this.path = path
    this.#fileSystem = fileSystem
    this.#inode = inode
    this.#mayWrite = mayWrite
    this.#random = random
    this.#owesError = inode.hasUnreportedError
    inode.openHandles += 1
  }

  size(): number {
    this.#begin('size')
    return this.#inode.live.size
  }

  read(target: Buffer, offset: number, length: number, position: number): number {
    const fault = this.#begin('read', position)
    return this.#copyOut(target, offset, fault === 'short' ? this.#part(length) : length, position)
  }

  readLater(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  ): void {
    let error: NodeJS.ErrnoException | null = null
    let fault: string | undefined
    try {
      fault = this.#begin('read', position)
    } catch (cause) {
      // Work for the thread pool of a process that is gone is neither refused nor ever done.
      if (cause instanceof ProcessStopped) return
      error = cause as NodeJS.ErrnoException
    }
    this.#inFlight += 1
    this.#fileSystem.later('read', this.path, () => {
      this.#inFlight -= 1
      if (error) return done(error, 0)
      done(null, this.#copyOut(target, offset, fault === 'short' ? this.#part(length) : length, position))
    })
  }

  write(buffers: readonly Buffer[], position: number): number {
    if (!this.#mayWrite) this.#fileSystem.misuse(`write to ${this.path}, opened for reading`)
    const bytes = buffers.length === 1 ? buffers[0] : Buffer.concat(buffers)
    const fault = this.#begin('write', position * 31 + bytes.length)
    const disk = this.#fileSystem.disk
    let taken = bytes.length
    if (fault === 'short') taken = this.#part(taken)
    if (fault === 'stop') taken = this.#random.chance(0.5) ? 0 : this.#random.below(taken + 1)
    const room = disk.freeBytes + Math.max(0, this.#inode.live.size - position)
    const isFull = taken > room
    taken = Math.min(taken, room)
    if (taken > 0) disk.write(this.#inode, bytes.subarray(0, taken), position)
    if (fault === 'stop') {
      this.#fileSystem.stop()
      throw new ProcessStopped(`Cannot write ${this.path}: the process is gone`)
    }
    if (isFull && taken === 0) throw systemError('ENOSPC', 'write', this.path)
    return taken
  }

  truncate(sizeBytes: number): void {
    if (!this.#mayWrite) this.#fileSystem.misuse(`truncate ${this.path}, opened for reading`)
    this.#begin('truncate', sizeBytes)
    this.#fileSystem.disk.truncate(this.#inode, sizeBytes)
  }

  sync(done: Done): void {
    const begun = unlessStopped(() => this.#beginSync())
    if (!begun) return
    const { finish, abandon } = begun
    this.#inFlight += 1
    const run = () => {
      this.#inFlight -= 1
      done(finish())
    }
    this.#fileSystem.later('sync', this.path, run, abandon)
  }

  syncNow(): void {
    const error = this.#beginSync().finish()
    if (error) throw error
  }

  close(): void {
    if (!this.#isOpen && !this.#fileSystem.isStopped) this.#fileSystem.misuse(`${this.path} closed twice`)
    // The number of a closed file is given to the next one that is opened: the work would then be done to that one.
    if (this.#inFlight > 0) this.#fileSystem.misuse(`${this.path} closed with ${this.#inFlight} calls in flight`)
    try {
      this.#fileSystem.begin('close', this.path)
    } finally {
      this.#release()
    }
  }

  /** The process died with the file open. */
  abandon(): void {
    this.#isOpen = false
    this.#inode.openHandles -= 1
    this.#fileSystem.disk.releaseIfUnused(this.#inode)
  }

  #begin(kind: OperationKind, detail = 0): 'short' | 'stop' | 'lose' | undefined {
    if (!this.#isOpen && !this.#fileSystem.isStopped) this.#fileSystem.misuse(`${kind} on ${this.path}, closed`)
    return this.#fileSystem.begin(kind, this.path, detail)
  }

  #beginSync(): { finish: () => NodeJS.ErrnoException | null; abandon?: () => void } {
    const disk = this.#fileSystem.disk
    const inode = this.#inode
    const fault = this.#begin('sync')
    const upTo = disk.sequence
    const failed = () => systemError('EIO', 'fdatasync', this.path)
    if (fault === 'lose') {
      const lose = () => disk.loseFile(inode, upTo, this.#random)
      return {
        finish: () => {
          lose()
          this.#fileSystem.failedSyncs.push(this.path)
          return failed()
        },
        // The write-back fails whether or not anyone is left to hear of it; whoever opens the file next is told.
        abandon: () => {
          if (this.#random.chance(0.5)) return
          lose()
          inode.hasUnreportedError = true
        },
      }
    }
    if (this.#owesError) {
      this.#owesError = false
      inode.hasUnreportedError = false
      this.#fileSystem.inheritedErrors += 1
      return { finish: failed }
    }
    return {
      finish() {
        disk.persistFile(inode, upTo)
        return null
      },
    }
  }

  #copyOut(target: Buffer, offset: number, length: number, position: number): number {
    const image = this.#inode.live.view()
    if (position >= image.length) return 0
    return image.copy(target, offset, position, Math.min(image.length, position + length))
  }

  #part(length: number): number {
    return length > 1 ? 1 + this.#random.below(length - 1) : length
  }

  #release(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#fileSystem.closed(this)
    this.#inode.openHandles -= 1
    this.#fileSystem.disk.releaseIfUnused(this.#inode)
  }
}

/** Work for the thread pool of a process that is gone is neither refused nor ever done. */
function unlessStopped<Result>(begin: () => Result): Result | undefined {
  try {
    return begin()
  } catch (error) {
    if (error instanceof ProcessStopped) return undefined
    throw error
  }
}

function systemError(code: string, action: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${action} '${path}'`), { code, syscall: action, path })
}
