import { isSafeInt64, readInt64, writeInt64 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'

// Kafka's record batch, version 2 ("magic" 2), big endian, as it comes over the wire and as it lies in a segment:
//
//    0 baseOffset i64            offset of the first record; set by the broker
//    8 batchLength i32           bytes from here on: the whole batch is 12 more
//   12 partitionLeaderEpoch i32  set by the broker
//   16 magic i8                  2
//   17 crc u32                   CRC-32C of everything from 21 on, so what the broker sets does not change it
//   21 attributes i16            bits 0-2 codec │ 3 timestamp type │ 4 transactional │ 5 control │ 6 delete horizon
//   23 lastOffsetDelta i32       baseOffset + this = offset of the last record
//   27 baseTimestamp i64         the records' timestamps count from it; with bit 6 the time when tombstones may go
//   35 maxTimestamp i64
//   43 producerId i64            -1 = none
//   51 producerEpoch i16         -1 = none
//   53 baseSequence i32          -1 = none
//   57 recordCount i32           0 in what compaction leaves of a batch
//   61 records                   all together compressed by the codec
//
// A record (varints and varlongs as in base/varint.ts; a length of -1 stands for null):
//
//   length varint, bytes after it │ attributes i8, unused │ timestampDelta varlong │ offsetDelta varint
//   │ keyLength varint, key │ valueLength varint, value │ headerCount varint
//   │ for each header: keyLength varint, key in UTF-8 │ valueLength varint, value

/** The size of a batch's header; the records follow. */
export const BATCH_HEADER_BYTES = 61
/** The least that a record takes, seven one-byte fields: length, attributes, two deltas, two null lengths, no headers. */
export const RECORD_BYTES_MIN = 7

const LENGTH_AT = 8
const LEADER_EPOCH_AT = 12
const MAGIC_AT = 16
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const LAST_OFFSET_DELTA_AT = 23
const BASE_TIMESTAMP_AT = 27
export const MAX_TIMESTAMP_AT = 35
const PRODUCER_ID_AT = 43
const PRODUCER_EPOCH_AT = 51
const BASE_SEQUENCE_AT = 53
const RECORD_COUNT_AT = 57

/** What the length field does not count: the base offset and itself. */
const LENGTH_PREFIX_BYTES = 12
const MAGIC = 2

/** Names of the codec numbers of the attributes. */
export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Codec = (typeof CODECS)[number]

const CODEC_MASK = 0x07
const LOG_APPEND_TIME_BIT = 0x08
const TRANSACTIONAL_BIT = 0x10
const CONTROL_BIT = 0x20
const DELETE_HORIZON_BIT = 0x40

// All of these take the buffer and the position where the batch begins.

export const getBaseOffset = (buffer: Buffer, at: number): number => readInt64(buffer, at)

export function setBaseOffset(buffer: Buffer, at: number, baseOffset: number): void {
  writeInt64(buffer, at, baseOffset)
}

/** The size of the whole batch as its length field claims it: anything at all as long as nobody has checked the batch. */
export const getBatchBytes = (buffer: Buffer, at: number): number =>
  buffer.readInt32BE(at + LENGTH_AT) + LENGTH_PREFIX_BYTES

/** The records of a batch that was checked, as they lie: compressed, if they are. */
export const getBatchRecords = (buffer: Buffer, at: number): Buffer =>
  buffer.subarray(at + BATCH_HEADER_BYTES, at + getBatchBytes(buffer, at))

export const getLeaderEpoch = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + LEADER_EPOCH_AT)

export function setLeaderEpoch(buffer: Buffer, at: number, leaderEpoch: number): void {
  buffer.writeInt32BE(leaderEpoch, at + LEADER_EPOCH_AT)
}

export const getMagic = (buffer: Buffer, at: number): number => buffer.readInt8(at + MAGIC_AT)
export const getCrc = (buffer: Buffer, at: number): number => buffer.readUInt32BE(at + CRC_AT)
export const getAttributes = (buffer: Buffer, at: number): number => buffer.readInt16BE(at + ATTRIBUTES_AT)
export const getLastOffsetDelta = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + LAST_OFFSET_DELTA_AT)
export const getBaseTimestamp = (buffer: Buffer, at: number): number => readInt64(buffer, at + BASE_TIMESTAMP_AT)
export const getMaxTimestamp = (buffer: Buffer, at: number): number => readInt64(buffer, at + MAX_TIMESTAMP_AT)
export const getProducerId = (buffer: Buffer, at: number): number => readInt64(buffer, at + PRODUCER_ID_AT)
export const getProducerEpoch = (buffer: Buffer, at: number): number => buffer.readInt16BE(at + PRODUCER_EPOCH_AT)
export const getBaseSequence = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + BASE_SEQUENCE_AT)
export const getRecordCount = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + RECORD_COUNT_AT)

/** Undefined for the numbers 5 to 7, which no codec has. */
export const getCodec = (buffer: Buffer, at: number): Codec | undefined =>
  CODECS[getAttributes(buffer, at) & CODEC_MASK]

/** With log append time, every record has the batch's `maxTimestamp`, whatever its own delta says. */
export const hasLogAppendTime = (buffer: Buffer, at: number): boolean =>
  (getAttributes(buffer, at) & LOG_APPEND_TIME_BIT) !== 0
export const isTransactional = (buffer: Buffer, at: number): boolean =>
  (getAttributes(buffer, at) & TRANSACTIONAL_BIT) !== 0
/** A control batch holds a mark of the broker's own (commit, abort) and is never given to a consumer as a record. */
export const isControlBatch = (buffer: Buffer, at: number): boolean => (getAttributes(buffer, at) & CONTROL_BIT) !== 0
/** Makes it look like one; its checksum no longer fits then. */
export function setControlBatch(buffer: Buffer, at: number): void {
  buffer.writeInt16BE(getAttributes(buffer, at) | CONTROL_BIT, at + ATTRIBUTES_AT)
}
/** Whether `baseTimestamp` is the time from which compaction may drop tombstones. Deltas count from it all the same. */
export const hasDeleteHorizon = (buffer: Buffer, at: number): boolean =>
  (getAttributes(buffer, at) & DELETE_HORIZON_BIT) !== 0

/**
 * Checks one whole batch, from its length to its checksum, and says what is wrong with it; undefined means nothing is.
 * It then lies wholly before `end`, and none of the functions above throws on it. The records themselves are covered by
 * the checksum but not walked through: `visitRecords` does that. A batch without records is fine (compaction leaves
 * such), so whoever takes batches from producers asks for more.
 */
export function findBatchFault(buffer: Buffer, at: number, end: number): string | undefined {
  const fault = findHeaderFault(buffer, at, end)
  if (fault !== undefined) return fault
  const wanted = getCrc(buffer, at)
  const found = crc32c(buffer, at + ATTRIBUTES_AT, at + getBatchBytes(buffer, at))
  return wanted === found ? undefined : `its CRC32C is ${hex(found)}, its header says ${hex(wanted)}`
}

/** All of `findBatchFault` but the checksum. */
export function findHeaderFault(buffer: Buffer, at: number, end: number): string | undefined {
  const available = Math.min(end, buffer.length) - at
  if (available < BATCH_HEADER_BYTES) return `its header takes ${BATCH_HEADER_BYTES} bytes, ${available} are there`
  const batchBytes = getBatchBytes(buffer, at)
  if (batchBytes < BATCH_HEADER_BYTES) return `its length of ${batchBytes} bytes is less than its header's`
  if (batchBytes > available) return `its length is ${batchBytes} bytes, ${available} are there`
  const magic = getMagic(buffer, at)
  if (magic !== MAGIC) return `its magic is ${magic}, only ${MAGIC} is understood`
  const codecNumber = getAttributes(buffer, at) & CODEC_MASK
  if (CODECS[codecNumber] === undefined) return `its compression codec is number ${codecNumber}, there are 0 to 4`

  for (const field of INT64_FIELDS) {
    if (!isSafeInt64(buffer, at + field.at)) return `its ${field.name} is beyond ±(2^53 - 1)`
  }
  const baseOffset = getBaseOffset(buffer, at)
  const lastOffsetDelta = getLastOffsetDelta(buffer, at)
  if (baseOffset < 0) return `its base offset is ${baseOffset}`
  if (lastOffsetDelta < 0) return `its last offset delta is ${lastOffsetDelta}`
  if (!Number.isSafeInteger(baseOffset + lastOffsetDelta + 1)) return 'its last offset is beyond 2^53 - 2'

  const recordCount = getRecordCount(buffer, at)
  if (recordCount < 0 || recordCount > lastOffsetDelta + 1) {
    return `its record count is ${recordCount}, its offsets have room for 0 to ${lastOffsetDelta + 1}`
  }
  const recordsBytes = batchBytes - BATCH_HEADER_BYTES
  if (codecNumber === 0 && recordsBytes < recordCount * RECORD_BYTES_MIN) {
    return `its record count is ${recordCount}, which ${recordsBytes} bytes cannot hold`
  }
  return undefined
}

const INT64_FIELDS = [
  { name: 'base offset', at: 0 },
  { name: 'base timestamp', at: BASE_TIMESTAMP_AT },
  { name: 'max timestamp', at: MAX_TIMESTAMP_AT },
  { name: 'producer id', at: PRODUCER_ID_AT },
] as const

/** Who sends a batch, and which one of that sender's it is for its partition: what makes sending it again harmless. */
export interface BatchProducer {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** What `writeBatchHeader` is told. The fields of a producer are those of a batch without one unless they are given. */
export interface BatchHeaderFields extends Partial<BatchProducer> {
  readonly recordCount: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly attributes?: number
}

/**
 * Writes the header of an uncompressed batch around the records that lie from `at + BATCH_HEADER_BYTES` to before `end`:
 * base offset 0, no leader epoch, the records' own timestamps; then the checksum over all of it.
 */
export function writeBatchHeader(buffer: Buffer, at: number, end: number, fields: BatchHeaderFields): void {
  writeInt64(buffer, at, 0)
  buffer.writeInt32BE(end - at - LENGTH_PREFIX_BYTES, at + LENGTH_AT)
  buffer.writeInt32BE(-1, at + LEADER_EPOCH_AT)
  buffer.writeInt8(MAGIC, at + MAGIC_AT)
  buffer.writeInt16BE(fields.attributes ?? 0, at + ATTRIBUTES_AT)
  buffer.writeInt32BE(fields.recordCount - 1, at + LAST_OFFSET_DELTA_AT)
  writeInt64(buffer, at + BASE_TIMESTAMP_AT, fields.baseTimestamp)
  writeInt64(buffer, at + MAX_TIMESTAMP_AT, fields.maxTimestamp)
  writeInt64(buffer, at + PRODUCER_ID_AT, fields.producerId ?? -1)
  buffer.writeInt16BE(fields.producerEpoch ?? -1, at + PRODUCER_EPOCH_AT)
  buffer.writeInt32BE(fields.baseSequence ?? -1, at + BASE_SEQUENCE_AT)
  buffer.writeInt32BE(fields.recordCount, at + RECORD_COUNT_AT)
  buffer.writeUInt32BE(crc32c(buffer, at + ATTRIBUTES_AT, end), at + CRC_AT)
}

/**
 * Writes a header around the records that lie in `target` from `BATCH_HEADER_BYTES` on: that of the batch at `at`, with
 * other records. Offsets, leader epoch, producer, sequence, codec and timestamp type stay; then the checksum.
 */
export function copyBatchHeader(
  batch: Buffer,
  at: number,
  target: Buffer,
  fields: {
    readonly recordCount: number
    readonly hasDeleteHorizon: boolean
    readonly baseTimestamp: number
    readonly maxTimestamp: number
  },
): void {
  batch.copy(target, 0, at, at + BATCH_HEADER_BYTES)
  target.writeInt32BE(target.length - LENGTH_PREFIX_BYTES, LENGTH_AT)
  const attributes = getAttributes(batch, at) & ~DELETE_HORIZON_BIT
  target.writeInt16BE(attributes | (fields.hasDeleteHorizon ? DELETE_HORIZON_BIT : 0), ATTRIBUTES_AT)
  writeInt64(target, BASE_TIMESTAMP_AT, fields.baseTimestamp)
  writeInt64(target, MAX_TIMESTAMP_AT, fields.maxTimestamp)
  target.writeInt32BE(fields.recordCount, RECORD_COUNT_AT)
  target.writeUInt32BE(crc32c(target, ATTRIBUTES_AT, target.length), CRC_AT)
}

/** What stays of the batch at `at` when all of its records are gone: a header that still has its offsets and producer. */
export function emptyBatch(batch: Buffer, at: number): Buffer {
  const header = Buffer.allocUnsafe(BATCH_HEADER_BYTES)
  const maxTimestamp = getMaxTimestamp(batch, at)
  copyBatchHeader(batch, at, header, {
    recordCount: 0,
    hasDeleteHorizon: false,
    baseTimestamp: maxTimestamp,
    maxTimestamp,
  })
  header.writeInt16BE(getAttributes(header, 0) & ~CODEC_MASK, ATTRIBUTES_AT)
  header.writeUInt32BE(crc32c(header, ATTRIBUTES_AT, BATCH_HEADER_BYTES), CRC_AT)
  return header
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`

/** A header of a record. Keys need not be unique. */
export interface RecordHeader {
  readonly key: string
  readonly value: Buffer | null
}

/** Gives a batch that takes up all of a buffer to another producer, or another place among its batches; then the checksum. */
export function setBatchProducer(batch: Buffer, producer: BatchProducer): void {
  writeInt64(batch, PRODUCER_ID_AT, producer.producerId)
  batch.writeInt16BE(producer.producerEpoch, PRODUCER_EPOCH_AT)
  batch.writeInt32BE(producer.baseSequence, BASE_SEQUENCE_AT)
  batch.writeUInt32BE(crc32c(batch, ATTRIBUTES_AT, batch.length), CRC_AT)
}

/** What a broker changes of a batch that it takes. */
export interface HeaderChanges {
  /** Of what the records are compressed with now; they end where the buffer ends. */
  readonly codec?: Codec | undefined
  readonly maxTimestamp?: number | undefined
  /** The batch gets `maxTimestamp` as the time of all of its records. */
  readonly isLogAppendTime?: boolean | undefined
}

/** Changes the header of a batch that takes up all of a buffer, and computes its checksum anew. */
export function changeBatchHeader(batch: Buffer, { codec, maxTimestamp, isLogAppendTime }: HeaderChanges): void {
  let attributes = getAttributes(batch, 0)
  if (codec !== undefined) attributes = (attributes & ~CODEC_MASK) | CODECS.indexOf(codec)
  if (isLogAppendTime === true) attributes |= LOG_APPEND_TIME_BIT
  batch.writeInt16BE(attributes, ATTRIBUTES_AT)
  if (maxTimestamp !== undefined) writeInt64(batch, MAX_TIMESTAMP_AT, maxTimestamp)
  batch.writeInt32BE(batch.length - LENGTH_PREFIX_BYTES, LENGTH_AT)
  batch.writeUInt32BE(crc32c(batch, ATTRIBUTES_AT, batch.length), CRC_AT)
}
