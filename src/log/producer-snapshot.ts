import { join } from 'node:path'
import { readInt64, writeInt64 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { FileSystem } from '../base/file-system.ts'
import { writeFully } from './checkpoint.ts'
import type { ProducerEntry } from './producer-state.ts'

// A snapshot of the producers of a partition, `<offset, 20 digits>.snapshot`, big endian:
//   0 magic u32 │ 4 CRC32C of everything from 8 on u32 │ 8 offset i64 │ 16 length u32 │ 20 payload, `length` bytes of JSON
const MAGIC = 0x434c_5053 // "CLPS"
const HEADER_BYTES = 20
const NAME = /^(\d{20})\.snapshot$/

/** What there was to remember of the producers when the log ended at `offset`. */
export interface ProducerSnapshot {
  readonly offset: number
  /** Of the last batch before the offset: a log that was cut and has grown again has another one. */
  readonly leaderEpoch: number
  readonly producers: readonly ProducerEntry[]
  /** As `AbortedTransactions` has them. */
  readonly aborted: readonly number[]
}

type ProducerRow = [
  producerId: number,
  epoch: number,
  coordinatorEpoch: number,
  lastTimestamp: number,
  seenMs: number,
  transactionStart: number,
  batches: [baseOffset: number, lastOffset: number, firstSequence: number, lastSequence: number][],
]

/** The name of the file. */
export function snapshotFileName(offset: number): string {
  return `${String(offset).padStart(20, '0')}.snapshot`
}

/** The offsets for which there are files, the newest first. */
export function listSnapshots(fileSystem: FileSystem, directory: string): number[] {
  const offsets: number[] = []
  for (const { name } of fileSystem.list(directory)) {
    const offset = Number(NAME.exec(name)?.[1] ?? Number.NaN)
    if (Number.isSafeInteger(offset)) offsets.push(offset)
  }
  return offsets.toSorted((a, b) => b - a)
}

/** The bytes of the file. */
export function encodeSnapshot(snapshot: ProducerSnapshot): Buffer {
  const { offset, leaderEpoch, aborted } = snapshot
  const producers = snapshot.producers.map((entry): ProducerRow => {
    const { producerId, epoch, coordinatorEpoch, lastTimestamp, seenMs, transactionStart, batches } = entry
    const rows = batches.map((kept): ProducerRow[6][number] => {
      return [kept.baseOffset, kept.lastOffset, kept.firstSequence, kept.lastSequence]
    })
    return [producerId, epoch, coordinatorEpoch, lastTimestamp, seenMs, transactionStart, rows]
  })
  const payload = JSON.stringify({ version: 1, leaderEpoch, producers, aborted })
  const length = Buffer.byteLength(payload)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + length)
  bytes.writeUInt32BE(MAGIC, 0)
  writeInt64(bytes, 8, offset)
  bytes.writeUInt32BE(length, 16)
  bytes.write(payload, HEADER_BYTES)
  bytes.writeUInt32BE(crc32c(bytes, 8, bytes.length), 4)
  return bytes
}

/**
 * Reads the snapshot at an offset; undefined when the file is torn, damaged, or of another version.
 *
 * Throws the system's error when it cannot be read.
 */
export function readSnapshot(fileSystem: FileSystem, directory: string, offset: number): ProducerSnapshot | undefined {
  const bytes = fileSystem.readWhole(join(directory, snapshotFileName(offset)))
  const end = findEnd(bytes, offset)
  if (end === undefined) return undefined
  const { version, leaderEpoch, producers, aborted } = JSON.parse(bytes.toString('utf8', HEADER_BYTES, end)) as {
    version: number
    leaderEpoch: number
    producers: ProducerRow[]
    aborted: number[]
  }
  return version === 1 ? { offset, leaderEpoch, producers: producers.map(decodeProducer), aborted } : undefined
}

/** Where the payload ends; undefined for bytes that are no whole snapshot at this offset. */
function findEnd(bytes: Buffer, offset: number): number | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return undefined
  const end = HEADER_BYTES + bytes.readUInt32BE(16)
  if (end > bytes.length || crc32c(bytes, 8, end) !== bytes.readUInt32BE(4)) return undefined
  return readInt64(bytes, 8) === offset ? end : undefined
}

/**
 * Writes the file and makes it durable with its name; `finish` is told how that went, and is called once. A whole one that
 * is there already may be the only one that is: it is written again as it is, over itself.
 */
export function writeSnapshot(
  fileSystem: FileSystem,
  directory: string,
  { offset, bytes }: { readonly offset: number; readonly bytes: Buffer },
  finish: (error: NodeJS.ErrnoException | null) => void,
): void {
  const path = join(directory, snapshotFileName(offset))
  try {
    const found = fileSystem.sizeOf(path) === undefined ? undefined : fileSystem.readWhole(path)
    const isWhole = found !== undefined && findEnd(found, offset) !== undefined
    if (found !== undefined && !isWhole) fileSystem.remove(path)
    const file = fileSystem.open(path, isWhole ? 'write' : 'create')
    try {
      writeFully(file, isWhole ? found : bytes)
    } catch (error) {
      file.close()
      throw error
    }
    file.sync((error) => {
      file.close()
      if (error === null) fileSystem.syncDirectory(directory, finish)
      else finish(error)
    })
  } catch (error) {
    finish(error as NodeJS.ErrnoException)
  }
}

function decodeProducer(row: ProducerRow): ProducerEntry {
  const [producerId, epoch, coordinatorEpoch, lastTimestamp, seenMs, transactionStart, rows] = row
  const batches = rows.map(([baseOffset, lastOffset, firstSequence, lastSequence]) => {
    return { baseOffset, lastOffset, firstSequence, lastSequence }
  })
  return { producerId, epoch, coordinatorEpoch, lastTimestamp, seenMs, transactionStart, batches }
}
