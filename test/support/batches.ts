import { crc32c } from '../../src/base/crc32c.ts'
import { writeInt64 } from '../../src/base/bytes.ts'
import { packRecords } from '../../src/record/codecs/unpack.ts'
import type { Codec, RecordHeader } from '../../src/record/record-batch.ts'
import { BATCH_HEADER_BYTES, CODECS, RecordBatchBuilder } from '../../src/record/record-batch.ts'

/** A record as a test names it. */
export interface TestRecord {
  readonly key?: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers?: readonly RecordHeader[]
}

/** A record batch of these records, as a producer sends it. */
export function buildBatch(records: readonly TestRecord[]): Buffer {
  const builder = new RecordBatchBuilder()
  builder.begin()
  const bytes = (text: string | null) => (text === null ? null : Buffer.from(text))
  for (const { key = null, value, timestamp, headers = [] } of records) {
    builder.add(bytes(key), bytes(value), timestamp, headers)
  }
  return Buffer.from(builder.finish())
}

/** The same batch, compressed. */
export function compressBatch(batch: Buffer, codec: Codec): Buffer {
  if (codec === 'none') return batch
  const records = packRecords(codec, batch.subarray(BATCH_HEADER_BYTES))
  return editBatch(Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), records]), (bytes) => {
    bytes.writeInt32BE(bytes.length - 12, 8)
    bytes.writeInt16BE((bytes.readInt16BE(21) & ~7) | CODECS.indexOf(codec), 21)
  })
}

/** A copy with something else in its header, and the checksum to go with it. */
export function editBatch(batch: Buffer, edit: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(batch)
  edit(bytes)
  bytes.writeUInt32BE(crc32c(bytes, 21, bytes.length), 17)
  return bytes
}

/** A batch whose header says another largest timestamp than its records do. */
export function withMaxTimestamp(batch: Buffer, maxTimestamp: number): Buffer {
  return editBatch(batch, (bytes) => writeInt64(bytes, 35, maxTimestamp))
}
