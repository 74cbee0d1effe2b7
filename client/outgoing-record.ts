import { systemClock } from '../src/base/clock.ts'
import type { RecordHeader } from '../src/record/batch-header.ts'
import { BATCH_BYTES_MAX } from './produce-request.ts'
import type { ProducerHeaders, ProducerMessage } from './producer-options.ts'
import type { Bytes, OutgoingRecord } from './record-batch.ts'

/** The header that says from when on consumers get a message: Unix milliseconds in decimal digits. */
const DUE_AT_HEADER = 'cafelog-due-at'
const BATCH_HEADER_BYTES = 61
const QUOTED_CHARACTERS_MAX = 80

/**
 * Takes what a message says into `record`.
 *
 * @throws TypeError, RangeError for what cannot be
 */
export function readMessage(message: ProducerMessage, record: OutgoingRecord): void {
  const { key = null, value, timestamp, headers, dueAt } = message
  checkBytes('key', key)
  checkBytes('value', value)
  const ms = timestamp === undefined ? systemClock.now() : toMs('timestamp', timestamp)
  if (headers === undefined && dueAt === undefined) record.hold(key, value, ms)
  else record.hold(key, value, ms, toRecordHeaders(headers, dueAt))
  if (record.sizeBytes + BATCH_HEADER_BYTES > BATCH_BYTES_MAX) {
    throw new RangeError(
      `Cannot send a message of ${record.sizeBytes} bytes to topic "${message.topic}": at most ${BATCH_BYTES_MAX - BATCH_HEADER_BYTES} fit into a request`,
    )
  }
}

function toRecordHeaders(headers: ProducerHeaders | undefined, dueAt: number | Date | undefined): RecordHeader[] {
  const entries = headers === undefined ? [] : isList(headers) ? headers : byName(headers)
  const read = entries.map(({ key, value }) => {
    if (typeof key !== 'string') throw new TypeError(`Cannot send a header named ${quote(key)}: text is needed`)
    checkBytes(`header "${key}"`, value)
    return { key, value: value === null ? null : toBuffer(value) }
  })
  if (dueAt !== undefined) read.push({ key: DUE_AT_HEADER, value: Buffer.from(String(toMs('dueAt', dueAt))) })
  return read
}

const isList = (headers: ProducerHeaders): headers is Extract<ProducerHeaders, readonly unknown[]> =>
  Array.isArray(headers)

function byName(headers: Readonly<Record<string, Bytes | null>>) {
  return Object.entries(headers).map(([key, value]) => ({ key, value }))
}

function checkBytes(what: string, bytes: unknown): void {
  if (bytes === null || typeof bytes === 'string' || bytes instanceof Uint8Array) return
  throw new TypeError(`Cannot send the ${what} ${quote(bytes)}: a string, a Buffer, a Uint8Array or null is needed`)
}

function toMs(what: string, time: number | Date): number {
  const ms = time instanceof Date ? time.getTime() : time
  if (Number.isSafeInteger(ms) && ms >= 0) return ms
  throw new RangeError(`Cannot send the ${what} ${quote(time)}: Unix milliseconds or a Date is needed`)
}

function toBuffer(bytes: Bytes): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function quote(value: unknown): string {
  if (typeof value === 'number' || value instanceof Date) return String(value)
  return (JSON.stringify(value) ?? typeof value).slice(0, QUOTED_CHARACTERS_MAX)
}
