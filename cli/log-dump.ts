import { BrokerError } from '../src/base/broker-error.ts'
import { segmentFileName } from '../src/log/segment.ts'
import {
  decodeRecords,
  getBaseOffset,
  getBaseTimestamp,
  getCodec,
  getLastOffsetDelta,
  getLeaderEpoch,
  getMaxTimestamp,
  getRecordCount,
  isControlBatch,
} from '../src/record/record-batch.ts'
import type { DecodedRecord } from '../src/record/record-batch.ts'
import type { Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import {
  checkStopped,
  DATA_DIR_OPTION,
  dataDirectoryOf,
  listPartitions,
  openSegment,
  partitionOfFile,
  readBatches,
  type BatchOnDisk,
  type PartitionFiles,
} from './log-files.ts'
import { isoTime } from './moment.ts'
import { counted } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import { compileFormat, FORMAT_HELP, type RecordFormatter } from './record-format.ts'
import { printerFor } from './record-printer.ts'
import type { Session } from './session.ts'

/** Rows that are laid out together: a log can have millions. */
const ROWS_AT_ONCE = 1_000

interface Options {
  readonly dataDir?: string
  readonly partition?: number
  readonly records?: boolean
  readonly format?: RecordFormatter
}

interface Row {
  readonly topic: string
  readonly partition: number
  readonly file: string
  readonly baseOffset: number | null
  readonly records: number | null
  readonly position: number
  readonly bytes: number
  readonly codec: string | null
  readonly leaderEpoch: number | null
  readonly firstTimestamp: string | null
  readonly lastTimestamp: string | null
  /** `ok`, what is wrong with the batch, or that there is none. */
  readonly crc: string
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'TOPIC', isWide: true, value: (row) => row.topic },
  { title: 'PARTITION', value: (row) => row.partition },
  { title: 'FILE', isWide: true, value: (row) => row.file },
  { title: 'BASE-OFFSET', kind: 'count', value: (row) => row.baseOffset },
  { title: 'RECORDS', kind: 'count', value: (row) => row.records },
  { title: 'POSITION', kind: 'count', value: (row) => row.position },
  { title: 'SIZE', kind: 'count', value: (row) => row.bytes },
  { title: 'CODEC', value: (row) => row.codec },
  { title: 'EPOCH', isWide: true, value: (row) => row.leaderEpoch },
  { title: 'FIRST', value: (row) => row.firstTimestamp },
  { title: 'LAST', value: (row) => row.lastTimestamp },
  { title: 'CRC', value: (row) => row.crc },
]

export const logDump: Command<Options> = {
  name: 'log dump',
  summary: 'show the record batches in the files of a stopped broker',
  details: [
    'Needs no broker, and refuses while one is using the data directory. With -j: a line of JSON for each batch, or for each record.',
    `Formats (-f, with --records): ${FORMAT_HELP}`,
  ],
  arguments: [{ name: 'TOPIC', description: 'a topic, or the path of one .log file' }],
  options: [
    DATA_DIR_OPTION,
    { flags: '-p, --partition <N>', description: 'only this partition', parse: (text) => partitionNumber(text) },
    { flags: '--records', description: 'the records instead of the batches' },
    { flags: '-f, --format <FORMAT>', description: 'with --records: how to print them', parse: compileFormat },
  ],
  examples: [
    { line: 'brokerctl log dump orders', does: 'every batch of every partition' },
    { line: 'brokerctl log dump orders -p 0 --records', does: 'the records of one partition' },
    {
      line: 'brokerctl log dump ./data/orders/partition-0/00000000000000000000.log',
      does: 'one file',
    },
    { line: 'brokerctl log dump orders --records -j > orders.jsonl', does: 'rescue: produce --input jsonl reads it' },
  ],
  exitCodes: [3, 4, 6],
  async run(session, [target = ''], options) {
    if (options.format !== undefined && options.records !== true) throw usageFailure('-f goes with --records')
    const partitions = await partitionsOf(session, target, options)
    const print = options.records === true ? recordPrinter(session, options) : batchPrinter(session)
    let faults = 0
    for (const files of partitions) {
      for (const baseOffset of files.segments) {
        const file = openSegment(files.directory, baseOffset)
        try {
          for (const batch of readBatches(file)) {
            if (batch.fault !== undefined) faults++
            await print.batch(files, segmentFileName(baseOffset, '.log'), batch)
          }
        } finally {
          file.close()
        }
      }
    }
    await print.end()
    if (faults > 0) {
      throw new CliFailure(4, 'CORRUPT_MESSAGE', `${counted(faults, 'batch is', 'batches are')} damaged`, [
        'What that means:  brokerctl log verify',
      ])
    }
  },
}

function partitionNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw usageFailure(`Cannot use ${JSON.stringify(text)} as a partition: a whole number from 0 on`)
  return Number(text)
}

async function partitionsOf(session: Session, target: string, options: Options): Promise<PartitionFiles[]> {
  if (target.includes('/') || target.endsWith('.log')) {
    const { dataDirectory, files } = partitionOfFile(target)
    await checkStopped(dataDirectory)
    return [files]
  }
  const directory = dataDirectoryOf(session, options.dataDir)
  await checkStopped(directory)
  const partitions = listPartitions(directory, [target])
  const wanted = partitions.filter(
    ({ partition }) => options.partition === undefined || partition === options.partition,
  )
  if (wanted.length === 0) {
    throw new CliFailure(
      3,
      'UNKNOWN_TOPIC_OR_PARTITION',
      `There is no partition ${options.partition} of topic "${target}" in ${directory}`,
    )
  }
  return wanted
}

interface BatchPrinter {
  batch(files: PartitionFiles, file: string, batch: BatchOnDisk): Promise<void>
  end(): Promise<void>
}

function batchPrinter(session: Session): BatchPrinter {
  let rows: Row[] = []
  let partition: PartitionFiles | undefined
  /** The offset that follows, undefined behind a batch that is damaged. */
  let nextOffset: number | undefined
  const flush = async () => {
    if (session.output === 'json') await session.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    else if (rows.length > 0)
      await printRows(session, rows, { columns: COLUMNS, name: (row) => String(row.baseOffset) })
    rows = []
  }
  return {
    async batch(files, file, batch) {
      const row = rowOf(files, file, batch)
      if (files !== partition) nextOffset = files.segments[0]
      partition = files
      const { batch: bytes, fault } = batch
      const baseOffset = bytes === undefined || fault !== undefined ? undefined : getBaseOffset(bytes, 0)
      if (baseOffset !== undefined && nextOffset !== undefined && nextOffset < baseOffset) {
        rows.push(gapBefore(row, nextOffset, baseOffset))
      }
      const isWhole = bytes !== undefined && baseOffset !== undefined
      nextOffset = isWhole ? baseOffset + getLastOffsetDelta(bytes, 0) + 1 : undefined
      rows.push(row)
      if (rows.length >= ROWS_AT_ONCE) await flush()
    },
    end: flush,
  }
}

/** Where compaction has left nothing, or something is missing: `log verify` says which. */
function gapBefore(row: Row, from: number, to: number): Row {
  const times = { firstTimestamp: null, lastTimestamp: null }
  const nothing = { baseOffset: from, records: null, bytes: 0, codec: null, leaderEpoch: null, ...times }
  return {
    ...row,
    ...nothing,
    crc: from === to - 1 ? `gap: no offset ${from}` : `gap: no offsets ${from} to ${to - 1}`,
  }
}

function rowOf(
  { topic, partition }: PartitionFiles,
  file: string,
  { batch, position, bytes, fault }: BatchOnDisk,
): Row {
  const place = { topic, partition, file }
  if (batch === undefined) {
    const unknown = {
      baseOffset: null,
      records: null,
      codec: null,
      leaderEpoch: null,
      firstTimestamp: null,
      lastTimestamp: null,
    }
    return { ...place, ...unknown, position, bytes, crc: fault ?? 'no batch' }
  }
  return {
    ...place,
    baseOffset: getBaseOffset(batch, 0),
    records: getRecordCount(batch, 0),
    position,
    bytes,
    codec: getCodec(batch, 0) ?? 'unknown',
    leaderEpoch: getLeaderEpoch(batch, 0),
    firstTimestamp: isoTime(getBaseTimestamp(batch, 0)),
    lastTimestamp: isoTime(getMaxTimestamp(batch, 0)),
    crc: fault ?? 'ok',
  }
}

function recordPrinter(session: Session, options: Options): BatchPrinter {
  const print = printerFor(session, options.format ? { format: options.format } : {})
  return {
    async batch({ topic, partition }, file, { batch, position, fault }) {
      if (batch === undefined || fault !== undefined) {
        session.warn(`${topic}/${partition} ${file} at byte ${position}: ${fault}`)
        return
      }
      if (isControlBatch(batch, 0)) return
      const records = decode(batch)
      if (records instanceof BrokerError) {
        session.warn(`${topic}/${partition} ${file} at byte ${position}: ${records.message}`)
        return
      }
      await session.write(Buffer.concat(records.map((record) => print({ ...record, topic, partition }))))
    },
    end: () => Promise.resolve(),
  }
}

/** The records of a batch, or why they cannot be read: what a producer has compressed is looked into only here. */
function decode(batch: Buffer): readonly DecodedRecord[] | BrokerError {
  try {
    return decodeRecords(batch)
  } catch (error) {
    if (error instanceof BrokerError) return error
    throw error
  }
}
