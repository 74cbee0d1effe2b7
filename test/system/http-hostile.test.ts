import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { ApiAccess } from '../../src/http/api-access.ts'
import { HttpServer } from '../../src/http/http-server.ts'
import { Health } from '../../src/http/health.ts'
import { Metrics } from '../../src/metrics/metrics.ts'
import { HttpClient } from '../support/http-client.ts'
import { checkPropertyAsync } from '../support/property.ts'
import { startWholeBroker } from '../support/start-broker.ts'

const MIB = 1024 * 1024
const JSON_HEAD = 'host: localhost\r\ncontent-type: application/json\r\n'

/** Bodies that are nearly right: what a request looks like, with anything in the place of anything. */
const word = fc.constantFrom(
  'records',
  'key',
  'value',
  'valueText',
  'valueBase64',
  'headers',
  'partition',
  'dueAt',
  'delay',
  'acks',
  'timestamp',
  'config',
  'name',
  'partitions',
  'schema',
  'mode',
  '__proto__',
  'constructor',
)
const { body } = fc.letrec((tie) => ({
  body: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<unknown>(null, true, -1, 0, 1.5, 1e300, 2 ** 53, '', 'a', '/w==', [], {}) },
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.array(tie('body'), { maxLength: 3 }),
    fc.dictionary(word, tie('body'), { maxKeys: 4, noNullPrototype: true }),
    fc.record({ records: fc.array(tie('body'), { maxLength: 3 }) }),
  ),
}))

test('no body makes the broker fail, and what it takes can be read', async () => {
  const broker = await startWholeBroker()
  const client = new HttpClient(broker.httpPort)
  await client.ask('POST', '/api/v1/topics', {
    body: { name: 'orders', partitions: 1, config: { 'retention.ms': '-1' } },
  })
  const requests = fc.constantFrom(
    ['POST', '/topics/orders/records'],
    ['POST', '/topics/orders/records'],
    ['POST', '/topics'],
    ['PATCH', '/topics/orders'],
    ['POST', '/topics/orders/schema/check'],
    ['PATCH', '/schedules/00000000001'],
    ['POST', '/schedules/00000000001/send-now'],
  )
  const cut = fc.option(fc.nat(40), { nil: undefined, freq: 4 })
  await checkPropertyAsync(
    fc.asyncProperty(requests, body, cut, async ([method, path], value, end) => {
      const text = (JSON.stringify(value) ?? '').slice(0, end)
      const { status, json } = await client.ask(method, `/api/v1${path}`, { body: text })
      expect(status).toBeLessThan(500)
      if (status >= 300) expect(json.error.message.length).toBeGreaterThan(10)
    }),
    400,
  )
  const { status } = await client.ask('GET', '/api/v1/topics/orders/records?limit=1000')
  expect(status).toBe(200)
  client.close()
  await broker.stop()
})

test('bodies that are announced and do not come are limited together, and given up when their senders go', async () => {
  const broker = await startWholeBroker()
  const client = new HttpClient(broker.httpPort)
  await client.ask('POST', '/api/v1/topics', { body: { name: 'orders', partitions: 1 } })
  const head = `POST /api/v1/topics/orders/records HTTP/1.1\r\n${JSON_HEAD}content-length: ${10 * MIB}\r\n\r\n{`
  // Six of them fit, the seventh is told so.
  const sockets = Array.from({ length: 7 }, () => connect(broker.httpPort, '127.0.0.1'))
  const refusals = sockets.map(async (socket) => {
    socket.on('error', () => {}).write(head)
    const [answer] = await once(socket.setEncoding('utf8'), 'data')
    return String(answer)
  })
  expect(await Promise.race(refusals)).toMatch(/^HTTP\/1\.1 503 /)
  const produce = (characters: number) =>
    client.ask('POST', '/api/v1/topics/orders/records', { body: { records: [{ valueText: 'x'.repeat(characters) }] } })
  expect((await produce(6 * MIB)).status).toBe(503)
  expect((await produce(10)).status).toBe(200)
  for (const refusal of refusals) refusal.catch(() => {})
  for (const socket of sockets) socket.destroy()
  await expect.poll(async () => (await produce(6 * MIB)).status, { timeout: 10_000 }).toBe(200)
  client.close()
  await broker.stop()
})

test('what was answered before the broker stopped is there when it starts again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-http-stop-'))
  const first = await startWholeBroker({ directory })
  const client = new HttpClient(first.httpPort)
  await client.ask('POST', '/api/v1/topics', { body: { name: 'orders', partitions: 2 } })
  let answered = 0
  let isStopped = false
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let index = 0; !isStopped; index++) {
      const records = [{ key: `${writer}`, value: index }]
      const answer = await client
        .ask('POST', '/api/v1/topics/orders/records', { body: { records } })
        .catch(() => undefined)
      if (answer?.status === 200) answered++
      else if (answer !== undefined) expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
      else isStopped = true
    }
  })
  await expect.poll(() => answered, { timeout: 10_000 }).toBeGreaterThan(50)
  await first.stop()
  await Promise.all(writers)
  client.close()
  const second = await startWholeBroker({ directory })
  const other = new HttpClient(second.httpPort)
  const { json } = await other.ask('GET', '/api/v1/topics/orders')
  expect(json.records).toBeGreaterThanOrEqual(answered)
  other.close()
  await second.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('as long as there is no broker, the API says that it is starting', async () => {
  const metrics = new Metrics()
  const clock = systemClock
  const ok = () => ({ ok: true })
  const probes = { recovery: ok, storage: ok, disk: ok, listeners: ok, draining: ok }
  const health = new Health({ clock, metrics, version: '1', flushPolicy: 'always', probes })
  const access = new ApiAccess({ clock, token: undefined, allowedHosts: [] })
  const api = { access, clock, logger: silentLogger, metrics }
  const address = { host: '127.0.0.1', port: 0 }
  const server = await HttpServer.listen({ address, health, metrics, connectionsMax: 5, api })
  const client = new HttpClient(server.address.port)
  const { status, headers, json } = await client.ask('GET', '/api/v1/topics')
  expect([status, headers['retry-after'], json.error.code]).toEqual([503, '1', 'INTERNAL_IO_ERROR'])
  client.close()
  await server.close()
})
