import { createHash } from 'node:crypto'
import { isTopicName } from '../src/base/topic-name.ts'
import { SNAPSHOT_FORMAT, SNAPSHOT_MANIFEST, type SnapshotManifest } from '../src/snapshot/snapshot-manifest.ts'
import { CliFailure } from './failure.ts'
import { TarDamaged, type TarEntry, TarReader } from './tar.ts'

/**
 * A snapshot is a tar of a data directory. The first file says what is in it, the last one has the checksum of each file
 * before it, in the form of sha256sum: after `tar xf` they can be compared with `sha256sum -c SHA256SUMS`.
 */
export const SNAPSHOT_SUMS = 'SHA256SUMS'
/** Both grow with the number of files, a hundred bytes for each. */
const LISTS_BYTES_MAX = 512 * 1024 * 1024

/** What may be in a data directory. Nothing else gets into one by way of a snapshot. */
const STORE_FILES = new Set(['@store/data.mdb', '@checkpoint-a', '@checkpoint-b'])
const PARTITION_FILE = /^([^/]+)\/partition-(?:0|[1-9]\d{0,9})\/\d{20}\.(?:log|snapshot)$/

/** Where the files of a snapshot go as it is read. Called in order: `begin`, `write`…, `end`, for each file. */
export interface SnapshotSink {
  begin(path: string, sizeBytes: number): void
  write(bytes: Buffer): void
  end(): void
}

/** One line of the file of checksums. */
export function sumLine(path: string, sha256: string): string {
  return `${sha256}  ${path}\n`
}

/**
 * Reads a whole snapshot, compares all checksums, and returns what it says of itself. What it gives to `sink` counts only
 * once this has resolved.
 *
 * @throws CliFailure CORRUPT_SNAPSHOT, or UNKNOWN_SNAPSHOT_FORMAT
 */
export async function readSnapshot(
  name: string,
  stream: AsyncIterable<Buffer>,
  sink?: SnapshotSink,
): Promise<SnapshotManifest> {
  try {
    return await readAll(new TarReader(stream), sink)
  } catch (error) {
    if (!(error instanceof TarDamaged)) throw error
    throw new CliFailure(
      4,
      'CORRUPT_SNAPSHOT',
      `Cannot use the snapshot ${JSON.stringify(name)}: ${error.message}`,
      ['Nothing was restored from it. Take another one, or use an older one'],
      { cause: error },
    )
  }
}

async function readAll(tar: TarReader, sink: SnapshotSink | undefined): Promise<SnapshotManifest> {
  const first = await tar.next()
  if (first?.path !== SNAPSHOT_MANIFEST) throw new TarDamaged(`it does not begin with ${SNAPSHOT_MANIFEST}`)
  const head = await tar.whole(first, LISTS_BYTES_MAX)
  const manifest = parseManifest(head)
  let sums = sumLine(first.path, createHash('sha256').update(head).digest('hex'))
  for (const file of manifest.files) {
    const entry = await tar.next()
    if (entry?.path !== file.path || entry.sizeBytes !== file.sizeBytes) {
      throw new TarDamaged(`${describe(entry)} where ${describe(file)} should follow`)
    }
    const hash = createHash('sha256')
    sink?.begin(file.path, file.sizeBytes)
    for await (const bytes of tar.contents(entry)) {
      hash.update(bytes)
      sink?.write(bytes)
    }
    sink?.end()
    sums += sumLine(file.path, hash.digest('hex'))
  }
  const last = await tar.next()
  if (last?.path !== SNAPSHOT_SUMS) throw new TarDamaged(`it does not end with ${SNAPSHOT_SUMS}`)
  compareSums(sums, (await tar.whole(last, LISTS_BYTES_MAX)).toString())
  return manifest
}

function compareSums(found: string, expected: string): void {
  if (found === expected) return
  const right = expected.split('\n')
  const wrong = found.split('\n').find((line, i) => line !== right[i]) ?? ''
  throw new TarDamaged(`${wrong.slice(wrong.indexOf('  ') + 2)} does not match its checksum`)
}

function describe(entry: TarEntry | undefined): string {
  return entry === undefined ? 'it ends' : `${JSON.stringify(entry.path)} of ${entry.sizeBytes} bytes`
}

/** @throws TarDamaged for what is no manifest, CliFailure for one of another form */
function parseManifest(bytes: Buffer): SnapshotManifest {
  let manifest: Partial<SnapshotManifest>
  try {
    manifest = (JSON.parse(bytes.toString()) ?? {}) as Partial<SnapshotManifest>
  } catch (error) {
    throw new TarDamaged(`${SNAPSHOT_MANIFEST} is no JSON: ${error instanceof Error ? error.message : ''}`)
  }
  const { format, version, clusterId, createdAt, files } = manifest
  if (format !== SNAPSHOT_FORMAT) {
    const message = `This snapshot is of form ${JSON.stringify(format)}, taken by CafeLog ${JSON.stringify(version)}: this version reads form ${SNAPSHOT_FORMAT}`
    throw new CliFailure(2, 'UNKNOWN_SNAPSHOT_FORMAT', message, ['Use brokerctl of the version that has taken it'])
  }
  if (typeof version !== 'string' || typeof clusterId !== 'string' || typeof createdAt !== 'string')
    throw new TarDamaged(`${SNAPSHOT_MANIFEST} does not say who has taken it`)
  if (!Array.isArray(files) || !files.every(isFile))
    throw new TarDamaged(`${SNAPSHOT_MANIFEST} lists what does not belong in a data directory`)
  if (new Set(files.map(({ path }) => path)).size < files.length)
    throw new TarDamaged(`${SNAPSHOT_MANIFEST} lists a file twice`)
  return { format, version, clusterId, createdAt, files }
}

function isFile(item: unknown): item is TarEntry {
  if (typeof item !== 'object' || item === null) return false
  const { path, sizeBytes } = item as Record<string, unknown>
  if (typeof path !== 'string' || !Number.isSafeInteger(sizeBytes) || (sizeBytes as number) < 0) return false
  if (STORE_FILES.has(path)) return true
  const topic = PARTITION_FILE.exec(path)?.[1]
  return topic !== undefined && isTopicName(topic)
}

/** How many topics and partitions have files in a snapshot. */
export function countContents({ files }: SnapshotManifest): { topics: number; partitions: number; sizeBytes: number } {
  const topics = new Set<string>()
  const partitions = new Set<string>()
  let sizeBytes = 0
  for (const file of files) {
    sizeBytes += file.sizeBytes
    const [topic, partition] = file.path.split('/')
    if (topic.startsWith('@') || partition === undefined) continue
    topics.add(topic)
    partitions.add(`${topic}/${partition}`)
  }
  return { topics: topics.size, partitions: partitions.size, sizeBytes }
}
