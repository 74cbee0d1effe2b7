import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatCount, formatMicroseconds, formatSpread } from '../format.ts'
import type { LoadFigures, NativeClient } from '../native-client.ts'
import { readMemory } from '../processes.ts'
import { cafeLog } from '../servers/cafelog.ts'
import { natsJetStream } from '../servers/nats.ts'
import { redisStreams } from '../servers/redis.ts'
import type { Contender } from '../servers/server.ts'
import { medianRatio, spread } from '../statistics.ts'
import { rotate, warmMemory, withServer, type BenchContext, type ExperimentResult, type Floor } from './experiment.ts'

const VALUE_BYTES = 100
const WINDOW = 64

interface Case {
  readonly id: 'batch-interval' | 'batch-always' | 'single-interval' | 'single-always' | 'nats' | 'redis'
  readonly contender: Contender
  readonly recordsPerRequest: number
}

interface Run extends LoadFigures {
  readonly recordsPerSecond: number
  readonly loadedBytes: number
}

/**
 * Publishing of 100-byte values with 64 requests in flight on one connection: CafeLog's JSON door with 100 records and
 * with one record a request, against one message a request of JetStream and of Redis Streams.
 */
export async function measureProduce(context: BenchContext): Promise<ExperimentResult> {
  const cases: Case[] = [
    { id: 'batch-interval', contender: cafeLog('interval:10ms'), recordsPerRequest: 100 },
    { id: 'batch-always', contender: cafeLog('always'), recordsPerRequest: 100 },
    { id: 'nats', contender: natsJetStream(), recordsPerRequest: 1 },
    { id: 'single-interval', contender: cafeLog('interval:10ms'), recordsPerRequest: 1 },
    { id: 'single-always', contender: cafeLog('always'), recordsPerRequest: 1 },
    { id: 'redis', contender: redisStreams(), recordsPerRequest: 1 },
  ]
  const runs = new Map<Case['id'], Run[]>(cases.map(({ id }) => [id, []]))
  const missing = new Map<Case['id'], string>()
  for (const { id, contender } of cases) {
    const why = contender.missing ?? (context.client ? undefined : 'needs a C compiler: apt-get install gcc libc6-dev')
    if (why !== undefined) missing.set(id, why)
  }
  for (let round = 0; round < context.rounds; round++) {
    for (const one of rotate(cases, round)) {
      if (missing.has(one.id) || !context.client) continue
      context.note(`produce, round ${round + 1} of ${context.rounds}: ${one.contender.name} × ${one.recordsPerRequest}`)
      runs.get(one.id)?.push(await publishOnce(context, context.client, one))
    }
  }
  const rates = (id: Case['id']) => (runs.get(id) ?? []).map((run) => run.recordsPerSecond)
  const floor = (name: string, id: Case['id'], atLeast: number): Floor => {
    const skipped = missing.get(id) ?? missing.get('nats')
    const measured = skipped === undefined ? medianRatio(rates(id), rates('nats')) : undefined
    return { name, measured, skipped, bound: { atLeast }, unit: '× JetStream' }
  }
  return {
    title: `Produce: ${VALUE_BYTES} B values, ${WINDOW} requests in flight, one connection, one partition`,
    columns: [
      'server',
      'records/request',
      'records/s (min – max)',
      'MB/s',
      'p50',
      'p99',
      'server cores',
      'client cores',
      'RSS after',
    ],
    rows: cases.map(({ id, contender, recordsPerRequest }) => {
      const done = runs.get(id) ?? []
      const why = missing.get(id)
      if (why !== undefined) return [contender.name, String(recordsPerRequest), `skipped: ${why}`]
      const middle = (pick: (run: Run) => number) => spread(done.map(pick)).median
      return [
        contender.name,
        String(recordsPerRequest),
        formatSpread(spread(rates(id)), formatCount),
        ((middle((run) => run.recordsPerSecond) * VALUE_BYTES) / 1e6).toFixed(1),
        formatMicroseconds(middle((run) => run.p50Us)),
        formatMicroseconds(middle((run) => run.p99Us)),
        middle((run) => run.serverCores).toFixed(2),
        middle((run) => run.clientCores).toFixed(2),
        `${(middle((run) => run.loadedBytes) / 1e6).toFixed(0)} MB`,
      ]
    }),
    notes: ['Latencies are those of whole requests. JetStream syncs in the background, Redis every second.'],
    floors: [
      floor('JSON door, 100 records/request, interval:10ms', 'batch-interval', 3),
      floor('JSON door, 100 records/request, always', 'batch-always', 2),
      floor('JSON door, 1 record/request, interval:10ms', 'single-interval', 0.7),
    ],
    data: Object.fromEntries(runs),
  }
}

async function publishOnce(context: BenchContext, client: NativeClient, one: Case): Promise<Run> {
  const { contender, recordsPerRequest } = one
  const records = context.isQuick ? 200_000 : 2_000_000
  const requests = records / recordsPerRequest
  const warmUpRequests = requests / 5
  await warmMemory(context)
  return withServer(context, contender, async (server) => {
    const { request, prelude } = contender.publishRequest(recordsPerRequest, VALUE_BYTES)
    const requestPath = join(server.directory, 'request')
    const preludePath = prelude && join(server.directory, 'prelude')
    writeFileSync(requestPath, request)
    if (preludePath && prelude) writeFileSync(preludePath, prelude)
    const figures = await client.publish({
      protocol: contender.protocol,
      port: server.port,
      requestPath,
      preludePath,
      window: WINDOW,
      warmUpRequests,
      requests,
      serverPid: server.process.pid,
    })
    const stored = await contender.countRecords(server.port)
    const expected = (requests + warmUpRequests) * recordsPerRequest + 1
    if (stored !== expected) throw new Error(`${contender.name} acknowledged ${expected} records and holds ${stored}`)
    return {
      ...figures,
      recordsPerSecond: records / figures.seconds,
      loadedBytes: readMemory(server.process.pid).residentBytes,
    }
  })
}
