import { RecordProducer } from '../broker/record-producer.ts'
import { RecordBatchBuilder } from '../record/record-batch.ts'
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

async function produce({ broker, params, bytes }: ApiCall, parser: RecordsParser) {
  const request = parser.parse(params.topic, bytes, broker.clock.now())
  // Its memory is never taken back: the batches in it stay as they are for as long as somebody has them.
  const batches = new RecordBatchBuilder(request.decodedBytes)
  return { body: await new RecordProducer(broker, ACTION).start(request, batches) }
}
