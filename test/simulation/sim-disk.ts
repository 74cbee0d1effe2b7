import type { SeededRandom } from './seeded-random.ts'

// What a disk with a file system on it holds, twice: as every process sees it now (the page cache), and as it would be
// found after the power had failed (stable storage). Between the two lie pending changes. The rules are those that
// ext4, xfs and POSIX leave to an application, and no kinder:
//
// - A write reaches stable storage for certain only by a sync of its file that began after it. Before that, each 512
//   byte sector of it may be there, not there, zeros or noise; the size may have grown without the data.
// - Bytes that were durable are never hurt by a write beside them in the same sector (what SQLite calls powersafe
//   overwrite); without that no log could be appended to in place.
// - A name in a directory (made, renamed, removed) is certain only by a sync of that directory. A file whose name was
//   lost is lost, however often it was synced itself. A rename happens or does not, nothing between.
// - A sync of a file that fails has written some of what was pending, at random, and has forgotten the rest: the page
//   cache still shows it, a later sync succeeds without having written it. A sync of a directory that fails leaves its
//   entries uncertain; a journal that cannot be written stops, it does not forget.

/** The unit that a disk writes whole or not at all. */
export const SECTOR_BYTES = 512

/** How much of what was not synced survives a power cut. */
export type PowerCut =
  /** Nothing at all. */
  | 'none'
  /** Everything, as if the cache had been written back a moment before. */
  | 'all'
  /** Everything up to one moment, nothing after it, over all files and directories. */
  | 'prefix'
  /** The same, and the write at that moment is torn: some of its sectors, some zeros, some noise. */
  | 'torn'
  /** Each sector, each size and each directory entry by itself. */
  | 'random'

type FileChange =
  | { readonly kind: 'write'; readonly sequence: number; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly sequence: number; readonly sizeBytes: number }

type DirectoryChange =
  | { readonly kind: 'link'; readonly sequence: number; readonly name: string; readonly node: SimNode }
  | { readonly kind: 'unlink'; readonly sequence: number; readonly name: string; readonly node: SimNode }
  | {
      readonly kind: 'rename'
      readonly sequence: number
      readonly name: string
      readonly to: string
      readonly node: SimNode
    }

export type SimNode = SimInode | SimDirectory

/** Bytes that grow. What is skipped over reads as zeros, as in a sparse file. */
class Image {
  #buffer: Buffer
  size: number

  constructor(from?: Image) {
    this.#buffer = from ? Buffer.from(from.#buffer.subarray(0, from.size)) : Buffer.alloc(0)
    this.size = this.#buffer.length
  }

  view(): Buffer {
    return this.#buffer.subarray(0, this.size)
  }

  write(bytes: Buffer, position: number): void {
    const end = position + bytes.length
    if (end > this.size) this.resize(end)
    bytes.copy(this.#buffer, position)
  }

  resize(sizeBytes: number): void {
    if (sizeBytes > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(sizeBytes, this.#buffer.length * 2, 512))
      this.#buffer.copy(larger, 0, 0, this.size)
      this.#buffer = larger
    } else if (sizeBytes < this.size) {
      this.#buffer.fill(0, sizeBytes, this.size)
    }
    this.size = sizeBytes
  }
}

/** A file without its name: two handles of one path share it, and it outlives its last name while it is open. */
export class SimInode {
  readonly isDirectory = false
  live = new Image()
  durable = new Image()
  pending: FileChange[] = []
  openHandles = 0
  names = 1
  /** A sync failed and nobody was told: the next sync of whoever opened the file since says so, once, as Linux does. */
  hasUnreportedError = false
  /** A sync failed: what the page cache shows may be on no disk. */
  hasLostPages = false
}

/** The names in one directory, live and durable. */
export class SimDirectory {
  readonly isDirectory = true
  live = new Map<string, SimNode>()
  durable = new Map<string, SimNode>()
  pending: DirectoryChange[] = []
}

/** The disk: it survives every process, and with `cutPower` shows what it is made of. */
export class SimDisk {
  readonly root = new SimDirectory()
  /** Bytes that all files together may hold; `Infinity` until a test makes the disk small. */
  capacityBytes = Number.POSITIVE_INFINITY
  #usedBytes = 0
  #sequence = 0

  get usedBytes(): number {
    return this.#usedBytes
  }

  get freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.#usedBytes)
  }

  /** The number of the latest change; a sync that begins now covers everything up to it. */
  get sequence(): number {
    return this.#sequence
  }

  /** Finds a file or directory by its path, or undefined. */
  find(path: string): SimNode | undefined {
    let node: SimNode = this.root
    for (const name of split(path)) {
      if (!node.isDirectory) return undefined
      const next: SimNode | undefined = node.live.get(name)
      if (!next) return undefined
      node = next
    }
    return node
  }

  /** All files that have a name now, with their paths, in the order of the paths. */
  files(): { path: string; inode: SimInode }[] {
    const found: { path: string; inode: SimInode }[] = []
    const visit = (directory: SimDirectory, prefix: string) => {
      for (const name of [...directory.live.keys()].toSorted()) {
        const node = directory.live.get(name)
        if (node?.isDirectory) visit(node, `${prefix}/${name}`)
        else if (node) found.push({ path: `${prefix}/${name}`, inode: node })
      }
    }
    visit(this.root, '')
    return found
  }

  newFile(directory: SimDirectory, name: string): SimInode {
    const inode = new SimInode()
    this.#link(directory, name, inode)
    return inode
  }

  newDirectory(directory: SimDirectory, name: string): SimDirectory {
    const node = new SimDirectory()
    this.#link(directory, name, node)
    return node
  }

  unlink(directory: SimDirectory, name: string, node: SimNode): void {
    directory.live.delete(name)
    this.#sequence += 1
    directory.pending.push({ kind: 'unlink', sequence: this.#sequence, name, node })
    this.#forgetName(node)
  }

  rename(directory: SimDirectory, name: string, to: string, node: SimNode): void {
    const replaced = directory.live.get(to)
    directory.live.delete(name)
    directory.live.set(to, node)
    this.#sequence += 1
    directory.pending.push({ kind: 'rename', sequence: this.#sequence, name, to, node })
    if (replaced && replaced !== node) this.#forgetName(replaced)
  }

  write(inode: SimInode, bytes: Buffer, position: number): void {
    this.#usedBytes += Math.max(0, position + bytes.length - inode.live.size)
    inode.live.write(bytes, position)
    this.#sequence += 1
    inode.pending.push({ kind: 'write', sequence: this.#sequence, position, bytes: Buffer.from(bytes) })
  }

  truncate(inode: SimInode, sizeBytes: number): void {
    this.#usedBytes += sizeBytes - inode.live.size
    inode.live.resize(sizeBytes)
    this.#sequence += 1
    inode.pending.push({ kind: 'truncate', sequence: this.#sequence, sizeBytes })
  }

  /** Called when the last handle of a file was closed. */
  releaseIfUnused(inode: SimInode): void {
    if (inode.names === 0 && inode.openHandles === 0) this.#usedBytes -= inode.live.size
  }

  /** A sync of a file that began at `upTo` has succeeded. */
  persistFile(inode: SimInode, upTo: number): void {
    const rest: FileChange[] = []
    for (const change of inode.pending) {
      if (change.sequence > upTo) rest.push(change)
      else applyToImage(inode.durable, change)
    }
    inode.pending = rest
  }

  /** A sync of a file that began at `upTo` has failed: a part is written, and nothing of it will be tried again. */
  loseFile(inode: SimInode, upTo: number, random: SeededRandom): void {
    const lost = inode.pending.filter((change) => change.sequence <= upTo)
    inode.pending = inode.pending.filter((change) => change.sequence > upTo)
    keepSome(inode.durable, lost, random, { applied: random.pick([0, 0.3, 0.7]), zeros: 0, garbage: 0 })
    if (lost.length > 0) inode.hasLostPages = true
  }

  /** A sync of a directory that began at `upTo` has succeeded. */
  persistDirectory(directory: SimDirectory, upTo: number): void {
    const rest: DirectoryChange[] = []
    for (const change of directory.pending) {
      if (change.sequence > upTo) rest.push(change)
      else applyToNames(directory, change)
    }
    directory.pending = rest
  }

  /**
   * The power fails and comes back: what was not synced is kept as `cut` says, then the page cache is filled anew from
   * stable storage. No process may be running on the disk.
   */
  cutPower(cut: PowerCut, random: SeededRandom): void {
    const { lastKept, firstLost } =
      cut === 'prefix' || cut === 'torn' ? this.#pickMoment(random) : { lastKept: 0, firstLost: 0 }
    const share = random.pick([0.1, 0.5, 0.9])
    const ruin = random.pick([0, 0.1, 0.4])
    const chances = { applied: share, zeros: (1 - share) * ruin, garbage: (1 - share) * ruin }
    for (const node of this.#everything()) {
      const before: (FileChange | DirectoryChange)[] = node.pending
      const kept = before.filter((change) => cut === 'all' || change.sequence <= lastKept)
      node.pending = []
      if (node.isDirectory) {
        for (const change of kept as DirectoryChange[]) applyToNames(node, change)
        if (cut === 'random') keepSomeNames(node, before as DirectoryChange[], random, share)
        node.live = new Map(node.durable)
      } else {
        for (const change of kept as FileChange[]) applyToImage(node.durable, change)
        if (cut === 'torn') {
          const torn = (before as FileChange[]).filter((change) => change.sequence === firstLost)
          keepSome(node.durable, torn, random, { applied: 0.5, zeros: 0.2, garbage: 0.2 })
        }
        if (cut === 'random') keepSome(node.durable, before as FileChange[], random, chances)
        if (before.length > 0 || node.hasLostPages) this.#reload(node)
        node.hasUnreportedError = false
      }
    }
    this.#recount()
  }

  /**
   * The page cache drops what it believes to be on disk, as it may at any time: after a failed sync the file then reads
   * as it really is. Returns whether any file reads differently than before.
   */
  dropCleanPages(): boolean {
    let isChanged = false
    for (const { inode } of this.files()) {
      if (!inode.hasLostPages || inode.pending.length > 0) continue
      if (!inode.live.view().equals(inode.durable.view())) isChanged = true
      this.#reload(inode)
    }
    this.#recount()
    return isChanged
  }

  /** Turns one bit over, on stable storage and in the page cache. The file must have that many bytes. */
  flipBit(inode: SimInode, position: number, bit: number): void {
    // What is damaged on the disk has got there before.
    this.persistFile(inode, this.#sequence)
    for (const image of [inode.live, inode.durable]) {
      if (position < image.size) image.view()[position] ^= 1 << bit
    }
  }

  /** Puts other bytes in the place of a whole file, or of its end, durably: what an index or checkpoint may suffer. */
  overwrite(inode: SimInode, bytes: Buffer): void {
    this.#usedBytes += bytes.length - inode.live.size
    for (const image of [inode.live, inode.durable]) {
      image.resize(0)
      image.write(bytes, 0)
    }
    inode.pending = []
  }

  /** Removes a file durably, as an operator with `rm` would. */
  erase(path: string): void {
    const { directory, name } = this.parentOf(path)
    const node = directory?.live.get(name)
    if (!directory || !node) return
    this.unlink(directory, name, node)
    this.persistDirectory(directory, this.#sequence)
  }

  /** The directory that holds, or would hold, the last name of a path. */
  parentOf(path: string): { directory: SimDirectory | undefined; name: string } {
    const names = split(path)
    const name = names.pop() ?? ''
    const parent = this.find(names.join('/'))
    return { directory: parent?.isDirectory ? parent : undefined, name }
  }

  /** A second disk with the same contents, live, durable and pending. No process may be running on this one. */
  copy(): SimDisk {
    const copies = new Map<SimNode, SimNode>()
    const copyOf = (node: SimNode): SimNode => {
      const known = copies.get(node)
      if (known) return known
      if (node.isDirectory) {
        const directory = new SimDirectory()
        copies.set(node, directory)
        fillDirectory(directory, node)
        return directory
      }
      const inode = new SimInode()
      copies.set(node, inode)
      inode.live = new Image(node.live)
      inode.durable = new Image(node.durable)
      inode.pending = [...node.pending]
      inode.names = node.names
      inode.hasUnreportedError = node.hasUnreportedError
      inode.hasLostPages = node.hasLostPages
      return inode
    }
    const fillDirectory = (target: SimDirectory, from: SimDirectory) => {
      for (const [name, node] of from.live) target.live.set(name, copyOf(node))
      for (const [name, node] of from.durable) target.durable.set(name, copyOf(node))
      target.pending = from.pending.map((change) => ({ ...change, node: copyOf(change.node) }))
    }
    const disk = new SimDisk()
    disk.capacityBytes = this.capacityBytes
    disk.#sequence = this.#sequence
    copies.set(this.root, disk.root)
    fillDirectory(disk.root, this.root)
    disk.#recount()
    return disk
  }

  #link(directory: SimDirectory, name: string, node: SimNode): void {
    directory.live.set(name, node)
    this.#sequence += 1
    directory.pending.push({ kind: 'link', sequence: this.#sequence, name, node })
  }

  #reload(inode: SimInode): void {
    inode.live = new Image(inode.durable)
    inode.hasLostPages = false
    inode.hasUnreportedError = false
  }

  /** Every node that a live or durable name leads to. */
  #everything(): Set<SimNode> {
    const nodes = new Set<SimNode>()
    const visit = (node: SimNode) => {
      if (nodes.has(node)) return
      nodes.add(node)
      if (!node.isDirectory) return
      for (const child of node.durable.values()) visit(child)
      for (const child of node.live.values()) visit(child)
    }
    visit(this.root)
    return nodes
  }

  /** A moment between two pending changes, before the first or after the last. */
  #pickMoment(random: SeededRandom): { lastKept: number; firstLost: number } {
    const sequences: number[] = []
    for (const node of this.#everything()) for (const change of node.pending) sequences.push(change.sequence)
    sequences.sort((one, other) => one - other)
    const choice = random.below(sequences.length + 1)
    return { lastKept: sequences[choice - 1] ?? 0, firstLost: sequences[choice] ?? 0 }
  }

  #forgetName(node: SimNode): void {
    if (node.isDirectory) return
    node.names -= 1
    this.releaseIfUnused(node)
  }

  /** After the namespace was set back: which names and bytes there are. */
  #recount(): void {
    this.#usedBytes = 0
    for (const { inode } of this.files()) {
      inode.names = 1
      this.#usedBytes += inode.live.size
    }
  }
}

function split(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

function applyToImage(image: Image, change: FileChange): void {
  if (change.kind === 'write') image.write(change.bytes, change.position)
  else image.resize(change.sizeBytes)
}

function applyToNames(directory: SimDirectory, change: DirectoryChange): void {
  if (change.kind === 'link') directory.durable.set(change.name, change.node)
  else directory.durable.delete(change.name)
  if (change.kind === 'rename') directory.durable.set(change.to, change.node)
}

interface SectorChances {
  readonly applied: number
  readonly zeros: number
  readonly garbage: number
}

/** Keeps each sector of each change by itself, and one of the sizes that the file went through. */
function keepSome(
  image: Image,
  changes: readonly FileChange[],
  random: SeededRandom,
  { applied, zeros, garbage }: SectorChances,
): void {
  if (changes.length === 0) return
  const sizes = [image.size]
  let size = image.size
  const before = image.size
  for (const change of changes) {
    if (change.kind === 'truncate') {
      // Either the cut reached the disk and with it everything behind is gone, or it did not.
      size = change.sizeBytes
      sizes.push(size)
      if (random.chance(applied)) image.resize(change.sizeBytes)
      continue
    }
    const end = change.position + change.bytes.length
    for (let at = change.position; at < end;) {
      const next = Math.min(end, at - (at % SECTOR_BYTES) + SECTOR_BYTES)
      const piece = change.bytes.subarray(at - change.position, next - change.position)
      const dice = random.next() / 0x1_0000_0000
      if (dice < applied) image.write(piece, at)
      else if (at >= before && dice < applied + zeros) image.write(Buffer.alloc(piece.length), at)
      else if (at >= before && dice < applied + zeros + garbage) image.write(noise(piece.length, random), at)
      at = next
      // Within one large write the size may stop at any sector.
      if (at > size) sizes.push(at)
    }
    size = Math.max(size, end)
  }
  // Sometimes the size is what the data says, sometimes it is ahead of the data (zeros), sometimes behind (cut).
  if (random.chance(0.6)) image.resize(random.pick(sizes))
}

/** Keeps each entry by itself, except that nothing is built on an entry that was lost. */
function keepSomeNames(
  directory: SimDirectory,
  changes: readonly DirectoryChange[],
  random: SeededRandom,
  share: number,
): void {
  const lost = new Set<string | SimNode>()
  for (const change of changes) {
    const touched = change.kind === 'rename' ? [change.name, change.to, change.node] : [change.name, change.node]
    if (touched.every((thing) => !lost.has(thing)) && random.chance(share)) applyToNames(directory, change)
    else for (const thing of touched) lost.add(thing)
  }
}

function noise(length: number, random: SeededRandom): Buffer {
  const bytes = Buffer.alloc(length)
  random.fill(bytes)
  return bytes
}
