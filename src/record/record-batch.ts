// What the other rooms see of a record batch: its header, reading its records, and making one.
export * from './batch-header.ts'
export { CodecError } from './codecs/codec-error.ts'
export { UNPACKED_BYTES_MAX } from './codecs/unpack.ts'
export { decodeRecords, RecordReader, visitRecords } from './record-reader.ts'
export type { DecodedRecord } from './record-reader.ts'
export { repackRecords } from './repack.ts'
export { RecordBatchBuilder } from './record-batch-builder.ts'
