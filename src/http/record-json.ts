import { isUtf8 } from 'node:buffer'
import type { RecordHeader, RecordReader } from '../record/record-batch.ts'
import { nestsTooDeep } from '../base/untrusted-json.ts'

/** How keys and values are shown: as they are, as text where they are text, or as base64. */
export const VALUE_FORMATS = ['auto', 'text', 'base64'] as const
export type ValueFormat = (typeof VALUE_FORMATS)[number]

/**
 * What a record holds, as members of a JSON object without its braces, in the same words in which it can be sent: `key` or
 * `keyBase64`; `value` with any JSON, `valueText`, or `valueBase64`; `headers`. JSON is shown byte for byte.
 */
export function writeRecord(
  { timestamp, key, value, headers }: Pick<RecordReader, 'timestamp' | 'key' | 'value' | 'headers'>,
  format: ValueFormat,
): string {
  return `"timestamp":${timestamp},${writeKey(key, format)},${writeValue(value, format)},"headers":[${headers
    .map((header) => writeHeader(header, format))
    .join()}]`
}

/** The key of a record, as a member of a JSON object. */
export function writeKey(key: Buffer | null, format: ValueFormat): string {
  return writeText('key', 'keyBase64', 'key', key, format)
}

function writeValue(value: Buffer | null, format: ValueFormat): string {
  if (value !== null && format === 'auto' && isShownAsJson(value)) return `"value":${value.toString('utf8')}`
  return writeText('valueText', 'valueBase64', 'value', value, format)
}

function writeHeader({ key, value }: RecordHeader, format: ValueFormat): string {
  return `{"key":${JSON.stringify(key)},${writeText('value', 'valueBase64', 'value', value, format)}}`
}

function writeText(
  asText: string,
  asBase64: string,
  asNull: string,
  bytes: Buffer | null,
  format: ValueFormat,
): string {
  if (bytes === null) return `"${asNull}":null`
  if (format === 'base64' || !isUtf8(bytes)) return `"${asBase64}":"${bytes.toString('base64')}"`
  return `"${asText}":${JSON.stringify(bytes.toString('utf8'))}`
}

/** A value that is `null` in JSON is not the same as none, and what is too deep would make the answer too deep. */
function isShownAsJson(value: Buffer): boolean {
  if (value.length === 0 || !isUtf8(value) || nestsTooDeep(value)) return false
  try {
    return JSON.parse(value.toString('utf8')) !== null
  } catch {
    return false
  }
}
