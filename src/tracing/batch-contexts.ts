import {
  getBaseOffset,
  getBatchBytes,
  getCodec,
  getLastOffsetDelta,
  getRecordCount,
  isControlBatch,
  mayHaveHeader,
  RecordReader,
} from '../record/record-batch.ts'
import type { TraceContext } from './trace-context.ts'
import { readTraceContext, replaceTraceParent, TRACEPARENT } from './trace-context.ts'

/** Contexts of one span: what OpenTelemetry keeps as links by default. */
const CONTEXTS_MAX = 128
/** Records that one span looks into, so that tracing never takes long. */
const RECORDS_MAX = 1_000
/** A record with more headers is passed over. */
const HEADERS_MAX = 256
/** What compressed records may grow to when tracing looks into them; larger ones are passed over. */
const UNPACKED_BYTES_MAX = 1024 * 1024

/**
 * All that tracing has to know of records. It is handed to the tracer, so that what is loaded when tracing is on shares no
 * module with what is loaded always: the bundler would make a file of its own of that, and the start slower for all.
 */
export const RECORD_CONTEXTS = {
  ofBatches: readBatchContexts,
  ofHeaders: readTraceContext,
  replace: replaceTraceParent,
}
export type RecordContexts = typeof RECORD_CONTEXTS

/** Where the records of some batches come from. */
export interface BatchContexts {
  /** Each once, in the order of the records. */
  readonly contexts: readonly TraceContext[]
  readonly recordCount: number
}

/**
 * The contexts in the headers of record batches, from `fromOffset` on; as many as fit the limits above. What is malformed is
 * passed over: others see to that.
 */
export function readBatchContexts(batches: Buffer, fromOffset = 0): BatchContexts {
  const contexts = new Map<string, TraceContext>()
  const name = Buffer.from(TRACEPARENT)
  let recordsLeft = RECORDS_MAX
  let recordCount = 0
  for (let at = 0; at < batches.length;) {
    const batch = batches.subarray(at, at + getBatchBytes(batches, at))
    at += batch.length
    if (isControlBatch(batch, 0)) continue
    recordCount += countFrom(batch, fromOffset)
    const mayHaveOne = getCodec(batch, 0) !== 'none' || mayHaveHeader(batch, name)
    if (!mayHaveOne || recordsLeft <= 0 || contexts.size >= CONTEXTS_MAX) continue
    recordsLeft -= readInto(contexts, batch, fromOffset, recordsLeft)
  }
  return { contexts: [...contexts.values()], recordCount }
}

/** Returns how many records it has looked at. */
function readInto(contexts: Map<string, TraceContext>, batch: Buffer, fromOffset: number, recordsMax: number): number {
  const reader = new RecordReader(UNPACKED_BYTES_MAX)
  let seen = 0
  try {
    reader.open(batch, 0)
    while (seen < recordsMax && contexts.size < CONTEXTS_MAX && reader.next()) {
      seen++
      if (reader.offset < fromOffset || reader.headerCount === 0 || reader.headerCount > HEADERS_MAX) continue
      const context = readTraceContext(reader.headers)
      if (context !== undefined) contexts.set(`${context.traceId}-${context.spanId}`, context)
    }
  } catch {
    // A span with fewer links, and no harm done.
  }
  return seen
}

/** A batch of a producer has its place only later, and begins at 0. */
function countFrom(batch: Buffer, fromOffset: number): number {
  const skipped = Math.max(0, fromOffset - getBaseOffset(batch, 0))
  const left = getLastOffsetDelta(batch, 0) + 1 - skipped
  return Math.max(0, Math.min(getRecordCount(batch, 0), left))
}
