import type { FileSystem } from '../base/file-system.ts'

// Meta page of LMDB, little endian. A data file begins with two; the one with the larger transaction id is in force.
//   18 page flags u16 │ 24 magic u32 │ 28 format version u32 │ 48 page size u32 │ 144 last page u64 │ 152 transaction id u64
const META_BYTES = 160
const META_PAGE_FLAG = 0x0008
const MAGIC = 0xbeefc0de
const FORMAT_VERSION = 2
/** A new data file has two meta pages and the first page of each table. */
const NEW_STORE_BYTES = 256 * 1024

/**
 * Looks after everything that LMDB could refuse when it opens a directory, because the native code of npm's `lmdb` does not
 * survive its own refusal: the process ends with a segmentation fault and without a word. So the files are made here,
 * missing rights and a disk without space show here, and a data file is only handed on if it begins as one.
 *
 * A data file that was cut short is filled up with zeros to the length that it claims: LMDB then finds the damage and
 * reports it, where it would otherwise die reading beyond the end (SIGBUS). Usually nothing was lost by it, since LMDB may
 * leave free pages at the end of a file unwritten.
 *
 * Returns whether the store is new. The directory's entries still have to be synced then.
 */
export function prepareLmdbFiles(fileSystem: FileSystem, path: string): boolean {
  fileSystem.makeDirectory(path)
  openOrCreate(fileSystem, `${path}/lock.mdb`).close()
  const data = openOrCreate(fileSystem, `${path}/data.mdb`)
  try {
    const sizeBytes = data.size()
    if (sizeBytes === 0) {
      const { freeBytes } = fileSystem.space(path)
      if (freeBytes >= NEW_STORE_BYTES) return true
      throw new Error(`a new store wants ${NEW_STORE_BYTES} bytes of disk, ${freeBytes} are free`)
    }
    const head = Buffer.alloc(META_BYTES)
    data.read(head, 0, META_BYTES, 0)
    if (head.readUInt16LE(18) !== META_PAGE_FLAG || head.readUInt32LE(24) !== MAGIC) {
      throw new Error('data.mdb is not an LMDB file: it is damaged, or something else wrote it')
    }
    if (head.readUInt32LE(28) !== FORMAT_VERSION) {
      throw new Error(`data.mdb has LMDB's format ${head.readUInt32LE(28)}, this version reads ${FORMAT_VERSION}`)
    }
    const pageBytes = head.readUInt32LE(48)
    if (sizeBytes < 2 * pageBytes) throw new Error(`data.mdb was cut short, it has ${sizeBytes} bytes`)
    const other = Buffer.alloc(META_BYTES)
    data.read(other, 0, META_BYTES, pageBytes)
    const newest = other.readUIntLE(152, 6) > head.readUIntLE(152, 6) ? other : head
    const claimedBytes = (newest.readUIntLE(144, 6) + 1) * pageBytes
    if (sizeBytes < claimedBytes) data.truncate(claimedBytes)
    return false
  } finally {
    data.close()
  }
}

function openOrCreate(fileSystem: FileSystem, path: string) {
  return fileSystem.open(path, fileSystem.sizeOf(path) === undefined ? 'create' : 'write')
}
