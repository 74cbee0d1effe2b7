import { BrokerError } from '../base/broker-error.ts'
import { ProduceRequest } from '../broker/produce-request.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import { parseApiBody } from './api-body.ts'
import { ApiFields, PARTITION_RANGE, SAFE_RANGE } from './api-fields.ts'
import { DUE_FIELDS, readDueAt } from './due-time.ts'
import type { RawValue } from './raw-json.ts'
import { findRawMember, visitRawItems } from './raw-json.ts'

/** Records of one request. */
export const RECORDS_MAX = 10_000
/** What key, value and headers of one record may have together, so that every door can give it out again. */
export const RECORD_BYTES_MAX = 7 * 1024 * 1024
/** What a request may have, with all its records. */
export const PRODUCE_BYTES_MAX = 10 * 1024 * 1024

const ANY_PARTITION = -1
const RECORD_FIELDS = [
  'key',
  'keyBase64',
  'value',
  'valueText',
  'valueBase64',
  'headers',
  'timestamp',
  'partition',
  ...DUE_FIELDS,
]
const HEADER_FIELDS = ['key', 'value', 'valueBase64']
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Reads requests to produce. One is filled again and again, so it is good until the next.
 */
export class RecordsParser {
  readonly #action: string
  readonly #request = new ProduceRequest()

  /** `action` is what a request wants, as refusals have it behind "Cannot". */
  constructor(action: string) {
    this.#action = action
  }

  /**
   * `context` are headers that a record gets unless it has the first of them itself.
   *
   * @throws BrokerError INVALID_REQUEST, MESSAGE_TOO_LARGE
   */
  parse(topic: string, bytes: Buffer, now: number, context: readonly RecordHeader[] = []): ProduceRequest {
    const values = parseApiBody(this.#action, bytes)
    const fields = new ApiFields({ action: this.#action, values, known: ['records', 'acks'] })
    const request = this.#request
    request.topic = topic
    request.partition = ANY_PARTITION
    request.acks = readAcks(fields)
    const records = fields.list('records', 'records', RECORDS_MAX)
    // No key or value is longer as bytes than as JSON.
    request.clear(bytes.length)
    const rawValues = findRawValues(bytes)
    for (const [index, record] of records.entries()) {
      this.#add(fields.within(record, `records[${index}]`, RECORD_FIELDS), index, bytes, rawValues[index], now)
      this.#addContext(context, index)
    }
    return request
  }

  #add(fields: ApiFields, index: number, bytes: Buffer, rawValue: RawValue | undefined, now: number): void {
    const request = this.#request
    request.reserveRecord()
    const before = request.decodedBytes
    const key = readBytes(fields, 'key', 'keyBase64')
    request.keyStart[index] = key === undefined ? -1 : before
    if (key !== undefined) this.#put(key)
    request.keyEnd[index] = key === undefined ? -1 : request.decodedBytes
    const value = readValue(fields, bytes, rawValue)
    request.valueStart[index] = value === undefined ? -1 : request.decodedBytes
    if (value !== undefined) this.#put(value)
    request.valueEnd[index] = value === undefined ? -1 : request.decodedBytes
    request.timestamps[index] = fields.optionalInteger('timestamp', SAFE_RANGE) ?? now
    const headers = readHeaders(fields)
    if (headers !== undefined) (request.headers ??= new Map()).set(index, headers)
    const dueAt = readDueAt(fields, now)
    if (dueAt !== undefined) (request.dueAts ??= new Map()).set(index, dueAt)
    const partition = fields.optionalInteger('partition', PARTITION_RANGE)
    if (partition !== undefined) (request.partitions ??= new Map()).set(index, partition)
    request.recordCount = index + 1
    const size = request.decodedBytes - before + countBytes(headers)
    if (size <= RECORD_BYTES_MAX) return
    throw new BrokerError(
      'MESSAGE_TOO_LARGE',
      `Cannot ${this.#action} with records[${index}] of ${size} bytes: key, value and headers have at most ${RECORD_BYTES_MAX}`,
    )
  }

  #addContext(context: readonly RecordHeader[], index: number): void {
    if (context.length === 0) return
    const request = this.#request
    const own = request.headers?.get(index) ?? []
    if (own.some(({ key }) => key === context[0].key)) return
    request.headers ??= new Map()
    request.headers.set(index, [...own, ...context])
  }

  #put(bytes: Buffer): void {
    const request = this.#request
    request.decodedBytes += bytes.copy(request.decoded.buffer, request.decodedBytes)
  }
}

/** An HTTP request is always answered, so there is no 0. */
function readAcks(fields: ApiFields): 1 | 'all' {
  switch (fields.get('acks')) {
    case undefined:
    case 'all':
    case -1:
      return 'all'
    case 1:
      return 1
    default:
      throw fields.wrong('acks', '"all", -1 or 1 is needed')
  }
}

/** Where the `value` of each record lies in the body, by the record's place. */
function findRawValues(bytes: Buffer): (RawValue | undefined)[] {
  const found: (RawValue | undefined)[] = []
  const list = findRawMember(bytes, 0, 'records')
  if (list === undefined) return found
  visitRawItems(bytes, list.start, (at, index) => {
    // What is no object is refused when its turn comes.
    found[index] = bytes[at] === 0x7b ? findRawMember(bytes, at, 'value') : undefined
  })
  return found
}

function readValue(fields: ApiFields, bytes: Buffer, raw: RawValue | undefined): Buffer | undefined {
  const isJson = fields.get('value') !== undefined && raw !== undefined
  const other = readBytes(fields, 'valueText', 'valueBase64')
  if (!isJson) return other
  if (other === undefined) return bytes.subarray(raw.start, raw.end)
  throw fields.wrong('value', 'only one of "value", "valueText" and "valueBase64" may be there')
}

/** The bytes of a text, or of base64. */
function readBytes(fields: ApiFields, textName: string, base64Name: string): Buffer | undefined {
  const text = fields.optionalText(textName)
  const base64 = fields.optionalText(base64Name)
  if (base64 === undefined) return text === undefined ? undefined : Buffer.from(text)
  if (text !== undefined) throw fields.wrong(base64Name, `that or "${textName}" is needed, not both`)
  if (!BASE64.test(base64)) throw fields.wrong(base64Name, 'base64 with padding is needed')
  return Buffer.from(base64, 'base64')
}

function readHeaders(fields: ApiFields): readonly RecordHeader[] | undefined {
  const value = fields.get('headers')
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw fields.wrong('headers', 'an array like [{"key":"source","value":"web"}] is needed')
  if (value.length === 0) return undefined
  return value.map((item: unknown, index) => {
    const header = fields.within(item, `headers[${index}]`, HEADER_FIELDS)
    return { key: header.text('key'), value: readBytes(header, 'value', 'valueBase64') ?? null }
  })
}

function countBytes(headers: readonly RecordHeader[] | undefined): number {
  if (headers === undefined) return 0
  return headers.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + (value?.length ?? 0), 0)
}
