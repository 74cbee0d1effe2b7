import { quote } from '../../base/untrusted-json.ts'
import { BASE64_SLACK_BYTES, countEncodedCharacters, decodeBase64 } from '../../base/base64.ts'
import { viewBytes } from '../../base/bytes.ts'
import type { ViewedBytes } from '../../base/bytes.ts'
import type { BrokerError } from '../../base/broker-error.ts'
import type { RecordHeader } from '../../record/record-batch.ts'
import { Fields } from './fields.ts'
import { countHeadersJsonBytes } from './headers-json.ts'
import { RECORD_TEXT_BYTES_MAX, RECORDS_PER_REQUEST_MAX } from './limits.ts'
import { parsePayload, refuse } from './payload.ts'
import { ProduceRequest } from '../../broker/produce-request.ts'
import { RecordScanner } from './record-scanner.ts'

const REQUEST_FIELDS = new Set(['topic', 'partition', 'records', 'acks'])
const RECORD_FIELDS = new Set(['key', 'value', 'ts', 'dueAt', 'headers'])
const HEADER_FIELDS = new Set(['key', 'value'])

/** What the headers that a record gets at its delivery take in an answer. */
const DELIVERY_HEADERS_TEXT_BYTES_MAX = 256
const PARTITION_RANGE = { min: -1, max: 0x7fffffff }
const LONE_SURROGATE = /\p{Surrogate}/u

/** Takes PRODUCE payloads apart: the usual shape quickly, any other by JSON.parse. Both come to the same request. */
export class ProduceParser {
  readonly #request = new ProduceRequest()
  readonly #scanner = new RecordScanner(this.#request)
  #text: ViewedBytes = viewBytes(Buffer.alloc(0))
  /** Where the text that was decoded last begins. */
  #textStart = 0
  #nowMs = 0

  /**
   * Reads the payload that lies in `buffer` from `start` to before `end`. `nowMs` is the time for records that bring none.
   * The request keeps nothing of `buffer`, and is good until the next call.
   *
   * @throws BrokerError INVALID_REQUEST that says which record and which field is wrong
   */
  parse(buffer: Buffer, start: number, end: number, nowMs: number): ProduceRequest {
    if (!this.#scanner.scan(buffer, start, end, nowMs)) this.#parseAny(buffer.subarray(start, end), nowMs)
    return this.#request
  }

  #parseAny(payload: Buffer, nowMs: number): void {
    const request = this.#request
    const object = parsePayload('PRODUCE', payload)
    const fields = new Fields('PRODUCE', object)
    checkUnknownFields(object, REQUEST_FIELDS, undefined)
    request.topic = fields.text('topic')
    // Adding zero makes a plain one of a negative one.
    request.partition = fields.integer('partition', PARTITION_RANGE) + 0
    request.acks = fields.acks()
    const { records } = object
    if (!Array.isArray(records)) throw wrongRecords(records)
    if (records.length === 0) throw refuse('PRODUCE', 'with "records" []', 'at least one record is needed')
    if (records.length > RECORDS_PER_REQUEST_MAX) {
      throw refuse('PRODUCE', `with ${records.length} records`, `one request takes ${RECORDS_PER_REQUEST_MAX} at most`)
    }
    // No text of a payload is longer, as bytes, than it was with its escapes.
    request.clear(payload.length + BASE64_SLACK_BYTES)
    if (this.#text.buffer.length < payload.length) this.#text = viewBytes(Buffer.allocUnsafeSlow(payload.length))
    this.#nowMs = nowMs
    for (let index = 0; index < records.length; index++) this.#addRecord(records[index])
  }

  #addRecord(record: unknown): void {
    const request = this.#request
    const index = request.recordCount
    const path = `records[${index}]`
    if (!isObject(record)) throw wrong(path, record, 'an object is needed')
    checkUnknownFields(record, RECORD_FIELDS, path)
    request.reserveRecord()
    const isKeyNull = !this.#decode(record.key, path, 'key')
    request.keyStart[index] = isKeyNull ? -1 : this.#textStart
    request.keyEnd[index] = isKeyNull ? -1 : request.decodedBytes
    const isValueNull = !this.#decode(record.value, path, 'value')
    request.valueStart[index] = isValueNull ? -1 : this.#textStart
    request.valueEnd[index] = isValueNull ? -1 : request.decodedBytes
    request.timestamps[index] = parseTime(record.ts, path, 'ts') ?? this.#nowMs
    const dueAt = parseTime(record.dueAt, path, 'dueAt')
    if (dueAt !== undefined && dueAt > this.#nowMs) {
      request.dueAts ??= new Map()
      request.dueAts.set(index, dueAt)
    }
    const headers = this.#decodeHeaders(record.headers, path)
    if (headers.length > 0) {
      request.headers ??= new Map()
      request.headers.set(index, headers)
    }
    checkSize(request, index, headers, path)
    request.recordCount++
  }

  /** Decodes a base64 text to the end of the request's decoded bytes; false for null. */
  #decode(value: unknown, path: string, name: string): boolean {
    if (value === null || value === undefined) return false
    const request = this.#request
    if (typeof value === 'string') {
      const textBytes = this.#text.buffer.write(value)
      const start = request.decodedBytes
      if (decodeBase64(this.#text, 0, textBytes, request.decoded, start) === textBytes) {
        const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
        request.decodedBytes = start + (textBytes / 4) * 3 - padding
        this.#textStart = start
        return true
      }
    }
    throw wrong(`${path}.${name}`, value, 'base64 text (standard alphabet, padded) or null is needed')
  }

  #decodeHeaders(value: unknown, path: string): readonly RecordHeader[] {
    if (value === null || value === undefined) return []
    if (!Array.isArray(value)) throw wrong(`${path}.headers`, value, 'an array is needed')
    const headers: RecordHeader[] = []
    for (let index = 0; index < value.length; index++) {
      const header: unknown = value[index]
      const headerPath = `${path}.headers[${index}]`
      if (!isObject(header)) throw wrong(headerPath, header, 'an object is needed')
      checkUnknownFields(header, HEADER_FIELDS, headerPath)
      const { key } = header
      // Half of a surrogate pair has no UTF-8, and would come back as something else.
      if (typeof key !== 'string' || LONE_SURROGATE.test(key)) throw wrong(`${headerPath}.key`, key, 'text is needed')
      const isNull = !this.#decode(header.value, headerPath, 'value')
      const bytes = isNull ? null : this.#request.decoded.buffer.subarray(this.#textStart, this.#request.decodedBytes)
      headers.push({ key, value: bytes })
    }
    return headers
  }
}

function parseTime(value: unknown, path: string, name: string): number | undefined {
  if (value === null || value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value + 0
  throw wrong(`${path}.${name}`, value, 'whole milliseconds since 1970 are needed')
}

/**
 * Fields that we do not know may come from a newer client and are ignored. One that holds an object or an array is not:
 * it looks like data that somebody wants to keep.
 */
function checkUnknownFields(
  object: Record<string, unknown>,
  known: ReadonlySet<string>,
  path: string | undefined,
): void {
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (known.has(name) || typeof value !== 'object' || value === null) continue
    const where = path === undefined ? '' : ` in ${path}`
    throw refuse('PRODUCE', `with ${quote(name)} ${quote(value)}${where}`, 'no such field is known')
  }
}

function checkSize(request: ProduceRequest, index: number, headers: readonly RecordHeader[], path: string): void {
  const textBytes =
    countEncodedCharacters(request.keyEnd[index] - request.keyStart[index]) +
    countEncodedCharacters(request.valueEnd[index] - request.valueStart[index]) +
    countHeadersJsonBytes(headers) +
    (request.dueAts?.has(index) === true ? DELIVERY_HEADERS_TEXT_BYTES_MAX : 0)
  if (textBytes <= RECORD_TEXT_BYTES_MAX) return
  throw refuse(
    'PRODUCE',
    `with ${textBytes} bytes of text in ${path}`,
    `key, value and headers may have ${RECORD_TEXT_BYTES_MAX}, to fit into an answer`,
  )
}

function wrongRecords(value: unknown): BrokerError {
  const right = 'an array of records is needed'
  if (value === undefined || value === null) return refuse('PRODUCE', 'without "records"', right)
  return refuse('PRODUCE', `with "records" ${quote(value)}`, right)
}

function wrong(path: string, value: unknown, right: string): BrokerError {
  if (value === undefined) return refuse('PRODUCE', `without ${path}`, right)
  return refuse('PRODUCE', `with ${path} ${quote(value)}`, right)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
