import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { dirname } from 'node:path'
import { call } from '../client/operations.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { systemClock } from '../src/base/clock.ts'
import { nodeFileSystem, type File } from '../src/base/file-system.ts'
import { writeFully } from '../src/log/checkpoint.ts'
import { SNAPSHOT_MANIFEST, type SnapshotManifest } from '../src/snapshot/snapshot-manifest.ts'
import type { Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted, humanBytes, humanDuration } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import type { Session } from './session.ts'
import { countContents, readSnapshot, SNAPSHOT_SUMS, sumLine } from './snapshot-archive.ts'
import { paddingOf, TAR_END, tarHeader, type TarEntry } from './tar.ts'

const READ_BYTES = 1024 * 1024
/** Requests under way at a time: the broker reads one piece while another one is on its way. */
const READS_AT_ONCE = 4
/** To take hold of a hundred thousand files and a large store. */
const BEGIN_MS = 600_000
const STDOUT = '-'

/** What a snapshot has, for `-j` and tables. */
interface SnapshotRow {
  readonly snapshot: string
  readonly createdAt: string
  readonly version: string
  readonly clusterId: string
  readonly topics: number
  readonly partitions: number
  readonly files: number
  readonly sizeBytes: number
}

const COLUMNS: readonly Column<SnapshotRow>[] = [
  { title: 'SNAPSHOT', value: (row) => row.snapshot },
  { title: 'TAKEN', value: (row) => row.createdAt },
  { title: 'VERSION', value: (row) => row.version },
  { title: 'CLUSTER', isWide: true, value: (row) => row.clusterId },
  { title: 'TOPICS', kind: 'count', value: (row) => row.topics },
  { title: 'PARTITIONS', kind: 'count', value: (row) => row.partitions },
  { title: 'FILES', kind: 'count', value: (row) => row.files },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.sizeBytes },
]

/** Prints what a snapshot has. */
export async function printSnapshot(session: Session, name: string, manifest: SnapshotManifest): Promise<void> {
  const { createdAt, version, clusterId, files } = manifest
  const row = { snapshot: name, createdAt, version, clusterId, ...countContents(manifest), files: files.length }
  await printRows(session, [row], { columns: COLUMNS, name: ({ snapshot }) => snapshot, document: row })
}

export const snapshot: Command = {
  name: 'snapshot',
  summary: 'write a copy of everything that a running broker keeps into a file',
  details: [
    'Records, topics and their settings, schemas, committed offsets and groups, delayed records, producers and transactions, all as they were at one moment at the beginning; whatever was acknowledged by then is in it. The broker goes on meanwhile. A tar of a data directory, with checksums; - is stdout, for ssh and docker exec.',
    'What is broken off leaves nothing behind. While a snapshot is read, the broker keeps the files that belong to it, so its disk gets no emptier.',
  ],
  arguments: [{ name: 'FILE', description: 'where to write it, or - for stdout; an existing file is not touched' }],
  examples: [
    { line: 'brokerctl snapshot backup.tar', does: 'of the broker on localhost' },
    { line: 'brokerctl snapshot - | zstd > backup.tar.zst', does: 'compressed' },
    { line: 'docker exec cafelog ./brokerctl snapshot - > backup.tar', does: 'out of a container' },
  ],
  exitCodes: [6],
  async run(session, [file = '']) {
    if (file === STDOUT && session.isTerminal)
      throw usageFailure('A snapshot is no text: give a FILE, or redirect stdout')
    const interrupted = session.takeInterrupts()
    const output = file === STDOUT ? new StdoutOutput(session) : new FileOutput(file)
    const startedAt = systemClock.monotonic()
    try {
      const connection = await session.connect()
      const begun = await call(connection, 'BEGIN_SNAPSHOT', {}, BEGIN_MS)
      let manifest: SnapshotManifest
      try {
        manifest = await writeArchive(connection, begun, output, interrupted)
        output.finish()
      } catch (error) {
        await call(connection, 'END_SNAPSHOT', { id: begun.id, complete: false }).catch(() => undefined)
        throw error
      }
      // It is complete, whether or not the broker hears of it.
      await call(connection, 'END_SNAPSHOT', { id: begun.id, complete: true }).catch((error: unknown) => {
        session.warn(`the broker was not told that the snapshot is complete: ${String(error)}`)
      })
      const { topics, partitions, sizeBytes } = countContents(manifest)
      const contents = `${counted(topics, 'topic')}, ${counted(partitions, 'partition')}, ${humanBytes(sizeBytes)}`
      session.note(`${contents} in ${humanDuration(systemClock.monotonic() - startedAt)}`)
      if (file !== STDOUT) await printSnapshot(session, file, manifest)
    } catch (error) {
      output.abandon()
      throw error
    }
  },
}

export const snapshotVerify: Command = {
  name: 'snapshot verify',
  summary: 'read a snapshot and compare all its checksums',
  details: ['Needs no broker. With - it is read from stdin.'],
  arguments: [{ name: 'FILE', description: 'what snapshot has written' }],
  examples: [
    { line: 'brokerctl snapshot verify backup.tar', does: 'is it whole?' },
    { line: 'zstd -dc backup.tar.zst | brokerctl snapshot verify -', does: 'one that is compressed' },
  ],
  exitCodes: [4],
  async run(session, [file = '']) {
    const manifest = await readSnapshot(file, openSnapshot(session, file))
    await printSnapshot(session, file, manifest)
    session.note(`${counted(manifest.files.length, 'file')} as they were taken`)
  },
}

/** The bytes of a snapshot: of a file, or from stdin. */
export function openSnapshot(session: Session, file: string): AsyncIterable<Buffer> {
  return file === STDOUT ? session.stdin : createReadStream(file, { highWaterMark: READ_BYTES })
}

/** Where a snapshot is written to. */
interface Output {
  write(bytes: Buffer): Promise<void> | void
  /** Makes it durable and gives it its name. */
  finish(): void
  /** Leaves nothing of it. */
  abandon(): void
}

class StdoutOutput implements Output {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  write(bytes: Buffer): Promise<void> {
    return this.#session.write(bytes)
  }

  finish(): void {}
  abandon(): void {}
}

/** Has another name until it is complete, so that half a snapshot is never taken for a whole one. */
class FileOutput implements Output {
  readonly #path: string
  readonly #partPath: string
  readonly #file: File
  #position = 0
  #isOver = false

  /** @throws CliFailure when there is a file of that name */
  constructor(path: string) {
    this.#path = path
    this.#partPath = `${path}.part`
    for (const each of [path, this.#partPath]) {
      if (nodeFileSystem.sizeOf(each) === undefined) continue
      const hint =
        each === path ? 'Another name, or remove it first' : 'Another snapshot writes it, or was killed: remove it then'
      throw new CliFailure(6, 'FILE_EXISTS', `Cannot write ${JSON.stringify(each)}: it is there already`, [hint])
    }
    this.#file = nodeFileSystem.open(this.#partPath, 'create')
  }

  write(bytes: Buffer): void {
    try {
      writeFully(this.#file, bytes, this.#position)
    } catch (error) {
      const { message } = error as Error
      throw new CliFailure(1, 'SNAPSHOT_NOT_WRITTEN', `Cannot write ${JSON.stringify(this.#path)}: ${message}`, [], {
        cause: error,
      })
    }
    this.#position += bytes.length
  }

  finish(): void {
    this.#file.syncNow()
    this.#file.close()
    this.#isOver = true
    nodeFileSystem.rename(this.#partPath, this.#path)
    nodeFileSystem.syncDirectoryNow(dirname(this.#path))
  }

  abandon(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#file.close()
    nodeFileSystem.remove(this.#partPath)
  }
}

async function writeArchive(
  connection: JsonConnection,
  { id, files: fileCount }: { readonly id: string; readonly files: number },
  output: Output,
  interrupted: AbortSignal,
): Promise<SnapshotManifest> {
  const head = Buffer.concat(await collect(readFile(connection, id, 0)))
  const manifest = JSON.parse(head.toString()) as SnapshotManifest
  const mtimeMs = Date.parse(manifest.createdAt)
  let sums = ''
  const add = async (entry: TarEntry, contents: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    const hash = createHash('sha256')
    await output.write(tarHeader(entry, mtimeMs))
    let left = entry.sizeBytes
    for await (const bytes of contents) {
      if (interrupted.aborted)
        throw new CliFailure(130, 'INTERRUPTED', 'The snapshot was broken off: nothing is left of it')
      hash.update(bytes)
      await output.write(bytes)
      left -= bytes.length
    }
    if (left !== 0) throw new CliFailure(1, 'SNAPSHOT_NOT_WRITTEN', `${entry.path} is ${left} bytes short`)
    await output.write(Buffer.alloc(paddingOf(entry.sizeBytes)))
    sums += sumLine(entry.path, hash.digest('hex'))
  }
  await add({ path: SNAPSHOT_MANIFEST, sizeBytes: head.length }, [head])
  for (let file = 1; file < fileCount; file++) {
    const entry = manifest.files[file - 1]
    await add(entry, readFile(connection, id, file, entry.sizeBytes))
  }
  const tail = Buffer.from(sums)
  await add({ path: SNAPSHOT_SUMS, sizeBytes: tail.length }, [tail])
  await output.write(TAR_END)
  return manifest
}

/** Reads a file of a snapshot, several pieces at a time. Without a size, piece by piece up to the one that is not full. */
async function* readFile(
  connection: JsonConnection,
  id: string,
  file: number,
  sizeBytes?: number,
): AsyncGenerator<Buffer> {
  const ask = async (position: number) => {
    const { data } = await call(connection, 'READ_SNAPSHOT', { id, file, position, maxBytes: READ_BYTES })
    return Buffer.from(data, 'base64')
  }
  const asked: Promise<Buffer>[] = []
  let position = 0
  for (;;) {
    const atOnce = sizeBytes === undefined ? 1 : READS_AT_ONCE
    while (asked.length < atOnce && (sizeBytes === undefined || position < sizeBytes)) {
      const piece = ask(position)
      // Whoever waits for an earlier one hears of the failure of that.
      piece.catch(() => {})
      asked.push(piece)
      position += READ_BYTES
    }
    const next = asked.shift()
    if (next === undefined) return
    const bytes = await next
    yield bytes
    if (sizeBytes === undefined && bytes.length < READ_BYTES) return
  }
}

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const all: Buffer[] = []
  for await (const piece of pieces) all.push(piece)
  return all
}
