import type { BrokerErrorName } from '../../base/broker-error.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { SchemaViolation } from '../../broker/schema-gate.ts'
import type { ErrorAnswer, WireErrorCode, WireRecordFault } from './wire.ts'

/** The message of an error answer is cut here: it quotes what the client sent. */
const MESSAGE_CHARACTERS_MAX = 1000

const CODES: Partial<Record<BrokerErrorName, WireErrorCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'UNKNOWN_TOPIC_OR_PARTITION',
  OFFSET_OUT_OF_RANGE: 'OFFSET_OUT_OF_RANGE',
  GROUP_ID_NOT_FOUND: 'GROUP_ID_NOT_FOUND',
  NON_EMPTY_GROUP: 'NON_EMPTY_GROUP',
  UNKNOWN_MEMBER_ID: 'UNKNOWN_MEMBER_ID',
  FENCED_MEMBER_EPOCH: 'FENCED_MEMBER_EPOCH',
  STALE_MEMBER_EPOCH: 'STALE_MEMBER_EPOCH',
  FENCED_INSTANCE_ID: 'FENCED_INSTANCE_ID',
  UNRELEASED_INSTANCE_ID: 'UNRELEASED_INSTANCE_ID',
  GROUP_MAX_SIZE_REACHED: 'GROUP_MAX_SIZE_REACHED',
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  INVALID_PRODUCER_EPOCH: 'INVALID_PRODUCER_EPOCH',
  RESOURCE_NOT_FOUND: 'SCHEDULE_NOT_FOUND',
  KAFKA_STORAGE_ERROR: 'INTERNAL_IO_ERROR',
  CORRUPT_MESSAGE: 'INTERNAL_IO_ERROR',
  UNKNOWN_SERVER_ERROR: 'INTERNAL_IO_ERROR',
}

/** What the wire says about an error. Anything but a refusal is a mistake of the broker's, and none of its text goes out. */
export function toWireError(error: unknown): { code: WireErrorCode; message: string } {
  if (!(error instanceof BrokerError)) {
    return { code: 'INTERNAL_IO_ERROR', message: 'The broker made a mistake; its log says more' }
  }
  const { message } = error
  const code = error instanceof SchemaViolation ? 'SCHEMA_VALIDATION_FAILED' : CODES[error.code]
  const shown = message.length > MESSAGE_CHARACTERS_MAX ? `${message.slice(0, MESSAGE_CHARACTERS_MAX)}…` : message
  return { code: code ?? 'INVALID_REQUEST', message: shown }
}

/** Whether the broker is to blame rather than the client, for the metrics. */
export function isServerError(code: WireErrorCode): boolean {
  return code === 'INTERNAL_IO_ERROR'
}

/** The payload of an error answer. */
export function encodeError(error: unknown, partitions?: ErrorAnswer['partitions']): string {
  const answer: ErrorAnswer = {
    error: toWireError(error),
    ...(partitions !== undefined && { partitions }),
    ...(error instanceof SchemaViolation && { records: describeFaults(error) }),
  }
  return encodeAnswer(answer)
}

/** What is wrong with the records of a request that do not fit the schema of their topic. */
export function describeFaults({ faults }: SchemaViolation): readonly WireRecordFault[] {
  return faults.map(({ index, pointer = '', reason = '', message }) => ({ index, pointer, reason, message }))
}

/** JSON of ASCII characters alone, so that its length is its number of bytes. */
export function encodeAnswer(answer: object): string {
  const json = JSON.stringify(answer)
  if (!NOT_ASCII.test(json)) return json
  // Outside texts JSON has only ASCII, and inside them every UTF-16 unit may be written as an escape.
  return json.replace(EACH_NOT_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const NOT_ASCII = /[^\0-\x7e]/
const EACH_NOT_ASCII = /[^\0-\x7e]/g

/** The five bytes before a payload, as characters of one byte each. */
export function encodeHeader(type: number, payloadBytes: number): string {
  return String.fromCharCode(
    type,
    payloadBytes >>> 24,
    (payloadBytes >>> 16) & 0xff,
    (payloadBytes >>> 8) & 0xff,
    payloadBytes & 0xff,
  )
}
