import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { readInt64, writeInt64 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { File, FileSystem } from '../base/file-system.ts'
import { parseTopicName, type TopicName } from '../base/topic-name.ts'
import type { EpochStart, PartitionFacts } from './partition-facts.ts'

// A checkpoint file, big endian:
//   0 magic u32 │ 4 CRC32C of everything from 8 on u32 │ 8 sequence i64 │ 16 length u32 │ 20 payload, `length` bytes of JSON
const MAGIC = 0x434c_4350 // "CLCP"
const HEADER_BYTES = 20
/** Two files that take turns, so that a torn write spoils only the older state. */
const SLOT_NAMES = ['@checkpoint-a', '@checkpoint-b'] as const

/** What is known of one partition. */
export interface PartitionEntry {
  readonly topic: TopicName
  readonly partition: number
  readonly facts: PartitionFacts
}

/** Everything the engine remembers from one start to the next. */
export interface CheckpointState {
  /** Whether the broker was stopped in order, and everything on disk is as `partitions` say. */
  readonly isClean: boolean
  readonly leaderEpoch: number
  readonly partitions: readonly PartitionEntry[]
}

type SegmentRow = [
  baseOffset: number,
  nextOffset: number,
  sizeBytes: number,
  maxTimestamp: number,
  firstAppendMs: number,
  cleanings?: number,
]
type PartitionRow = [
  topic: string,
  partition: number,
  logStartOffset: number,
  durableOffset: number,
  durableBytes: number,
  epochs: EpochStart[],
  segments: SegmentRow[],
  cleanedOffset?: number,
  producersEmptyAt?: number,
]

/**
 * The checkpoint: recovery points, log starts and segment sizes of all partitions in one small file, so that a start need
 * not read the logs. It is written in place into two slots in turn, with one sync and no new name: that also works when
 * the disk is full, where retention needs it most.
 */
export class Checkpoint {
  readonly #fileSystem: FileSystem
  readonly #directory: string
  #sequence = 0
  #newest: { path: string; bytes: Buffer; sequence: number; payload: Buffer } | undefined
  /** A file that was found may have been made by a process that died before it had made the name durable. */
  readonly #durableNames = new Set<string>()

  constructor(fileSystem: FileSystem, directory: string) {
    this.#fileSystem = fileSystem
    this.#directory = directory
  }

  /** The newest state that is whole; undefined when there is none. */
  read(): CheckpointState | undefined {
    for (const name of SLOT_NAMES) {
      const path = join(this.#directory, name)
      if (this.#fileSystem.sizeOf(path) === undefined) continue
      const bytes = this.#fileSystem.readWhole(path)
      const slot = decodeSlot(bytes)
      if (slot === undefined || (this.#newest !== undefined && slot.sequence <= this.#newest.sequence)) continue
      this.#newest = { path, bytes, ...slot }
    }
    if (this.#newest === undefined) return undefined
    this.#sequence = this.#newest.sequence
    return decodeState(this.#newest.payload)
  }

  /**
   * Makes what was read durable, by writing it again. The process that wrote it may have been killed before its sync, or
   * its sync may have failed: then it is in the page cache only, and the other slot, which comes next, is the only one on
   * the disk.
   */
  async settle(): Promise<void> {
    if (this.#newest !== undefined) await this.#writeSlot(this.#newest.path, this.#newest.bytes)
  }

  /** Writes a state into the older slot; resolves when it is durable. One call at a time. */
  async write(state: CheckpointState): Promise<void> {
    const sequence = this.#sequence + 1
    await this.#writeSlot(join(this.#directory, SLOT_NAMES[sequence % SLOT_NAMES.length]), encodeSlot(sequence, state))
    this.#sequence = sequence
  }

  async #writeSlot(path: string, bytes: Buffer): Promise<void> {
    const isNew = this.#fileSystem.sizeOf(path) === undefined
    const file = this.#fileSystem.open(path, isNew ? 'create' : 'write')
    try {
      writeFully(file, bytes)
      await done((finish) => file.sync(finish))
    } finally {
      file.close()
    }
    if (!this.#durableNames.has(path)) {
      await done((finish) => this.#fileSystem.syncDirectory(this.#directory, finish))
      this.#durableNames.add(path)
    }
  }
}

function encodeSlot(sequence: number, state: CheckpointState): Buffer {
  const payload = JSON.stringify({
    version: 1,
    isClean: state.isClean,
    leaderEpoch: state.leaderEpoch,
    partitions: state.partitions.map(encodePartition),
  })
  const length = Buffer.byteLength(payload)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + length)
  bytes.writeUInt32BE(MAGIC, 0)
  writeInt64(bytes, 8, sequence)
  bytes.writeUInt32BE(length, 16)
  bytes.write(payload, HEADER_BYTES)
  bytes.writeUInt32BE(crc32c(bytes, 8, bytes.length), 4)
  return bytes
}

function decodeSlot(bytes: Buffer): { sequence: number; payload: Buffer } | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return undefined
  const end = HEADER_BYTES + bytes.readUInt32BE(16)
  if (end > bytes.length || crc32c(bytes, 8, end) !== bytes.readUInt32BE(4)) return undefined
  return { sequence: readInt64(bytes, 8), payload: bytes.subarray(HEADER_BYTES, end) }
}

function encodePartition({ topic, partition, facts }: PartitionEntry): PartitionRow {
  const segments = facts.segments.map((segment): SegmentRow => {
    const { baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings } = segment
    const row: SegmentRow = [baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs]
    if (cleanings > 0) row.push(cleanings)
    return row
  })
  const { logStartOffset, durableOffset, durableBytes, epochs, cleanedOffset, producersEmptyAt } = facts
  const offsets = [cleanedOffset, producersEmptyAt] as const
  return [topic, partition, logStartOffset, durableOffset, durableBytes, [...epochs], segments, ...offsets]
}

/** The checksum has vouched for the payload: what does not fit is our own mistake. */
function decodeState(payload: Buffer): CheckpointState {
  const { version, isClean, leaderEpoch, partitions } = JSON.parse(payload.toString()) as {
    version: number
    isClean: boolean
    leaderEpoch: number
    partitions: PartitionRow[]
  }
  assert(version === 1, `the checkpoint is of version 1, not ${version}: it was written by a newer CafeLog`)
  return { isClean, leaderEpoch, partitions: partitions.map(decodePartition) }
}

function decodePartition(row: PartitionRow): PartitionEntry {
  const [topic, partition, logStartOffset, durableOffset, durableBytes, epochs, rows, cleanedOffset = 0, emptyAt] = row
  const segments = rows.map(([baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings = 0]) => {
    return { baseOffset, nextOffset, sizeBytes, maxTimestamp, firstAppendMs, cleanings }
  })
  // Whoever wrote rows without the last column took no batches that would have to be remembered.
  const producersEmptyAt = emptyAt ?? durableOffset
  const facts = { logStartOffset, durableOffset, durableBytes, epochs, segments, cleanedOffset, producersEmptyAt }
  return { topic: parseTopicName(topic), partition, facts }
}

/** Writes all of `bytes` to the front of a file. */
export function writeFully(file: File, bytes: Buffer, position = 0): void {
  let left = bytes
  while (left.length > 0) {
    const written = file.write([left], position)
    if (written === 0) throw new Error(`${file.path}: the system took none of ${left.length} bytes`)
    left = left.subarray(written)
    position += written
  }
}

/** Turns a callback of the file system into a promise. */
export function done(start: (finish: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))))
}
