import type { DirectoryEntry, Done, File, FileSystem } from './file-system.ts'

const CHUNK_BYTES = 64 * 1024
/** How much a disk in memory holds unless it is told otherwise. */
export const MEMORY_DISK_BYTES = 1024 * 1024 * 1024

/**
 * A disk in memory, for brokers that leave nothing behind: what is written is there until the process ends, nothing is ever
 * lost or late, and a disk that is full says ENOSPC like any other. Paths are absolute, with `/` between names.
 */
export class MemoryFileSystem implements FileSystem {
  readonly #files = new Map<string, MemoryFile>()
  readonly #directories = new Set<string>(['/'])
  readonly #disk: Disk

  /** @param bytesMax what it holds, in bytes */
  constructor(bytesMax = MEMORY_DISK_BYTES) {
    this.#disk = { bytesMax, bytesUsed: 0 }
  }

  open(path: string, mode: 'read' | 'write' | 'create'): File {
    const known = this.#files.get(path)
    if (mode !== 'create') {
      if (known === undefined) throw failure('ENOENT', 'open', path)
      return known
    }
    if (known !== undefined || this.#directories.has(path)) throw failure('EEXIST', 'open', path)
    if (!this.#directories.has(parentOf(path))) throw failure('ENOENT', 'open', path)
    const file = new MemoryFile(path, this.#disk)
    this.#files.set(path, file)
    return file
  }

  list(path: string): DirectoryEntry[] {
    this.#wantDirectory('scandir', path)
    const isIn = (entry: string) => entry !== '/' && parentOf(entry) === path
    const nameOf = (entry: string) => entry.slice(entry.lastIndexOf('/') + 1)
    const files = [...this.#files.keys()].filter(isIn).map((entry) => ({ name: nameOf(entry), isDirectory: false }))
    const directories = [...this.#directories].filter(isIn).map((entry) => ({ name: nameOf(entry), isDirectory: true }))
    return [...directories, ...files]
  }

  sizeOf(path: string): number | undefined {
    return this.#directories.has(path) ? 0 : this.#files.get(path)?.size()
  }

  readWhole(path: string): Buffer {
    const file = this.open(path, 'read')
    const whole = Buffer.alloc(file.size())
    file.read(whole, 0, whole.length, 0)
    return whole
  }

  makeDirectory(path: string): void {
    if (this.#files.has(path)) throw failure('EEXIST', 'mkdir', path)
    if (this.#directories.has(path)) return
    this.makeDirectory(parentOf(path))
    this.#directories.add(path)
  }

  rename(from: string, to: string): void {
    if (!this.#directories.has(parentOf(to))) throw failure('ENOENT', 'rename', to)
    const file = this.#files.get(from)
    if (file !== undefined) {
      this.#files.get(to)?.free()
      this.#files.delete(from)
      this.#files.set(to, file)
      return
    }
    this.#wantDirectory('rename', from)
    const moved = (path: string) => to + path.slice(from.length)
    for (const path of this.#directories) {
      if (!isWithin(path, from)) continue
      this.#directories.delete(path)
      this.#directories.add(moved(path))
    }
    for (const [path, each] of this.#files) {
      if (!isWithin(path, from)) continue
      this.#files.delete(path)
      this.#files.set(moved(path), each)
    }
  }

  link(path: string, secondPath: string): void {
    const file = this.#files.get(path)
    if (file === undefined || !this.#directories.has(parentOf(secondPath))) throw failure('ENOENT', 'link', path)
    if (this.sizeOf(secondPath) !== undefined) throw failure('EEXIST', 'link', secondPath)
    file.nameCount++
    this.#files.set(secondPath, file)
  }

  remove(path: string): void {
    const file = this.#files.get(path)
    if (file === undefined) throw failure('ENOENT', 'unlink', path)
    this.#files.delete(path)
    file.free()
  }

  removeDirectory(path: string): void {
    this.#wantDirectory('rm', path)
    for (const each of this.#files.keys()) if (isWithin(each, path)) this.remove(each)
    for (const each of this.#directories) if (isWithin(each, path)) this.#directories.delete(each)
  }

  syncDirectory(path: string, done: Done): void {
    setImmediate(done, this.#directories.has(path) ? null : failure('ENOENT', 'open', path))
  }

  syncDirectoryNow(path: string): void {
    this.#wantDirectory('open', path)
  }

  space(): { freeBytes: number; totalBytes: number } {
    const { bytesMax, bytesUsed } = this.#disk
    return { freeBytes: bytesMax - bytesUsed, totalBytes: bytesMax }
  }

  #wantDirectory(call: string, path: string): void {
    if (!this.#directories.has(path)) throw failure(this.#files.has(path) ? 'ENOTDIR' : 'ENOENT', call, path)
  }
}

interface Disk {
  readonly bytesMax: number
  bytesUsed: number
}

/** The file and all who have it open are one: there is no position and nothing to close. */
class MemoryFile implements File {
  readonly path: string
  readonly #disk: Disk
  nameCount = 1
  #chunks: Buffer[] = []
  #size = 0

  constructor(path: string, disk: Disk) {
    this.path = path
    this.#disk = disk
  }

  size(): number {
    return this.#size
  }

  read(target: Buffer, offset: number, length: number, position: number): number {
    const end = Math.min(position + length, this.#size)
    let at = position
    while (at < end) {
      const chunk = this.#chunks[Math.floor(at / CHUNK_BYTES)]
      const start = at % CHUNK_BYTES
      const bytes = Math.min(CHUNK_BYTES - start, end - at)
      chunk.copy(target, offset + at - position, start, start + bytes)
      at += bytes
    }
    return Math.max(0, at - position)
  }

  readLater(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  ): void {
    setImmediate(() => done(null, this.read(target, offset, length, position)))
  }

  write(buffers: readonly Buffer[], position: number): number {
    const wanted = buffers.reduce((sum, { length }) => sum + length, 0)
    const end = this.#grow(position + wanted)
    if (wanted > 0 && end <= position) throw failure('ENOSPC', 'write', this.path)
    let at = position
    for (const buffer of buffers) {
      for (let from = 0; from < buffer.length && at < end;) {
        const start = at % CHUNK_BYTES
        const bytes = Math.min(CHUNK_BYTES - start, buffer.length - from, end - at)
        buffer.copy(this.#chunks[Math.floor(at / CHUNK_BYTES)], start, from, from + bytes)
        from += bytes
        at += bytes
      }
    }
    this.#size = Math.max(this.#size, at)
    return at - position
  }

  truncate(sizeBytes: number): void {
    if (this.#grow(sizeBytes) < sizeBytes) throw failure('ENOSPC', 'ftruncate', this.path)
    const chunkCount = Math.ceil(sizeBytes / CHUNK_BYTES)
    this.#disk.bytesUsed -= Math.max(0, this.#chunks.length - chunkCount) * CHUNK_BYTES
    this.#chunks.length = Math.min(this.#chunks.length, chunkCount)
    // What lies behind the end is zero again when the file grows over it.
    if (sizeBytes < this.#size) this.#chunks.at(-1)?.fill(0, sizeBytes % CHUNK_BYTES || CHUNK_BYTES)
    this.#size = sizeBytes
  }

  sync(done: Done): void {
    setImmediate(done, null)
  }

  syncNow(): void {}
  close(): void {}

  /** A name of it is gone. Whoever has it open goes on reading. */
  free(): void {
    if (--this.nameCount > 0) return
    this.#disk.bytesUsed -= this.#chunks.length * CHUNK_BYTES
  }

  /** Makes room up to a position, as far as the disk has any; returns how far there is. */
  #grow(end: number): number {
    while (this.#chunks.length * CHUNK_BYTES < end) {
      if (this.#disk.bytesUsed + CHUNK_BYTES > this.#disk.bytesMax) return this.#chunks.length * CHUNK_BYTES
      this.#chunks.push(Buffer.alloc(CHUNK_BYTES))
      this.#disk.bytesUsed += CHUNK_BYTES
    }
    return end
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`)
}

function failure(code: string, call: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call, path })
}
