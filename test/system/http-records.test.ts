import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { HttpWish } from '../support/http-client.ts'
import { HttpClient } from '../support/http-client.ts'
import { RawClient } from '../support/raw-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

const FETCH = 3
const COMMIT = 4

let broker: WholeBroker
let client: HttpClient
let json: RawClient
beforeAll(async () => {
  broker = await startWholeBroker()
  client = new HttpClient(broker.httpPort)
  json = await RawClient.connect(broker.port)
})
afterAll(async () => {
  json.close()
  client.close()
  await broker.stop()
})

let count = 0
let topic = ''
beforeEach(async () => {
  topic = `topic-${++count}`
  // Records from 1970 are not to be deleted for their age.
  const body = { name: topic, partitions: 1, config: { 'retention.ms': '-1' } }
  await client.ask('POST', '/api/v1/topics', { body })
})

const ask = async (method: string, path: string, body?: unknown, headers: HttpWish['headers'] = {}) => {
  const { status, json: answer, text } = await client.ask(method, `/api/v1${path}`, { body, headers })
  return { status, json: answer, text }
}
const produce = (records: unknown, more: object = {}) => ask('POST', `/topics/${topic}/records`, { records, ...more })
const read = (query = '') => ask('GET', `/topics/${topic}/records${query}`)
/** What the JSON door reads, keys and values as text. */
async function fetchOverJson(partition = 0) {
  const { json: answer } = await json.ask(FETCH, { topic, partition, offset: 0, maxWaitMs: 0 })
  const decode = (text: string | null) => (text === null ? null : Buffer.from(text, 'base64').toString())
  return answer.records.map((record: { key: string | null; value: string | null }) => [
    decode(record.key),
    decode(record.value),
  ])
}

test('what is sent is read by the other door, JSON byte for byte', async () => {
  const body = `{"records":[
    {"key":"a","value":{"amount": 9007199254740993,  "b":[1,{"\\u0061":"}"}], "10":1, "2":2}},
    {"value":"text"}, {"value":7.50}, {"value":false}, {"value":null}, {"key":"b"},
    {"valueText":"plain"}, {"keyBase64":"/w==","valueBase64":"AAH/"}, {"val\\u0075e": {"x":1} }]}`
  const { status, json: answer } = await ask('POST', `/topics/${topic}/records`, body)
  expect([status, answer]).toEqual([200, { topic, partition: 0, baseOffset: 0, numRecords: 9, highWatermark: 9 }])
  expect(await fetchOverJson()).toEqual([
    ['a', '{"amount": 9007199254740993,  "b":[1,{"\\u0061":"}"}], "10":1, "2":2}'],
    [null, '"text"'],
    [null, '7.50'],
    [null, 'false'],
    [null, null],
    ['b', null],
    [null, 'plain'],
    ['\ufffd', '\0\u0001\ufffd'],
    [null, '{"x":1}'],
  ])
})

test('what is read can be sent again, and is the same', async () => {
  const records = [
    { key: 'a', value: { deep: [1, 'x'] }, headers: [{ key: 'h', value: 'v' }], timestamp: 1.7e12 },
    { key: null, valueText: 'null', headers: [], timestamp: 1.7e12 },
    { keyBase64: '/w==', valueBase64: '/w==', headers: [{ key: 'h', valueBase64: '/w==' }], timestamp: 5 },
    {
      key: '',
      value: null,
      headers: [
        { key: 'h', value: null },
        { key: 'h', value: '' },
      ],
      timestamp: 1,
    },
    { key: null, valueText: '', headers: [], timestamp: 1 },
    { key: 'é', valueText: '['.repeat(65) + ']'.repeat(65), headers: [], timestamp: 1 },
  ]
  await produce(records)
  const { json: answer } = await read()
  expect(answer).toEqual({
    topic,
    partition: 0,
    records: records.map((record, offset) => ({ offset, ...record })),
    nextOffset: 6,
    highWatermark: 6,
    logStartOffset: 0,
  })
  await produce(answer.records.map(({ offset: _offset, ...record }: { offset: number }) => record))
  const { json: again } = await read('?offset=6')
  expect(again.records.map(({ offset: _offset, ...record }: { offset: number }) => record)).toEqual(records)
})

test('records go where their key, or they themselves say', async () => {
  await ask('PATCH', `/topics/${topic}`, { partitions: 4 })
  const { json: answer } = await produce([
    { key: 'user1', value: 1 },
    { key: 'user2', value: 2 },
    { key: 'user1', value: 3 },
    { partition: 3, value: 4 },
    { key: 'user1', partition: 2, value: 5 },
  ])
  const counts = new Map<number, number>(
    answer.partitions.map((each: { partition: number; numRecords: number }) => [each.partition, each.numRecords]),
  )
  expect([...counts.values()].reduce((sum, each) => sum + each)).toBe(5)
  expect((await read('?partition=3')).json.records.at(-1)).toMatchObject({ value: 4 })
  expect((await read('?partition=2')).json.records.at(-1)).toMatchObject({ key: 'user1', value: 5 })
  const { status, json: refused } = await produce([{ partition: 4, value: 1 }])
  expect([status, refused.error]).toMatchObject([404, { code: 'UNKNOWN_TOPIC_OR_PARTITION' }])
})

test.each<[body: unknown, message: string]>([
  [{}, 'Cannot produce without "records": an array of records is needed'],
  [{ records: [] }, 'Cannot produce with 0 records in "records": 1 to 10000 are needed'],
  [{ records: [7] }, 'Cannot produce with "records[0]" 7: an object is needed'],
  [{ records: [{ key: 7 }] }, 'Cannot produce with "records[0].key" 7: text is needed'],
  [{ records: [{ valeu: 1 }] }, 'Cannot produce with "records[0].valeu", which is not known, did you mean "value"?'],
  [
    { records: [{ value: 1, valueText: 'a' }] },
    'Cannot produce with "records[0].value" 1: only one of "value", "valueText" and "valueBase64" may be there',
  ],
  [
    { records: [{ valueText: 'a', valueBase64: '' }] },
    'Cannot produce with "records[0].valueBase64" "": that or "valueText" is needed, not both',
  ],
  [
    { records: [{ valueBase64: 'a' }] },
    'Cannot produce with "records[0].valueBase64" "a": base64 with padding is needed',
  ],
  [
    { records: [{ headers: { a: 'b' } }] },
    'Cannot produce with "records[0].headers" {"a":"b"}: an array like [{"key":"source","value":"web"}] is needed',
  ],
  [{ records: [{ headers: [{}] }] }, 'Cannot produce without "records[0].headers[0].key": text is needed'],
  [{ records: [{}], acks: 0 }, 'Cannot produce with "acks" 0: "all", -1 or 1 is needed'],
  [
    { records: [{ dueAt: 'tomorrow' }] },
    'Cannot produce with "records[0].dueAt" "tomorrow": Unix milliseconds, or a time with its zone such as "2026-01-31T18:00:00Z" is needed',
  ],
  [
    { records: [{ dueAt: 1, delay: '1s' }] },
    'Cannot produce with "records[0].delay" "1s": that or "dueAt" is needed, not both',
  ],
  [
    { records: [{ delay: '2y' }] },
    'Cannot produce with "records[0].delay" "2y": a whole number of milliseconds, or numbers with w, d, h, m, s or ms, the larger first, such as "7d" or "1h30m" is needed',
  ],
  [
    { records: [{ value: 1 }, { delay: '500d' }] },
    'Cannot produce with records[1]: it is due in # ms: at most 31536000000 ms ahead is taken (cafelog.delay.max.ms)',
  ],
])(
  'a request to produce is refused that is not what it should be, and nothing of it stored: %j',
  async (body, message) => {
    const { status, json: answer } = await ask('POST', `/topics/${topic}/records`, body)
    const { code, message: given } = answer.error
    expect([status, code, given.replace(/due in \d+/, 'due in #')]).toEqual([400, 'INVALID_REQUEST', message])
    expect(await fetchOverJson()).toEqual([])
  },
)

test('10 MiB are taken, a record of more than 7 MiB is not, and no longer body', async () => {
  await ask('PATCH', `/topics/${topic}`, { partitions: 2 })
  const half = 'x'.repeat(5 * 1024 * 1024 - 100)
  const both = [
    { valueText: half, partition: 0 },
    { valueText: half, partition: 1 },
  ]
  expect((await produce(both)).status).toBe(200)
  const refused = [
    [{ valueText: 'x'.repeat(7 * 1024 * 1024 + 1) }],
    [...both, { valueText: 'x'.repeat(300) }],
    // A batch of more than max.message.bytes.
    both.map(({ valueText }) => ({ valueText, partition: 0 })),
  ]
  for (const records of refused) {
    const { status, json: answer } = await produce(records)
    expect([status, answer.error.code]).toEqual([413, 'INVALID_REQUEST'])
  }
  const { json: answer } = await read('?partition=0')
  expect([answer.records.length, answer.nextOffset]).toEqual([1, 1])
})

test('records are read from an offset, an end, or a time on, so many at a time', async () => {
  await produce(Array.from({ length: 10 }, (_, index) => ({ value: index, timestamp: 1000 + index })))
  const valuesOf = async (query: string) => {
    const { status, json: answer } = await read(query)
    return [
      status,
      answer.records?.map((record: { value: number }) => record.value) ?? answer.error.code,
      answer.nextOffset,
    ]
  }
  expect(await valuesOf('?limit=3')).toEqual([200, [0, 1, 2], 3])
  expect(await valuesOf('?offset=3&limit=2')).toEqual([200, [3, 4], 5])
  expect(await valuesOf('?offset=earliest&limit=1')).toEqual([200, [0], 1])
  expect(await valuesOf('?offset=latest')).toEqual([200, [], 10])
  expect(await valuesOf('?timestamp=1008')).toEqual([200, [8, 9], 10])
  expect(await valuesOf('?timestamp=1970-01-01T00:00:01.009Z')).toEqual([200, [9], 10])
  expect(await valuesOf('?timestamp=2000')).toEqual([200, [], 10])
  expect(await valuesOf('?offset=10')).toEqual([200, [], 10])
  expect(await valuesOf('?offset=11')).toEqual([416, 'OFFSET_OUT_OF_RANGE', undefined])
  for (const query of [
    '?offset=-1',
    '?offset=1.5',
    '?limit=0',
    '?limit=1001',
    '?format=xml',
    '?ofset=1',
    '?offset=1&timestamp=2',
  ]) {
    expect(await valuesOf(query)).toEqual([400, 'INVALID_REQUEST', undefined])
  }
  expect(await valuesOf('?partition=1')).toEqual([404, 'UNKNOWN_TOPIC_OR_PARTITION', undefined])
  await ask('PATCH', `/topics/${topic}`, { partitions: 2 })
  expect(await valuesOf('')).toEqual([400, 'INVALID_REQUEST', undefined])
})

test('the trace of a request goes on in its records, but for those that have one', async () => {
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const parent = { key: 'traceparent', value: `00-${trace}-b7ad6b7169203331-01` }
  const own = { key: 'traceparent', value: `00-${trace}-00f067aa0ba902b7-01` }
  const body = {
    records: [{ value: 1 }, { value: 2, headers: [own] }, { value: 3, headers: [{ key: 'a', value: 'b' }] }],
  }
  const path = `/topics/${topic}/records`
  await ask('POST', path, body, { traceparent: parent.value, tracestate: 'shop=1' })
  await ask('POST', path, { records: [{ value: 4 }] }, { traceparent: 'nonsense', tracestate: 'shop=1' })
  const { json: answer } = await read()
  const state = { key: 'tracestate', value: 'shop=1' }
  expect(answer.records.map((record: { headers: object }) => record.headers)).toEqual([
    [parent, state],
    [own],
    [{ key: 'a', value: 'b' }, parent, state],
    [],
  ])
})

test('values are shown as text or base64 when that is wanted', async () => {
  await produce([{ key: 'k', value: { a: 1 }, headers: [{ key: 'h', value: 'v' }], timestamp: 1 }])
  expect((await read('?format=text')).json.records[0]).toMatchObject({ key: 'k', valueText: '{"a":1}' })
  expect((await read('?format=base64')).json.records[0]).toMatchObject({
    keyBase64: 'aw==',
    valueBase64: 'eyJhIjoxfQ==',
    headers: [{ key: 'h', valueBase64: 'dg==' }],
  })
})

test('a delayed record is delivered when due; another one is cancelled and never is', async () => {
  const { json: soon } = await produce([{ key: 'a', value: 'soon', delay: 150 }])
  expect(soon).toMatchObject({ baseOffset: -1, numRecords: 0, scheduleId: soon.scheduled[0].id })
  const { json: mixed } = await produce([
    { value: 'now' },
    { value: 'never', dueAt: new Date(Date.now() + 300).toISOString() },
  ])
  expect(mixed).toMatchObject({ numRecords: 1, scheduled: [{ record: 1 }] })
  const [{ id }] = mixed.scheduled
  expect((await ask('DELETE', `/schedules/${id}`)).json).toMatchObject({ id, topic, partition: 0 })
  await expect.poll(async () => (await fetchOverJson()).length, { timeout: 10_000 }).toBe(2)
  expect(await fetchOverJson()).toEqual([
    [null, '"now"'],
    ['a', '"soon"'],
  ])
  const { status, json: late } = await ask('DELETE', `/schedules/${soon.scheduleId}`)
  expect([status, late.error]).toMatchObject([
    409,
    { code: 'SCHEDULE_NOT_FOUND', outcome: { kind: 'delivered', topic, partition: 0, offset: 1 } },
  ])
  expect((await ask('DELETE', `/schedules/${id}`)).json.error.outcome.kind).toBe('cancelled')
  const gone = await ask('GET', `/schedules/${soon.scheduleId}`)
  expect([gone.status, gone.json.error.outcome.kind]).toEqual([404, 'delivered'])
  expect((await ask('GET', `/topics/${topic}`)).json.scheduled).toBe(0)
})

test('what waits is listed in pages, shown, moved and sent now', async () => {
  const dueAt = Date.now() + 3_600_000
  const records = Array.from({ length: 5 }, (_, index) => ({
    key: `k${index}`,
    value: { index },
    dueAt: dueAt + index,
  }))
  const { json: produced } = await produce(records)
  const ids = produced.scheduled.map((each: { id: string }) => each.id)
  const { json: first } = await ask('GET', `/schedules?topic=${topic}&limit=2`)
  expect(first).toMatchObject({ waiting: 5, schedules: [{ id: ids[0], key: 'k0', valueBytes: 11 }, { id: ids[1] }] })
  const { json: second } = await ask('GET', `/schedules?topic=${topic}&limit=3&cursor=${first.next}`)
  expect([second.schedules.map((each: { id: string }) => each.id), second.next]).toEqual([ids.slice(2), null])
  const { json: between } = await ask('GET', `/schedules?topic=${topic}&from=${dueAt + 1}&to=${dueAt + 3}`)
  expect(between.schedules.map((each: { id: string }) => each.id)).toEqual(ids.slice(1, 3))
  expect((await ask('GET', `/schedules/${ids[1]}`)).json).toMatchObject({
    id: ids[1],
    key: 'k1',
    value: { index: 1 },
    dueAt: dueAt + 1,
  })

  expect((await ask('PATCH', `/schedules/${ids[1]}`, { dueAt: dueAt + 99 })).json).toEqual({
    id: ids[1],
    topic,
    partition: 0,
    dueAt: dueAt + 99,
  })
  expect((await ask('PATCH', `/schedules/${ids[2]}`, { delay: '2h' })).json.dueAt).toBeGreaterThan(dueAt + 99)
  expect((await ask('POST', `/schedules/${ids[0]}/send-now`)).status).toBe(200)
  await expect.poll(fetchOverJson, { timeout: 10_000 }).toEqual([['k0', '{"index":0}']])
})

test.each<[method: string, path: string, body: unknown, status: number, code: string]>([
  ['GET', '/schedules/nonsense', undefined, 404, 'SCHEDULE_NOT_FOUND'],
  ['DELETE', '/schedules/00000000zzz', undefined, 404, 'SCHEDULE_NOT_FOUND'],
  ['POST', '/schedules/00000000zzz/send-now', undefined, 404, 'SCHEDULE_NOT_FOUND'],
  ['POST', '/schedules/00000000zzz/send-now', { at: 1 }, 400, 'INVALID_REQUEST'],
  ['PATCH', '/schedules/00000000zzz', {}, 400, 'INVALID_REQUEST'],
  ['PATCH', '/schedules/00000000zzz', { dueAt: -1 }, 400, 'INVALID_REQUEST'],
  ['GET', '/schedules?topic=nowhere', undefined, 404, 'UNKNOWN_TOPIC_OR_PARTITION'],
  ['GET', '/schedules?cursor=x', undefined, 400, 'INVALID_REQUEST'],
  ['GET', '/schedules?state=open', undefined, 400, 'INVALID_REQUEST'],
  ['GET', '/groups/nobody', undefined, 404, 'GROUP_ID_NOT_FOUND'],
])('%s %s with %j is %i', async (method, path, body, status, code) => {
  const answer = await ask(method, path, body)
  expect([answer.status, answer.json.error.code]).toEqual([status, code])
})

test('a schema is set, refuses with place and reason, is tried, shown and taken away', async () => {
  await produce([{ value: { userId: 1 } }, { value: {} }])
  const schema = '{ "type": "object", "required": ["userId"], "maximum": 1.0 }'
  const path = `/topics/${topic}/schema`
  expect((await ask('GET', path)).status).toBe(404)
  const tried = await ask('POST', `${path}/check`, `{"schema":${schema}}`)
  expect(tried.json).toMatchObject({ checked: 2, valid: 1, invalid: 1, complete: true, version: null })
  const set = await ask('PUT', path, `{"mode":"reject","schema":${schema}}`)
  expect([set.status, set.json]).toEqual([201, { topic, version: 1, mode: 'reject', changed: true }])
  expect((await ask('PUT', path, `{"schema":${schema},"mode":"reject"}`)).status).toBe(200)
  const shown = await ask('GET', path)
  expect(shown.text).toContain(`"schema":${schema}`)
  expect(shown.json).toMatchObject({ topic, version: 1, mode: 'reject', draft: '2020-12', versions: [{ version: 1 }] })
  expect((await ask('GET', `/topics/${topic}`)).json.schema).toEqual({ version: 1, mode: 'reject' })

  const { status, json: refused } = await produce([{ value: { userId: 1 } }, { value: { name: 'x' } }])
  expect([status, refused]).toMatchObject([
    422,
    { error: { code: 'SCHEMA_VALIDATION_FAILED' }, records: [{ index: 1, pointer: '/userId', reason: 'required' }] },
  ])
  const { status: delayed } = await produce([{ value: {}, delay: '1h' }])
  expect(delayed).toBe(422)
  expect(await fetchOverJson()).toHaveLength(2)
  const bad = await ask('PUT', path, '{"mode":"reject","schema":{"type":"objekt"}}')
  expect([bad.status, bad.json.error.message]).toMatchObject([400, expect.stringContaining('line 1, column')])
  expect((await ask('DELETE', path)).json).toEqual({ deleted: true })
  expect((await ask('DELETE', path)).status).toBe(404)
  expect((await produce([{ value: {} }])).status).toBe(200)
  expect((await ask('GET', `${path}?version=1`)).json.version).toBe(1)
  expect((await ask('GET', `${path}?version=9`)).status).toBe(404)
})

test('in mode dlq, what does not fit becomes a dead letter', async () => {
  await ask('PUT', `/topics/${topic}/schema`, { mode: 'dlq', schema: { type: 'object' } })
  const { json: answer } = await produce([{ value: {} }, { value: 7 }, { value: {} }])
  expect(answer).toMatchObject({ numRecords: 2, deadLetters: 1 })
  const { json: letters } = await ask('GET', `/topics/${topic}.dlq/records`)
  expect(letters.records).toMatchObject([{ value: 7 }])
  expect(letters.records[0].headers).toContainEqual({ key: 'cafelog-dlq-reason', value: 'type' })
})

test('groups are listed and described', async () => {
  await produce([{ value: 1 }, { value: 2 }, { value: 3 }])
  const group = 'grüppe/1'
  await json.ask(COMMIT, { topic, partition: 0, group, offset: 1 })
  const { json: list } = await ask('GET', '/groups')
  expect(list.groups).toContainEqual({ group, state: 'Empty', members: 0, topics: [topic], partitions: 1, lag: 2 })
  expect((await ask('GET', `/groups/${encodeURIComponent(group)}`)).json).toMatchObject({
    group,
    state: 'Empty',
    members: [],
    offsets: [{ topic, partition: 0, offset: 1, lag: 2 }],
  })
})

test('what is produced is counted with its latency', async () => {
  await produce([{ value: 1 }])
  const { text } = await client.ask('GET', '/metrics')
  expect(text).toMatch(/^cafelog_publish_latency_ms_count\{protocol="http"\} [1-9]/m)
  expect(text).toMatch(/^cafelog_requests_total\{protocol="http",operation="produce",result="ok"\} [1-9]/m)
  expect(text).toMatch(/^cafelog_bytes_total\{protocol="http",endpoint="produce",direction="in"\} [1-9]/m)
  expect(text).toContain(`cafelog_messages_total{topic="${topic}",partition="0",direction="in"} 1\n`)
})
