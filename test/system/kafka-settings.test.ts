import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { SaslHandshake } from '../../src/protocols/kafka/apis/17-sasl-handshake.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { DescribeConfigs } from '../../src/protocols/kafka/apis/32-describe-configs.ts'
import { AlterConfigs } from '../../src/protocols/kafka/apis/33-alter-configs.ts'
import { SaslAuthenticate } from '../../src/protocols/kafka/apis/36-sasl-authenticate.ts'
import { IncrementalAlterConfigs } from '../../src/protocols/kafka/apis/44-incremental-alter-configs.ts'
import { DescribeClientQuotas } from '../../src/protocols/kafka/apis/48-describe-client-quotas.ts'
import { AlterClientQuotas } from '../../src/protocols/kafka/apis/49-alter-client-quotas.ts'
import { DescribeUserScramCredentials } from '../../src/protocols/kafka/apis/50-describe-user-scram-credentials.ts'
import { AlterUserScramCredentials } from '../../src/protocols/kafka/apis/51-alter-user-scram-credentials.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { decodeRecords, getCodec, hasLogAppendTime } from '../../src/record/record-batch.ts'
import type { TestRecord } from '../support/batches.ts'
import { buildBatch, compressBatch, withMaxTimestamp } from '../support/batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import type { WholeBroker } from '../support/start-broker.ts'

const TOPIC = 2
const BROKER = 4
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3]
const SOURCES = { topic: 1, broker: 4, default: 5 }

let broker: WholeBroker
let client: KafkaClient
let json: RawClient
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await KafkaClient.connect(broker.kafkaPort)
  json = await RawClient.connect(broker.port)
})
afterAll(async () => {
  json.close()
  client.close()
  await broker.stop()
})

async function createTopic(name: string, configs: Record<string, string> = {}): Promise<number> {
  const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  const topics = [{ name, numPartitions: 1, replicationFactor: 1, configs: entries }]
  return (await client.ask(CreateTopics, 7, { topics })).topics[0].errorCode
}

async function describe(resourceType: number, resourceName: string, configurationKeys: string[] | null = null) {
  const resources = [{ resourceType, resourceName, configurationKeys }]
  const { results } = await client.ask(DescribeConfigs, 4, {
    resources,
    includeSynonyms: true,
    includeDocumentation: true,
  })
  return results[0]
}

async function valuesOf(topic: string): Promise<Record<string, string | null>> {
  const { configs } = await describe(TOPIC, topic)
  return Object.fromEntries(configs.map(({ name, value }) => [name, value]))
}

async function alter(
  topic: string,
  changes: readonly [name: string, operation: number, value: string | null][],
  validateOnly = false,
) {
  const configs = changes.map(([name, configOperation, value]) => ({ name, configOperation, value }))
  const resources = [{ resourceType: TOPIC, resourceName: topic, configs }]
  return (await client.ask(IncrementalAlterConfigs, 1, { resources, validateOnly })).responses[0]
}

async function produce(name: string, records: Buffer) {
  const topicData = [{ name, partitionData: [{ index: 0, records }] }]
  return (await client.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData })).responses[0].partitionResponses[0]
}

async function fetchBatch(topic: string, fetchOffset: number): Promise<Buffer> {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1_000_000 }]
  const topics = [{ topic, topicId: '00000000-0000-0000-0000-000000000000', partitions }]
  const { responses } = await client.ask(Fetch, 12, { maxWaitMs: 0, minBytes: 1, topics })
  return responses[0].partitions[0].records ?? Buffer.alloc(0)
}

const FACTS = new URL('../../../shared/facts/kafka-messages/extra/topic-configs.json', import.meta.url)
const testWithFacts = existsSync(FACTS) ? test : test.skip

testWithFacts(
  "every setting of Kafka's topics is listed, with its type (skipped without Kafka's list beside the checkout)",
  async () => {
    await createTopic('listed')
    const { topic: wanted } = JSON.parse(readFileSync(FACTS, 'utf8')) as {
      topic: { name: string; configType: number; serverSynonym: string | null }[]
    }
    const { configs } = await describe(TOPIC, 'listed')
    const ours = new Map(configs.map((config) => [config.name, config]))
    for (const { name, configType, serverSynonym } of wanted) {
      const found = ours.get(name)
      expect(found, name).toMatchObject({ configType, configSource: SOURCES.default, isSensitive: false })
      expect(found?.documentation, name).not.toBe('')
      if (serverSynonym !== null) expect(found?.synonyms[0].name).toBe(serverSynonym)
    }
    expect(configs.map(({ name }) => name).filter((name) => !wanted.some((key) => key.name === name))).toEqual([
      'flush.policy',
      'cafelog.delay.enable',
      'cafelog.delay.max.ms',
      'cafelog.delay.max.records',
    ])
  },
)

test('what a client reads it can write, and reads the same again', async () => {
  await createTopic('round-trip', { 'retention.ms': '9223372036854775807', 'cleanup.policy': 'compact,delete' })
  const before = await valuesOf('round-trip')
  const configs = Object.entries(before).map(([name, value]) => ({ name, value }))
  const resources = [{ resourceType: TOPIC, resourceName: 'round-trip', configs }]
  const { responses } = await client.ask(AlterConfigs, 2, { resources, validateOnly: false })
  expect(responses).toMatchObject([{ errorCode: 0, errorMessage: null }])
  expect(await valuesOf('round-trip')).toEqual(before)
  const changed = configs.map(({ name, value }) => ({ name, value: name === 'segment.bytes' ? '1048576' : value }))
  await client.ask(AlterConfigs, 2, { resources: [{ ...resources[0], configs: changed }], validateOnly: false })
  expect(await valuesOf('round-trip')).toEqual({ ...before, 'segment.bytes': '1048576' })
  // And what is not named goes back to the default.
  await client.ask(AlterConfigs, 2, { resources: [{ ...resources[0], configs: [] }], validateOnly: false })
  const after = await describe(TOPIC, 'round-trip')
  expect(after.configs.every(({ configSource }) => configSource !== SOURCES.topic)).toBe(true)
})

test('values come with what would count without them', async () => {
  await createTopic('traced', { 'retention.ms': '1000' })
  const { configs } = await describe(TOPIC, 'traced', ['retention.ms', 'flush.policy', 'no.such.key'])
  expect(configs).toMatchObject([
    {
      name: 'retention.ms',
      value: '1000',
      configSource: SOURCES.topic,
      readOnly: false,
      synonyms: [
        { name: 'retention.ms', value: '1000', source: SOURCES.topic },
        { name: 'log.retention.ms', value: '604800000', source: SOURCES.default },
      ],
    },
    { name: 'flush.policy', value: 'always', configSource: SOURCES.default },
  ])
  // An empty list of keys is all keys.
  expect((await describe(TOPIC, 'traced', [])).configs.length).toBeGreaterThan(30)
})

test('single settings are set and deleted, lists grow and shrink, and nothing happens by halves', async () => {
  await createTopic('single')
  expect(
    await alter('single', [
      ['retention.ms', SET, '5000'],
      ['cleanup.policy', APPEND, 'compact'],
    ]),
  ).toMatchObject({ errorCode: 0 })
  expect(await valuesOf('single')).toMatchObject({ 'retention.ms': '5000', 'cleanup.policy': 'compact,delete' })
  expect(
    await alter('single', [
      ['cleanup.policy', SUBTRACT, 'delete'],
      ['retention.ms', DELETE, null],
    ]),
  ).toMatchObject({ errorCode: 0 })
  expect(await valuesOf('single')).toMatchObject({ 'retention.ms': '604800000', 'cleanup.policy': 'compact' })
  expect(await alter('single', [['leader.replication.throttled.replicas', APPEND, '0:1']])).toMatchObject({
    errorCode: 0,
  })
  expect(await alter('single', [['leader.replication.throttled.replicas', APPEND, '0:1,1:1']])).toMatchObject({
    errorCode: 0,
  })
  expect(await valuesOf('single')).toMatchObject({ 'leader.replication.throttled.replicas': '0:1,1:1' })

  const { INVALID_CONFIG, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION } = ERROR_CODES
  const before = await valuesOf('single')
  const refused: [number, ...Parameters<typeof alter>][] = [
    [
      INVALID_CONFIG,
      'single',
      [
        ['retention.ms', SET, '1000'],
        ['segment.ms', SET, 'soon'],
      ],
    ],
    [INVALID_CONFIG, 'single', [['retention.ms', APPEND, '1']]],
    [INVALID_CONFIG, 'single', [['retention.sm', SET, '1']]],
    [INVALID_CONFIG, 'single', [['retention.sm', DELETE, null]]],
    [INVALID_CONFIG, 'single', [['cleanup.policy', SUBTRACT, 'compact']]],
    [INVALID_CONFIG, 'single', [['min.insync.replicas', SET, '2']]],
    [INVALID_REQUEST, 'single', [['retention.ms', SET, null]]],
    [INVALID_REQUEST, 'single', [['retention.ms', 4, '1']]],
    [
      INVALID_REQUEST,
      'single',
      [
        ['retention.ms', SET, '1000'],
        ['retention.ms', DELETE, null],
      ],
    ],
    [UNKNOWN_TOPIC_OR_PARTITION, 'not-there', [['retention.ms', SET, '1000']]],
  ]
  for (const [errorCode, ...call] of refused)
    expect(await alter(...call), JSON.stringify(call)).toMatchObject({ errorCode })
  expect(await alter('single', [['retention.ms', SET, '1000']], true)).toMatchObject({ errorCode: 0 })
  expect(await alter('single', [['retention.ms', SET, '0']], true)).toMatchObject({ errorCode: INVALID_CONFIG })
  expect(await valuesOf('single')).toEqual(before)
  expect((await alter('single', [['min.insync.replicas', SET, '2']])).errorMessage).toBe(
    'Cannot set min.insync.replicas to "2": there is one broker, and so one copy, so it must be 1',
  )

  // The same topic twice in one request: Kafka does neither.
  const resource = { resourceType: TOPIC, resourceName: 'single', configs: [] }
  const { responses } = await client.ask(IncrementalAlterConfigs, 1, {
    resources: [resource, resource],
    validateOnly: false,
  })
  expect(responses.map(({ errorCode }) => errorCode)).toEqual([INVALID_REQUEST, INVALID_REQUEST])
})

test('the settings of the broker are listed by their names in Kafka, and cannot be changed', async () => {
  const { configs } = await describe(BROKER, '1')
  const values = Object.fromEntries(configs.map(({ name, value }) => [name, value]))
  expect(values).toMatchObject({
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker.kafkaPort}`,
    'auto.create.topics.enable': 'true',
    'compression.type': 'producer',
    'log.cleanup.policy': 'delete',
    'log.retention.ms': '604800000',
    'message.max.bytes': '8388608',
    'group.max.session.timeout.ms': '1800000',
    'min.insync.replicas': '1',
    'node.id': '1',
    'num.partitions': '1',
    'offsets.retention.minutes': '10080',
    'transaction.max.timeout.ms': '900000',
  })
  expect(configs.find(({ name }) => name === 'num.partitions')).toMatchObject({ configSource: SOURCES.default })
  expect(new Set(configs.map(({ name }) => name)).size).toBe(configs.length)
  expect(configs.every(({ readOnly }) => readOnly)).toBe(true)
  const noName = {
    resourceType: BROKER,
    resourceName: '1',
    configs: [{ name: 'log.retention.ms', configOperation: SET, value: '1' }],
  }
  const { responses } = await client.ask(IncrementalAlterConfigs, 1, { resources: [noName], validateOnly: false })
  expect(responses[0].errorCode).toBe(ERROR_CODES.INVALID_REQUEST)
  // Nothing was set for all brokers, for loggers of a log that is not the broker's own, for subscriptions to metrics, or for groups.
  for (const [type, name] of [
    [BROKER, ''],
    [8, '1'],
    [16, 'any'],
    [32, 'any'],
  ] as const) {
    expect(await describe(type, name)).toMatchObject({ errorCode: 0, configs: [] })
  }
  expect(await describe(BROKER, '7')).toMatchObject({ errorCode: ERROR_CODES.INVALID_REQUEST })
  expect(await describe(3, 'x')).toMatchObject({ errorCode: ERROR_CODES.INVALID_REQUEST })
})

test('the JSON door knows the same settings', async () => {
  const CREATE_TOPIC = 1
  const PRODUCE = 2
  const FETCH = 3
  const config = { 'message.timestamp.type': 'LogAppendTime', 'compression.type': 'zstd', 'min.insync.replicas': '1' }
  expect((await json.ask(CREATE_TOPIC, { topic: 'from-json', partitions: 1, config })).json).toMatchObject({ ok: true })
  expect(await valuesOf('from-json')).toMatchObject(config)
  const before = Date.now()
  const records = [{ key: null, value: Buffer.from('v'.repeat(1000)).toString('base64'), ts: 5 }]
  expect((await json.ask(PRODUCE, { topic: 'from-json', partition: 0, records })).json).toMatchObject({ baseOffset: 0 })
  const batch = await fetchBatch('from-json', 0)
  expect(getCodec(batch, 0)).toBe('zstd')
  const answer = (await json.ask(FETCH, { topic: 'from-json', partition: 0, offset: 0 })).json as {
    records: { ts: number }[]
  }
  expect(answer.records[0].ts).toBeGreaterThanOrEqual(before)

  await json.ask(CREATE_TOPIC, { topic: 'keyed', partitions: 1, config: { 'cleanup.policy': 'compact' } })
  expect((await json.ask(PRODUCE, { topic: 'keyed', partition: 0, records })).json).toMatchObject({
    error: {
      code: 'INVALID_REQUEST',
      message: 'Cannot append the batch: record 0 is refused: it has no key, which compaction goes by',
    },
  })
})

const recordsAt = (...timestamps: number[]): TestRecord[] =>
  timestamps.map((timestamp) => ({ key: 'key', value: 'value', timestamp }))

test('the time of the append is stamped, and told to the producer', async () => {
  await createTopic('stamped', { 'message.timestamp.type': 'LogAppendTime' })
  const before = Date.now()
  const answer = await produce('stamped', compressBatch(buildBatch(recordsAt(1, 2)), 'gzip'))
  expect(answer).toMatchObject({ errorCode: 0, baseOffset: 0 })
  expect(answer.logAppendTimeMs).toBeGreaterThanOrEqual(before)
  expect(answer.logAppendTimeMs).toBeLessThanOrEqual(Date.now())
  const batch = await fetchBatch('stamped', 0)
  expect(hasLogAppendTime(batch, 0)).toBe(true)
  expect(decodeRecords(batch).map(({ timestamp }) => timestamp)).toEqual([
    answer.logAppendTimeMs,
    answer.logAppendTimeMs,
  ])
  await createTopic('as-sent')
  expect(await produce('as-sent', buildBatch(recordsAt(Date.now())))).toMatchObject({ logAppendTimeMs: -1 })
})

test('records are refused for their time or their lack of a key, each by its index', async () => {
  await createTopic('limited', {
    'message.timestamp.before.max.ms': '60000',
    'message.timestamp.after.max.ms': '60000',
  })
  const now = Date.now()
  expect(await produce('limited', buildBatch(recordsAt(now, now - 3_600_000, now + 3_600_000)))).toMatchObject({
    errorCode: ERROR_CODES.INVALID_TIMESTAMP,
    baseOffset: -1,
    recordErrors: [{ batchIndex: 1 }, { batchIndex: 2 }],
  })
  expect(await produce('limited', buildBatch(recordsAt(now)))).toMatchObject({
    errorCode: 0,
    baseOffset: 0,
    recordErrors: [],
  })
  await createTopic('compacted', { 'cleanup.policy': 'compact' })
  const mixed = [...recordsAt(now), { value: 'no key', timestamp: now }]
  expect(await produce('compacted', compressBatch(buildBatch(mixed), 'snappy'))).toMatchObject({
    errorCode: ERROR_CODES.INVALID_RECORD,
    errorMessage: 'Cannot append the batch: record 1 is refused: it has no key, which compaction goes by',
    recordErrors: [{ batchIndex: 1, batchIndexErrorMessage: 'it has no key, which compaction goes by' }],
  })
})

test('clients that do not know zstd are told so, where the broker writes it', async () => {
  await createTopic('in-zstd', { 'compression.type': 'zstd' })
  await produce('in-zstd', buildBatch(recordsAt(Date.now())))
  const fetch = async (version: number) => {
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }]
    const topics = [{ topic: 'in-zstd', topicId: '00000000-0000-0000-0000-000000000000', partitions }]
    const answer = await client.ask(Fetch, version, { maxWaitMs: 0, minBytes: 1, topics })
    return answer.responses[0].partitions[0].errorCode
  }
  expect(await fetch(9)).toBe(ERROR_CODES.UNSUPPORTED_COMPRESSION_TYPE)
  expect(await fetch(10)).toBe(0)
})

test('a largest timestamp that is not the largest is put right', async () => {
  await createTopic('sorted-as-text', { 'retention.ms': '-1' })
  const batch = buildBatch(recordsAt(1000, 999))
  await produce('sorted-as-text', withMaxTimestamp(batch, 999))
  expect((await fetchBatch('sorted-as-text', 0)).subarray(21).equals(batch.subarray(21))).toBe(true)
})

test('quotas, users and authentication: there are none, and tools that look for them go on', async () => {
  const components = [{ entityType: 'user', matchType: 2, match: null }]
  expect(await client.ask(DescribeClientQuotas, 1, { components, strict: false })).toMatchObject({
    errorCode: 0,
    entries: [],
  })
  const entity = [{ entityType: 'user', entityName: 'alice' }]
  const setQuota = (remove: boolean) => ({ entity, ops: [{ key: 'producer_byte_rate', value: 1000, remove }] })
  const altered = await client.ask(AlterClientQuotas, 1, {
    entries: [setQuota(false), setQuota(true)],
    validateOnly: false,
  })
  expect(altered.entries).toMatchObject([
    { errorCode: ERROR_CODES.INVALID_REQUEST, entity },
    { errorCode: 0, entity },
  ])

  expect(await client.ask(DescribeUserScramCredentials, 0, { users: null })).toMatchObject({
    errorCode: 0,
    results: [],
  })
  const users = [{ name: 'alice' }, { name: 'bob' }, { name: 'bob' }]
  expect((await client.ask(DescribeUserScramCredentials, 0, { users })).results).toMatchObject([
    { user: 'alice', errorCode: ERROR_CODES.RESOURCE_NOT_FOUND, credentialInfos: [] },
    { user: 'bob', errorCode: ERROR_CODES.DUPLICATE_RESOURCE },
  ])
  const salted = { mechanism: 1, iterations: 4096, salt: Buffer.from('salt'), saltedPassword: Buffer.from('salted') }
  const scram = await client.ask(AlterUserScramCredentials, 0, {
    deletions: [{ name: 'alice', mechanism: 1 }],
    upsertions: [{ name: 'bob', ...salted }],
  })
  expect(scram.results).toMatchObject([
    { user: 'alice', errorCode: ERROR_CODES.RESOURCE_NOT_FOUND },
    { user: 'bob', errorCode: ERROR_CODES.UNSUPPORTED_SASL_MECHANISM },
  ])

  const { ILLEGAL_SASL_STATE } = ERROR_CODES
  expect(await client.ask(SaslHandshake, 1, { mechanism: 'PLAIN' })).toEqual({
    errorCode: ILLEGAL_SASL_STATE,
    mechanisms: [],
  })
  expect(await client.ask(SaslAuthenticate, 2, { authBytes: Buffer.from('token') })).toMatchObject({
    errorCode: ILLEGAL_SASL_STATE,
  })
})
