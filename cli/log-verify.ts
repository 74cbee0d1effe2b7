import { join } from 'node:path'
import { BrokerError } from '../src/base/broker-error.ts'
import { nodeFileSystem } from '../src/base/file-system.ts'
import { Checkpoint, type CheckpointState } from '../src/log/checkpoint.ts'
import { decodeOffsetIndex, type OffsetIndex } from '../src/log/offset-index.ts'
import type { PartitionFacts } from '../src/log/partition-facts.ts'
import { cleanedFileName, segmentFileName, type SegmentFacts } from '../src/log/segment.ts'
import { decodeRecords, getBaseOffset, getLastOffsetDelta, getRecordCount } from '../src/record/record-batch.ts'
import type { Command } from './command.ts'
import { CliFailure } from './failure.ts'
import {
  checkStopped,
  DATA_DIR_OPTION,
  dataDirectoryOf,
  listPartitions,
  readBatches,
  type PartitionFiles,
} from './log-files.ts'
import { printRows, type Column } from './output.ts'

interface Options {
  readonly dataDir?: string
}

/** What was found in a partition. `problems` are damage; `notes` are what the next start puts right by itself. */
interface Finding {
  readonly topic: string
  readonly partition: number
  readonly segments: number
  batches: number
  records: number
  bytes: number
  readonly problems: string[]
  readonly notes: string[]
}

const COLUMNS: readonly Column<Finding>[] = [
  { title: 'TOPIC', value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'SEGMENTS', kind: 'count', value: (row) => row.segments },
  { title: 'BATCHES', kind: 'count', value: (row) => row.batches },
  { title: 'RECORDS', kind: 'count', value: (row) => row.records },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.bytes },
  { title: 'PROBLEMS', kind: 'count', value: (row) => row.problems.length },
]

export const logVerify: Command<Options> = {
  name: 'log verify',
  summary: 'check every batch in the files of a stopped broker',
  details: [
    'Compares checksums, reads every record, and checks that offsets leave no gap but where compaction was, that index files point at batches, and that nothing is missing that was stored safely. Changes nothing. Needs no broker, and refuses while one is using the data directory.',
    'Bytes after the last safe point that are no whole batch are what a crash leaves behind; the next start cuts them off. They are said, and are no damage.',
  ],
  arguments: [{ name: 'TOPIC', description: 'only these topics', isOptional: true, isVariadic: true }],
  options: [DATA_DIR_OPTION],
  examples: [
    { line: 'brokerctl log verify', does: 'everything in ./data' },
    { line: 'brokerctl log verify orders --data-dir /var/lib/cafelog', does: 'one topic' },
  ],
  exitCodes: [3, 4, 6],
  async run(session, topics, options) {
    const directory = dataDirectoryOf(session, options.dataDir)
    await checkStopped(directory)
    const state = new Checkpoint(nodeFileSystem, directory).read()
    const findings = listPartitions(directory, topics).map((files) => verify(files, state))
    await printRows(session, findings, {
      columns: COLUMNS,
      name: (row) => `${row.topic}/${row.partition}`,
      whenEmpty: `No topics in ${directory}`,
    })
    const damaged = findings.filter(({ problems }) => problems.length > 0)
    for (const { topic, partition, notes, problems } of findings) {
      for (const note of notes) session.note(`${topic}/${partition}  ${note}`)
      for (const problem of problems) session.warn(`${topic}/${partition}  ${problem}`)
    }
    if (damaged.length === 0) return
    throw new CliFailure(4, 'CORRUPT_MESSAGE', `${damaged.length} of ${findings.length} partitions are damaged`, [
      'Rescue what is whole:  brokerctl log dump TOPIC --records -j > rescued.jsonl',
    ])
  },
}

function verify(files: PartitionFiles, state: CheckpointState | undefined): Finding {
  const { topic, partition, segments } = files
  const finding: Finding = {
    topic,
    partition,
    segments: segments.length,
    batches: 0,
    records: 0,
    bytes: 0,
    problems: [],
    notes: [],
  }
  const known = state?.partitions.find((entry) => entry.topic === topic && entry.partition === partition)?.facts
  checkPresence(files, known, finding)
  const cleaned = known?.segments.filter(({ cleanings }) => cleanings > 0) ?? []
  let nextOffset: number | undefined
  for (const baseOffset of segments) {
    const path = pathOf(files, baseOffset)
    if (cleaned.some((segment) => segment.baseOffset < baseOffset && baseOffset < segment.nextOffset)) {
      finding.notes.push(`${path} was swallowed by compaction: the next start removes it`)
      continue
    }
    if (nextOffset !== undefined && baseOffset !== nextOffset) {
      finding.problems.push(`${path} begins at offset ${baseOffset}: ${nextOffset} should follow`)
    }
    const waiting = cleaned.map((segment) => waitingFile(files, segment, baseOffset)).find((file) => file !== undefined)
    if (waiting !== undefined) finding.notes.push(`${waiting} was made by compaction: the next start puts it in place`)
    const isCleaned = cleaned.some((segment) => segment.baseOffset === baseOffset)
    // Without a checkpoint nobody knows which segments were cleaned; the last one never is.
    const mayHaveGaps = isCleaned || (known === undefined && baseOffset !== segments.at(-1))
    const safe = safeBytes(files, baseOffset, known)
    nextOffset = verifySegment(files, { baseOffset, path: waiting ?? path, safe, mayHaveGaps }, finding)
  }
  return finding
}

/** The file that is to take the place of a segment, if it is there. */
function waitingFile(files: PartitionFiles, segment: SegmentFacts, baseOffset: number): string | undefined {
  if (segment.baseOffset !== baseOffset) return undefined
  const path = join(files.directory, cleanedFileName(baseOffset, segment.cleanings))
  return nodeFileSystem.sizeOf(path) === undefined ? undefined : path
}

/** What was on stable storage by the checkpoint must be there. */
function checkPresence(files: PartitionFiles, known: PartitionFacts | undefined, finding: Finding) {
  for (const segment of known?.segments ?? []) {
    if (segment.sizeBytes === 0 || segment.nextOffset <= (known?.logStartOffset ?? 0)) continue
    const path = waitingFile(files, segment, segment.baseOffset) ?? pathOf(files, segment.baseOffset)
    const sizeBytes = nodeFileSystem.sizeOf(path)
    if (sizeBytes === undefined)
      finding.problems.push(`${path} is missing: it held offsets ${segment.baseOffset} to ${segment.nextOffset - 1}`)
    else if (sizeBytes < segment.sizeBytes)
      finding.problems.push(`${path} has ${sizeBytes} bytes: ${segment.sizeBytes} had been stored safely`)
  }
}

/** How much of a segment was on stable storage: all of it, unless it is where a crash may have struck. */
function safeBytes(files: PartitionFiles, baseOffset: number, known: PartitionFacts | undefined): number {
  const last = known?.segments.at(-1)
  if (!known || !last) return baseOffset === files.segments.at(-1) ? 0 : Infinity
  if (baseOffset < last.baseOffset) return Infinity
  return baseOffset === last.baseOffset ? last.sizeBytes : 0
}

/** What is to be verified. Only where compaction was may offsets be missing between batches. */
interface SegmentFile {
  readonly baseOffset: number
  readonly path: string
  readonly safe: number
  readonly mayHaveGaps: boolean
}

/** Returns the offset that must follow; undefined when that cannot be known. */
function verifySegment(files: PartitionFiles, segment: SegmentFile, finding: Finding): number | undefined {
  const { baseOffset, path, safe, mayHaveGaps } = segment
  const file = nodeFileSystem.open(path, 'read')
  try {
    const sizeBytes = file.size()
    finding.bytes += sizeBytes
    // The index of a segment that is not in place belongs to the one that is.
    const index = path.endsWith('.log') ? readIndex(files, baseOffset, sizeBytes, finding) : undefined
    let entriesFound = 0
    let nextOffset: number | undefined = baseOffset
    for (const { position, batch, bytes, fault } of readBatches(file)) {
      if (batch === undefined || (fault !== undefined && position >= safe)) {
        const isTail = position >= safe
        if (isTail)
          finding.notes.push(
            `${path} has ${sizeBytes - position} bytes after its last whole batch: the next start cuts them off`,
          )
        else
          finding.problems.push(
            `${path} at byte ${position}: ${fault}; the ${bytes} bytes from there on cannot be read`,
          )
        nextOffset = undefined
        break
      }
      const at = `${path} at byte ${position} (offset ${getBaseOffset(batch, 0)})`
      const wrong = fault ?? recordsFault(batch)
      if (wrong !== undefined) finding.problems.push(`${at}: ${wrong}`)
      if (fault === undefined) {
        const found = getBaseOffset(batch, 0)
        if (nextOffset !== undefined && found !== nextOffset && !(mayHaveGaps && found > nextOffset))
          finding.problems.push(`${at}: offset ${nextOffset} should follow`)
        if (index?.relativeOffsetAt(position) === getBaseOffset(batch, 0) - baseOffset) entriesFound++
        finding.records += getRecordCount(batch, 0)
      }
      finding.batches++
      nextOffset = fault === undefined ? getBaseOffset(batch, 0) + getLastOffsetDelta(batch, 0) + 1 : undefined
    }
    if (index && nextOffset !== undefined && entriesFound < index.count) {
      finding.problems.push(
        `${indexPathOf(files, baseOffset)}: ${index.count - entriesFound} of ${index.count} entries point at no batch`,
      )
    }
    return nextOffset
  } finally {
    file.close()
  }
}

/** Where a codec's library does not load, its records are covered by the checksum alone. */
function recordsFault(batch: Buffer): string | undefined {
  try {
    const { length } = decodeRecords(batch)
    return length === getRecordCount(batch, 0)
      ? undefined
      : `it has ${length} records, its header says ${getRecordCount(batch, 0)}`
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'UNSUPPORTED_COMPRESSION_TYPE') return undefined
    return error instanceof Error ? error.message : String(error)
  }
}

function readIndex(
  files: PartitionFiles,
  baseOffset: number,
  sizeBytes: number,
  finding: Finding,
): OffsetIndex | undefined {
  const path = indexPathOf(files, baseOffset)
  if (nodeFileSystem.sizeOf(path) === undefined) return undefined
  const index = decodeOffsetIndex(nodeFileSystem.readWhole(path), Math.max(1, sizeBytes))
  if (!index) finding.problems.push(`${path} is damaged: the broker makes it anew from the log when it needs it`)
  return index
}

function pathOf(files: PartitionFiles, baseOffset: number): string {
  return join(files.directory, segmentFileName(baseOffset, '.log'))
}

function indexPathOf(files: PartitionFiles, baseOffset: number): string {
  return join(files.directory, segmentFileName(baseOffset, '.idx'))
}
