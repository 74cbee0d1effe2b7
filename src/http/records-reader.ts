import { setImmediate } from 'node:timers/promises'
import type { Broker, FetchAnswer } from '../broker/broker.ts'
import { AheadUnpacker } from '../record/ahead-unpacker.ts'
import {
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
  RecordReader,
} from '../record/record-batch.ts'
import type { ApiFields } from './api-fields.ts'
import { PARTITION_RANGE, SAFE_RANGE } from './api-fields.ts'
import type { ApiAnswer, ApiCall } from './api-route.ts'
import { readTime } from './due-time.ts'
import type { ValueFormat } from './record-json.ts'
import { VALUE_FORMATS, writeRecord } from './record-json.ts'

/** Records of one answer. */
export const LIMIT_RANGE = { min: 1, max: 1000 }
export const LIMIT_DEFAULT = 100
/** An answer is complete when it has so many characters: one record more than that may be in it. */
export const ANSWER_CHARACTERS = 4 * 1024 * 1024
/** Bytes of batches that are read at a time. */
const READ_BYTES = 1024 * 1024
/** Batches may hold nothing to be shown. So many reads are made in search of something. */
const READS_MAX = 16
const QUERY_FIELDS = ['partition', 'offset', 'timestamp', 'limit', 'format']

/** What is read, and what was found so far. */
interface Reading {
  readonly topic: string
  readonly partition: number
  readonly limit: number
  readonly format: ValueFormat
  nextOffset: number
  readonly records: string[]
  characters: number
}

/** Answers with records of one partition, from an offset or a time on. */
export async function readRecords({ broker, params, query }: ApiCall): Promise<ApiAnswer> {
  const fields = query(QUERY_FIELDS)
  const topic = broker.topics.getExisting(params.topic)
  const limit = fields.optionalInteger('limit', LIMIT_RANGE) ?? LIMIT_DEFAULT
  const format = fields.optionalChoice('format', VALUE_FORMATS) ?? 'auto'
  const partition = readPartition(fields, topic.partitionCount)
  const log = broker.getLog(topic.name, partition)
  const nextOffset = findStart(broker, topic.name, partition, fields)
  const reading: Reading = { topic: topic.name, partition, limit, format, nextOffset, records: [], characters: 0 }
  for (let reads = 0; reads < READS_MAX && isIncomplete(reading); reads++) {
    // Others get their turn in between.
    if (reads > 0) await setImmediate()
    if (!(await readOnce(broker, reading))) break
  }
  const { highWatermark, logStartOffset } = log
  return {
    body: `{"topic":"${topic.name}","partition":${partition},"records":[${reading.records.join()}],"nextOffset":${reading.nextOffset},"highWatermark":${highWatermark},"logStartOffset":${logStartOffset}}`,
  }
}

function isIncomplete({ records, limit, characters }: Reading): boolean {
  return records.length < limit && characters < ANSWER_CHARACTERS
}

function readPartition(fields: ApiFields, partitionCount: number): number {
  const partition = fields.optionalInteger('partition', PARTITION_RANGE)
  if (partition !== undefined) return partition
  return partitionCount === 1 ? 0 : fields.missing('partition', `a number from 0 to ${partitionCount - 1} is needed`)
}

function findStart(broker: Broker, topic: string, partition: number, fields: ApiFields): number {
  const log = broker.getLog(topic, partition)
  const timestamp = readTime(fields, 'timestamp')
  if (timestamp !== undefined) {
    if (fields.has('offset')) throw fields.wrong('timestamp', 'that or "offset" is needed, not both')
    return log.findOffsetByTime(timestamp)?.offset ?? log.lastStableOffset
  }
  switch (fields.get('offset')) {
    case undefined:
    case 'earliest':
      return log.logStartOffset
    case 'latest':
      return log.lastStableOffset
    default:
      return fields.integer('offset', SAFE_RANGE)
  }
}

/** Reads on from where the reading is. False when there is nothing more. */
async function readOnce(broker: Broker, reading: Reading): Promise<boolean> {
  const { topic, partition, nextOffset } = reading
  const { batches } = await new Promise<FetchAnswer>((resolve, reject) => {
    const wish = { topic, partition, offset: nextOffset, bytesMax: READ_BYTES, bytesMin: 1, waitMs: 0 }
    broker.fetch({ ...wish, isolation: 'read_committed' }, (error, answer) => {
      if (error === undefined) return resolve(answer)
      answer.batches.release()
      reject(error)
    })
  })
  try {
    const unpacker = new AheadUnpacker(broker.unpackedBytesMax)
    const unpacked = await unpacker.unpack(batches.bytes, nextOffset)
    const reader = new RecordReader(broker.unpackedBytesMax)
    for (let at = 0; at < batches.bytes.length; at += getBatchBytes(batches.bytes, at)) {
      if (!isIncomplete(reading)) return true
      const endOffset = getBaseOffset(batches.bytes, at) + getLastOffsetDelta(batches.bytes, at) + 1
      if (endOffset <= reading.nextOffset) continue
      if (!isControlBatch(batches.bytes, at)) {
        reader.open(batches.bytes, at, unpacked?.get(at))
        while (isIncomplete(reading) && reader.next()) addRecord(reading, reader)
        if (!isIncomplete(reading)) return true
      }
      reading.nextOffset = endOffset
    }
    return reading.nextOffset > nextOffset
  } finally {
    batches.release()
  }
}

function addRecord(reading: Reading, record: RecordReader): void {
  if (record.offset < reading.nextOffset) return
  const text = `{"offset":${record.offset},${writeRecord(record, reading.format)}}`
  reading.records.push(text)
  reading.characters += text.length
  reading.nextOffset = record.offset + 1
}
