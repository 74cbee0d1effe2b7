import { once } from 'node:events'
import * as net from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../base/clock.ts'
import type { ReadinessCheck } from '../metrics/metrics.ts'
import { Metrics } from '../metrics/metrics.ts'
import type { CheckResult } from './health.ts'
import { Health } from './health.ts'
import { HttpServer } from './http-server.ts'

let server: HttpServer
let results: Record<ReadinessCheck, CheckResult>
let diskError: Error | undefined
beforeEach(async () => {
  results = {
    recovery: { ok: true },
    storage: { ok: true },
    disk: { ok: true },
    listeners: { ok: true },
    draining: { ok: true },
  }
  diskError = undefined
  const metrics = new Metrics()
  const health = new Health({
    clock: systemClock,
    metrics,
    version: '1.2.3',
    flushPolicy: 'always',
    probes: {
      recovery: () => results.recovery,
      storage: () => results.storage,
      disk: () => {
        if (diskError !== undefined) throw diskError
        return results.disk
      },
      listeners: () => results.listeners,
      draining: () => results.draining,
    },
  })
  server = await HttpServer.listen({ address: { host: '127.0.0.1', port: 0 }, health, metrics, connectionsMax: 20 })
})
afterEach(async () => {
  await server.close()
})

async function get(path: string, options: RequestInit = {}) {
  const response = await fetch(`http://127.0.0.1:${server.address.port}${path}`, options)
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  const json = isJson && text !== '' ? JSON.parse(text) : undefined
  return { status: response.status, headers: response.headers, text, json }
}

/** What comes back when bytes are sent that no HTTP client would send. */
async function sendRaw(bytes: string): Promise<string> {
  const socket = net.connect(server.address.port, '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

test('/healthz says that all is well, when, and what is running', async () => {
  const { status, json } = await get('/healthz')
  expect(status).toBe(200)
  expect(json).toMatchObject({ status: 'ok', version: '1.2.3', flushPolicy: 'always' })
  expect(new Date(json.time).toISOString()).toBe(json.time)
  expect(json.uptimeSeconds).toBeGreaterThanOrEqual(0)
  expect(json.checks.map((check: { name: string }) => check.name)).toEqual(Object.keys(results))
})

test('a failed check makes the broker degraded and unready, but keeps it alive', async () => {
  results.disk = { ok: false, detail: '0.1% free' }
  expect((await get('/livez')).json).toEqual({ status: 'ok' })
  const health = await get('/healthz')
  expect([health.status, health.json.status]).toEqual([200, 'degraded'])
  const ready = await get('/readyz')
  expect([ready.status, ready.json.status]).toEqual([503, 'not_ready'])
  expect(ready.json.checks).toContainEqual({ name: 'disk', ok: false, detail: '0.1% free' })
})

test('a check that is ok but has something to say makes the broker degraded and keeps it ready', async () => {
  results.storage = { ok: true, detail: '1 of 8 partitions is offline' }
  expect((await get('/healthz')).json.status).toBe('degraded')
  expect((await get('/readyz')).status).toBe(200)
})

test('a check that cannot be made has failed', async () => {
  diskError = new Error('ENOENT: no such directory')
  const { status, json } = await get('/readyz')
  expect(status).toBe(503)
  expect(json.checks).toContainEqual({ name: 'disk', ok: false, detail: 'ENOENT: no such directory' })
})

test('/healthz answers 503 once the broker is stopping', async () => {
  results.draining = { ok: false, detail: 'the broker is stopping' }
  expect((await get('/healthz')).status).toBe(503)
  expect((await get('/readyz')).status).toBe(503)
  expect((await get('/livez')).status).toBe(200)
})

test('?verbose is text for people', async () => {
  results.disk = { ok: false, detail: '0.1% free' }
  const ready = await get('/readyz?verbose')
  expect(ready.status).toBe(503)
  expect(ready.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(ready.text).toBe(
    '[+]recovery ok\n[+]storage ok\n[-]disk failed: 0.1% free\n[+]listeners ok\n[+]draining ok\nreadyz check failed\n',
  )
  expect((await get('/livez?verbose')).text).toBe('[+]event loop ok\nlivez check passed\n')
})

test('/metrics is Prometheus text with the readiness checks in it', async () => {
  results.disk = { ok: false }
  const { status, headers, text } = await get('/metrics')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(text).toContain('cafelog_ready{check="disk"} 0\n')
  expect(text).toContain('cafelog_ready{check="storage"} 1\n')
})

test('HEAD answers as GET does, without a body', async () => {
  for (const path of ['/livez', '/healthz', '/readyz', '/metrics']) {
    const { status, text } = await get(path, { method: 'HEAD' })
    expect([path, status, text]).toEqual([path, 200, ''])
  }
})

test('an unknown path is 404, as JSON', async () => {
  const { status, json } = await get('/nothing/here?x=1')
  expect(status).toBe(404)
  expect(json.error).toEqual({
    code: 'NOT_FOUND',
    message: 'Cannot find "/nothing/here": see /healthz, /readyz, /metrics and /api/v1',
  })
})

test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
  '%s on a known path is 405 and says what is allowed',
  async (method) => {
    const { status, headers, json } = await get('/healthz', { method })
    expect(status).toBe(405)
    expect(headers.get('allow')).toBe('GET, HEAD')
    expect(json.error.code).toBe('METHOD_NOT_ALLOWED')
  },
)

test.each([
  ['TRACE /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', /^HTTP\/1\.1 40[45] /],
  ['PROPFIND /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', /^HTTP\/1\.1 40[45] /],
  ['GET /%ff HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', /^HTTP\/1\.1 40[04] /],
  ['nonsense\r\n\r\n', /^HTTP\/1\.1 400 /],
  [`GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(9000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ['POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n', /^HTTP\/1\.1 400 /],
])('a strange request is refused without a stack trace: %j', async (bytes, expected) => {
  const answer = await sendRaw(bytes)
  expect(answer).toMatch(expected)
  expect(answer).not.toMatch(/\bat .*:\d+|node_modules|\.[jt]s/)
  expect((await get('/livez')).status).toBe(200)
})
