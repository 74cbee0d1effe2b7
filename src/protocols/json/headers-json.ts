import { countEncodedCharacters } from '../../base/base64.ts'
import type { RecordHeader } from '../../record/record-batch.ts'

/** Headers of a record as they stand in a FETCH answer. */
export function encodeHeaders(headers: readonly RecordHeader[]): string {
  return JSON.stringify(
    headers.map(({ key, value }) => ({ key, value: value === null ? null : value.toString('base64') })),
  )
}

const EACH_HEADER_BYTES = '{"key":,"value":""},'.length

/** How many bytes of UTF-8 `encodeHeaders` makes, at most. */
export function countHeadersJsonBytes(headers: readonly RecordHeader[]): number {
  let bytes = 2
  for (const { key, value } of headers) {
    bytes += EACH_HEADER_BYTES + Buffer.byteLength(JSON.stringify(key)) + countEncodedCharacters(value?.length ?? 3)
  }
  return bytes
}
