import { execFile } from 'node:child_process'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { FRAME_TYPES } from '../src/protocols/json/wire.ts'
import { findProjectRoot } from './project-root.ts'
import { encodeFrame, findFrameEnd } from './wire.ts'

/** How the broker of a test answers a request; undefined: not at all. */
type Answering = (type: number, payload: Record<string, unknown>, socket: Socket) => unknown

const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A broker that answers as it is told; returns its address. */
function listen(answering: Answering): Promise<string> {
  const server = createServer((socket) => {
    let received: Buffer = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (let end = findFrameEnd(received); end !== undefined; end = findFrameEnd(received)) {
        const type = received[0]
        const answer = answering(type, JSON.parse(received.toString('utf8', 5, end)), socket)
        received = received.subarray(end)
        if (answer !== undefined) socket.write(encodeFrame(type, answer))
      }
    })
  })
  servers.push(server)
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? `127.0.0.1:${address.port}` : '')
    })
  })
}

interface Ended {
  code: number
  out: string
  error: string
}

/** Runs scripts/benchmark/load-test.sh (which needs `npm run build`) against a broker. */
function runScript(broker: string, words: string, onStart?: (stop: () => void) => void): Promise<Ended> {
  return new Promise((resolve) => {
    const script = join(findProjectRoot(), 'scripts/benchmark/load-test.sh')
    const child = execFile(
      script,
      words.split(' '),
      { cwd: '/', env: { ...process.env, CAFELOG_BROKER: broker } },
      (error, out, errorText) => resolve({ code: Number(error?.code ?? 0), out, error: errorText }),
    )
    onStart?.(() => child.kill('SIGINT'))
  })
}

const produced = { topic: 'load-test-1', partition: 0, baseOffset: 0, numRecords: 1, highWatermark: 1 }

test('load test sends at the rate that was asked for, to all topics, and reports every message', async () => {
  const topics = new Map<unknown, number>()
  const broker = await listen((type, payload) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    topics.set(payload['topic'], (topics.get(payload['topic']) ?? 0) + 1)
    return produced
  })
  const { code, out, error } = await runScript(broker, '--topics 5 --rate 1000msg/s --duration 500ms --json')
  expect({ code, error }).toEqual({ code: 0, error: '' })
  expect(JSON.parse(out)).toMatchObject({
    v: 1,
    broker,
    outcome: 'complete',
    sent: 500,
    acked: 500,
    failed: 0,
    notSent: 0,
    errors: {},
    options: { topics: 5, rate: 1000, batch: 1, acks: 'all' },
    latencyMs: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number), max: expect.any(Number) },
  })
  expect(Object.fromEntries(topics)).toEqual({
    'load-test-1': 100,
    'load-test-2': 100,
    'load-test-3': 100,
    'load-test-4': 100,
    'load-test-5': 100,
  })
})

test('load test counts latency from when a message was due, also while the broker pauses', async () => {
  const pausedMs = 400
  let pauseUntil = 0
  const waiting: (() => void)[] = []
  const broker = await listen((type, _payload, socket) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    if (pauseUntil === 0) {
      pauseUntil = performance.now() + pausedMs
      setTimeout(() => waiting.splice(0).forEach((answer) => answer()), pausedMs)
    }
    if (performance.now() >= pauseUntil && waiting.length === 0) return produced
    waiting.push(() => socket.write(encodeFrame(FRAME_TYPES.PRODUCE, produced)))
    return undefined
  })
  const { out } = await runScript(broker, '--rate 200 --duration 500ms --json')
  const { acked, latencyMs } = JSON.parse(out)
  expect(acked).toBe(100)
  // Four of five messages were due during the pause: the median waited for about half of it.
  expect(latencyMs.max).toBeGreaterThan(pausedMs * 0.9)
  expect(latencyMs.p50).toBeGreaterThan(pausedMs * 0.2)
})

test('load test as fast as possible keeps to its limit of unanswered requests', async () => {
  let unanswered = 0
  let most = 0
  const broker = await listen((type, payload, socket) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    expect((payload['records'] as unknown[]).length).toBe(10)
    most = Math.max(most, ++unanswered)
    setImmediate(() => {
      unanswered--
      socket.write(encodeFrame(FRAME_TYPES.PRODUCE, produced))
    })
    return undefined
  })
  const { code, out } = await runScript(broker, '--rate max --in-flight 7 --batch 10 --duration 300ms --json')
  const report = JSON.parse(out)
  expect({ code, failed: report.failed }).toEqual({ code: 0, failed: 0 })
  expect(report.acked).toBe(report.sent)
  expect(report.acked).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(7)
})

test('load test without acknowledgements waits only until the broker has read all', async () => {
  let taken = 0
  const broker = await listen((type, payload) => {
    if (type !== FRAME_TYPES.PRODUCE) return { ok: true }
    expect(payload['acks']).toBe(0)
    taken++
    return undefined
  })
  const { code, out } = await runScript(broker, '--acks 0 --rate 1000 --duration 200ms --json')
  expect({ code, taken }).toEqual({ code: 0, taken: 200 })
  expect(JSON.parse(out)).toMatchObject({ sent: 200, acked: 0, failed: 0, latencyMs: null })
})

test('load test counts refusals by their code and leaves with 4', async () => {
  let count = 0
  const broker = await listen((type) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    return ++count % 4 === 0 ? { error: { code: 'INTERNAL_IO_ERROR', message: 'The disk is full' } } : produced
  })
  const { code, out } = await runScript(broker, '--rate 500 --duration 200ms')
  expect(code).toBe(4)
  expect(out).toMatch(/sent +100 msg/)
  expect(out).toMatch(/acked +75 msg/)
  expect(out).toMatch(/errors +25\n +INTERNAL_IO_ERROR +25/)
})

test('load test says how to go on when there is no broker', async () => {
  const { code, out, error } = await runScript('127.0.0.1:1', '--duration 100ms')
  expect({ code, out }).toEqual({ code: 5, out: '' })
  expect(error).toContain('✗ cannot connect to 127.0.0.1:1 (ECONNREFUSED)')
  expect(error).toContain('code BROKER_UNREACHABLE (exit 5)')
})

test('load test prints what it has when the broker dies', async () => {
  let count = 0
  const broker = await listen((type, _payload, socket) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    if (++count === 50) socket.destroy()
    return produced
  })
  const { code, out, error } = await runScript(broker, '--rate 500 --duration 30s')
  expect(code).toBe(5)
  expect(out).toContain('connection lost')
  expect(out).toMatch(/CONNECTION_LOST +\d/)
  expect(error).toContain(`✗ lost the connection to ${broker}`)
})

test('load test gives up on a broker that does not answer', async () => {
  const broker = await listen((type) => (type === FRAME_TYPES.CREATE_TOPIC ? { ok: true } : undefined))
  const { code, out, error } = await runScript(broker, '--rate 100 --duration 30s --timeout 300ms')
  expect(code).toBe(124)
  expect(out).toMatch(/acked +0 msg/)
  expect(out).toMatch(/TIMEOUT +\d+/)
  expect(error).toContain('code TIMEOUT (exit 124)')
})

test('load test interrupted prints the table so far and leaves with 130', async () => {
  let interrupt = () => {}
  let count = 0
  const broker = await listen((type) => {
    if (type === FRAME_TYPES.CREATE_TOPIC) return { ok: true }
    if (++count === 20) interrupt()
    return produced
  })
  const { code, out } = await runScript(broker, '--rate 200 --duration 30s', (stop) => (interrupt = stop))
  expect(code).toBe(130)
  expect(out).toContain('interrupted')
  expect(out).toMatch(/errors +0/)
})

test('load test takes an old topic as it is, unless other partitions are asked for', async () => {
  const partitions = new Set<unknown>()
  const broker = await listen((type, payload) => {
    if (type === FRAME_TYPES.CREATE_TOPIC)
      return { error: { code: 'INVALID_REQUEST', message: 'The topic has 3 partitions' } }
    if (type === FRAME_TYPES.METADATA) return { topics: [{ name: 'load-test-1', partitions: [{}, {}, {}] }] }
    partitions.add(payload['partition'])
    return produced
  })
  const kept = await runScript(broker, '--rate 500 --duration 100ms')
  expect(kept.code).toBe(0)
  expect(partitions).toEqual(new Set([0, 1, 2]))
  const refused = await runScript(broker, '--partitions 8 --duration 100ms')
  expect(refused.code).toBe(6)
  expect(refused.error).toContain('✗ topic load-test-1 has 3 partitions, not 8')
})

test('load test explains itself, and refuses what it does not know', async () => {
  expect(await runScript('', '--help')).toMatchObject({ code: 0, out: expect.stringContaining('--rate R') })
  const refused = await runScript('', '--rate fast')
  expect(refused).toMatchObject({ code: 2, out: '' })
  expect(refused.error).toContain('✗ Cannot use --rate "fast"')
})
