import type { IncomingHttpHeaders } from 'node:http'
import { RecordProducer } from '../broker/record-producer.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import { RecordBatchBuilder } from '../record/record-batch.ts'
import { parseTraceParent, TRACEPARENT, TRACESTATE } from '../tracing/trace-context.ts'
import type { ApiCall, ApiRoute } from './api-route.ts'
import { readRecords } from './records-reader.ts'
import { PRODUCE_BYTES_MAX, RecordsParser } from './records-parser.ts'

const ACTION = 'produce'

/** Records: sending and reading them. All requests to produce share a parser, since each is taken in one go. */
export function createRecordRoutes(): readonly ApiRoute[] {
  const parser = new RecordsParser(ACTION)
  return [
    {
      method: 'POST',
      path: '/topics/:topic/records',
      action: ACTION,
      operation: 'produce',
      endpoint: 'produce',
      bodyBytesMax: PRODUCE_BYTES_MAX,
      handle: (call) => produce(call, parser),
    },
    {
      method: 'GET',
      path: '/topics/:topic/records',
      action: 'read records',
      operation: 'fetch',
      endpoint: 'fetch',
      handle: readRecords,
    },
  ]
}

async function produce({ broker, params, headers, bytes }: ApiCall, parser: RecordsParser) {
  const request = parser.parse(params.topic, bytes, broker.clock.now(), readContext(headers))
  // Its memory is never taken back: the batches in it stay as they are for as long as somebody has them.
  const batches = new RecordBatchBuilder(request.decodedBytes)
  return { body: await new RecordProducer(broker, ACTION).start(request, batches) }
}

/** The trace that the request belongs to (W3C Trace Context), as headers of a record; none if there is none. */
function readContext({ [TRACEPARENT]: parent, [TRACESTATE]: state }: IncomingHttpHeaders): readonly RecordHeader[] {
  const value = typeof parent === 'string' ? Buffer.from(parent) : undefined
  if (value === undefined || parseTraceParent(value) === undefined) return []
  const context = [{ key: TRACEPARENT, value }]
  return typeof state === 'string' ? [...context, { key: TRACESTATE, value: Buffer.from(state) }] : context
}
