import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { HttpClient } from '../support/http-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

const TOKEN = 'a-token-for-this-test'

let broker: WholeBroker
let client: HttpClient
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_HTTP_ALLOWED_HOSTS: 'cafelog.example, *.inside.example' } })
  client = new HttpClient(broker.httpPort)
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

let count = 0
let topic = ''
beforeEach(() => {
  topic = `topic-${++count}`
})

/** The value of a series, 0 if there is none. */
async function metric(series: string): Promise<number> {
  const { text } = await client.ask('GET', '/metrics')
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return Number(line?.split(' ').at(-1) ?? 0)
}

test('a topic is made, described, altered and deleted', async () => {
  const made = await client.ask('POST', '/api/v1/topics', {
    body: { name: topic, partitions: 2, config: { 'retention.ms': '7d' } },
  })
  expect([made.status, made.json]).toMatchObject([201, { created: true, name: topic }])
  expect(made.json.partitions.map((each: { partition: number }) => each.partition)).toEqual([0, 1])
  const again = await client.ask('POST', '/api/v1/topics', { body: { name: topic, partitions: 2 } })
  expect([again.status, again.json.created]).toEqual([200, false])

  const path = `/api/v1/topics/${topic}`
  expect((await client.ask('GET', path)).json).toMatchObject({
    name: topic,
    records: 0,
    scheduled: 0,
    schema: null,
    config: { 'retention.ms': { value: '604800000', source: 'topic' }, 'retention.bytes': { source: 'default' } },
  })
  const body = { partitions: 3, config: { 'retention.ms': null, 'retention.bytes': '1GB' } }
  const planned = await client.ask('PATCH', path, { body: { ...body, dryRun: true } })
  const altered = await client.ask('PATCH', path, { body })
  expect(altered.json.changes.map((change: { key: string }) => change.key).toSorted()).toEqual([
    'partitions',
    'retention.bytes',
  ])
  expect(planned.json).toEqual(altered.json)
  const { json: list } = await client.ask('GET', '/api/v1/topics')
  expect(list.topics.find((each: { name: string }) => each.name === topic)).toMatchObject({ partitions: 3, records: 0 })

  expect((await client.ask('DELETE', path)).json).toEqual({ deleted: true })
  expect((await client.ask('GET', path)).status).toBe(404)
})

test('/api/v1 says what is running', async () => {
  const { status, json } = await client.ask('GET', '/api/v1')
  expect([status, Object.keys(json)]).toEqual([200, ['version', 'clusterId', 'startedAt', 'flushPolicy', 'topics']])
})

test.each<[body: unknown, message: string]>([
  [{}, 'Cannot create a topic without "name": text is needed'],
  [{ name: 7 }, 'Cannot create a topic with "name" 7: text is needed'],
  [{ name: 'a' }, 'Cannot create a topic without "partitions": a whole number from 1 to 10000 is needed'],
  [
    { name: 'a', partitions: '2' },
    'Cannot create a topic with "partitions" "2": a whole number from 1 to 10000 is needed',
  ],
  [
    { name: 'a', partitions: 1.5 },
    'Cannot create a topic with "partitions" 1.5: a whole number from 1 to 10000 is needed',
  ],
  [
    { name: 'a', partitons: 1 },
    'Cannot create a topic with "partitons", which is not known, did you mean "partitions"?',
  ],
  [
    { name: 'a', partitions: 1, config: ['retention.ms'] },
    'Cannot create a topic with "config" ["retention.ms"]: an object like {"retention.ms":"7d"} is needed',
  ],
  [
    { name: 'a', partitions: 1, config: { 'retention.ms': 7 } },
    'Cannot create a topic with "config.retention.ms" 7: text is needed',
  ],
  [
    { name: '../etc', partitions: 1 },
    'Cannot use "../etc" as a topic name: 1 to 249 letters, digits, dots, underscores or hyphens, and not "." or ".."',
  ],
  ['[1]', 'Cannot create a topic with the body [1]: it must be a JSON object'],
  ['{"name":', 'Cannot create a topic with this body: it is not JSON (Unexpected end of JSON input)'],
  [Buffer.from('{"name":"\xff"}', 'latin1'), 'Cannot create a topic with this body: it must be UTF-8'],
  ['['.repeat(1e6), 'Cannot create a topic with this body: it nests deeper than 64 levels'],
])('a body is refused that is not what it should be: %j', async (body, message) => {
  const { status, json } = await client.ask('POST', '/api/v1/topics', { body })
  expect([status, json]).toEqual([400, { error: { code: 'INVALID_REQUEST', message } }])
})

test('names from the prototype are names like any other', async () => {
  const { json } = await client.ask('POST', '/api/v1/topics', {
    body: '{"name":"a","partitions":1,"config":{"__proto__":"x"}}',
  })
  expect(json.error.message).toContain('__proto__')
  const { json: other } = await client.ask('POST', '/api/v1/topics', { body: '{"__proto__":{"name":"a"}}' })
  expect(other.error.message).toContain('"__proto__", which is not known')
})

test.each([
  ['/api/v1/topics/nowhere', 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['/api/v1/topics/%2e%2e', 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['/api/v1/topics/..', 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['/api/v1/topics/%00', 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['/api/v1/topics/..%2f..%2fetc%2fpasswd', 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  [`/api/v1/topics/${'x'.repeat(249)}`, 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['/api/v1/topics/%', 400, 'INVALID_REQUEST'],
  ['/api/v1/topics/../../healthz', 404, 'NOT_FOUND'],
  ['/api/v1/nothing', 404, 'NOT_FOUND'],
  ['/api/v2/topics', 404, 'NOT_FOUND'],
])('%s is refused with %i', async (path, status, code) => {
  const answer = await client.ask('GET', path)
  expect([answer.status, answer.json.error.code]).toEqual([status, code])
})

test('other methods are refused with what is allowed, and no CORS header is given', async () => {
  for (const method of ['PUT', 'OPTIONS']) {
    const headers = { 'content-type': 'text/plain', 'access-control-request-method': 'DELETE' }
    const answer = await client.ask(method, `/api/v1/topics/${topic}`, { headers })
    expect([answer.status, answer.headers.allow, answer.json.error.code]).toEqual([
      405,
      'GET, PATCH, DELETE, HEAD',
      'METHOD_NOT_ALLOWED',
    ])
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  }
})

test('a change must come as JSON, so that no form of another site can make it', async () => {
  for (const type of [undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/json-patch+json']) {
    const { status, json } = await client.ask('POST', '/api/v1/topics', {
      headers: { 'content-type': type },
      body: { name: topic, partitions: 1 },
    })
    expect([status, json.error.code]).toEqual([415, 'INVALID_REQUEST'])
  }
  expect((await client.ask('GET', `/api/v1/topics/${topic}`)).status).toBe(404)
})

test.each([
  ['evil.example', 421],
  ['evil.example:8080', 421],
  ['localhost.evil.example', 421],
  ['127.0.0.1.evil.example', 421],
  ['cafelog.example.evil.example', 421],
  ['a@127.0.0.1', 421],
  ['localhost', 200],
  ['LOCALHOST:8080', 200],
  ['[::1]:8080', 200],
  ['10.1.2.3:8080', 200],
  ['broker:8080', 200],
  ['CafeLog.Example', 200],
  ['one.inside.example:8080', 200],
])('asked as host %s, the API answers %i, and health and metrics in any case', async (host, status) => {
  const answer = await client.ask('GET', '/api/v1/topics', { headers: { host } })
  expect(answer.status).toBe(status)
  for (const path of ['/healthz', '/metrics'])
    expect((await client.ask('GET', path, { headers: { host } })).status).toBe(200)
})

test.each([
  ['http://evil.example', 403],
  ['null', 403],
  ['http://localhost:3000', 403],
  ['https://evil.example/cafelog.example', 403],
  ['http://localhost:8080', 200],
  ['https://cafelog.example', 200],
])('a page of %s is answered with %i', async (origin, status) => {
  const headers = { host: 'localhost:8080', origin }
  expect((await client.ask('GET', '/api/v1/topics', { headers })).status).toBe(status)
  const { status: changed } = await client.ask('DELETE', '/api/v1/topics/nowhere', { headers })
  expect(changed).toBe(status === 200 ? 404 : 403)
})

test('a body that is too long is refused, whether it says so or not', async () => {
  const body = JSON.stringify({ name: 'x'.repeat(1024 * 1024), partitions: 1 })
  const declared = await client.ask('POST', '/api/v1/topics', { body })
  expect([declared.status, declared.json.error.code]).toEqual([413, 'INVALID_REQUEST'])
  const chunked = await client.ask('POST', '/api/v1/topics', {
    body,
    headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' },
  })
  expect(chunked.status).toBe(413)
})

test.each([
  ['a chunked body', 'transfer-encoding: chunked\r\n\r\n400\r\n{"name":'],
  ['a counted body', 'content-length: 1000\r\n\r\n{"name":'],
])('%s that is cut off changes nothing', async (_name, rest) => {
  const head = 'POST /api/v1/topics HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
  expect(await client.askRaw(`${head}${rest}`, { isCutOff: true })).not.toContain(' 20')
  expect((await client.ask('GET', '/api/v1')).status).toBe(200)
})

test('requests, bytes and errors are counted', async () => {
  const names = [
    'cafelog_requests_total{protocol="http",operation="create_topic",result="ok"}',
    'cafelog_requests_total{protocol="http",operation="create_topic",result="client_error"}',
    'cafelog_errors_total{type="INVALID_REQUEST"}',
    'cafelog_errors_total{type="FORBIDDEN"}',
    'cafelog_request_duration_seconds_count{protocol="http",operation="create_topic"}',
  ]
  const before = await Promise.all(names.map(metric))
  const bytesBefore = await metric('cafelog_bytes_total{protocol="http",endpoint="admin",direction="in"}')
  await client.ask('POST', '/api/v1/topics', { body: { name: topic, partitions: 1 } })
  await client.ask('POST', '/api/v1/topics', { body: { name: topic } })
  await client.ask('GET', '/api/v1/topics', { headers: { host: 'evil.example' } })
  const after = await Promise.all(names.map(metric))
  expect(after.map((value, index) => value - before[index])).toEqual([1, 1, 1, 1, 2])
  const bytes = JSON.stringify({ name: topic, partitions: 1 }).length + JSON.stringify({ name: topic }).length
  const bytesAfter = await metric('cafelog_bytes_total{protocol="http",endpoint="admin",direction="in"}')
  expect(bytesAfter - bytesBefore).toBe(bytes)
})

test('with a token, the API is for those who have it; health and metrics stay open', async () => {
  const guarded = await startWholeBroker({ environment: { CAFELOG_TOKEN: TOKEN } })
  const other = new HttpClient(guarded.httpPort)
  try {
    for (const authorization of [undefined, 'Bearer wrong', `Basic ${TOKEN}`, `Bearer ${TOKEN}x`]) {
      const { status, headers, json } = await other.ask('GET', '/api/v1/topics', { headers: { authorization } })
      expect([status, headers['www-authenticate'], json.error.code]).toEqual([
        401,
        'Bearer realm="CafeLog"',
        'UNAUTHORIZED',
      ])
    }
    const headers = { authorization: `Bearer ${TOKEN}` }
    expect((await other.ask('GET', '/api/v1/topics', { headers })).status).toBe(200)
    for (const path of ['/healthz', '/metrics']) expect((await other.ask('GET', path)).status).toBe(200)
  } finally {
    other.close()
    await guarded.stop()
  }
})
