import type { BrokerErrorName } from '../base/broker-error.ts'
import { BrokerError } from '../base/broker-error.ts'
import { SchemaViolation } from '../broker/schema-gate.ts'
import { ScheduleGone } from '../delay/outcomes.ts'
import { describeFaults, toWireError } from '../protocols/json/errors.ts'
import type { WireErrorCode } from '../protocols/json/wire.ts'

/** Codes for what goes wrong before a request reaches the broker. All others are those of the JSON protocol. */
export const HTTP_ERROR_CODES = ['NOT_FOUND', 'METHOD_NOT_ALLOWED', 'UNAUTHORIZED', 'FORBIDDEN'] as const
export type HttpErrorCode = (typeof HTTP_ERROR_CODES)[number]
export type ApiErrorCode = WireErrorCode | HttpErrorCode

/** A request that is refused as such, whatever the broker would say to it. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal'
  readonly status: number
  readonly code: ApiErrorCode
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: ApiErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** An error answer: its status, and what makes up its body. */
export interface ApiErrorAnswer {
  readonly status: number
  readonly code: ApiErrorCode
  readonly headers: Readonly<Record<string, string>>
  readonly body: object
}

/** Statuses of what the broker refuses; 400 unless said here. */
const STATUSES: Partial<Record<BrokerErrorName, number>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 404,
  GROUP_ID_NOT_FOUND: 404,
  RESOURCE_NOT_FOUND: 404,
  OFFSET_OUT_OF_RANGE: 416,
  TOPIC_ALREADY_EXISTS: 409,
  NON_EMPTY_GROUP: 409,
  GROUP_SUBSCRIBED_TO_TOPIC: 409,
  POLICY_VIOLATION: 409,
  MESSAGE_TOO_LARGE: 413,
  RECORD_LIST_TOO_LARGE: 413,
  KAFKA_STORAGE_ERROR: 503,
  COORDINATOR_NOT_AVAILABLE: 503,
  CORRUPT_MESSAGE: 500,
  UNKNOWN_SERVER_ERROR: 500,
}
const SCHEMA_STATUS = 422
const CONFLICT_STATUS = 409
const NO_HEADERS = {}
const TRY_AGAIN = { 'retry-after': '1' }

/**
 * What is answered to an error. Anything but a refusal is a mistake of the broker's, and none of its text goes out. A
 * schedule that can no longer be changed is a conflict (`isChange`); one that cannot be shown is not there.
 */
export function toApiError(error: unknown, isChange: boolean): ApiErrorAnswer {
  if (error instanceof ApiRefusal) {
    const { status, code, message, headers } = error
    return { status, code, headers, body: { error: { code, message } } }
  }
  const wireError = toWireError(error)
  const { code } = wireError
  if (!(error instanceof BrokerError)) return { status: 500, code, headers: NO_HEADERS, body: { error: wireError } }
  if (error instanceof SchemaViolation) {
    const body = { error: wireError, records: describeFaults(error) }
    return { status: SCHEMA_STATUS, code, headers: NO_HEADERS, body }
  }
  if (error instanceof ScheduleGone && error.outcome !== undefined) {
    const status = isChange ? CONFLICT_STATUS : 404
    return { status, code, headers: NO_HEADERS, body: { error: { ...wireError, outcome: error.outcome } } }
  }
  const status = STATUSES[error.code] ?? 400
  return { status, code, headers: status === 503 ? TRY_AGAIN : NO_HEADERS, body: { error: wireError } }
}
