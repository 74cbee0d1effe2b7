import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { formatCount, formatMicroseconds, formatSpread } from '../format.ts'
import type { FetchFigures } from '../native-client.ts'
import { cafeLog, TOPIC } from '../servers/cafelog.ts'
import { makeValue } from '../servers/server.ts'
import { spread } from '../statistics.ts'
import { PlainConnection } from '../wire.ts'
import { warmMemory, withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

const VALUE_BYTES = 100
const BYTES_MAX = 1_048_576
const RECORDS_PER_REQUEST = 100

interface Run extends FetchFigures {
  readonly valueBytesPerSecond: number
}

/**
 * One consumer reads a topic from its beginning through the JSON door, each FETCH beginning where the last one ended.
 * Only the bytes of values count; on the wire they are twice as many.
 */
export async function measureFetch(context: BenchContext): Promise<ExperimentResult> {
  const contender = cafeLog('interval:10ms')
  const { client } = context
  const skipped = contender.missing ?? (client ? undefined : 'needs a C compiler: apt-get install gcc libc6-dev')
  const records = context.isQuick ? 200_000 : 2_000_000
  const runs: Run[] = []
  const rounds = skipped === undefined ? context.rounds : 0
  for (let round = 0; round < rounds; round++) {
    if (!client) break
    context.note(`fetch, round ${round + 1} of ${rounds}`)
    await warmMemory(context)
    await withServer(context, contender, async (server) => {
      const requestPath = join(server.directory, 'request')
      writeFileSync(requestPath, contender.publishRequest(RECORDS_PER_REQUEST, VALUE_BYTES).request)
      await client.publish({
        protocol: 'json',
        port: server.port,
        requestPath,
        preludePath: undefined,
        window: 64,
        warmUpRequests: 1,
        requests: records / RECORDS_PER_REQUEST,
        serverPid: server.process.pid,
      })
      await checkValues(server.port)
      const consumer = { port: server.port, topic: TOPIC, bytesMax: BYTES_MAX, serverPid: server.process.pid }
      await client.fetch({ ...consumer, records: records / 10 })
      const figures = await client.fetch({ ...consumer, records })
      runs.push({ ...figures, valueBytesPerSecond: (figures.records * VALUE_BYTES) / figures.seconds })
    })
  }
  const middle = (pick: (run: Run) => number) => spread(runs.map(pick)).median
  return {
    title: `Fetch through the JSON door: ${VALUE_BYTES} B values, maxBytes ${BYTES_MAX}, one consumer, one request at a time`,
    columns: [
      'server',
      'records/s (min – max)',
      'MB/s of values',
      'MB/s on the wire',
      'p50',
      'p99',
      'server cores',
      'client cores',
    ],
    rows: skipped
      ? [[contender.name, `skipped: ${skipped}`]]
      : [
          [
            contender.name,
            formatSpread(spread(runs.map((run) => run.records / run.seconds)), formatCount),
            (middle((run) => run.valueBytesPerSecond) / 1e6).toFixed(0),
            (middle((run) => run.wireBytes / run.seconds) / 1e6).toFixed(0),
            formatMicroseconds(middle((run) => run.p50Us)),
            formatMicroseconds(middle((run) => run.p99Us)),
            middle((run) => run.serverCores).toFixed(2),
            middle((run) => run.clientCores).toFixed(2),
          ],
        ],
    notes: [],
    floors: [
      {
        name: 'JSON door, fetch of 1 MiB',
        measured: skipped ? undefined : middle((run) => run.valueBytesPerSecond) / 1e6,
        skipped,
        bound: { atLeast: 150 },
        unit: 'MB/s of values',
      },
    ],
    data: runs,
  }
}

/** Speed counts only when what comes back is what went in: looks at every record of one fetch. */
async function checkValues(port: number): Promise<void> {
  const expected = makeValue(VALUE_BYTES).toString('base64')
  const connection = await PlainConnection.open(port)
  try {
    const { records } = await connection.request<{ records: { offset: number; value: string }[] }>(FRAME_TYPES.FETCH, {
      topic: TOPIC,
      partition: 0,
      offset: 0,
      maxBytes: BYTES_MAX,
      maxWaitMs: 0,
    })
    const wrong = records.findIndex((record, index) => record.offset !== index || record.value !== expected)
    if (records.length === 0 || wrong >= 0) throw new Error(`A fetch brought a wrong record at ${wrong}`)
  } finally {
    connection.close()
  }
}
