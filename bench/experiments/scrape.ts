import { get } from 'node:http'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { formatSpread } from '../format.ts'
import { findFreePort } from '../processes.ts'
import { cafeLog, TOPIC } from '../servers/cafelog.ts'
import { spread } from '../statistics.ts'
import { PlainConnection } from '../wire.ts'
import { withServer, type BenchContext, type ExperimentResult } from './experiment.ts'

const TOPICS = 10
const PARTITIONS_PER_TOPIC = 1000
/** Of one topic: a consumer group has committed an offset of each, and is behind by one record. */
const COMMITTED_PARTITIONS = 1000
const SCRAPES = 20

interface Run {
  readonly scrapeMs: readonly number[]
  readonly bytes: number
  /** Of PRODUCE requests, one after the other. */
  readonly aloneMs: readonly number[]
  readonly besideMs: readonly number[]
}

/**
 * How long a scrape of a broker with ten thousand partitions takes, and what it does to somebody who publishes meanwhile:
 * one record after the other, so that each waits for whatever occupies the broker.
 */
export async function measureScrape(context: BenchContext): Promise<ExperimentResult> {
  const httpPort = await findFreePort()
  // Nothing is to be waited for but the processor.
  const plain = cafeLog('os')
  const contender: typeof plain = {
    ...plain,
    command(directory, port) {
      const command = plain.command(directory, port)
      return { ...command, environment: { ...command.environment, CAFELOG_HTTP_ADDR: `127.0.0.1:${httpPort}` } }
    },
  }
  const { missing: skipped } = contender
  const runs: Run[] = []
  for (let round = 0; skipped === undefined && round < context.rounds; round++) {
    context.note(`scrape, round ${round + 1} of ${context.rounds}`)
    runs.push(
      await withServer(context, contender, ({ port }) => measure(port, httpPort, context.isQuick ? 2 : SCRAPES)),
    )
  }
  const all = (pick: (run: Run) => readonly number[]) => spread(runs.flatMap(pick))
  const milliseconds = (value: number) => value.toFixed(2)
  const cells = (pick: (run: Run) => readonly number[]) => formatSpread(all(pick), milliseconds)
  return {
    title: `Scrape: /metrics with ${TOPICS * PARTITIONS_PER_TOPIC} partitions and a group on ${COMMITTED_PARTITIONS} of them`,
    columns: ['CafeLog', 'ms: median (min – max)'],
    rows: skipped
      ? [['CafeLog', `skipped: ${skipped}`]]
      : [
          ['a scrape', cells(({ scrapeMs }) => scrapeMs)],
          ['PRODUCE, no scrape', cells(({ aloneMs }) => aloneMs)],
          ['PRODUCE, during scrapes', cells(({ besideMs }) => besideMs)],
        ],
    notes: skipped ? [] : [`A scrape has ${(runs[0].bytes / 1e6).toFixed(1)} MB.`],
    floors: [
      {
        name: 'scrape of 10,000 partitions',
        measured: skipped ? undefined : all(({ scrapeMs }) => scrapeMs).median,
        skipped,
        bound: { below: 200 },
        unit: 'ms',
      },
      {
        name: 'longest PRODUCE during scrapes',
        measured: skipped ? undefined : spread(runs.map(({ besideMs }) => Math.max(...besideMs))).median,
        skipped,
        bound: { below: 50 },
        unit: 'ms',
      },
    ],
    data: runs,
  }
}

async function measure(port: number, httpPort: number, scrapes: number): Promise<Run> {
  const connection = await PlainConnection.open(port)
  const other = await PlainConnection.open(port)
  try {
    const names = Array.from({ length: TOPICS }, (_, index) => `wide-${index}`)
    for (const topic of names) {
      await connection.request(FRAME_TYPES.CREATE_TOPIC, { topic, partitions: PARTITIONS_PER_TOPIC })
    }
    for (let partition = 0; partition < COMMITTED_PARTITIONS; partition++) {
      const place = { topic: names[0], partition }
      await connection.request(FRAME_TYPES.PRODUCE, { ...place, records: [{ value: 'AAAA' }] })
      await connection.request(FRAME_TYPES.COMMIT, { ...place, group: 'readers', offset: 0 })
    }
    // The first ones compile the code.
    for (let warm = 0; warm < 3; warm++) await scrape(httpPort)
    await publishDuring(connection, pauseOf(200))
    const aloneMs = await publishDuring(connection, pauseOf(500))
    const scrapeMs: number[] = []
    let bytes = 0
    const scraping = (async () => {
      for (let count = 0; count < scrapes; count++) {
        const began = performance.now()
        bytes = await scrape(httpPort)
        scrapeMs.push(performance.now() - began)
        await pauseOf(50)
      }
    })()
    const besideMs = await publishDuring(other, scraping)
    return { scrapeMs, bytes, aloneMs, besideMs }
  } finally {
    connection.close()
    other.close()
  }
}

/** Publishes one record after the other until then, and returns how long each took. */
async function publishDuring(connection: PlainConnection, until: Promise<unknown>): Promise<number[]> {
  let isOver = false
  const over = until.finally(() => {
    isOver = true
  })
  const times: number[] = []
  while (!isOver) {
    const began = performance.now()
    await connection.request(FRAME_TYPES.PRODUCE, { topic: TOPIC, partition: 0, records: [{ value: 'AAAA' }] })
    times.push(performance.now() - began)
  }
  await over
  return times
}

function pauseOf(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}

/** Reads all of it, and returns how many bytes that were. */
function scrape(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: '/metrics', agent: false }, (response) => {
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      response.on('end', () => resolve(bytes))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
