import { dirname, join } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { DirectoryInUseError, DirectoryLock } from '../src/base/directory-lock.ts'
import { nodeFileSystem, type File } from '../src/base/file-system.ts'
import { RESTORING_DIRECTORY } from '../src/base/restoring.ts'
import { writeFully } from '../src/log/checkpoint.ts'
import type { SnapshotManifest } from '../src/snapshot/snapshot-manifest.ts'
import type { Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { openSnapshot, printSnapshot } from './snapshot.ts'
import { readSnapshot, type SnapshotSink } from './snapshot-archive.ts'

interface Options {
  readonly data?: string
}

/** What an empty directory may have: our own, and what a new file system has at its top. */
const NOT_COUNTED = new Set(['@lock', RESTORING_DIRECTORY, 'lost+found'])

export const restore: Command<Options> = {
  name: 'restore',
  summary: 'make a data directory of a snapshot',
  details: [
    'Needs no broker. The directory must be empty, or not there yet. All checksums are compared before anything counts; when something is not right, or the restore is broken off, no broker starts on the directory.',
  ],
  arguments: [{ name: 'FILE', description: 'what snapshot has written, or - for stdin' }],
  options: [{ flags: '--data <DIR>', description: 'the data directory to make (env CAFELOG_DATA_DIR)' }],
  examples: [
    { line: 'brokerctl restore backup.tar --data /var/lib/cafelog', does: 'then start the broker on it' },
    { line: 'zstd -dc backup.tar.zst | brokerctl restore - --data ./data-2', does: 'one that is compressed' },
  ],
  exitCodes: [4, 6],
  async run(session, [file = ''], options) {
    // No default: what is restored by accident is not what anybody wants in the usual place.
    const directory = options.data ?? (session.env['CAFELOG_DATA_DIR'] || undefined)
    if (directory === undefined) throw usageFailure('Where to?', 'Say it:  brokerctl restore FILE --data DIR')
    const isNew = nodeFileSystem.sizeOf(directory) === undefined
    nodeFileSystem.makeDirectory(directory)
    const lock = await lockDirectory(directory)
    let manifest: SnapshotManifest
    try {
      refuseIfNotEmpty(directory)
      manifest = await restoreInto(directory, file, openSnapshot(session, file))
    } finally {
      await lock.release()
      if (isNew) removeIfUseless(directory)
    }
    await printSnapshot(session, file, manifest)
    session.note(`Restored into ${directory}. Start a broker on it:  CAFELOG_DATA_DIR=${directory}`)
    session.note(`Check every record batch first:  brokerctl log verify --data-dir ${directory}`)
  },
}

async function lockDirectory(directory: string): Promise<DirectoryLock> {
  try {
    return await DirectoryLock.take(directory, systemClock)
  } catch (error) {
    if (!(error instanceof DirectoryInUseError)) throw error
    throw new CliFailure(6, 'DATA_DIRECTORY_IN_USE', error.message, ['Restore into another directory'], {
      cause: error,
    })
  }
}

function refuseIfNotEmpty(directory: string): void {
  const found = nodeFileSystem.list(directory).find(({ name }) => !NOT_COUNTED.has(name))
  if (found === undefined) return
  throw new CliFailure(
    6,
    'DATA_DIRECTORY_NOT_EMPTY',
    `Cannot restore into ${JSON.stringify(directory)}: there is something in it, such as ${JSON.stringify(found.name)}`,
    ['Into another directory, or move that away first'],
  )
}

/** Gathers everything in a folder; when all is there and right, moves it into its place and removes the folder. */
async function restoreInto(directory: string, name: string, stream: AsyncIterable<Buffer>): Promise<SnapshotManifest> {
  const gathered = join(directory, RESTORING_DIRECTORY)
  if (nodeFileSystem.sizeOf(gathered) !== undefined) nodeFileSystem.removeDirectory(gathered)
  nodeFileSystem.makeDirectory(gathered)
  const sink = new DirectorySink(gathered)
  let manifest: SnapshotManifest
  try {
    manifest = await readSnapshot(name, stream, sink)
    sink.syncDirectories()
    nodeFileSystem.syncDirectoryNow(directory)
  } catch (error) {
    sink.close()
    nodeFileSystem.removeDirectory(gathered)
    throw error
  }
  for (const entry of nodeFileSystem.list(gathered)) {
    nodeFileSystem.rename(join(gathered, entry.name), join(directory, entry.name))
  }
  nodeFileSystem.syncDirectoryNow(directory)
  nodeFileSystem.removeDirectory(gathered)
  nodeFileSystem.syncDirectoryNow(directory)
  return manifest
}

/** A directory that was made for nothing goes again. */
function removeIfUseless(directory: string): void {
  const names = nodeFileSystem.list(directory).map(({ name }) => name)
  if (names.every((name) => name === '@lock')) nodeFileSystem.removeDirectory(directory)
}

/** Writes the files of a snapshot, each durable before the next one is begun. */
class DirectorySink implements SnapshotSink {
  readonly #root: string
  readonly #directories: Set<string>
  #file: File | undefined
  #position = 0

  constructor(root: string) {
    this.#root = root
    this.#directories = new Set([root])
  }

  begin(path: string): void {
    const full = join(this.#root, path)
    const directory = dirname(full)
    if (!this.#directories.has(directory)) {
      nodeFileSystem.makeDirectory(directory)
      for (let each = directory; each !== this.#root; each = dirname(each)) this.#directories.add(each)
    }
    this.#file = nodeFileSystem.open(full, 'create')
    this.#position = 0
  }

  write(bytes: Buffer): void {
    if (this.#file === undefined) return
    try {
      writeFully(this.#file, bytes, this.#position)
    } catch (error) {
      const { message } = error as Error
      throw new CliFailure(1, 'NOT_RESTORED', `Cannot write ${this.#file.path}: ${message}`, [], { cause: error })
    }
    this.#position += bytes.length
  }

  end(): void {
    this.#file?.syncNow()
    this.close()
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
  }

  syncDirectories(): void {
    for (const directory of this.#directories) nodeFileSystem.syncDirectoryNow(directory)
  }
}
