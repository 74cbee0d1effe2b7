import type { RecordHeader } from '../record/record-batch.ts'

/** The headers of W3C Trace Context, <https://www.w3.org/TR/trace-context/>. Every client of Kafka writes them so. */
export const TRACEPARENT = 'traceparent'
export const TRACESTATE = 'tracestate'

/** What vendors must be able to keep of `tracestate`, and what is kept here; a longer one is left out as a whole. */
const TRACESTATE_BYTES_MAX = 512
/** Later versions may be longer; what is read of them is in the first part. */
const TRACEPARENT_BYTES_MAX = 512
const TRACEPARENT_PATTERN = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
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
  const parent = parseTraceParent(valueOf(headers, TRACEPARENT, TRACEPARENT_BYTES_MAX))
  if (parent === undefined) return undefined
  return { ...parent, state: valueOf(headers, TRACESTATE, TRACESTATE_BYTES_MAX) }
}

/** What `traceparent` says; undefined when it is not as the standard has it, which counts as no context at all. */
export function parseTraceParent(text: string | undefined): Omit<TraceContext, 'state'> | undefined {
  const match = text === undefined ? null : TRACEPARENT_PATTERN.exec(text)
  if (match === null) return undefined
  const [, version, traceId, spanId, flags, more] = match
  if (version === VERSION_NOT_ALLOWED || traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  if (version === FIRST_VERSION && more !== undefined) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED_FLAG) !== 0 }
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
function valueOf(headers: readonly RecordHeader[], key: string, bytesMax: number): string | undefined {
  const value = headers.findLast((header) => header.key === key)?.value
  return value === undefined || value === null || value.length > bytesMax ? undefined : value.toString('latin1')
}
