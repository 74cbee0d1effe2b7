import { MalformedVarintError, readVarint, readVarlong } from '../base/varint.ts'
import type { ByteCursor } from '../base/varint.ts'
import { BATCH_HEADER_BYTES, getBatchBytes, getRecordCount } from './batch-header.ts'

/** Below so many bytes a record, one search over all bytes is quicker than a walk from record to record. */
const WALKED_RECORD_BYTES_MIN = 128

/**
 * Whether the records of an uncompressed batch, which takes up all of a buffer, may have a header whose name begins with
 * `name`. May say yes for nothing, as when a value has such text in it; never says no for nothing. Made for batches that
 * have no headers at all, and costs them a few nanoseconds for each record or half a nanosecond for each byte, whichever is less.
 */
export function mayHaveHeader(batch: Buffer, name: Buffer): boolean {
  const count = getRecordCount(batch, 0)
  const end = getBatchBytes(batch, 0)
  if ((end - BATCH_HEADER_BYTES) / count < WALKED_RECORD_BYTES_MIN) return batch.includes(name, BATCH_HEADER_BYTES)
  return hasAnyHeader(batch, end) && batch.includes(name, BATCH_HEADER_BYTES)
}

/** Goes from record to record. What is malformed counts as having some. */
function hasAnyHeader(batch: Buffer, end: number): boolean {
  const cursor: ByteCursor = { buffer: batch, at: BATCH_HEADER_BYTES, end }
  try {
    while (cursor.at < end) {
      const recordBytes = readVarint(cursor)
      const next = cursor.at + recordBytes
      // The count of no headers is the record's last byte, and it is 0.
      if (recordBytes < 1 || next > end || batch[next - 1] !== 0) return true
      cursor.at++
      readVarlong(cursor)
      readVarint(cursor)
      const keyBytes = readVarint(cursor)
      cursor.at += Math.max(0, keyBytes)
      const valueBytes = readVarint(cursor)
      cursor.at += Math.max(0, valueBytes)
      if (cursor.at !== next - 1) return true
      cursor.at = next
    }
    return false
  } catch (error) {
    if (error instanceof MalformedVarintError) return true
    throw error
  }
}
