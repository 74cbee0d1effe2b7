import { afterAll, beforeAll, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { startWholeBroker } from '../support/start-broker.ts'

// Payloads that are wrong in every way that came to mind, with what the answer says about each. All go through one
// connection, which must survive them.

const [CREATE_TOPIC, PRODUCE, FETCH, COMMIT, HEARTBEAT, METADATA, LIST_OFFSETS, FETCH_OFFSETS] = [
  1, 2, 3, 4, 5, 6, 7, 8,
]
const [ALTER_TOPIC, DELETE_RECORDS] = [10, 13]

const records = (...list: unknown[]) => ({ topic: 't', partition: 0, records: list })
const fetch = (fields: object) => ({ topic: 't', partition: 0, offset: 0, ...fields })
const commit = (fields: object) => ({ topic: 't', partition: 0, group: 'g', offset: 0, ...fields })
const WHOLE = 'a whole number from'
const BASE64 = 'base64 text (standard alphabet, padded) or null is needed'

const hostile: [type: number, payload: unknown, message: string][] = [
  // What is no JSON object at all.
  [PRODUCE, '', 'Cannot take PRODUCE with an empty payload: it must be a JSON object'],
  [FETCH, '', 'Cannot take FETCH with an empty payload: it must be a JSON object'],
  [CREATE_TOPIC, '{', 'Cannot take CREATE_TOPIC with this payload: it is not JSON ('],
  [PRODUCE, '{"topic":"t","partition":0,"records":[{"value":"YQ=="}]', 'with this payload: it is not JSON ('],
  [PRODUCE, '{"topic":"t","partition":0,"records":[{"value":"YQ=="}]}x', 'with this payload: it is not JSON ('],
  [HEARTBEAT, 'null', 'Cannot take HEARTBEAT with the payload null: it must be a JSON object'],
  [HEARTBEAT, '[]', 'Cannot take HEARTBEAT with the payload []: it must be a JSON object'],
  [METADATA, '7', 'Cannot take METADATA with the payload 7: it must be a JSON object'],
  [COMMIT, '"text"', 'Cannot take COMMIT with the payload "text": it must be a JSON object'],
  [PRODUCE, '\u0000\u0000', 'with this payload: it is not JSON ('],
  [FETCH, Buffer.from('7b22746f706963223a22ff227d', 'hex'), 'Cannot take FETCH with this payload: it must be UTF-8'],
  [
    PRODUCE,
    Buffer.from('7b22746f706963223a22ff227d', 'hex'),
    'Cannot take PRODUCE with this payload: it must be UTF-8',
  ],
  [CREATE_TOPIC, `{"a":${'['.repeat(64)}${']'.repeat(64)}}`, 'it nests deeper than 64 levels'],
  [PRODUCE, '['.repeat(1_000_000), 'it nests deeper than 64 levels'],
  [PRODUCE, '{"a":'.repeat(500_000), 'it nests deeper than 64 levels'],
  // Fields that are missing or have another shape.
  [CREATE_TOPIC, {}, 'Cannot take CREATE_TOPIC without "topic": text is needed'],
  [CREATE_TOPIC, { topic: 't2' }, `Cannot take CREATE_TOPIC without "partitions": ${WHOLE} 1 to 2147483647 is needed`],
  [CREATE_TOPIC, { topic: 7, partitions: 1 }, 'Cannot take CREATE_TOPIC with "topic" 7: text is needed'],
  [CREATE_TOPIC, { topic: ['t2'], partitions: 1 }, 'with "topic" ["t2"]: text is needed'],
  [CREATE_TOPIC, { topic: null, partitions: 1 }, 'Cannot take CREATE_TOPIC without "topic": text is needed'],
  [CREATE_TOPIC, { topic: 't2', partitions: 0 }, `with "partitions" 0: ${WHOLE} 1 to 2147483647 is needed`],
  [CREATE_TOPIC, { topic: 't2', partitions: -1 }, 'with "partitions" -1: '],
  [CREATE_TOPIC, { topic: 't2', partitions: 1.5 }, 'with "partitions" 1.5: '],
  [CREATE_TOPIC, { topic: 't2', partitions: '4' }, 'with "partitions" "4": '],
  [CREATE_TOPIC, { topic: 't2', partitions: true }, 'with "partitions" true: '],
  [CREATE_TOPIC, { topic: 't2', partitions: 1e9 }, 'Cannot create topic "t2" with 1000000000 partitions'],
  [CREATE_TOPIC, '{"topic":"t2","partitions":1e400}', 'with "partitions" Infinity: '],
  [
    CREATE_TOPIC,
    { topic: 't2', partitions: 1, config: 'retention.ms=1' },
    'with "config" "retention.ms=1": an object of',
  ],
  [CREATE_TOPIC, { topic: 't2', partitions: 1, config: { 'retention.ms': 1 } }, 'with "config.retention.ms" 1: text'],
  [
    CREATE_TOPIC,
    { topic: 't2', partitions: 1, config: { nonsense: '1' } },
    'There is no topic configuration "nonsense"',
  ],
  [
    CREATE_TOPIC,
    { topic: 't2', partitions: 1, config: { 'retention.ms': 'soon' } },
    'Cannot set retention.ms to "soon"',
  ],
  [CREATE_TOPIC, '{"topic":"t2","partitions":1,"config":{"__proto__":"1"}}', 'no topic configuration "__proto__"'],
  [CREATE_TOPIC, '{"__proto__":{"topic":"t2","partitions":1}}', 'Cannot take CREATE_TOPIC without "topic"'],
  [
    FETCH,
    { topic: 't', partition: 0 },
    `Cannot take FETCH without "offset": ${WHOLE} -2 to 9007199254740991 is needed`,
  ],
  [FETCH, fetch({ offset: -3 }), 'with "offset" -3: '],
  [FETCH, fetch({ offset: '0' }), 'with "offset" "0": '],
  [FETCH, '{"topic":"t","partition":0,"offset":9007199254740993}', 'with "offset" 9007199254740992: '],
  [FETCH, fetch({ partition: -1 }), `with "partition" -1: ${WHOLE} 0 to 2147483647 is needed`],
  [FETCH, fetch({ partition: 2 ** 31 }), 'with "partition" 2147483648: '],
  [FETCH, fetch({ maxBytes: -1 }), `with "maxBytes" -1: ${WHOLE} 0 to`],
  [FETCH, fetch({ maxBytes: '1MB' }), 'with "maxBytes" "1MB": '],
  [FETCH, fetch({ maxWaitMs: -1 }), 'with "maxWaitMs" -1: '],
  [FETCH, fetch({ maxWaitMs: 0.5 }), 'with "maxWaitMs" 0.5: '],
  [FETCH, fetch({ minBytes: {} }), 'with "minBytes" {}: '],
  [COMMIT, commit({ offset: -1 }), `with "offset" -1: ${WHOLE} 0 to 9007199254740991 is needed`],
  [COMMIT, commit({ group: 7 }), 'with "group" 7: text is needed'],
  [COMMIT, commit({ group: undefined }), 'Cannot take COMMIT without "group": text is needed'],
  [COMMIT, commit({ group: '' }), 'Cannot use "" as a consumer group id'],
  [COMMIT, commit({ group: 'a\nb' }), 'Cannot use "a\\nb" as a consumer group id'],
  [COMMIT, commit({ group: 'g'.repeat(256) }), 'as a consumer group id: 1 to 255 characters'],
  [METADATA, { topics: 't' }, 'Cannot take METADATA with "topics" "t": an array of texts is needed'],
  [METADATA, { topics: ['t', 7] }, 'with "topics[1]" 7: text is needed'],
  [LIST_OFFSETS, { topic: 't', timestamp: -4 }, 'with "timestamp" -4: '],
  [LIST_OFFSETS, { topic: 't', timestamp: 'now' }, 'with "timestamp" "now": '],
  [FETCH_OFFSETS, { group: {} }, 'with "group" {}: text is needed'],
  [ALTER_TOPIC, { topic: 't', dryRun: 'yes' }, 'with "dryRun" "yes": true or false is needed'],
  [ALTER_TOPIC, { topic: 't', unset: [null] }, 'with "unset[0]" null: text is needed'],
  [DELETE_RECORDS, { topic: 't', partition: 0, beforeOffset: -2 }, 'with "beforeOffset" -2: '],
  // Records.
  [PRODUCE, { topic: 't', partition: 0 }, 'Cannot take PRODUCE without "records": an array of records is needed'],
  [PRODUCE, records(), 'Cannot take PRODUCE with "records" []: at least one record is needed'],
  [PRODUCE, { topic: 't', partition: 0, records: {} }, 'with "records" {}: an array of records is needed'],
  [PRODUCE, { ...records({}), partition: -2 }, `with "partition" -2: ${WHOLE} -1 to 2147483647 is needed`],
  [PRODUCE, { ...records({}), partition: '0' }, 'with "partition" "0": '],
  [PRODUCE, { ...records({}), acks: 2 }, 'with "acks" 2: "all", -1, 1 or 0 is needed'],
  [PRODUCE, { ...records({}), acks: 'none' }, 'with "acks" "none": '],
  [PRODUCE, { ...records({}), trace: { id: 7 } }, 'with "trace" {"id":7}: no such field is known'],
  [PRODUCE, records({}, 7), 'with records[1] 7: an object is needed'],
  [PRODUCE, records({}, null), 'with records[1] null: an object is needed'],
  [PRODUCE, records({ value: 'YQ' }), `with records[0].value "YQ": ${BASE64}`],
  [PRODUCE, records({}, {}, { key: 'a b=' }), `with records[2].key "a b=": ${BASE64}`],
  [PRODUCE, records({ value: 'YQ==\n' }), `with records[0].value "YQ==\\n": ${BASE64}`],
  [PRODUCE, records({ value: '-_-_' }), `with records[0].value "-_-_": ${BASE64}`],
  [PRODUCE, records({ value: '=' }), `with records[0].value "=": ${BASE64}`],
  [PRODUCE, records({ value: 'YQ==YQ==' }), `with records[0].value "YQ==YQ==": ${BASE64}`],
  [PRODUCE, records({ value: 'ññññ' }), `with records[0].value "ññññ": ${BASE64}`],
  [PRODUCE, records({ value: 7 }), `with records[0].value 7: ${BASE64}`],
  [PRODUCE, records({ value: { a: 1 } }), `with records[0].value {"a":1}: ${BASE64}`],
  [PRODUCE, records({ ts: -1 }), 'with records[0].ts -1: whole milliseconds since 1970 are needed'],
  [PRODUCE, records({ ts: 1.5 }), 'with records[0].ts 1.5: '],
  [PRODUCE, records({ ts: 'now' }), 'with records[0].ts "now": '],
  [PRODUCE, '{"topic":"t","partition":0,"records":[{"ts":1e400}]}', 'with records[0].ts Infinity: '],
  [PRODUCE, records({ dueAt: 4e12 }), 'at most 31536000000 ms ahead is taken (cafelog.delay.max.ms)'],
  [PRODUCE, records({ dueAt: 'soon' }), 'with records[0].dueAt "soon": '],
  [PRODUCE, records({ headers: {} }), 'with records[0].headers {}: an array is needed'],
  [PRODUCE, records({ headers: [7] }), 'with records[0].headers[0] 7: an object is needed'],
  [PRODUCE, records({ headers: [{ value: 'YQ==' }] }), 'without records[0].headers[0].key: text is needed'],
  [PRODUCE, records({ headers: [{ key: 'k', value: '!' }] }), `with records[0].headers[0].value "!": ${BASE64}`],
  [PRODUCE, records({ value: 'YQ==', extra: [] }), 'with "extra" [] in records[0]: no such field is known'],
]

let broker: WholeBroker
let client: RawClient
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await RawClient.connect(broker.port)
  await client.ask(CREATE_TOPIC, { topic: 't', partitions: 1 })
})
afterAll(async () => {
  client.close()
  await broker.stop()
})

test.each(hostile)('type %i: %j is refused with "%s"', async (type, payload, message) => {
  const answer = await client.ask(type, payload)
  expect(answer.type).toBe(type)
  expect(answer.json).toEqual({ error: { code: 'INVALID_REQUEST', message: expect.stringContaining(message) } })
  expect(answer.text.length).toBeLessThan(2500)
})

test('every unknown type is refused with its own type', async () => {
  const known: number[] = Object.values(FRAME_TYPES)
  for (const type of Array.from({ length: 256 }, (_, index) => index).filter((number) => !known.includes(number))) {
    const answer = await client.ask(type, '')
    expect(answer.type).toBe(type)
    expect(answer.json.error).toEqual({
      code: 'INVALID_REQUEST',
      message: `Cannot take a frame of type ${type}: no operation has that type`,
    })
  }
})

test('none of that has stored anything or broken the connection', async () => {
  const end = await client.ask(LIST_OFFSETS, { topic: 't', timestamp: -1 })
  expect(end.json.offsets).toEqual([{ partition: 0, offset: 0, timestamp: -1 }])
  const names = (await client.ask(METADATA, {})).json.topics.map((topic: { name: string }) => topic.name)
  expect(names).toEqual(['t'])
  expect((await client.ask(FETCH_OFFSETS, { group: 'g' })).json.error.code).toBe('GROUP_ID_NOT_FOUND')
})

test('fields that nobody knows are ignored', async () => {
  const cases: [type: number, payload: object][] = [
    [CREATE_TOPIC, { topic: 't', partitions: 1, colour: 'red', nested: { a: [1] } }],
    [PRODUCE, { ...records({ value: 'YQ==', note: 'x' }), colour: 'red', 'partition ': 7 }],
    [FETCH, fetch({ colour: 'red', isolation: 1 })],
    [COMMIT, commit({ metadata: 'x' })],
  ]
  for (const [type, payload] of cases) expect((await client.ask(type, payload)).json.error).toBeUndefined()
})
