import type { RecordHeader } from '../record/record-batch.ts'

/** The headers of W3C Trace Context, <https://www.w3.org/TR/trace-context/>. Every client of Kafka writes them so. */
export const TRACEPARENT = 'traceparent'
export const TRACESTATE = 'tracestate'

/** What vendors must be able to keep of `tracestate`, and what is kept here; a longer one is left out as a whole. */
const TRACESTATE_BYTES_MAX = 512
/** Later versions may be longer; what is read of them is in the first part. */
const TRACEPARENT_BYTES_MAX = 512
/** 0 version, 2 digits │ 3 trace, 32 │ 36 span, 16 │ 53 flags, 2; a hyphen before each but the first. */
const TRACE_AT = 3
const SPAN_AT = 36
const FLAGS_AT = 53
const TRACEPARENT_BYTES = 55
const HYPHEN = 0x2d
const VERSION_NOT_ALLOWED = 'ff'
const FIRST_VERSION = '00'
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const SAMPLED_FLAG = 1

/** Where a record comes from: a span of a trace. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  readonly isSampled: boolean
  /** As it was sent, for whoever knows what it means; not checked. */
  readonly state: string | undefined
}

/** The context in the headers of a record; undefined when there is none, or none that the standard allows. */
export function readTraceContext(headers: readonly RecordHeader[]): TraceContext | undefined {
  const value = valueOf(headers, TRACEPARENT, TRACEPARENT_BYTES_MAX)
  const parent = value === undefined ? undefined : parseTraceParent(value)
  if (parent === undefined) return undefined
  return { ...parent, state: valueOf(headers, TRACESTATE, TRACESTATE_BYTES_MAX)?.toString('latin1') }
}

/**
 * What `traceparent` says; undefined when it is not as the standard has it, which counts as no context at all. It is read byte by
 * byte, as that takes a tenth of a regular expression's time, and is done for every record while tracing is on.
 */
export function parseTraceParent(value: Buffer): Omit<TraceContext, 'state'> | undefined {
  if (value.length < TRACEPARENT_BYTES) return undefined
  if (value[TRACE_AT - 1] !== HYPHEN || value[SPAN_AT - 1] !== HYPHEN || value[FLAGS_AT - 1] !== HYPHEN)
    return undefined
  const areDigits =
    isHex(value, 0, TRACE_AT - 1) &&
    isHex(value, TRACE_AT, SPAN_AT - 1) &&
    isHex(value, SPAN_AT, FLAGS_AT - 1) &&
    isHex(value, FLAGS_AT, TRACEPARENT_BYTES)
  if (!areDigits) return undefined
  const version = value.latin1Slice(0, TRACE_AT - 1)
  const traceId = value.latin1Slice(TRACE_AT, SPAN_AT - 1)
  const spanId = value.latin1Slice(SPAN_AT, FLAGS_AT - 1)
  if (version === VERSION_NOT_ALLOWED || traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  const hasMore = value.length > TRACEPARENT_BYTES
  if (hasMore && (version === FIRST_VERSION || value[TRACEPARENT_BYTES] !== HYPHEN)) return undefined
  const flags = Number.parseInt(value.latin1Slice(FLAGS_AT, TRACEPARENT_BYTES), 16)
  return { traceId, spanId, isSampled: (flags & SAMPLED_FLAG) !== 0 }
}

/** Whether there are only digits 0 to 9 and a to f, in lower case as the standard has it. */
function isHex(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]
    if (!((byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66))) return false
  }
  return true
}

/** The headers with another context in the place of theirs; `tracestate` stays. */
export function replaceTraceParent(
  headers: readonly RecordHeader[],
  { traceId, spanId }: Pick<TraceContext, 'traceId' | 'spanId'>,
): readonly RecordHeader[] {
  const value = Buffer.from(`${FIRST_VERSION}-${traceId}-${spanId}-01`)
  return headers.map((header) => (header.key === TRACEPARENT ? { key: TRACEPARENT, value } : header))
}

/** As Kafka's clients read a header that is there twice: the last one. */
function valueOf(headers: readonly RecordHeader[], key: string, bytesMax: number): Buffer | undefined {
  const value = headers.findLast((header) => header.key === key)?.value
  return value === undefined || value === null || value.length > bytesMax ? undefined : value
}
